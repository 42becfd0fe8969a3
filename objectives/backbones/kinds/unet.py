"""Unconditional U-Nets of diffusers, `UNet2DModel`, and their blocks in execution order."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

import torch
from diffusers import UNet2DModel
from torch import nn

from objectives.backbones.files import network_folder, read_module
from objectives.backbones.folders.companions import check_companions
from objectives.backbones.folders.configuration import check_image_side, is_there, square_side
from objectives.backbones.pipeline.autoencoders import Autoencoder
from objectives.backbones.pipeline.processes import CONSISTENCY, SCORE, network_inputs
from objectives.backbones.pipeline.schedule import DDPM, Schedule, read_schedule
from objectives.backbones.reading import Reading
from spaces import BackboneError
from spaces.blocks import Part

LEVEL_KINDS = {
    "DownBlock2D",
    "AttnDownBlock2D",
    "ResnetDownsampleBlock2D",
    "UpBlock2D",
    "AttnUpBlock2D",
    "ResnetUpsampleBlock2D",
    "SkipDownBlock2D",
    "AttnSkipDownBlock2D",
    "SkipUpBlock2D",
    "AttnSkipUpBlock2D",
}


@final
@dataclass(frozen=True)
class UNetNetwork:
    """A UNet2DModel that reads RGB pixels in [-1, 1], or latents of the autoencoder in `vqvae/` beside it.

    A class-conditional network gets the mean of all class embeddings, because a feature must not depend on the label.
    side: side of the module's inputs.
    """

    name: str
    module: UNet2DModel
    schedule: Schedule
    folders: tuple[Path, ...]
    side: int
    vae: Autoencoder | None = None
    changes: tuple[str, ...] = ()

    @classmethod
    def read(cls, name: str, folder: Path, reading: Reading) -> Self:
        """Read a network from the folder of a diffusers pipeline or of the network alone.

        Raises BackboneError if files are missing or damaged, or if the network is of a kind that cannot be read.
        """
        network = network_folder(folder)
        indexed = check_companions(name, folder, network, "UNet2DModel")
        vae = None
        if "vqvae" in indexed or is_there(folder / "vqvae"):
            vae = Autoencoder.read(name, folder / "vqvae", reading.hollow, ("VQModel", "AutoencoderKL"))
        module = read_module(name, UNet2DModel, network, reading.hollow)
        families = (DDPM,) if vae else (DDPM, CONSISTENCY, SCORE)
        return cls.of(name, module, read_schedule(folder, families), (network,), reading, vae)

    @classmethod
    def of(
        cls,
        name: str,
        module: UNet2DModel,
        schedule: Schedule,
        folders: tuple[Path, ...] = (),
        reading: Reading | None = None,
        vae: Autoencoder | None = None,
    ) -> Self:
        """Wrap a module. vae: the autoencoder whose latents it reads; None if it reads pixels.

        Raises BackboneError if it does not read square RGB images or latents, has other than class labels, or cannot
        take the image side.
        """
        config, reading = module.config, reading or Reading()
        side, channels = square_side(config["sample_size"]), config["in_channels"]
        if side is None or channels != (vae.channels if vae else 3):
            what = f"latents of {vae.channels} channels, its autoencoder's" if vae else "RGB images"
            raise BackboneError(
                f"backbone {name} must take square {what}, its input is {channels} x {config['sample_size']}; "
                "give `sample_size`, the side of its images, and 3 `in_channels` in its config.json"
            )
        reduction = vae.reduction if vae else 1
        check_image_side(name, side * reduction)
        check_times(name, config, schedule)
        halvings = sum(level.downsamplers is not None for level in module.down_blocks)
        if side % 2**halvings:
            often = "once" if halvings == 1 else f"{halvings} times"
            raise BackboneError(
                f"backbone {name} halves its images {often}, so `sample_size` must be "
                f"a multiple of {2**halvings}, got {side}; correct its config.json"
            )
        reading.check_no_prompt(name, "reads no text")
        changes: list[str] = []
        reading.check_inside(name, (), changes)
        side = reading.side_of_latents(name, side, reduction, 2**halvings, None, changes)
        if isinstance(module.class_embedding, nn.Embedding):
            mean = module.class_embedding.weight.detach().mean(dim=0, keepdim=True)
            module.class_embedding = nn.Embedding.from_pretrained(mean)  # type: ignore[no-untyped-call]
        elif module.class_embedding is not None:
            raise BackboneError(
                f"backbone {name} is conditioned by {module.config['class_embed_type']} class embeddings; "
                "only a table of class embeddings is known"
            )
        return cls(name, module.eval(), schedule, folders, side, vae, tuple(changes))

    @property
    def autoencoder(self) -> Path | None:
        return self.vae.folder if self.vae else None

    @property
    def image_side(self) -> int:
        return self.side * (self.vae.reduction if self.vae else 1)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return self.module.config["in_channels"], self.side, self.side

    def blocks(self) -> list[tuple[str, Part]]:
        return list(hourglass_blocks(self.name, self.module, LEVEL_KINDS))

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        if self.vae is not None:
            return self.vae.encode(pixels.to(self.module.device))
        return pixels.float() / 127.5 - 1

    def run(self, inputs: torch.Tensor, times: torch.Tensor | None) -> object:
        labels = None
        if self.module.class_embedding is not None:
            labels = torch.zeros(len(inputs), dtype=torch.long, device=inputs.device)
        if times is not None:
            inputs, times = network_inputs(self.schedule, inputs, times)
        return self.module(inputs, times, class_labels=labels, return_dict=False)

    def map_of(self, submodule: str, output: Any) -> torch.Tensor:
        """Return the map in the output of a level, whose first entry it is, or of a part of a level, the map."""
        values: torch.Tensor = output[0] if isinstance(output, tuple) else output
        return values


def check_times(name: str, config: Any, schedule: Schedule) -> None:
    """Raises BackboneError for a U-Net that reads something else than each of the timesteps of its schedule."""
    kind, known = config["time_embedding_type"], config.get("num_train_timesteps") or 0
    timesteps = len(schedule.alphas_cumprod)
    if (kind == "fourier") != (schedule.prediction == SCORE):
        reads = "the scale of the noise" if kind == "fourier" else "a timestep"
        raise BackboneError(
            f"backbone {name} reads {reads} (time_embedding_type {kind}), and its noise schedule is not one for this; "
            "take both of one pipeline"
        )
    if kind == "learned" and known < timesteps:
        raise BackboneError(
            f"backbone {name} knows {known:,} timesteps (num_train_timesteps in its config.json), and its noise "
            f"schedule has {timesteps:,}; take both of one pipeline"
        )


def hourglass_blocks(name: str, unet: Any, level_kinds: set[str]) -> Iterator[tuple[str, Part]]:
    """Yield (name, part) of each block of a diffusers U-Net in execution order, the numbering of the paper.

    name: the submodule whose output is the block's output. Raises BackboneError for a level not in `level_kinds`.
    """
    for level in (*unet.down_blocks, *unet.up_blocks):
        if type(level).__name__ not in level_kinds:
            kinds = ", ".join(sorted(level_kinds))
            raise BackboneError(
                f"backbone {name} has a {type(level).__name__}, whose blocks are not known; known: {kinds}"
            )
    yield "conv_in", "encoder"
    for i, level in enumerate(unet.down_blocks):
        kind = "attentions" if getattr(level, "attentions", None) else "resnets"
        yield from ((f"down_blocks.{i}.{kind}.{j}", "encoder") for j in range(len(level.resnets)))
        if level.downsamplers:
            # A level of a score SDE adds a picture of its size to what it has halved, and returns the sum first.
            skips = getattr(level, "skip_conv", None) is not None
            yield (f"down_blocks.{i}" if skips else f"down_blocks.{i}.downsamplers.0"), "encoder"
    if unet.mid_block is not None:
        yield "mid_block", "bottleneck"
    for i, level in enumerate(unet.up_blocks):
        kind = "attentions" if getattr(level, "attentions", None) else "resnets"
        names = [f"up_blocks.{i}.{kind}.{j}" for j in range(len(level.resnets))]
        if hasattr(level, "upsampler"):  # of a score SDE, whose level has one attention, after its resnets
            names = [f"up_blocks.{i}.resnets.{j}" for j in range(len(level.resnets))]
            names[-1] = f"up_blocks.{i}"
        elif level.upsamplers:
            names[-1] = f"up_blocks.{i}.upsamplers.0"
        yield from ((module, "decoder") for module in names)
