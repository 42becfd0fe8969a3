import json
from pathlib import Path

import pytest

from spaces import Architecture, Block
from tests.support.command_line import Search


def test_known_names_and_kinds_are_listed(search: Search, tmp_path: Path) -> None:
    ran = search("backbones")
    assert ran.code == 0, ran.stderr
    for name in ("bundled", "adm-256", "adm-64", "dinov2", "resnet50", "UNet2DConditionModel", "vit_mae"):
        assert name in ran.stdout
    adm = next(line for line in ran.stdout.splitlines() if line.startswith("│ adm-256 "))
    for fact in ("256", "553 M", "2.2 GB", "MIT"):
        assert fact in adm
    for hub_id in ("black-forest-labs/FLUX.2-klein-4B", "Efficient-Large-Model/Sana_1600M_1024px_diffusers"):
        assert hub_id in ran.stdout  # whole, on one line
    assert not list(tmp_path.iterdir())


def test_the_blocks_of_the_bundled_network_are_shown_and_drawn(search: Search, tmp_path: Path) -> None:
    figure = tmp_path / "blocks.html"
    ran = search("backbones", "show", "bundled", "--figure", str(figure))
    assert ran.code == 0, ran.stderr
    rows = [line for line in ran.stdout.splitlines() if line.startswith("│")]
    assert len(rows) == 25
    assert "100.0 %" in rows[-1]
    assert "bottleneck" in rows[12]
    assert "images 32x32, 25 blocks" in ran.stdout
    assert "Block, in execution order" in figure.read_text()


def test_a_published_networks_blocks_are_shown_without_fetching_it(search: Search, tmp_path: Path) -> None:
    ran = search("backbones", "show", "adm-256")
    assert ran.code == 0, ran.stderr
    assert "images 256x256, 37 blocks" in ran.stdout
    block_24 = next(line for line in ran.stdout.splitlines() if line.startswith("│    24"))
    assert "28.6 %" in block_24
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["show", "bundeld"], 2, "unknown backbone 'bundeld'; did you mean 'bundled'"),
        (["show", "nobody/nothing"], 1, "cannot be fetched from the hub"),
        (["convert", "x.pt", "--out", "out"], 2, "--config"),
        (["convert", "x.pt", "--layout", "sit", "--out", "out"], 2, "is converted with --autoencoder, and --heads"),
        (["convert", "x.pt", "--layout", "repa", "--autoencoder", "no", "--out", "out"], 1, "x.pt"),
        (["convert", "x.pt", "--config", "c.json", "--attention-order", "old", "--out", "out"], 2, "legacy"),
        (["convert", "x.pt", "--config", "no.json", "--attention-order", "new", "--out", "out"], 1, "no.json"),
        (["show", "bundled", "--figure", "no/such/folder/f.html"], 1, "the figure cannot be written"),
    ],
)
def test_a_mistake_is_one_line(
    search: Search, words: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    ran = search("backbones", *words)
    assert ran.code == code
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_is_converted_to_a_folder_that_can_be_shown(search: Search, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from objectives.backbones.checkpoints.adm_settings import AdmSettings
    from tests.support.small_adm import checkpoint_layout

    settings = {"image_size": 32, "num_channels": 32, "num_res_blocks": 1, "channel_mult": [1, 2],
                "attention_resolutions": [16], "num_head_channels": 32, "resblock_updown": True}  # fmt: skip
    layout = checkpoint_layout(AdmSettings.of(settings))
    save_file({name: torch.randn(shape) for name, shape in layout.items()}, tmp_path / "checkpoint.safetensors")
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    out = tmp_path / "converted"
    ran = search("backbones", "convert", str(tmp_path / "checkpoint.safetensors"), "--config",
                 str(tmp_path / "settings.json"), "--attention-order", "legacy", "--out", str(out))  # fmt: skip
    assert ran.code == 0, ran.stderr
    shown = search("backbones", "show", str(out))
    assert "images 32x32, 9 blocks" in shown.stdout


def test_a_checkpoint_of_repa_is_converted_too(search: Search, tmp_path: Path) -> None:
    import torch

    from tests.support import small_latents, small_sit

    torch.save({"ema": small_sit.with_projections(small_sit.random_state())}, tmp_path / "last.pt")
    small_latents.autoencoder(tmp_path)
    out = tmp_path / "converted"
    ran = search("backbones", "convert", str(tmp_path / "last.pt"), "--layout", "repa", "--heads", "2",
                 "--autoencoder", str(tmp_path / "vae"), "--out", str(out))  # fmt: skip
    assert ran.code == 0, ran.stderr
    assert "images 16x16, 3 blocks" in search("backbones", "show", str(out)).stdout


def test_the_figure_shows_the_numbers_of_the_table() -> None:
    from dashboards.backbone_figure import backbone_figure

    blocks = (
        Block(1, "a", "encoder", 8, 16, 1.0, 1.0),
        Block(2, "b<i>", "bottleneck", 16, 8, 2.0, 3.0),
        Block(3, "c", "decoder", 8, 16, 1.0, 4.0),
    )
    figure = backbone_figure(Architecture("a<b>", 16, blocks, (0.9, 0.5), "epsilon"))
    assert [list(trace.y) for trace in figure.data] == [[16], [8], [16], [1.0, 3.0, 4.0]]
    assert "75.0 % of the whole network" in figure.data[1].hovertext[0]
    assert "b&lt;i&gt;" in figure.data[1].hovertext[0]
    assert "a&lt;b&gt;" in figure.layout.title.text
