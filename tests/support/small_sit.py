"""Checkpoints of a small SiT, and the forward pass of the paper on a checkpoint as it is."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch.nn.functional import gelu, layer_norm, linear, silu

from objectives.backbones.checkpoints.sit import Publisher, convert
from tests.support.small_latents import autoencoder

State = dict[str, torch.Tensor]

WIDTH, HEADS, LAYERS, PATCH, TOKENS, CLASSES = 16, 2, 3, 2, 4, 5
"""Of the small network. TOKENS: of a side."""

FREQUENCIES = 128


def positions(width: int, side: int) -> torch.Tensor:
    """Return the table of positions: sines and cosines of the column, then of the row (1, side², width)."""
    rates = 10_000 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    rows = []
    for row in range(side):
        for column in range(side):
            angles = [place * rates for place in (column, row)]
            rows.append(torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())]))
    return torch.stack(rows).float()[None]


def random_state(classes: int = CLASSES) -> State:
    """Draw the tensors of a checkpoint of SiT, under which every tensor affects the output."""
    shapes: dict[str, tuple[int, ...]] = {
        "x_embedder.proj.weight": (WIDTH, 4, PATCH, PATCH),
        "x_embedder.proj.bias": (WIDTH,),
        "t_embedder.mlp.0.weight": (WIDTH, 2 * FREQUENCIES),
        "t_embedder.mlp.0.bias": (WIDTH,),
        "t_embedder.mlp.2.weight": (WIDTH, WIDTH),
        "t_embedder.mlp.2.bias": (WIDTH,),
        "y_embedder.embedding_table.weight": (classes + 1, WIDTH),
        "final_layer.linear.weight": (PATCH**2 * 8, WIDTH),
        "final_layer.linear.bias": (PATCH**2 * 8,),
        "final_layer.adaLN_modulation.1.weight": (2 * WIDTH, WIDTH),
        "final_layer.adaLN_modulation.1.bias": (2 * WIDTH,),
    }
    for layer in range(LAYERS):
        parts = {
            "attn.qkv": (3 * WIDTH, WIDTH),
            "attn.proj": (WIDTH, WIDTH),
            "mlp.fc1": (4 * WIDTH, WIDTH),
            "mlp.fc2": (WIDTH, 4 * WIDTH),
            "adaLN_modulation.1": (6 * WIDTH, WIDTH),
        }
        for part, shape in parts.items():
            shapes |= {f"blocks.{layer}.{part}.weight": shape, f"blocks.{layer}.{part}.bias": shape[:1]}
    generator = torch.Generator().manual_seed(13)
    state = {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in shapes.items()}
    return state | {"pos_embed": positions(WIDTH, TOKENS)}


def with_projections(state: Mapping[str, torch.Tensor]) -> State:
    """Return the tensors of a checkpoint of REPA: those of SiT, and projections that its training uses."""
    generator = torch.Generator().manual_seed(14)
    weights = {f"projectors.0.{position}.weight": (8, 8) for position in (0, 2, 4)}
    return dict(state) | {name: torch.randn(shape, generator=generator) for name, shape in weights.items()}


def layers(state: Mapping[str, torch.Tensor], latents: torch.Tensor, times: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the tokens (n, tokens, width) after each layer of SiT, for the dropped class.

    The equations are those of DiT (Peebles & Xie 2023, section 3.2), as SiT uses them: patches, plus positions; then
    layers of attention and MLP, whose inputs are shifted and scaled and whose outputs are gated by the conditioning.
    """

    def affine(name: str, values: torch.Tensor) -> torch.Tensor:
        return linear(values, state[f"{name}.weight"], state[f"{name}.bias"])

    def normed(values: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return layer_norm(values, values.shape[-1:], eps=1e-6) * (1 + scale[:, None]) + shift[:, None]

    count, side = len(latents), latents.shape[-1] // PATCH
    patches = latents.view(count, 4, side, PATCH, side, PATCH).permute(0, 2, 4, 1, 3, 5).reshape(count, side**2, -1)
    tokens = patches @ state["x_embedder.proj.weight"].flatten(1).T + state["x_embedder.proj.bias"]
    tokens = tokens + state["pos_embed"]
    rates = torch.exp(-math.log(10_000) * torch.arange(FREQUENCIES) / FREQUENCIES)
    waves = torch.cat([(times[:, None] * rates).cos(), (times[:, None] * rates).sin()], dim=1)
    told = affine("t_embedder.mlp.2", silu(affine("t_embedder.mlp.0", waves)))
    told = silu(told + state["y_embedder.embedding_table.weight"][-1])
    for layer in range(LAYERS):
        block = f"blocks.{layer}"
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = affine(f"{block}.adaLN_modulation.1", told).chunk(6, dim=1)
        joint = affine(f"{block}.attn.qkv", normed(tokens, shift, scale))
        query, key, value = joint.view(count, side**2, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        weights = (query @ key.mT / (WIDTH // HEADS) ** 0.5).softmax(dim=-1)
        attended = (weights @ value).transpose(1, 2).reshape(count, side**2, WIDTH)
        tokens = tokens + gate[:, None] * affine(f"{block}.attn.proj", attended)
        hidden = gelu(affine(f"{block}.mlp.fc1", normed(tokens, mlp_shift, mlp_scale)), approximate="tanh")
        tokens = tokens + mlp_gate[:, None] * affine(f"{block}.mlp.fc2", hidden)
        yield tokens


def converted(publisher: Publisher, folder: Path) -> None:
    """Save a small network of SiT or REPA as its conversion does."""
    folder.mkdir(parents=True, exist_ok=True)
    file, vae = folder.parent / f"{folder.name}.pt", folder.parent / f"{folder.name}-autoencoder"
    torch.save({"ema": random_state()}, file)
    autoencoder(vae)
    convert(file, publisher, vae / "vae", folder, HEADS)


def sit(folder: Path) -> None:
    converted("sit", folder)


def repa(folder: Path) -> None:
    converted("repa", folder)


FOLDERS = {"SiT": sit, "REPA": repa}
