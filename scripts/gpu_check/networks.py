"""The networks that are checked: the bundled one, small ones with random weights, and ADM-256 with random weights."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from gpu_check import ROOT
from gpu_check.machine import Machine, Sizes
from objectives.backbones.catalog import load_backbone, load_backbone_here
from objectives.backbones.checkpoints.adm import convert
from objectives.backbones.checkpoints.adm_settings import AdmSettings
from objectives.backbones.reading import Reading
from objectives.backbones.tapped import TappedBackbone
from objectives.features.noise import noise_for
from tests.support import small_adm, small_latents, small_transformers
from tests.support.random_backbone import random_backbone

TIMESTEP = 90
WEIGHTS = 0.25
"""Factor of the small ADM network's random weights.

Without it the network multiplies rounding errors: bfloat16 then differs from float32 by 5 % on any device.
"""


def small_adm_network(folder: Path) -> None:
    """Convert a random checkpoint of guided-diffusion's form: 25 blocks, images of 32 x 32."""
    values = json.loads((ROOT / "tests/objectives/backbones/checkpoints/adm/small.json").read_text(encoding="utf-8"))
    settings = AdmSettings.of(values["settings"])
    state = small_adm.random_state(settings)
    save_file(
        {name: WEIGHTS * values if values.ndim > 1 else values for name, values in state.items()},
        folder / "checkpoint.safetensors",
    )
    convert(folder / "checkpoint.safetensors", settings, "legacy", folder / "network")


MAKERS: dict[str, Callable[[Path], None]] = {
    "adm": small_adm_network,
    "sd": small_latents.text_conditioned,
    "dit": small_transformers.dit,
}
"""Name of a small network → what saves it in a folder."""

NETWORKS = ("bundled", *MAKERS)


def network_at(name: str, folder: Path) -> str:
    """Return the name or folder by which `load_backbone` finds a network; a small network is made once in `folder`."""
    if name not in MAKERS:
        return name
    made = folder / f"network {name}"
    if not made.exists():
        made.mkdir()
        MAKERS[name](made)
    return str(made / "network" if name == "adm" else made)


def on_device(machine: Machine, name: str, precision: str) -> TappedBackbone:
    """Load a network as a search does: on the GPU if the check runs there."""
    return load_backbone_here(network_at(name, machine.folder), Reading(precision=precision))


def on_cpu(machine: Machine, name: str) -> TappedBackbone:
    """Load a network on the CPU in float32."""
    return load_backbone(network_at(name, machine.folder))


def speed_backbone(device: str, sizes: Sizes, folder: Path) -> TappedBackbone:
    """Return ADM-256 with random weights in bfloat16, or the small ADM network if the sizes are tiny."""
    if sizes.adm_256:
        return random_backbone("adm-256", device, "bfloat16", folder)
    return load_backbone(network_at("adm", folder), Reading(precision="bfloat16"), device=device)


def random_pixels(count: int, side: int) -> torch.Tensor:
    """Return pixels uint8 (count, 3, side, side), the same ones on every call."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def all_taps(backbone: TappedBackbone, pixels: torch.Tensor) -> dict[int, torch.Tensor]:
    """Return every block's maps of noised images, float32 on the CPU."""
    inputs = backbone.encode(pixels)
    digests = [f"{number:064x}" for number in range(len(pixels))]
    noise = noise_for(digests, 0, TIMESTEP, 0, tuple(inputs.shape[1:])).to(inputs.device)
    blocks = [block.number for block in backbone.architecture.blocks]
    return {block: values.float().cpu() for block, values in backbone.taps(inputs, noise, TIMESTEP, blocks).items()}


def difference(values: torch.Tensor, reference: torch.Tensor) -> float:
    """Return ‖values - reference‖ / ‖reference‖."""
    return float((values.double() - reference.double()).norm() / reference.double().norm())
