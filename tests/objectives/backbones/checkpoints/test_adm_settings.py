import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from objectives.backbones.checkpoints.adm import unet_config
from objectives.backbones.checkpoints.adm_settings import AdmSettings, read_settings
from spaces import BackboneError, UnknownNameError

FLAGS: dict[str, Any] = json.loads((Path(__file__).parent / "adm/small.json").read_text())["settings"]
SETTINGS = AdmSettings.of(FLAGS)


def test_settings_are_read_in_json_or_as_guided_diffusion_is_given_them(tmp_path: Path) -> None:
    flags = FLAGS | {
        "channel_mult": "1,1,2,2",
        "attention_resolutions": "16,4",
        "use_fp16": True,
        "dropout": 0,
    }
    (tmp_path / "flags.json").write_text(json.dumps(flags))
    assert read_settings(tmp_path / "flags.json") == SETTINGS
    usual = AdmSettings.of({"image_size": 64, "num_heads": 1, "channel_mult": ""})
    assert unet_config(usual)["block_out_channels"] == [128, 256, 384, 512]
    assert unet_config(usual)["attention_head_dim"] is None


REFUSED_FLAGS: list[tuple[dict[str, Any], type[Exception], str]] = [
    (
        {"num_head_chanels": 64},
        UnknownNameError,
        "unknown ADM setting 'num_head_chanels'; did you mean 'num_head_channels'",
    ),
    ({"large_size": 256}, UnknownNameError, "unknown ADM setting 'large_size'"),
    ({"class_cond": "True"}, BackboneError, "`class_cond` must be of type bool, got 'True'"),
    ({"num_res_blocks": True}, BackboneError, "`num_res_blocks` must be of type int, got True"),
    ({"use_new_attention_order": 1}, BackboneError, "`use_new_attention_order` must be of type bool, got 1"),
    ({"num_res_blocks": 0}, BackboneError, "`num_res_blocks` must be at least 1, got 0"),
    ({"diffusion_steps": 10}, BackboneError, "`diffusion_steps` must be at least 20, got 10"),
    ({"num_head_channels": 0}, BackboneError, "`num_head_channels` must be positive, or -1 for none, got 0"),
    ({"channel_mult": "1;2"}, BackboneError, "`channel_mult` must be a list of numbers"),
    ({"channel_mult": 2}, BackboneError, "`channel_mult` must be a list of numbers"),
    ({"attention_resolutions": [[8]]}, BackboneError, "`attention_resolutions` must be a list of numbers"),
    ({"attention_resolutions": [0]}, BackboneError, r"`attention_resolutions` must hold positive numbers, got \[0\]"),
    ({"channel_mult": [1, math.inf]}, BackboneError, "`channel_mult` must hold positive numbers"),
    ({"noise_schedule": "cosin"}, UnknownNameError, "`noise_schedule`: 'cosin'; did you mean 'cosine'"),
    (
        {"rescale_timesteps": True, "diffusion_steps": 4000},
        BackboneError,
        "`rescale_timesteps` .* cannot be represented",
    ),
]


@pytest.mark.parametrize(("flags", "kind", "words"), REFUSED_FLAGS)
def test_wrong_flags_are_refused_in_words(flags: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        AdmSettings.of(flags)


REFUSED_NETWORKS = [
    ({"image_size": 48, "channel_mult": ()}, "`channel_mult` is needed for images of side 48: only 64, 128, 256, 512"),
    (
        {"image_size": 512, "channel_mult": (), "num_channels": 256},
        r"first `channel_mult` is 0\.5 cannot .* 256 numbers .* in 128",
    ),
    ({"num_channels": 48}, r"multiple of 32 channels wide, got \[48, 48, 96, 96\]"),
    ({"image_size": 36}, "`image_size` must halve 3 times for 4 levels, got 36"),
    ({"num_head_channels": 24}, r"`num_head_channels` must divide .* 24 does not divide all of \(32, 64, 64\)"),
    (  # the published 128x128 network
        {
            "image_size": 128,
            "num_channels": 256,
            "channel_mult": (),
            "attention_resolutions": (32, 16, 8),
            "num_head_channels": -1,
            "num_heads": 4,
        },
        "4 heads in 512 channels, 4 heads in 768 channels, 4 heads in 1024 channels cannot be represented",
    ),
    ({"num_head_channels": -1, "num_heads": 1, "num_heads_upsample": 2}, "cannot be represented: .* equally wide"),
    ({"num_head_channels": -1, "num_heads": 7, "attention_resolutions": ()}, "7 heads in 64 channels cannot"),
]


@pytest.mark.parametrize(("change", "words"), REFUSED_NETWORKS)
def test_networks_that_diffusers_cannot_compute_are_refused_in_words(change: dict[str, Any], words: str) -> None:
    with pytest.raises(BackboneError, match=words):
        unet_config(replace(SETTINGS, **change))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot read the ADM settings: .*flags.json is not JSON"),
        ("[1]", "cannot read the ADM settings: .*flags.json must hold a JSON object, .*got a list"),
        ("[" * 100_000, "cannot read the ADM settings: .*flags.json is not JSON"),
        (None, "cannot read the ADM settings: .*flags.json cannot be read: No such file"),
    ],
)
def test_settings_files_that_cannot_be_read_are_refused_in_words(
    tmp_path: Path, content: str | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "flags.json").write_text(content)
    with pytest.raises(BackboneError, match=words):
        read_settings(tmp_path / "flags.json")
