"""Checkpoints of small ADM networks, and guided-diffusion's forward pass on a checkpoint as it is."""

import math
from collections.abc import Mapping

import torch
from torch.nn import functional

from objectives.backbones.checkpoints.adm import tensor_moves
from objectives.backbones.checkpoints.adm_settings import AdmSettings, AttentionOrder


def checkpoint_layout(settings: AdmSettings) -> dict[str, tuple[int, ...]]:
    """Return the tensors of a checkpoint with these settings: guided-diffusion's name → shape."""
    return {move.source: move.source_shape for move in tensor_moves(settings)}


def random_state(settings: AdmSettings) -> dict[str, torch.Tensor]:
    """Draw weights under which every tensor affects the output.

    Kernels have the standard deviation 1/√fan-in, qkv kernels 1.4 times that; norm scales lie near 1.
    """
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in checkpoint_layout(settings).items():
        values = torch.randn(shape, generator=generator)
        if name.endswith("bias"):
            state[name] = 0.2 * values
        elif len(shape) == 1:
            state[name] = 1 + 0.2 * values
        else:
            state[name] = values * (1.4 if ".qkv." in name else 1.0) / math.prod(shape[1:]) ** 0.5
    return state


def forward(
    state: Mapping[str, torch.Tensor],
    settings: AdmSettings,
    order: AttentionOrder,
    images: torch.Tensor,
    timesteps: torch.Tensor,
    labels: torch.Tensor | None,
) -> torch.Tensor:
    """Run guided-diffusion's network on the tensors of a checkpoint; the tensors' names tell what each layer is."""

    def layer(name: str, values: torch.Tensor, stride: int = 1) -> torch.Tensor:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        if weight.dim() == 2:
            return functional.linear(values, weight, bias)
        if weight.dim() == 3:
            return functional.conv1d(values, weight, bias)
        return functional.conv2d(values, weight, bias, stride, padding=weight.shape[-1] // 2)

    def norm(name: str, values: torch.Tensor) -> torch.Tensor:
        return functional.group_norm(values, 32, state[f"{name}.weight"], state[f"{name}.bias"])

    def residual(name: str, values: torch.Tensor, resampling: str | None) -> torch.Tensor:
        inner, outer = functional.silu(norm(f"{name}.in_layers.0", values)), values
        if resampling == "down":
            inner, outer = functional.avg_pool2d(inner, 2), functional.avg_pool2d(outer, 2)
        if resampling == "up":
            inner, outer = (functional.interpolate(part, scale_factor=2) for part in (inner, outer))
        inner = layer(f"{name}.in_layers.2", inner)
        condition = layer(f"{name}.emb_layers.1", functional.silu(embedding))[:, :, None, None]
        if settings.use_scale_shift_norm:
            scale, shift = condition.chunk(2, dim=1)
            inner = norm(f"{name}.out_layers.0", inner) * (1 + scale) + shift
        else:
            inner = norm(f"{name}.out_layers.0", inner + condition)
        inner = layer(f"{name}.out_layers.3", functional.silu(inner))
        return inner + (layer(f"{name}.skip_connection", outer) if f"{name}.skip_connection.bias" in state else outer)

    def attention(name: str, values: torch.Tensor, decoding: bool) -> torch.Tensor:
        batch, channels, *sides = values.shape
        heads = settings.num_heads_upsample if decoding and settings.num_heads_upsample > 0 else settings.num_heads
        if settings.num_head_channels > 0:
            heads = channels // settings.num_head_channels
        flat = values.reshape(batch, channels, -1)
        joint = layer(f"{name}.qkv", norm(f"{name}.norm", flat))
        if order == "legacy":
            q, k, v = joint.reshape(batch, heads, 3, -1, flat.shape[-1]).unbind(2)
        else:
            q, k, v = joint.reshape(batch, 3, heads, -1, flat.shape[-1]).unbind(1)
        weight = torch.softmax(q.transpose(-1, -2) @ k / q.shape[-2] ** 0.5, dim=-1)
        mixed = (v @ weight.transpose(-1, -2)).reshape(batch, channels, -1)
        return (flat + layer(f"{name}.proj_out", mixed)).reshape(batch, channels, *sides)

    def block(name: str, values: torch.Tensor, down: bool = False) -> torch.Tensor:
        decoding = name.startswith("output")
        for position in range(3):
            part = f"{name}.{position}"
            if f"{part}.in_layers.0.weight" in state:
                up = decoding and position > 0
                values = residual(part, values, "up" if up else "down" if down else None)
            elif f"{part}.qkv.weight" in state:
                values = attention(part, values, decoding)
            elif f"{part}.op.weight" in state:
                values = layer(f"{part}.op", values, stride=2)
            elif f"{part}.conv.weight" in state:
                values = layer(f"{part}.conv", functional.interpolate(values, scale_factor=2))
        return values

    half = settings.num_channels // 2
    angles = timesteps[:, None] * torch.exp(-math.log(10_000) * torch.arange(half) / half)
    embedding = layer("time_embed.0", torch.cat([angles.cos(), angles.sin()], dim=1))
    embedding = layer("time_embed.2", functional.silu(embedding))
    if labels is not None:
        embedding = embedding + state["label_emb.weight"][labels]

    count = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("input_blocks."))
    values = layer("input_blocks.0.0", images)
    skips = [values]
    for number in range(1, count):
        values = block(f"input_blocks.{number}", values, down=number % (settings.num_res_blocks + 1) == 0)
        skips.append(values)
    values = block("middle_block", values)
    for number in range(count):
        values = block(f"output_blocks.{number}", torch.cat([values, skips.pop()], dim=1))
    return layer("out.2", functional.silu(norm("out.0", values)))
