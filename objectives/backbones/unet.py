"""diffusers' UNet2DModel: its blocks in execution order, and passes that stop early."""

import hashlib
import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import torch
from diffusers import UNet2DModel
from safetensors import SafetensorError
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from objectives.features.noise import add_noise
from spaces import Architecture, BackboneError, Block
from spaces.blocks import Part

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BLOCK_KINDS = {
    "DownBlock2D",
    "AttnDownBlock2D",
    "ResnetDownsampleBlock2D",
    "UpBlock2D",
    "AttnUpBlock2D",
    "ResnetUpsampleBlock2D",
}


@final
@dataclass(frozen=True)
class UNetBackbone:
    """A UNet2DModel and its noise schedule. Taps are outputs of whole blocks, attention and resampling included."""

    architecture: Architecture
    digest: str
    unet: UNet2DModel
    device: torch.device
    precision: torch.dtype

    @cached_property
    def _modules(self) -> dict[int, nn.Module]:
        return {block.number: self.unet.get_submodule(block.name) for block in self.architecture.blocks}

    @torch.no_grad()
    def taps(
        self, images: torch.Tensor, noise: torch.Tensor, timestep: int, blocks: Collection[int]
    ) -> dict[int, torch.Tensor]:
        side = self.architecture.image_side
        if images.shape[1:] != (3, side, side):
            raise ValueError(f"{self.architecture.name} takes images (n, 3, {side}, {side}), got {tuple(images.shape)}")
        noisy = add_noise(images, noise, self.architecture.alphas_cumprod[timestep])
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        autocast = torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)
        taps: dict[int, torch.Tensor] = {}
        with autocast, stopping_after(self._modules, blocks, taps):
            self.unet(noisy, timestep, return_dict=False)
        return taps


class _DeepestReached(Exception):  # noqa: N818 - a signal, not an error
    pass


@contextmanager
def stopping_after(
    modules: dict[int, nn.Module], blocks: Collection[int], taps: dict[int, torch.Tensor]
) -> Iterator[None]:
    """Within, a forward pass leaves the outputs of `blocks` in `taps` and goes no deeper than the last of them."""
    deepest = max(blocks)

    def keep(number: int) -> Callable[[nn.Module, Any, torch.Tensor], None]:
        def hook(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            taps[number] = output
            if number == deepest:
                raise _DeepestReached

        return hook

    handles = [modules[number].register_forward_hook(keep(number)) for number in blocks]
    try:
        yield
    except _DeepestReached:
        pass
    finally:
        for handle in handles:
            handle.remove()


def load_unet(name: str, folder: Path, device: str, precision: str) -> UNetBackbone:
    """A diffusers folder: a pipeline's (`unet/`, `scheduler/`), or the U-Net's own.

    Raises BackboneError where files are missing, damaged, or describe a network without a block table.
    """
    unet_folder = folder / "unet" if (folder / "unet").is_dir() else folder
    if not (unet_folder / "config.json").is_file():
        raise BackboneError(f"{folder} is not a diffusers U-Net folder: it needs config.json (or unet/config.json)")
    try:
        _quiet_diffusers()
        unet = UNet2DModel.from_pretrained(unet_folder, torch_dtype=torch.float32, low_cpu_mem_usage=False)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise BackboneError(f"the weights of backbone {name} in {unet_folder} cannot be loaded: {error}") from error
    unet.eval().requires_grad_(False)
    architecture = architecture_of(name, unet, _alphas_cumprod(folder))
    digest = hashlib.sha256(precision.encode())
    for path in sorted(unet_folder.iterdir()):
        if path.suffix in (".json", ".safetensors", ".bin"):
            digest.update(file_digest(path).encode())
    digest.update(repr(architecture.alphas_cumprod).encode())
    return UNetBackbone(
        architecture,
        digest.hexdigest(),
        unet.to(device, memory_format=torch.channels_last),
        torch.device(device),
        PRECISIONS[precision],
    )


def architecture_of(name: str, unet: UNet2DModel, alphas_cumprod: tuple[float, ...]) -> Architecture:
    """The block table, measured by one pass on the meta device: it costs no arithmetic and needs no weights."""
    blocks = list(_named_blocks(name, unet))
    with torch.device("meta"):
        hollow = UNet2DModel.from_config(unet.config).eval()
    side, channels = unet.config["sample_size"], unet.config["in_channels"]
    if not isinstance(side, int) or channels != 3:
        raise BackboneError(f"backbone {name} must take square RGB images, its input is {channels} x {side}")
    counter = FlopCounterMode(display=False)
    seen: list[tuple[int, int, float]] = []

    def note(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        seen.append((output.shape[1], output.shape[2], counter.get_total_flops() / 2e9))

    for module_name, _ in blocks:
        hollow.get_submodule(module_name).register_forward_hook(note)
    with counter, torch.no_grad():
        hollow(torch.empty(1, 3, side, side, device="meta"), torch.zeros(1, device="meta", dtype=torch.long))
    table, before = [], 0.0
    for number, ((module_name, part), (width, map_side, reached)) in enumerate(zip(blocks, seen, strict=True), 1):
        table.append(Block(number, module_name, part, width, map_side, reached - before, reached))
        before = reached
    return Architecture(name, side, tuple(table), alphas_cumprod)


def _named_blocks(name: str, unet: UNet2DModel) -> Iterator[tuple[str, Part]]:
    """(module whose output is the block's, part) in execution order, the paper's numbering."""
    for level in (*unet.down_blocks, *unet.up_blocks):
        if type(level).__name__ not in BLOCK_KINDS:
            kinds = ", ".join(sorted(BLOCK_KINDS))
            raise BackboneError(
                f"backbone {name} has a {type(level).__name__}, whose blocks are not known; known: {kinds}"
            )
    yield "conv_in", "encoder"
    for i, level in enumerate(unet.down_blocks):
        kind = "attentions" if getattr(level, "attentions", None) else "resnets"
        yield from ((f"down_blocks.{i}.{kind}.{j}", "encoder") for j in range(len(level.resnets)))
        if level.downsamplers:
            yield f"down_blocks.{i}.downsamplers.0", "encoder"
    if unet.mid_block is not None:
        yield "mid_block", "bottleneck"
    for i, level in enumerate(unet.up_blocks):
        kind = "attentions" if getattr(level, "attentions", None) else "resnets"
        names = [f"up_blocks.{i}.{kind}.{j}" for j in range(len(level.resnets))]
        if level.upsamplers:
            names[-1] = f"up_blocks.{i}.upsamplers.0"
        yield from ((module, "decoder") for module in names)


def _alphas_cumprod(folder: Path) -> tuple[float, ...]:
    """The schedule in `scheduler/` (a pipeline) or `scheduler_config.json`; without either, DDPM's linear one."""
    from diffusers import DDPMScheduler

    for place in (folder / "scheduler", folder):
        if (place / "scheduler_config.json").is_file():
            scheduler = DDPMScheduler.from_pretrained(place)
            break
    else:
        scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
    return tuple(scheduler.alphas_cumprod.tolist())


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _quiet_diffusers() -> None:
    logging.getLogger("diffusers").setLevel(logging.ERROR)
