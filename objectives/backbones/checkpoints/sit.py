"""Converts checkpoints of SiT and REPA to folders of diffusers' `DiTTransformer2DModel`, whose layers are the same.

SiT: Ma et al. 2024, "Exploring Flow and Diffusion-based Generative Models with Scalable Interpolant Transformers".
REPA: Yu et al. 2025, "Representation Alignment for Generation". Tensor names follow `models.py` of
github.com/willisma/SiT and `models/sit.py` of github.com/sihyun-yu/REPA. Nothing is approximated: another network is
refused.
"""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from diffusers import DiTTransformer2DModel, FlowMatchEulerDiscreteScheduler

from objectives.backbones.checkpoints.conversion import check_tensors, new_folder, save_weights
from objectives.backbones.files import DIGESTED_SUFFIXES
from objectives.backbones.folders.weights import read_checkpoint
from objectives.backbones.pipeline.autoencoders import Autoencoder
from spaces.errors import BackboneError
from spaces.lookup import check_name

Publisher = Literal["sit", "repa"]
"""The code that made a checkpoint. Checkpoints of both have the same tensors, and opposite times."""

CLASSES: dict[Publisher, str] = {"sit": "SiT", "repa": "REPA"}
"""Publisher → `_class_name` in the configuration of the converted network."""

HEADS = {384: 6, 768: 12, 1024: 16, 1152: 16}
"""Channels of a token → attention heads, of the sizes S, B, L and XL of both papers."""

QKV = ("to_q", "to_k", "to_v")
TRAINING_ONLY = "projectors."
"""Beginning of the names of REPA's projections to an encoder's features, which only its training uses."""


@dataclass(frozen=True)
class TensorMove:
    """One tensor of the converted network and its source in the checkpoint.

    part: 0, 1 or 2 for q, k or v of a joint projection; None for any other tensor.
    """

    target: str
    source: str
    part: int | None = None


def transformer_config(state: Mapping[str, torch.Tensor], heads: int | None = None) -> dict[str, Any]:
    """Return the arguments of the `DiTTransformer2DModel` that computes what the network of a checkpoint computes.

    state: the tensors of the checkpoint. heads: number of attention heads, which no tensor shows; None for that of the
    papers' networks of this width. Raises BackboneError if tensors are missing, and for other widths without `heads`.
    """
    try:
        patches, positions = state["x_embedder.proj.weight"], state["pos_embed"]
        width, channels, patch = int(patches.shape[0]), int(patches.shape[1]), int(patches.shape[2])
        side = isqrt(int(positions.shape[1]))
        labels = int(state["y_embedder.embedding_table.weight"].shape[0])
        outputs = int(state["final_layer.linear.weight"].shape[0]) // patch**2
    except (KeyError, IndexError) as error:
        raise BackboneError(
            f"the checkpoint is none of SiT or REPA: {error.args[0]!r} is missing or has another shape; give a file of "
            "their training or of their authors"
        ) from None
    heads = HEADS.get(width) if heads is None else heads
    if heads is None or heads < 1 or width % heads:
        raise BackboneError(
            f"`heads` must divide the {width} channels of the checkpoint's tokens, got {heads}; widths that need none: "
            f"{', '.join(map(str, HEADS))}"
        )
    layers = {int(found[1]) for name in state if (found := re.match(r"blocks\.(\d+)\.", name))}
    return {
        "num_attention_heads": heads,
        "attention_head_dim": width // heads,
        "in_channels": channels,
        "out_channels": outputs,
        "num_layers": len(layers),
        "sample_size": side * patch,
        "patch_size": patch,
        "num_embeds_ada_norm": labels - 1,  # the last row is the dropped class
        "norm_eps": 1e-6,
    }


def convert_state_dict(state: Mapping[str, torch.Tensor], heads: int | None = None) -> dict[str, torch.Tensor]:
    """Return a checkpoint's tensors under diffusers' names, float32, with unchanged values. No two share memory.

    heads: as of `transformer_config`. Raises BackboneError if tensors are missing, left over or of another shape, or if
    the table of positions is not that of the papers, which diffusers computes.
    """
    state = {name: tensor for name, tensor in state.items() if not name.startswith(TRAINING_ONLY)}
    with torch.device("meta"):
        hollow = DiTTransformer2DModel(**transformer_config(state, heads))
    shapes = {name: tuple(tensor.shape) for name, tensor in hollow.state_dict().items()}
    moves = list(_moves(hollow.config["num_layers"]))
    layout = {"pos_embed": (1, state["pos_embed"].shape[1], hollow.inner_dim)}
    for move in moves:
        rows, *rest = shapes[move.target]
        layout[move.source] = (rows * (1 if move.part is None else len(QKV)), *rest)
    check_tensors(state, layout, "a network of SiT or REPA")
    _check_positions(state["pos_embed"], hollow.config["sample_size"] // hollow.config["patch_size"])
    converted = {}
    for move in moves:
        tensor = state[move.source]
        if move.part is not None:
            tensor = tensor.chunk(len(QKV))[move.part]
        converted[move.target] = tensor.float().clone(memory_format=torch.contiguous_format)
    return converted


def convert(file: Path, publisher: Publisher, autoencoder: Path, out: Path, heads: int | None = None) -> None:
    """Convert a checkpoint to the folder `out`, with `transformer/`, `scheduler/` and `vae/`.

    publisher: whose code made the checkpoint, which decides in which direction its time runs. autoencoder: folder of
    the `AutoencoderKL` whose latents the network was trained on; it is copied. heads: as of `transformer_config`. The
    weights are those of the entry "ema" if the file has it. The folder appears only when it is complete.

    Raises UnknownNameError for another publisher. Raises BackboneError if `out` is not empty or cannot be written, for
    another autoencoder, and as `read_checkpoint` and `convert_state_dict` do.
    """
    check_name("publisher of a checkpoint", publisher, get_args(Publisher))
    state = _with_plain_names(read_checkpoint(file, averaged="ema"))
    vae = Autoencoder.read(out.name, autoencoder, hollow=True)
    config = transformer_config(state, heads)
    if config["in_channels"] != vae.channels:
        raise BackboneError(
            f"the checkpoint reads latents of {config['in_channels']} channels, the autoencoder in {autoencoder} makes "
            f"{vae.channels}; give the autoencoder of its training"
        )
    with new_folder(out) as folder:
        for part in ("transformer", "scheduler", "vae"):
            (folder / part).mkdir()
        save_weights(convert_state_dict(state, heads), folder / "transformer")
        described = {"_class_name": CLASSES[publisher], **config}
        (folder / "transformer" / "config.json").write_text(json.dumps(described, indent=2), encoding="utf-8")
        FlowMatchEulerDiscreteScheduler().save_pretrained(folder / "scheduler")
        for path in sorted(autoencoder.iterdir()):
            if path.suffix in DIGESTED_SUFFIXES:
                shutil.copy(path, folder / "vae" / path.name)


def _with_plain_names(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Number the layers through. REPA's first checkpoints name those after the aligned one `decoder_blocks`."""
    first = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
    renamed = {}
    for name, tensor in state.items():
        stack, _, rest = name.partition(".")
        number, _, rest_of_layer = rest.partition(".")
        later = stack == "decoder_blocks" and number.isdecimal()
        renamed[f"blocks.{int(number) + first}.{rest_of_layer}" if later else name] = tensor
    return renamed


def _moves(layers: int) -> Iterator[TensorMove]:
    """Yield the tensors of the converted network. Each of its layers has a copy of the embeddings of time and label."""
    for kind in ("weight", "bias"):
        yield TensorMove(f"pos_embed.proj.{kind}", f"x_embedder.proj.{kind}")
        yield TensorMove(f"proj_out_1.{kind}", f"final_layer.adaLN_modulation.1.{kind}")
        yield TensorMove(f"proj_out_2.{kind}", f"final_layer.linear.{kind}")
        for number in range(layers):
            layer, source = f"transformer_blocks.{number}", f"blocks.{number}"
            embedding = f"{layer}.norm1.emb"
            for target, position in (("linear_1", 0), ("linear_2", 2)):
                yield TensorMove(f"{embedding}.timestep_embedder.{target}.{kind}", f"t_embedder.mlp.{position}.{kind}")
            yield TensorMove(f"{layer}.norm1.linear.{kind}", f"{source}.adaLN_modulation.1.{kind}")
            for part, name in enumerate(QKV):
                yield TensorMove(f"{layer}.attn1.{name}.{kind}", f"{source}.attn.qkv.{kind}", part)
            yield TensorMove(f"{layer}.attn1.to_out.0.{kind}", f"{source}.attn.proj.{kind}")
            yield TensorMove(f"{layer}.ff.net.0.proj.{kind}", f"{source}.mlp.fc1.{kind}")
            yield TensorMove(f"{layer}.ff.net.2.{kind}", f"{source}.mlp.fc2.{kind}")
    for number in range(layers):
        embedding = f"transformer_blocks.{number}.norm1.emb"
        yield TensorMove(f"{embedding}.class_embedder.embedding_table.weight", "y_embedder.embedding_table.weight")


def _check_positions(table: torch.Tensor, side: int) -> None:
    """Raise BackboneError unless a table of positions is that of the papers. side: tokens of a side."""
    from diffusers.models.embeddings import get_2d_sincos_pos_embed

    computed = get_2d_sincos_pos_embed(table.shape[-1], side, base_size=side, output_type="pt").float()
    if not torch.allclose(table[0].float(), computed, atol=1e-3):  # a file of half precision has rounded ones
        raise BackboneError(
            "the checkpoint's table of positions (`pos_embed`) is not the sines and cosines of SiT and REPA, so the "
            "network cannot be represented"
        )
