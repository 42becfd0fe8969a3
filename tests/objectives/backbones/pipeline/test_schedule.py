"""Noise schedules in the files of diffusers' schedulers."""

import json
from pathlib import Path
from typing import Any

import pytest
from diffusers import DDIMScheduler

from objectives.backbones.pipeline.processes import CONSISTENCY, FLOW, SCORE
from objectives.backbones.pipeline.schedule import read_schedule
from spaces import BackboneError
from tests.support import small_unets
from tests.support.network_changes import indexed_scheduler


def schedule_file(folder: Path, **values: Any) -> Path:
    (folder / "scheduler_config.json").write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        (
            {"_class_name": "DPMSolverMultistepScheduler", "use_flow_sigmas": True},
            "is that of a flow",
        ),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "beta_schedule": "linear"}, "is that of a flow"),
        ({"_class_name": "FlowMapEulerDiscreteScheduler"}, "is that of a flow"),
        ({"prediction_type": "flow_prediction"}, "is that of a flow"),
        ({"_class_name": "EDMEulerScheduler"}, "is EDMEulerScheduler, which is not known; .* of the DDPM family"),
        ({"_class_name": "ScoreSdeVeScheduler"}, "is that of a variance-exploding score SDE; .* of the DDPM family"),
        ({"_class_name": "CMStochasticIterativeScheduler"}, "is that of a consistency model"),
        ({"_class_name": "CogVideoXDDIMScheduler", "beta_schedule": "linear"}, "which is not known"),
        ({"_class_name": "IPNDMScheduler", "trained_betas": [0.1]}, "which is not known"),
        ({"_class_name": None}, "is None, which is not known"),
        ({"_class_name": ["x", "DDPMScheduler"]}, "which is not known"),
        ({"timestep_type": "continuous"}, "has continuous timesteps"),
        ({"snr_shift_scale": 3.0}, "a shifted signal-to-noise ratio"),
        ({"prediction_type": "score"}, "predicts 'score'; known: epsilon, sample, v_prediction"),
        ({"prediction_type": None}, "predicts None"),
        ({"num_train_timesteps": 0}, "num_train_timesteps between 1 and 100,000, got 0"),
        ({"num_train_timesteps": 10**12}, "num_train_timesteps between 1 and 100,000"),
        ({"num_train_timesteps": "1000"}, "num_train_timesteps between 1 and 100,000, got '1000'"),
        ({"trained_betas": [[0.1]]}, "trained_betas that are a list of numbers"),
        ({"trained_betas": "x"}, "trained_betas that are a list of numbers"),
        ({"trained_betas": [0.5, 1.5]}, "betas above 0 and at most 1, got 1.5 at timestep 1"),
        ({"trained_betas": [0.0, 0.5]}, "betas above 0 and at most 1, got 0 at timestep 0"),
        ({"trained_betas": [float("nan")]}, "betas above 0 and at most 1, got nan at timestep 0"),
        ({"beta_end": 2}, "betas above 0 and at most 1, got 1.0"),
        ({"beta_start": -1}, "betas above 0 and at most 1, got -1 at timestep 0"),
        ({"beta_start": "a"}, "must have a number as beta_start, got 'a'"),
        ({"beta_schedule": "exp"}, "cannot be used"),
        ({"beta_schedule": None}, "cannot be used"),
    ],
)
def test_a_schedule_that_is_not_ddpms_is_refused(values: dict[str, Any], refusal: str, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=rf"the noise schedule in .*scheduler_config.json .*{refusal}"):
        read_schedule(schedule_file(tmp_path, **values))


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        ({"_class_name": "DDPMScheduler"}, "is that of the DDPM family, such as .*; give .* of flow matching"),
        ({"_class_name": "CMStochasticIterativeScheduler", "sigma_data": 1.0}, "must have sigma_data 0.5 and rho 7"),
        (
            {"_class_name": "CMStochasticIterativeScheduler", "sigma_max": 0},
            "0 < sigma_min < sigma_max <= 100,000, got",
        ),
        ({"_class_name": "ScoreSdeVeScheduler", "sigma_min": "0.1"}, "sigma_min < sigma_max <= 100,000, got '0.1' and"),
        ({"_class_name": "ScoreSdeVeScheduler", "num_train_timesteps": 1}, "num_train_timesteps between 2 and 100,000"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "invert_sigmas": True}, "and no invert_sigmas"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 50}, "must have 1,000 num_train"),
    ],
)
def test_a_schedule_of_another_family_is_refused(values: dict[str, Any], refusal: str, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=rf"the noise schedule in .*scheduler_config.json .*{refusal}"):
        read_schedule(schedule_file(tmp_path, **values), (FLOW, CONSISTENCY, SCORE))


LATE = {"beta_start": 0.00085, "beta_end": 0.012}
"""The defaults of diffusers' schedulers that were added later; they differ from DDPM's."""


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"_class_name": "HeunDiscreteScheduler"}, DDIMScheduler(**LATE)),
        ({"_class_name": "LCMScheduler"}, DDIMScheduler(**LATE, beta_schedule="scaled_linear")),
        ({"_class_name": "DPMSolverSDEScheduler"}, DDIMScheduler(**LATE)),
        ({"_class_name": "FlaxDDIMScheduler", "beta_end": 0.01}, DDIMScheduler(beta_end=0.01)),
        ({"_class_name": "DDIMScheduler", "rescale_betas_zero_snr": True}, DDIMScheduler(rescale_betas_zero_snr=True)),
        ({"trained_betas": [0.1, 0.2, 0.3]}, DDIMScheduler(trained_betas=[0.1, 0.2, 0.3])),
        ({"steps_offset": 1, "thresholding": True, "clip_sample": False, "use_karras_sigmas": True}, DDIMScheduler()),
        ({"use_flow_sigmas": False, "flow_shift": 3.0}, DDIMScheduler()),
    ],
)
def test_a_schedule_has_the_noise_that_diffusers_gives_its_class(
    values: dict[str, Any], expected: Any, tmp_path: Path
) -> None:
    schedule = read_schedule(schedule_file(tmp_path, **values))
    assert schedule.alphas_cumprod == tuple(expected.alphas_cumprod.tolist())


def test_an_index_may_name_another_scheduler_that_makes_the_same_noise(tmp_path: Path) -> None:
    """diffusers puts the class of the index first, and people change it to sample in fewer steps."""
    small_unets.plain(tmp_path)
    own = read_schedule(tmp_path)
    indexed_scheduler("DDIMScheduler")(tmp_path)
    assert read_schedule(tmp_path) == own
