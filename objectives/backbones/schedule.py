"""The noise schedule that a diffusion network was trained with."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spaces import BackboneError

if TYPE_CHECKING:
    import torch
    from diffusers import DDPMScheduler


@dataclass(frozen=True)
class Schedule:
    """alphas_cumprod: one for each timestep, falling, in [0, 1]. prediction: what the network predicts, by its name in
    diffusers.
    """

    alphas_cumprod: tuple[float, ...]
    prediction: str


def read_schedule(folder: Path) -> Schedule:
    """Read the betas in `scheduler/` (of a pipeline) or `scheduler_config.json`; without either, DDPM's linear ones.

    Raises BackboneError for a schedule that is not made of betas, such as a score SDE's or a flow's.
    """
    from diffusers import DDPMScheduler

    for place in (folder / "scheduler", folder):
        if (place / "scheduler_config.json").is_file():
            config = DDPMScheduler.load_config(place)
            break
    else:
        config = {"num_train_timesteps": 1000, "beta_schedule": "linear"}
    if "beta_schedule" not in config and not config.get("trained_betas"):
        raise BackboneError(
            f"the noise schedule in {folder} is {config.get('_class_name', 'unnamed')}, which has no betas; "
            "known are those of the DDPM family (DDPM, DDIM, PNDM, Euler, DPM-Solver and their kin)"
        )
    try:
        scheduler = DDPMScheduler.from_config(config)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise BackboneError(f"the noise schedule in {folder} cannot be used: {error}") from error
    return schedule_of(scheduler)


def schedule_of(scheduler: "DDPMScheduler") -> Schedule:
    return Schedule(tuple(scheduler.alphas_cumprod.tolist()), scheduler.config["prediction_type"])


def add_noise(images: "torch.Tensor", noise: "torch.Tensor", alpha_cumprod: float) -> "torch.Tensor":
    """sqrt(a) x + sqrt(1 - a) noise: the forward process at one timestep (Ho et al. 2020, eq. 4)."""
    return math.sqrt(alpha_cumprod) * images + math.sqrt(1 - alpha_cumprod) * noise
