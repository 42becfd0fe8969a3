"""The noise schedule that a diffusion network was trained with."""

import inspect
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectives.backbones.folders.companions import INDEX, indexed_parts, plain_name
from objectives.backbones.folders.configuration import is_there, read_object
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

FLOW = "flow"
"""What a network predicts that was trained by flow matching: the velocity, noise minus image."""

FLOW_TIMESTEPS = 1000
"""The number of timesteps of a flow. Timestep t means sigma = (t + 1) / 1000."""

PREDICTIONS = ("epsilon", "sample", "v_prediction")
MOST_TIMESTEPS = 100_000
FILE = "scheduler_config.json"


@dataclass(frozen=True)
class Schedule:
    """The noise schedule of a diffusion network.

    alphas_cumprod: one number in [0, 1) for each timestep, descending.
    prediction: diffusers' name of the network's prediction, such as "epsilon"; `FLOW` for a network of flow matching.
    """

    alphas_cumprod: tuple[float, ...]
    prediction: str


def read_schedule(folder: Path, flow: bool = False) -> Schedule:
    """Read the schedule in `scheduler/` (of a pipeline) or `scheduler_config.json`.

    flow: whether the network was trained by flow matching. The default is then the flow, else DDPM's linear betas.
    Raises BackboneError for a file that cannot be read, for a schedule of another family, such as that of a score SDE,
    and where model_index.json names another class, which makes other noise of the same entries.
    """
    indexed = indexed_parts(folder).get("scheduler")
    paths = [folder / "scheduler" / FILE, folder / FILE]
    path = next((path for path in paths if is_there(path)), None)
    if path is None:
        if is_there(folder / "scheduler"):
            raise BackboneError(f"{folder / 'scheduler'} has no {FILE}; fetch it too")
        return flow_schedule() if flow else _schedule({"_class_name": "DDPMScheduler"}, flow)
    config = read_object(path)
    own = config.get("_class_name", indexed or (FLOW_SCHEDULERS[0] if flow else "DDPMScheduler"))
    schedule = _schedule_of_class(config, own, str(path), flow)
    other = plain_name(indexed) if indexed else own
    if _schedule_of_class(config, other, f"{path}, a {indexed} in {INDEX},", flow) != schedule:
        raise BackboneError(
            f"{folder / INDEX} says that scheduler is a {indexed}, but {path} is that of a {own}, which makes other "
            "noise; fetch both again, of one pipeline"
        )
    return schedule


def _schedule_of_class(config: dict[str, Any], name: Any, where: str, flow: bool) -> Schedule:
    family = "of flow matching" if flow else "of the DDPM family, such as DDPM, DDIM, PNDM, Euler or DPM-Solver"
    try:
        return _schedule(config | {"_class_name": name}, flow)
    except _UnknownSchedule as error:
        raise BackboneError(f"the noise schedule in {where} {error}; give a network with a schedule {family}") from None


class _UnknownSchedule(Exception):  # noqa: N818 - becomes a BackboneError that names the file
    pass


def flow_schedule() -> Schedule:
    """Return the schedule of flow matching (Lipman et al. 2023; Esser et al. 2024, section 2).

    The input at sigma is (1 - sigma) x + sigma noise, which is s (sqrt(a) x + sqrt(1 - a) noise) with s of
    `flow_scale` and a = (1 - sigma)² / ((1 - sigma)² + sigma²). A scheduler's `shift` only says which sigmas are
    visited in sampling.
    """
    sigmas = [(timestep + 1) / FLOW_TIMESTEPS for timestep in range(FLOW_TIMESTEPS)]
    return Schedule(tuple((1 - sigma) ** 2 / ((1 - sigma) ** 2 + sigma**2) for sigma in sigmas), FLOW)


def flow_sigmas(times: "torch.Tensor") -> "torch.Tensor":
    """Return the sigma in (0, 1] of each timestep of a flow, float32."""
    return (times.float() + 1) / FLOW_TIMESTEPS


def flow_scale(sigmas: "torch.Tensor") -> "torch.Tensor":
    """Return s = sqrt((1 - sigma)² + sigma²): an input of a flow is s times the noised image of `add_noise`."""
    return ((1 - sigmas) ** 2 + sigmas**2).sqrt()


def _schedule(config: dict[str, Any], flow: bool) -> Schedule:
    """Make a schedule from a scheduler's configuration. Raises _UnknownSchedule."""
    import diffusers
    from diffusers import DDPMScheduler

    name, prediction = config.get("_class_name", "DDPMScheduler"), config.get("prediction_type", "epsilon")
    is_flow = bool(config.get("use_flow_sigmas")) or prediction == "flow_prediction" or "FlowM" in str(name)
    if is_flow != flow:
        raise _UnknownSchedule("is that of a flow" if is_flow else f"is {name}'s, not that of a flow")
    if flow:
        if name not in FLOW_SCHEDULERS and str(name) not in SCHEDULERS:
            raise _UnknownSchedule(f"is {name}, which is not known")
        if config.get("num_train_timesteps", FLOW_TIMESTEPS) != FLOW_TIMESTEPS or config.get("invert_sigmas"):
            raise _UnknownSchedule(f"must have {FLOW_TIMESTEPS:,} num_train_timesteps, and no invert_sigmas")
        return flow_schedule()
    if str(name).removeprefix("Flax") not in SCHEDULERS:
        raise _UnknownSchedule(f"is {name}, which is not known")
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
