"""Converts checkpoints of guided-diffusion, the code of the ADM networks, to folders of diffusers' `UNet2DModel`.

The networks are described in Dhariwal and Nichol, "Diffusion Models Beat GANs on Image Synthesis" (2021), sections 3
and 4. Settings, tensor names and defaults follow github.com/openai/guided-diffusion. Nothing is approximated: a network
that diffusers cannot compute exactly is refused.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from diffusers import DDPMScheduler, UNet2DModel

from objectives.backbones.checkpoints.adm_settings import BETA_SCHEDULES, AdmSettings, AttentionOrder
from objectives.backbones.checkpoints.conversion import check_tensors, new_folder, save_weights
from objectives.backbones.folders.weights import read_checkpoint
from spaces.errors import BackboneError
from spaces.lookup import check_name

CLASSES = 1000
GROUPS = 32
MULTIPLIERS = {
    64: (1, 2, 3, 4),
    128: (1, 1, 2, 3, 4),
    256: (1, 1, 2, 2, 4, 4),
    512: (0.5, 1, 1, 2, 2, 4, 4),
}
"""Image side → width of each level divided by num_channels, if channel_mult is empty."""

QKV = ("to_q", "to_k", "to_v")
LEAVES = {
    "": "",
    "norm1": ".in_layers.0",
    "conv1": ".in_layers.2",
    "time_emb_proj": ".emb_layers.1",
    "norm2": ".out_layers.0",
    "conv2": ".out_layers.3",
    "conv_shortcut": ".skip_connection",
    "group_norm": ".norm",
    **dict.fromkeys(QKV, ".qkv"),
    "to_out.0": ".proj_out",
}
"""diffusers' name → guided-diffusion's name, within a residual block, an attention block or a plain layer."""


def unet_config(settings: AdmSettings) -> dict[str, Any]:
    """Return the arguments of the `UNet2DModel` that computes exactly what guided-diffusion's network computes.

    Raises BackboneError if there is no such `UNet2DModel`.
    """
    widths, attended = _widths(settings), _attended(settings)
    kinds = ["Attn{}Block2D" if has else "Resnet{}sampleBlock2D" for has in attended]
    if not settings.resblock_updown:
        kinds = ["Attn{}Block2D" if has else "{}Block2D" for has in attended]
    resampling = "resnet" if settings.resblock_updown else "conv"
    config: dict[str, Any] = {
        "sample_size": settings.image_size,
        "in_channels": 3,
        "out_channels": 6 if settings.learn_sigma else 3,
        "block_out_channels": widths,
        "layers_per_block": settings.num_res_blocks,
        "down_block_types": [kind.format("Down") for kind in kinds],
        "up_block_types": [kind.format("Up") for kind in reversed(kinds)],
        "downsample_type": resampling,
        "upsample_type": resampling,
        "resnet_time_scale_shift": "scale_shift" if settings.use_scale_shift_norm else "default",
        "attention_head_dim": _head_width(settings),
        "attn_norm_num_groups": GROUPS,
        "norm_num_groups": GROUPS,
        "norm_eps": 1e-5,
        "time_embedding_type": "positional",
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "act_fn": "silu",
        "dropout": settings.dropout,
        "add_attention": True,
        "center_input_sample": False,
    }
    return config | ({"num_class_embeds": CLASSES} if settings.class_cond else {})


def convert_state_dict(
    state: Mapping[str, torch.Tensor], settings: AdmSettings, order: AttentionOrder
) -> dict[str, torch.Tensor]:
    """Return a checkpoint's tensors under diffusers' names, float32, with unchanged values.

    The function also works on the meta device. Most returned tensors share memory with `state`.

    order: the order of the rows in each attention's joint projection. A checkpoint does not record it.
    Raises BackboneError if tensors are missing, left over or of another shape, or if the settings name another order.
    """
    check_name("attention order", order, get_args(AttentionOrder))
    if settings.use_new_attention_order not in (None, order == "new"):
        raise BackboneError(
            f"the settings say use_new_attention_order {settings.use_new_attention_order}, which is not the attention "
            f"order {order!r}: a wrong order loads without any error, so make them agree"
        )
    moves = list(tensor_moves(settings))
    check_tensors(state, {move.source: move.source_shape for move in moves}, "the ADM settings")
    converted = {}
    for move in moves:
        tensor = state[move.source]
        if move.part is not None:
            tensor = _rows_of_part(tensor, move.part, move.heads, order)
        converted[move.target] = tensor.reshape(move.target_shape).float().contiguous()
    return converted


def convert(file: Path, settings: AdmSettings, order: AttentionOrder, out: Path) -> None:
    """Convert a checkpoint to the folder `out`, which `UNet2DModel.from_pretrained(out)` opens.

    The folder has config.json, diffusion_pytorch_model.safetensors and scheduler_config.json. It appears only when it
    is complete. Raises BackboneError if `out` is not empty or cannot be written, and as `read_checkpoint`,
    `unet_config` and `convert_state_dict` do.
    """
    with new_folder(out) as folder:
        save_weights(convert_state_dict(read_checkpoint(file), settings, order), folder)
        _hollow(settings).save_config(folder)
        noise_scheduler(settings).save_config(folder)


def noise_scheduler(settings: AdmSettings) -> DDPMScheduler:
    """Return the noise scheduler. Linear betas are scaled so that any number of steps adds the noise of 1000 steps."""
    scale = 1000 / settings.diffusion_steps
    return DDPMScheduler(
        num_train_timesteps=settings.diffusion_steps,
        beta_schedule=BETA_SCHEDULES[settings.noise_schedule],
        beta_start=1e-4 * scale,
        beta_end=0.02 * scale,
        variance_type="learned_range" if settings.learn_sigma else "fixed_large",
        prediction_type="sample" if settings.predict_xstart else "epsilon",
    )


def _hollow(settings: AdmSettings) -> UNet2DModel:
    with torch.device("meta"):
        return UNet2DModel(**unet_config(settings))


@dataclass(frozen=True)
class TensorMove:
    """One tensor of the converted network and its source in the checkpoint.

    part: 0, 1 or 2 for q, k or v of a joint projection; None for any other tensor. heads: number of attention heads.
    """

    target: str
    target_shape: tuple[int, ...]
    source: str
    source_shape: tuple[int, ...]
    part: int | None
    heads: int


def tensor_moves(settings: AdmSettings) -> Iterator[TensorMove]:
    """Yield the tensors of the converted network, in the order of its modules."""
    hollow, head_width = _hollow(settings), _head_width(settings)
    for module, origin in _modules(settings):
        for leaf, tensor in hollow.get_submodule(module).state_dict().items():
            stem, _, kind = leaf.rpartition(".")
            shape = tuple(tensor.shape)
            part = QKV.index(stem) if stem in QKV else None
            rows = shape[0] if part is None else 3 * shape[0]
            one_pixel = (1,) if (part is not None or stem == "to_out.0") and kind == "weight" else ()
            source_shape = (rows, *shape[1:], *one_pixel)
            heads = shape[0] // (head_width or shape[0])
            yield TensorMove(f"{module}.{leaf}", shape, f"{origin}{LEAVES[stem]}.{kind}", source_shape, part, heads)


def _modules(settings: AdmSettings) -> Iterator[tuple[str, str]]:
    """Yield (diffusers' module, guided-diffusion's module).

    guided-diffusion numbers blocks through all levels, and counts resampling layers too.
    """
    attended, layers = _attended(settings), settings.num_res_blocks
    conv, op = ("", "") if settings.resblock_updown else (".conv", ".op")
    yield from (("time_embedding.linear_1", "time_embed.0"), ("time_embedding.linear_2", "time_embed.2"))
    if settings.class_cond:
        yield "class_embedding", "label_emb"
    yield "conv_in", "input_blocks.0.0"
    for level, has_attention in enumerate(attended):
        first = 1 + level * (layers + 1)
        for layer in range(layers):
            yield f"down_blocks.{level}.resnets.{layer}", f"input_blocks.{first + layer}.0"
            if has_attention:
                yield f"down_blocks.{level}.attentions.{layer}", f"input_blocks.{first + layer}.1"
        if level < len(attended) - 1:
            yield f"down_blocks.{level}.downsamplers.0{conv}", f"input_blocks.{first + layers}.0{op}"
    yield from (("mid_block.resnets.0", "middle_block.0"), ("mid_block.attentions.0", "middle_block.1"))
    yield "mid_block.resnets.1", "middle_block.2"
    for level, has_attention in enumerate(reversed(attended)):
        first = level * (layers + 1)
        for layer in range(layers + 1):
            yield f"up_blocks.{level}.resnets.{layer}", f"output_blocks.{first + layer}.0"
            if has_attention:
                yield f"up_blocks.{level}.attentions.{layer}", f"output_blocks.{first + layer}.1"
        if level < len(attended) - 1:
            yield f"up_blocks.{level}.upsamplers.0{conv}", f"output_blocks.{first + layers}.{1 + has_attention}{conv}"
    yield from (("conv_norm_out", "out.0"), ("conv_out", "out.2"))


def _rows_of_part(joint: torch.Tensor, part: int, heads: int, order: AttentionOrder) -> torch.Tensor:
    """Copy q, k or v from a joint projection (3 x channels, ...), heads in order.

    A copy shares no memory, so safetensors can store it as a tensor of its own.
    """
    head_width, rest = joint.shape[0] // (3 * heads), joint.shape[1:]
    if order == "legacy":
        rows = joint.reshape(heads, 3, head_width, *rest)[:, part]
    else:
        rows = joint.reshape(3, heads, head_width, *rest)[part]
    return rows.clone(memory_format=torch.contiguous_format)


def _widths(settings: AdmSettings) -> list[int]:
    """Return the channels of each level. Raises BackboneError if diffusers' network differs from guided-diffusion's."""
    side, channels = settings.image_size, settings.num_channels
    multipliers = settings.channel_mult or MULTIPLIERS.get(side)
    if multipliers is None:
        usual = ", ".join(map(str, MULTIPLIERS))
        raise BackboneError(
            f"ADM setting `channel_mult` is needed for images of side {side}: only {usual} have a default"
        )
    widths = [int(multiplier * channels) for multiplier in multipliers]
    if widths[0] != channels:
        raise BackboneError(
            f"an ADM network whose first `channel_mult` is {multipliers[0]} cannot be represented: it embeds the "
            f"timestep in {channels} numbers (`num_channels`), diffusers in {widths[0]} (the first level's channels)"
        )
    if any(width % GROUPS for width in widths):
        raise BackboneError(f"every level of an ADM network must be a multiple of {GROUPS} channels wide, got {widths}")
    if side % 2 ** (len(widths) - 1):
        raise BackboneError(f"`image_size` must halve {len(widths) - 1} times for {len(widths)} levels, got {side}")
    return widths


def _attended(settings: AdmSettings) -> list[bool]:
    """Return whether each level has attention. As in guided-diffusion, a resolution that no level has is ignored."""
    factors = {settings.image_size // resolution for resolution in settings.attention_resolutions}
    return [2**level in factors for level in range(len(_widths(settings)))]


def _head_width(settings: AdmSettings) -> int | None:
    """Return the channels of each attention head, one number for the whole network as in diffusers.

    None means that every attention has one head. Raises BackboneError if heads have different widths.
    """
    widths = _widths(settings)
    attended = [width for width, has_attention in zip(widths, _attended(settings), strict=True) if has_attention]
    if settings.num_head_channels != -1:
        if any(width % settings.num_head_channels for width in (*attended, widths[-1])):
            raise BackboneError(
                f"`num_head_channels` must divide every level with attention, and the last: "
                f"{settings.num_head_channels} does not divide all of {(*attended, widths[-1])}"
            )
        return settings.num_head_channels
    up_heads = settings.num_heads if settings.num_heads_upsample == -1 else settings.num_heads_upsample
    attentions = {(width, settings.num_heads) for width in (*attended, widths[-1])}
    attentions |= {(width, up_heads) for width in attended}
    if all(heads == 1 for _, heads in attentions):
        return None
    head_widths = {width / heads for width, heads in attentions}
    if len(head_widths) > 1 or not min(head_widths).is_integer():
        listed = ", ".join(f"{heads} heads in {width} channels" for width, heads in sorted(attentions))
        raise BackboneError(
            f"an ADM network with {listed} cannot be represented: in diffusers all heads must be equally wide"
        )
    return int(min(head_widths))
