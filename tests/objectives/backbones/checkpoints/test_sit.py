"""Converted checkpoints of SiT and REPA compute what the papers' equations do."""

from argparse import Namespace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import save_file

from objectives.backbones.catalog import load_backbone
from objectives.backbones.checkpoints.sit import HEADS, Publisher, convert, convert_state_dict, transformer_config
from spaces import BackboneError
from tests.support import small_latents, small_sit
from tests.support.small_sit import LAYERS, TOKENS, WIDTH, State

PUBLISHERS: tuple[Publisher, ...] = get_args(Publisher)
SIDE = 16


@pytest.fixture(scope="module")
def state() -> State:
    return small_sit.random_state()


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline")
    small_latents.autoencoder(folder)
    return folder / "vae"


def converted(state: dict[str, Any], publisher: Publisher, vae: Path, tmp_path: Path) -> Path:
    torch.save(state, tmp_path / "checkpoint.pt")
    convert(tmp_path / "checkpoint.pt", publisher, vae, tmp_path / "out", small_sit.HEADS)
    return tmp_path / "out"


@pytest.mark.parametrize("timestep", [0, 121, 600, 999])
@pytest.mark.parametrize("publisher", PUBLISHERS)
def test_every_layer_returns_what_the_papers_equations_give(
    state: State, publisher: Publisher, timestep: int, vae: Path, tmp_path: Path
) -> None:
    """The time of SiT is that of the image's share, the time of REPA that of the noise's."""
    backbone = load_backbone(str(converted(state, publisher, vae, tmp_path)))
    pixels = torch.randint(0, 256, (2, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    latents = backbone.encode(pixels)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(2))
    sigma = (timestep + 1) / 1000
    taps = backbone.taps(latents, noise, timestep, range(1, LAYERS + 1))
    time = torch.full((2,), 1 - sigma if publisher == "sit" else sigma)
    expected = small_sit.layers(state, (1 - sigma) * latents + sigma * noise, time)
    for number, tokens in enumerate(expected, 1):
        maps = tokens.transpose(1, 2).reshape(2, WIDTH, TOKENS, TOKENS)
        scale = maps.abs().max().item()
        torch.testing.assert_close(taps[number], maps, atol=1e-4 * scale, rtol=1e-4)


def test_the_files_that_trainings_write_are_read(state: State, vae: Path, tmp_path: Path) -> None:
    """A training of REPA saves averaged and last weights, the optimiser, arguments and projections; its first ones have
    other names for the later layers."""
    for part in ("plain", "training"):
        (tmp_path / part).mkdir()
    plain = load_backbone(str(converted(state, "repa", vae, tmp_path / "plain")))
    renamed = {name.replace("blocks.1.", "decoder_blocks.0.").replace("blocks.2.", "decoder_blocks.1."): tensor
               for name, tensor in small_sit.with_projections(state).items()}  # fmt: skip
    training = {
        "model": {name: tensor + 1 for name, tensor in state.items()},
        "ema": renamed,
        "opt": {"state": {}, "param_groups": [{"lr": 1e-4}]},
        "args": Namespace(model="SiT-XL/2"),
        "steps": 400_000,
    }
    assert load_backbone(str(converted(training, "repa", vae, tmp_path / "training"))).digest == plain.digest


def test_a_safetensors_file_is_read_too(state: State, vae: Path, tmp_path: Path) -> None:
    save_file({name: tensor.half() for name, tensor in state.items()}, tmp_path / "sit.safetensors")
    convert(tmp_path / "sit.safetensors", "sit", vae, tmp_path / "out", small_sit.HEADS)
    assert load_backbone(str(tmp_path / "out")).architecture.image_side == SIDE


@pytest.mark.parametrize(("width", "heads"), HEADS.items())
def test_the_papers_networks_are_known_by_their_width(width: int, heads: int) -> None:
    with torch.device("meta"):
        shapes = {
            "x_embedder.proj.weight": torch.empty(width, 4, 2, 2),
            "pos_embed": torch.empty(1, 256, width),
            "y_embedder.embedding_table.weight": torch.empty(1001, width),
            "final_layer.linear.weight": torch.empty(32, width),
        }
    config = transformer_config(shapes)
    assert (config["num_attention_heads"], config["attention_head_dim"]) == (heads, width // heads)
    assert (config["sample_size"], config["num_embeds_ada_norm"], config["out_channels"]) == (32, 1000, 8)


def without(name: str) -> Any:
    return lambda state: {key: tensor for key, tensor in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "heads", "refusal"),
    [
        (without("pos_embed"), 2, "none of SiT or REPA: 'pos_embed' is missing"),
        (without("blocks.1.mlp.fc1.bias"), 2, r"1 missing \(blocks.1.mlp.fc1.bias\)"),
        (lambda state: state | {"blocks.0.attn.q_norm.weight": torch.ones(8)}, 2, "1 not the network's"),
        (lambda state: state | {"pos_embed": state["pos_embed"] + 0.1}, 2, "not the sines and cosines"),
        (lambda state: state | {"pos_embed": state["pos_embed"] * float("nan")}, 2, r"1 not finite \(pos_embed\)"),
        (lambda state: state, None, "`heads` must divide the 16 channels .* got None; widths that need none: 384, 768"),
        (lambda state: state, 3, "`heads` must divide the 16 channels .* got 3"),
    ],
)
def test_another_network_is_refused(state: State, change: Any, heads: int | None, refusal: str) -> None:
    with pytest.raises(BackboneError, match=refusal):
        convert_state_dict(change(state), heads)


def test_nothing_is_left_of_a_conversion_that_fails(state: State, vae: Path, tmp_path: Path) -> None:
    torch.save(without("final_layer.linear.bias")(state), tmp_path / "checkpoint.pt")
    with pytest.raises(BackboneError, match=r"1 missing \(final_layer.linear.bias\)"):
        convert(tmp_path / "checkpoint.pt", "sit", vae, tmp_path / "out", small_sit.HEADS)
    with pytest.raises(BackboneError, match="has no vae"):
        convert(tmp_path / "checkpoint.pt", "sit", tmp_path / "vae", tmp_path / "out", small_sit.HEADS)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
