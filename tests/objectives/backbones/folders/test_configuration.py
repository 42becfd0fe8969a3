"""Configurations that are damaged, missing, or of a network that cannot be read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.network_changes import SCHEDULER, Change, content, dangling, entries, removed

CONFIGURATIONS: list[tuple[str, Change, str]] = [
    (
        "unet",
        entries("unet/config.json", block_out_channels=8),
        r"`block_out_channels` must be tuple.*, got 8; .*correct",
    ),
    ("unet", entries("unet/config.json", norm_num_groups=None), "`norm_num_groups` must be int, got None; .*; correct"),
    ("unet", entries("unet/config.json", attention_head_dim=0), "division or modulo by zero; correct .*config.json"),
    ("unet", entries("unet/config.json", sample_size=None), "its input is 3 x None; give `sample_size`"),
    ("unet", entries("unet/config.json", layers_per_block=1000), "at most 1,000 layers in all levels .* about 6,003"),
    ("unet", entries("unet/config.json", layers_per_block=-1), "`layers_per_block` in .* must be at least 1, got -1"),
    ("vit", entries("config.json", num_hidden_layers=-1), "`num_hidden_layers` in .* must be at least 1, got -1"),
    ("text", entries("vae/config.json", block_out_channels=8), r"`block_out_channels` must be tuple.*, got 8"),
    ("vit", entries("config.json", hidden_act="zzz"), "it does not know 'zzz'; correct .*config.json"),
    ("vit", entries("config.json", image_size=None), "Validation error for field 'image_size': .*None.*; correct"),
    ("unet", entries(SCHEDULER, beta_start="x"), "must have a number as beta_start, got 'x'"),
    *(
        ("unet", content(file, data), rf"{file}.* {refusal}")
        for file in ("unet/config.json", SCHEDULER, "model_index.json")
        for data, refusal in (
            (b"null", r"must hold a JSON object, \{…\}, got null; fetch it again"),
            (b"[1]", "must hold a JSON object, .* got a list"),
            (b"3", "must hold a JSON object, .* got a number"),
            (b"", "is not JSON: Expecting value: line 1 column 1"),
            (b"{", "is not JSON: .* line 1 column 2"),
            (b"\xef\xbb\xbf{}", "begins with a byte-order mark; save it as UTF-8 without one"),
            (b"{}".decode().encode("utf-16"), "is not UTF-8 at byte 0"),
            (b'{"a": "\xe9"}', "is not UTF-8 at byte 7"),
            (b"\0\0", "is not JSON"),
            (b"[" * 100_000, "is not JSON"),
            (b'{"a": ' + b"9" * 5000 + b"}", "is not JSON: Exceeds the limit"),
        )
    ),
    ("unet", dangling("unet/config.json"), "config.json is a link to a file that does not exist; restore that file"),
    ("unet", dangling("model_index.json"), "is a link to a file that does not exist"),
    ("unet", dangling(SCHEDULER), "is a link to a file that does not exist"),
    ("unet", removed(SCHEDULER), "scheduler has no scheduler_config.json; fetch it too"),
    ("text", dangling("text_encoder/config.json"), "is a link to a file that does not exist"),
    ("text", removed("text_encoder/config.json"), "text_encoder/config.json cannot be read: No such file"),
    ("vit", dangling("preprocessor_config.json"), "is a link to a file that does not exist"),
    ("vit", content("preprocessor_config.json", b"null"), "preprocessor_config.json must hold a JSON object"),
    (
        "vit",
        entries("processor_config.json", image_processor=3),
        "`image_processor` in .* must be a JSON object, got 3",
    ),
    (
        "unet",
        entries("unet/config.json", sample_size=18),
        "halves its images 2 times, .* must be a multiple of 4, got 18",
    ),
    (
        "unet",
        entries("unet/config.json", sample_size=[16, 32]),
        r"must take square RGB images, its input is 3 x \[16, 32\]",
    ),
    ("unet", entries("unet/config.json", sample_size="16"), "must take square RGB images, its input is 3 x 16"),
    (
        "unet",
        entries("unet/config.json", time_embedding_type="fourier"),
        "reads the scale of the noise .*, and its noise schedule is not one for this",
    ),
    (
        "unet",
        entries("unet/config.json", time_embedding_type="learned", num_train_timesteps=10),
        r"knows 10 timesteps .* has 1,000; take both of one pipeline",
    ),
    ("dit", entries("transformer/config.json", sample_size=[8, 4]), "must take square latents"),
    (
        "dit",
        entries("transformer/config.json", sample_size=10**6),
        "images of at most 4,096 pixels a side, got 2,000,000",
    ),
    (
        "unet",
        entries("unet/config.json", layers_per_block=10**6),
        "`layers_per_block` .* at most 1,000 layers, got 1,000,000",
    ),
    (
        "vit",
        entries("config.json", hidden_size=10**30),
        "`hidden_size` .* must be at most 2,147,483,647, got a number of 31",
    ),
    ("unet", entries("unet/config.json", norm_eps=float("nan")), "`norm_eps` in .* must be at most"),
    ("unet", entries("unet/config.json", _class_name=[]), r"is a network of no stated kind; known: UNet2DModel"),
    ("vit", entries("config.json", quantization_config={"load_in_8bit": True}), "is of quantised weights"),
    ("text", entries("vae/config.json", scaling_factor=0), "`scaling_factor` .* must be a number above 0"),
    ("vit", entries("preprocessor_config.json", do_rescale=False), "changes pixels in an unknown way"),
    ("vit", entries("preprocessor_config.json", rescale_factor=1 / 127.5), "changes pixels in an unknown way"),
    ("vit", entries("preprocessor_config.json", do_flip_channel_order=True), "changes pixels in an unknown way"),
    (
        "vit",
        entries("preprocessor_config.json", image_std=[0, 0, 0]),
        "must have 3 numbers between -100 and 100 as `image_mean`, and 3 above 0",
    ),
    ("vit", entries("preprocessor_config.json", image_mean=[0.5]), "must have 3 numbers between"),
]


@pytest.mark.parametrize(("name", "change", "refusal"), CONFIGURATIONS)
def test_a_configuration_that_cannot_be_read_is_refused_in_one_line_before_weights_are_read(
    name: str, change: Change, refusal: str, changed: Callable[[str, Change], Path], refused: Callable[[str, str], None]
) -> None:
    refused(str(changed(name, change)), refusal)
