"""Families of noise besides DDPM's: their schedules, and what their networks get in place of a timestep.

Every schedule is a list of alphas, so that an input is sqrt(a) x + sqrt(1 - a) noise for images x in [-1, 1] or for
latents. A network of another family reads a multiple of this input, and a time of its own.
"""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

FLOW = "flow"
"""The prediction of a network that was trained by flow matching: the velocity, noise minus image."""

CONSISTENCY = "consistency"
"""The prediction of a consistency model: the image at the beginning of its path."""

SCORE = "score"
"""The prediction of a network of a score SDE: the gradient of the log density."""

TIMESTEPS = 1000
"""The number of timesteps of a flow and of a consistency model."""

SIGMA_DATA = 0.5
"""The standard deviation of pixels, as consistency models take it (Karras et al. 2022, table 1)."""

RHO = 7.0
"""The exponent of Karras' ladder of sigmas (Karras et al. 2022, eq. 5)."""


def flow_alphas() -> tuple[float, ...]:
    """Return the alphas of flow matching (Lipman et al. 2023; Esser et al. 2024, section 2).

    Timestep t means sigma = (t + 1) / 1000. The input at sigma is (1 - sigma) x + sigma noise. So
    a = (1 - sigma)² / ((1 - sigma)² + sigma²).
    """
    sigmas = [(timestep + 1) / TIMESTEPS for timestep in range(TIMESTEPS)]
    return tuple((1 - sigma) ** 2 / ((1 - sigma) ** 2 + sigma**2) for sigma in sigmas)


def consistency_alphas(low: float, high: float) -> tuple[float, ...]:
    """Return the alphas of a consistency model (Song et al. 2023), whose input at sigma is x + sigma noise.

    Timestep t is step t of Karras' ladder of 1,000 sigmas from low to high (Karras et al. 2022, eq. 5).
    """
    ends = low ** (1 / RHO), high ** (1 / RHO)
    sigmas = [(ends[0] + step / (TIMESTEPS - 1) * (ends[1] - ends[0])) ** RHO for step in range(TIMESTEPS)]
    return tuple(1 / (1 + sigma**2) for sigma in sigmas)


def score_alphas(low: float, high: float, timesteps: int) -> tuple[float, ...]:
    """Return the alphas of a variance-exploding SDE (Song et al. 2021, appendix C).

    Its input at sigma is x + sigma noise for x in [0, 1], which is noise of 2 sigma for x in [-1, 1]. Sigmas rise
    geometrically from low to high.
    """
    sigmas = [low * (high / low) ** (step / (timesteps - 1)) for step in range(timesteps)]
    return tuple(1 / (1 + (2 * sigma) ** 2) for sigma in sigmas)


def network_inputs(
    schedule: Any, inputs: "torch.Tensor", times: "torch.Tensor"
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Return what a network reads in place of noised inputs (n, channels, side, side) and their timesteps, int64 (n,).

    schedule: the network's. The times of a flow are sigmas in (0, 1], those of a score SDE sigmas, those of a
    consistency model 250 ln(sigma).
    """
    prediction, count = schedule.prediction, len(schedule.alphas_cumprod)
    if prediction not in (FLOW, CONSISTENCY, SCORE):
        return inputs, times
    if prediction == FLOW:
        sigmas = (times.float() + 1) / TIMESTEPS
        return inputs * _column(((1 - sigmas) ** 2 + sigmas**2).sqrt()), sigmas
    low, high = (math.sqrt((1 - alpha) / alpha) for alpha in (schedule.alphas_cumprod[0], schedule.alphas_cumprod[-1]))
    share = times.double() / (count - 1)
    if prediction == CONSISTENCY:
        ends = low ** (1 / RHO), high ** (1 / RHO)
        sigmas = (ends[0] + share * (ends[1] - ends[0])) ** RHO
        scale = ((1 + sigmas**2) / (sigmas**2 + SIGMA_DATA**2)).sqrt()
        return inputs * _column(scale.float()), (250 * sigmas.log()).float()
    sigmas = low * (high / low) ** share
    return (inputs * _column((1 + sigmas**2).sqrt().float()) + 1) / 2, (sigmas / 2).float()


def clean_inputs(schedule: Any, images: "torch.Tensor", timestep: int) -> "torch.Tensor":
    """Return what stands for noised inputs in a clean pass, so that a network reads the images at the timestep.

    The images are not scaled by the schedule, as in VPD (Zhao et al. 2023) and CleanDIFT (Stracke et al. 2025). So
    `network_inputs` makes of the result what it would make of the noised images of the network's own process, if these
    were without noise at the signal's full size.
    """
    if schedule.prediction == FLOW:
        sigma = (timestep + 1) / TIMESTEPS
        return images / math.hypot(1 - sigma, sigma)
    if schedule.prediction in (CONSISTENCY, SCORE):  # their process keeps the images' size
        return math.sqrt(schedule.alphas_cumprod[timestep]) * images
    return images


def _column(values: "torch.Tensor") -> "torch.Tensor":
    return values[:, None, None, None]
