"""The noise schedule that a diffusion network was trained with."""

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectives.backbones.folders.companions import INDEX, indexed_parts, plain_name
from objectives.backbones.folders.configuration import is_there, read_object
from objectives.backbones.pipeline.processes import (
    CONSISTENCY,
    FLOW,
    RHO,
    SCORE,
    SIGMA_DATA,
    TIMESTEPS,
    consistency_alphas,
    flow_alphas,
    score_alphas,
)
from spaces import BackboneError

if TYPE_CHECKING:
    import torch
    from diffusers import DDPMScheduler

SCHEDULERS = (
    *("DDPMScheduler", "DDPMParallelScheduler", "DDIMScheduler", "DDIMParallelScheduler", "DDIMInverseScheduler"),
    *("PNDMScheduler", "LMSDiscreteScheduler", "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler"),
    *("HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "UniPCMultistepScheduler"),
    *("DPMSolverMultistepScheduler", "DPMSolverMultistepInverseScheduler", "DPMSolverSinglestepScheduler"),
    *("DPMSolverSDEScheduler", "DEISMultistepScheduler", "SASolverScheduler", "LCMScheduler", "TCDScheduler"),
    *("UnCLIPScheduler", "RePaintScheduler"),
)
"""diffusers' schedulers of the DDPM family: they make the noise of DDPM from the same entries."""

STAND_INS = {"DPMSolverSDEScheduler": "KDPM2DiscreteScheduler"}
"""A scheduler that needs a further package → one with the same defaults."""

ENTRIES = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "rescale_betas_zero_snr")
"""The entries of a scheduler's configuration that determine its noise. All others are for sampling."""

FLOW_SCHEDULERS = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "FlowMatchLCMScheduler")
"""diffusers' schedulers of flow matching. Others make the noise of a flow where `use_flow_sigmas` is set."""

DDPM = "DDPM"
"""The family of schedules that `SCHEDULERS` make. Others have the names of `processes.py`."""

FAMILIES = {
    DDPM: "of the DDPM family, such as DDPM, DDIM, PNDM, Euler or DPM-Solver",
    FLOW: "of flow matching",
    CONSISTENCY: "of a consistency model",
    SCORE: "of a variance-exploding score SDE",
}
"""Family of schedules → words for people."""

DEFAULTS = {DDPM: "DDPMScheduler", FLOW: FLOW_SCHEDULERS[0]}
"""Family → the scheduler of a folder that has none."""

PREDICTIONS = ("epsilon", "sample", "v_prediction")
MOST_TIMESTEPS = 100_000
MOST_SIGMA = 100_000
FILE = "scheduler_config.json"


@dataclass(frozen=True)
class Schedule:
    """The noise schedule of a diffusion network.

    alphas_cumprod: one number in [0, 1) for each timestep, descending.
    prediction: diffusers' name of the network's prediction, such as "epsilon"; else `FLOW`, `CONSISTENCY` or `SCORE`.
    """

    alphas_cumprod: tuple[float, ...]
    prediction: str


def read_schedule(folder: Path, families: Sequence[str] = (DDPM,)) -> Schedule:
    """Read the schedule in `scheduler/` (of a pipeline) or `scheduler_config.json`.

    families: keys of `FAMILIES`, those that the network may have; the first has the default. Raises BackboneError for a
    file that cannot be read, for a schedule of another family, and where model_index.json names another class, which
    makes other noise of the same entries.
    """
    indexed = indexed_parts(folder).get("scheduler")
    paths = [folder / "scheduler" / FILE, folder / FILE]
    path = next((path for path in paths if is_there(path)), None)
    if path is None:
        if is_there(folder / "scheduler"):
            raise BackboneError(f"{folder / 'scheduler'} has no {FILE}; fetch it too")
        return _schedule({"_class_name": DEFAULTS[families[0]]}, families)
    config = read_object(path)
    own = config.get("_class_name", indexed or DEFAULTS[families[0]])
    schedule = _schedule_of_class(config, own, str(path), families)
    other = plain_name(indexed) if indexed else own
    if _schedule_of_class(config, other, f"{path}, a {indexed} in {INDEX},", families) != schedule:
        raise BackboneError(
            f"{folder / INDEX} says that scheduler is a {indexed}, but {path} is that of a {own}, which makes other "
            "noise; fetch both again, of one pipeline"
        )
    return schedule


def _schedule_of_class(config: dict[str, Any], name: Any, where: str, families: Sequence[str]) -> Schedule:
    try:
        return _schedule(config | {"_class_name": name}, families)
    except _UnknownSchedule as error:
        wanted = ", or ".join(FAMILIES[family] for family in families)
        raise BackboneError(f"the noise schedule in {where} {error}; give a network with a schedule {wanted}") from None


class _UnknownSchedule(Exception):  # noqa: N818 - becomes a BackboneError that names the file
    pass


def _schedule(config: dict[str, Any], families: Sequence[str]) -> Schedule:
    """Make a schedule from a scheduler's configuration. Raises _UnknownSchedule."""
    family = _family(config)
    if family not in families:
        raise _UnknownSchedule(f"is that {FAMILIES[family]}" if family != FLOW else "is that of a flow")
    if family == DDPM:
        return _ddpm_schedule(config)
    if family == FLOW:
        if config.get("num_train_timesteps", TIMESTEPS) != TIMESTEPS or config.get("invert_sigmas"):
            raise _UnknownSchedule(f"must have {TIMESTEPS:,} num_train_timesteps, and no invert_sigmas")
        return Schedule(flow_alphas(), FLOW)
    ends = (0.002, 80.0) if family == CONSISTENCY else (0.01, 1348.0)  # as in diffusers
    low, high = config.get("sigma_min", ends[0]), config.get("sigma_max", ends[1])
    if type(low) not in (int, float) or type(high) not in (int, float) or not 0 < low < high <= MOST_SIGMA:
        raise _UnknownSchedule(
            f"must have 0 < sigma_min < sigma_max <= {MOST_SIGMA:,}, got {low!r:.40} and {high!r:.40}"
        )
    if family == CONSISTENCY:
        if config.get("sigma_data", SIGMA_DATA) != SIGMA_DATA or config.get("rho", RHO) != RHO:
            raise _UnknownSchedule(f"must have sigma_data {SIGMA_DATA} and rho {RHO:g}")
        return Schedule(consistency_alphas(low, high), CONSISTENCY)
    count = config.get("num_train_timesteps", 2000)
    if type(count) is not int or not 2 <= count <= MOST_TIMESTEPS:
        raise _UnknownSchedule(f"must have num_train_timesteps between 2 and {MOST_TIMESTEPS:,}, got {count!r:.40}")
    return Schedule(score_alphas(low, high, count), SCORE)


def _family(config: dict[str, Any]) -> str:
    """Return the family of a scheduler's configuration, one of `FAMILIES`. Raises _UnknownSchedule."""
    name, prediction = config.get("_class_name", "DDPMScheduler"), config.get("prediction_type", "epsilon")
    known = name in FLOW_SCHEDULERS or str(name).removeprefix("Flax") in SCHEDULERS
    if config.get("use_flow_sigmas") or prediction == "flow_prediction" or "FlowM" in str(name):
        if not known:
            raise _UnknownSchedule(f"is that of a flow, a {name}, which is not known")
        return FLOW
    if name == "CMStochasticIterativeScheduler":
        return CONSISTENCY
    if name == "ScoreSdeVeScheduler":
        return SCORE
    if not known:
        raise _UnknownSchedule(f"is {name}, which is not known")
    return DDPM


def _ddpm_schedule(config: dict[str, Any]) -> Schedule:
    """Make a schedule of the DDPM family. Raises _UnknownSchedule."""
    import diffusers
    from diffusers import DDPMScheduler

    name, prediction = config.get("_class_name", "DDPMScheduler"), config.get("prediction_type", "epsilon")
    if config.get("timestep_type", "discrete") != "discrete" or config.get("snr_shift_scale", 1) != 1:
        raise _UnknownSchedule("has continuous timesteps or a shifted signal-to-noise ratio, which are not known")
    if prediction not in PREDICTIONS:
        raise _UnknownSchedule(f"is for a network that predicts {prediction!r}; known: {', '.join(PREDICTIONS)}")
    plain = name.removeprefix("Flax")
    options = inspect.signature(getattr(diffusers, STAND_INS.get(plain, plain)).__init__).parameters
    defaults = {entry: options[entry].default for entry in ENTRIES if entry in options}
    entries = {**defaults, **{entry: config[entry] for entry in ENTRIES if entry in config}}
    _check_entries(entries)
    try:
        scheduler = DDPMScheduler(**entries, prediction_type=prediction)
    except Exception as error:  # torch and numpy have their own for numbers out of range
        raise _UnknownSchedule(f"cannot be used: {' '.join(str(error).split()):.300}") from None
    for timestep, (beta, alpha) in enumerate(
        zip(scheduler.betas.tolist(), scheduler.alphas_cumprod.tolist(), strict=True)
    ):
        if not 0 < beta <= 1 or alpha == 1:
            raise _UnknownSchedule(f"must have betas above 0 and at most 1, got {beta:g} at timestep {timestep}")
    return schedule_of(scheduler)


def _check_entries(entries: dict[str, Any]) -> None:
    count, betas = entries.get("num_train_timesteps", 1000), entries.get("trained_betas")
    if type(count) is not int or not 1 <= count <= MOST_TIMESTEPS:
        raise _UnknownSchedule(f"must have num_train_timesteps between 1 and {MOST_TIMESTEPS:,}, got {count!r:.40}")
    for entry in ("beta_start", "beta_end"):
        if entry in entries and type(entries[entry]) not in (int, float):
            raise _UnknownSchedule(f"must have a number as {entry}, got {entries[entry]!r:.40}")
    if betas is not None and (
        not isinstance(betas, list)
        or not 1 <= len(betas) <= MOST_TIMESTEPS
        or not all(type(beta) in (int, float) for beta in betas)
    ):
        raise _UnknownSchedule(f"must have trained_betas that are a list of numbers, or null, got {betas!r:.40}")


def schedule_of(scheduler: "DDPMScheduler") -> Schedule:
    return Schedule(tuple(scheduler.alphas_cumprod.tolist()), scheduler.config["prediction_type"])


def add_noise(images: "torch.Tensor", noise: "torch.Tensor", alpha_cumprod: float) -> "torch.Tensor":
    """Return sqrt(a) x + sqrt(1 - a) noise, the forward process at one timestep (Ho et al. 2020, eq. 4)."""
    return math.sqrt(alpha_cumprod) * images + math.sqrt(1 - alpha_cumprod) * noise
