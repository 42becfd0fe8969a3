"""Estimates the work of a run before it starts: how much of each kind, and the seconds of a worker for each piece.

The numbers are rough. Measurements of the run replace them as it goes (`search.estimate`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from objectives.results import StudyResults, Trial

if TYPE_CHECKING:
    from search.prepare import PreparedRun

TRIALS_PER_TIMESTEP = 12.0
"""Trials after which the cost-aware sampler tries a further timestep, where many are untried. On digits it tried 2 of 8
in 40 trials, on CUB with 50 classes 7 of 8 in 200."""

GMACS_PER_SECOND = 40.0
"""Speed of a CPU core before one was measured."""

GPU_GMACS_PER_SECOND = 2000.0

FIT_SPEED = 0.4
"""Speed of fits, which are many small products, as a share of the speed of forward passes."""

EPOCHS = 20
"""Epochs of a head that is a network, on average, where it is not stopped early."""

HIDDEN = 320
"""Width of its hidden layer, on average."""

STOPPED = 0.45
"""Share of the seconds of networks that is saved because trials are stopped in their first epochs."""

WIDE = 0.75
"""Features of an average trial, as a share of the most that a setting of the space has. The best ones are wide."""

CLOSED_FORM_FITS = 4.0
"""Decompositions whose time a fit of another head takes."""

REEVALUATION = 1.1
"""Seconds of the comparison of a candidate on other splits, as a multiple of those of its trial's fit. On digits and
CUB they took 1.0 to 1.4 times as long, and tests 1.6 to 2.8 times."""

TEST = 1.8
"""The same of a test, which fits the head once more."""

LEAST_FIT_SECONDS, LEAST_SCREENING_SECONDS = 0.1, 0.02

START_SECONDS = 6.0
"""Seconds until the workers have started and loaded the network."""

REPORT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Workload:
    """The work of a run, before it starts. All seconds are those of one worker.

    workers: how many work at a time. settings: to screen. screening_passes: forward passes of the screening.
    trials: to run. passes: forward passes of the trials that end after so many others, see `passes_after`.
    rounds: candidates that are compared in each round. tests: of the answer. test_passes: forward passes of one test.
    pass_seconds, setting_seconds, fit_seconds, candidate_seconds: of one forward pass, of one screened setting, and of
    the fit of an average trial and of a trial that is a candidate for the answer.
    """

    workers: int
    settings: int
    screening_passes: int
    trials: int
    images: int
    timesteps: int
    sampled_timesteps: float
    rounds: tuple[int, ...]
    tests: int
    test_passes: int
    pass_seconds: float
    setting_seconds: float
    fit_seconds: float
    candidate_seconds: float

    @property
    def screening_seconds(self) -> float:
        """The seconds of the screening, of all workers together."""
        return self.screening_passes * self.pass_seconds + self.settings * self.setting_seconds / self.workers

    def passes_after(self, trials: int) -> float:
        """Return the forward passes that the first `trials` trials of this run are expected to make."""
        if self.timesteps == 0:
            return 0.0
        return self.images * self.timesteps * (1 - math.exp(-trials / self.sampled_timesteps / self.timesteps))


def workload(prepared: "PreparedRun", study: StudyResults, settings: int, screening_passes: int) -> Workload:
    """Estimate what is missing of a study.

    settings, screening_passes: of the screening that comes first; 0 if there is none.
    """
    options, plan, space = prepared.options, prepared.plan, prepared.probe.space
    demand, workers = plan.demand, prepared.resources.workers
    images = len(demand.training)
    trials = max(options.trials - study.finished, 0)
    uncached = sum(max(count - plan.cached_passes[kind], 0.0) for kind, count in space.forward_passes.items())
    costs_matter = options.sampler in (None, "cost-aware") and not options.by_cost and max(space.taps) == 1
    fits = [_fit_seconds(prepared, head, study.complete) for head in space.heads]
    stopped = [0.0 if options.by_cost or not _is_network(head) else STOPPED for head in space.heads]
    tests = (options.most_candidates if options.by_cost else 1) * options.rounds
    rounds = () if options.by_cost else (options.most_candidates,) * options.rounds
    # Further trials may bring other candidates and another answer, which have no finals yet.
    compared, tested = (0, 0) if trials else (len(study.reevaluations), len(study.finals))
    return Workload(
        workers=workers,
        settings=settings,
        screening_passes=screening_passes,
        trials=trials,
        images=images,
        timesteps=round(uncached),
        sampled_timesteps=TRIALS_PER_TIMESTEP if costs_matter else 1.0,
        rounds=rounds[compared // options.most_candidates :],
        tests=max(tests - tested, 0),
        test_passes=len(demand.tested),
        pass_seconds=_pass_gmacs(prepared) / _speed(prepared),
        setting_seconds=_setting_seconds(prepared, screening_passes),
        fit_seconds=fmean((1 - saved) * seconds for saved, seconds in zip(stopped, fits, strict=True)),
        candidate_seconds=(fmean(fits) + max(fits)) / 2,  # the best head is often the slowest one
    )


def _is_network(head: str) -> bool:
    """Return whether a head trains in epochs, and so may be stopped early."""
    from spaces.dimensions import RECIPES

    return head in RECIPES


def _speed(prepared: "PreparedRun") -> float:
    """Return the speed of one worker's forward passes, in GMAC per second."""
    if prepared.plan.pass_seconds:
        return _pass_gmacs(prepared) / prepared.plan.pass_seconds
    resources = prepared.resources
    return GPU_GMACS_PER_SECOND * resources.gpus if resources.gpus else GMACS_PER_SECOND * resources.cpus


def _pass_gmacs(prepared: "PreparedRun") -> float:
    space = prepared.probe.space
    return space.architecture.block(max(space.blocks)).cumulative_gmacs


def _widths(prepared: "PreparedRun") -> list[int]:
    """Return the number of features of each one-tap setting of the space at one timestep."""
    space = prepared.probe.space
    return [
        space.architecture.block(block).channels * pool**2 for block in space.blocks for pool in space.pools_at(block)
    ]


def _setting_seconds(prepared: "PreparedRun", screening_passes: int) -> float:
    """Return the seconds of a decomposition of the images that a screening begins with."""
    images = screening_passes / 2
    gmacs = [images * width * min(images, width) / 1e9 for width in _widths(prepared)]
    return LEAST_SCREENING_SECONDS + 3 * fmean(gmacs) / (FIT_SPEED * _speed(prepared))


def _fit_seconds(prepared: "PreparedRun", head: str, complete: Sequence[Trial]) -> float:
    """Return the seconds of a fit that is not stopped early: measured ones of the study, if it has some."""
    measured = [trial.seconds["fit"] for trial in complete if trial.setting.head == head and "fit" in trial.seconds]
    if measured:
        return fmean(measured)
    spec, images = prepared.probe.spec, len(prepared.plan.demand.training)
    width = WIDE * max(_widths(prepared), default=1)
    if _is_network(head):
        fitted = images * (spec.folds - 1 if spec.folds else 1 - spec.validation_fraction)
        gmacs = 3 * EPOCHS * fitted * width * HIDDEN / 1e9  # forward, and twice as much backward
    else:
        gmacs = CLOSED_FORM_FITS * images * width * min(images, width) / 1e9
    return LEAST_FIT_SECONDS + gmacs / (FIT_SPEED * _speed(prepared))
