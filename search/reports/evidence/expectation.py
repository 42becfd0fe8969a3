"""Predicts the validation accuracy of every cell of a study's space, tried or not, from the study's own trials."""

import math
from collections import Counter

import numpy as np

from dashboards.study.choices.tables import one_tap_trials
from dashboards.tables import ExpectedCell, ExpectedCells
from objectives.results import Metric, StudyResults, Trial
from search.surrogates.gaussian_process import GaussianProcess
from search.surrogates.past_tasks import scaled
from spaces import Setting
from spaces.coordinates import mean_coordinates
from spaces.dimensions import HEAD_OPTIONS

FEWEST, FEWEST_TIMESTEPS = 20, 3
"""Trials, and timesteps among them, below which nothing is predicted: the intervals were judged from these on."""

NOISE = 0.02
"""Standard deviation of a trial's noise, as a share of that of all scores; small, since all see the same images."""

REACH, REACH_UNTRIED = 3.1, 7.4
"""Half the width of a 95 % interval, in standard deviations of the posterior, at timesteps that were tried and at
others.

Intervals of 1.96 contain the truth too seldom, since the kernel's parameters are fitted to few trials: 72 times in 100
for trials of the cost-aware sampler. On five tasks whose every setting is known, 95 of 100 errors were within these
factors on the task that needs the widest ones. With factors of the other four tasks, intervals contained 97 of 100
values, and on the worst task 94 (docs/benchmarks.md, Expected accuracy)."""


def expected_cells(study: StudyResults) -> ExpectedCells | None:
    """Return what a Gaussian process expects of the best pooling of every block and timestep of the space.

    Its intervals are for other images, like those of the trials: half their width is the root of the sum of squares of
    the prediction's and of a trial's. It is fitted to the trials of one
    tap with the most frequent head and number of draws. None if there are too few such trials (`FEWEST`,
    `FEWEST_TIMESTEPS`), if the head has options, which make trials of one cell differ, for a metric that is no
    proportion, for an encoder, and where the space is not known.
    """
    space, metric = study.space, study.metric
    kinds = Counter((trial.setting.head, trial.setting.draws) for trial in one_tap_trials(study))
    if space is None or not space.architecture.noised or not metric.is_proportion or not kinds:
        return None
    plain = {kind: count for kind, count in kinds.items() if not HEAD_OPTIONS[kind[0]]}
    if not plain:
        return None
    head, draws = max(plain, key=lambda kind: plain[kind])
    trials = [trial for trial in one_tap_trials(study) if (trial.setting.head, trial.setting.draws) == (head, draws)]
    settings = [
        Setting(timestep, block, pool, head, draws)
        for timestep in space.timesteps
        for block in space.blocks
        for pool in space.pools_at(block)
    ]
    index = {setting: row for row, setting in enumerate(settings)}
    trials = [trial for trial in trials if trial.setting in index]
    tried = {trial.setting.timestep for trial in trials}
    if len(trials) < FEWEST or len(tried) < min(FEWEST_TIMESTEPS, len(space.timesteps)):
        return None
    values = np.array([_value(trial, metric) for trial in trials])
    process = GaussianProcess.without_past(scaled([mean_coordinates(space.architecture, s) for s in settings]) / 2)
    noise = np.full(len(trials), (NOISE * values.std()) ** 2)
    posterior = process.posterior([index[trial.setting] for trial in trials], values, noise)
    # Other images give another value: half the width of an interval of the trials themselves.
    sampling = float(np.mean([_half_width(trial, metric) for trial in trials]))
    cells: dict[tuple[int, int | None], ExpectedCell] = {}
    for setting, mean, deviation in zip(settings, posterior.mean.tolist(), posterior.deviation.tolist(), strict=True):
        pair = setting.block, setting.timestep
        if pair not in cells or mean > cells[pair].value:
            predicted = deviation * (REACH if setting.timestep in tried else REACH_UNTRIED)
            half = math.hypot(predicted, sampling)
            value, low, high = np.clip([mean, mean - half, mean + half], 0, 1).tolist()
            cells[pair] = ExpectedCell(setting, value, low, high, deviation)
    return ExpectedCells(cells, head, draws, len(trials))


def _value(trial: Trial, metric: Metric) -> float:
    estimate = trial.estimate(metric)
    assert estimate is not None  # complete trials have one
    return estimate.value


def _half_width(trial: Trial, metric: Metric) -> float:
    estimate = trial.estimate(metric)
    assert estimate is not None  # complete trials have one
    return (estimate.high - estimate.low) / 2
