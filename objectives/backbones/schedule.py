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
    """The noise schedule of a diffusion network.

    alphas_cumprod: one number in [0, 1] for each timestep, descending.
    prediction: diffusers' name of the network's prediction, such as "epsilon".
    """

    alphas_cumprod: tuple[float, ...]
    prediction: str


def read_schedule(folder: Path) -> Schedule:
    """Read the betas in `scheduler/` (of a pipeline) or `scheduler_config.json`; the default is DDPM's linear betas.

    Raises BackboneError for a schedule without betas, such as that of a score SDE or a flow.
    """
    from diffusers import DDPMScheduler

    for candidate in (folder / "scheduler", folder):
        if (candidate / "scheduler_config.json").is_file():
            config = DDPMScheduler.load_config(candidate)
            break
    else:
        config = {"num_train_timesteps": 1000, "beta_schedule": "linear"}
    if "beta_schedule" not in config and not config.get("trained_betas"):
        raise BackboneError(
            f"the noise schedule in {folder} is {config.get('_class_name', 'unnamed')}, which has no betas; "
            "give a network with a schedule of the DDPM family, such as DDPM, DDIM, PNDM, Euler or DPM-Solver"
        )
    try:
        scheduler = DDPMScheduler.from_config(config)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise BackboneError(f"the noise schedule in {folder} cannot be used: {error}") from error
    return schedule_of(scheduler)


def schedule_of(scheduler: "DDPMScheduler") -> Schedule:
    return Schedule(tuple(scheduler.alphas_cumprod.tolist()), scheduler.config["prediction_type"])


def add_noise(images: "torch.Tensor", noise: "torch.Tensor", alpha_cumprod: float) -> "torch.Tensor":
    """Return sqrt(a) x + sqrt(1 - a) noise, the forward process at one timestep (Ho et al. 2020, eq. 4)."""
    return math.sqrt(alpha_cumprod) * images + math.sqrt(1 - alpha_cumprod) * noise
