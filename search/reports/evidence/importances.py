"""Measures how much each choice of a study matters, with Optuna's evaluators, and says where that cannot be told."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.importance import BaseImportanceEvaluator, FanovaImportanceEvaluator, PedAnovaImportanceEvaluator
from optuna.trial import create_trial

from dashboards.study.choices.tables import Importance, one_tap_trials, value_of, varied
from objectives.results import StudyResults, Trial
from search.database.records import DIRECTIONS
from search.reports.evidence.noise import noise_p_value

FEWEST = 30
"""Complete trials below which importances are not given. The 95 % interval of a share of fANOVA is about 80 points wide
after 10 random trials, 50 after 20 and 40 after 30 (docs/benchmarks.md, Importances)."""

LEAST_SEEN = 0.5
"""The least share of a choice's values that must be tried. Where 2 or 3 of 8 timesteps were tried, the intervals of
fANOVA contained the importance of the timestep in 20 and 15 of 100 cases; where 4 were, in 80 (docs/benchmarks.md)."""

SIGNIFICANCE = 0.05
RESAMPLES = 40
"""Bootstrap samples of the trials: the trees of fANOVA's forest, each of which is fitted to one."""

GOOD = 5
"""The least trials in the best group of PED-ANOVA."""


def importances(study: StudyResults) -> tuple[Importance, ...]:
    """Return the importance of each choice that the complete trials of one tap vary, most important first.

    The order is by the mean of two evaluators. fANOVA (Hutter et al. 2014) gives the share of the variance over all
    values tried that a choice explains by itself. PED-ANOVA (Watanabe et al. 2023) gives how much a choice matters for
    being in the best tenth, or the best five trials. The two answer different questions, and samplers try good settings
    more often, so they seldom agree. Each share has a 95 % interval, by a bootstrap over trials.

    A choice whose importance cannot be told has no shares but a reason, and comes last: it was tried at less than
    `LEAST_SEEN` of its values, or its values differ by no more than the noise of the images (`noise_p_value`, with
    Holm's correction). Empty if there are fewer than `FEWEST` trials, or all have the same score.
    """
    trials, tried = one_tap_trials(study), varied(study)
    scores = [study.metric.score(value.value) for trial in trials if (value := trial.estimate(study.metric))]
    if len(trials) < FEWEST or not tried or len(set(scores)) == 1:
        return ()
    withheld = _withheld(study, trials, tried)
    if withheld.keys() == tried.keys():
        return tuple(Importance(choice, {}, withheld=reason) for choice, reason in withheld.items())
    values = {choice: [value_of(trial.setting, choice) for trial in trials] for choice in tried}
    table = _shares(tried, values, np.array(scores))
    given = [
        Importance(
            choice,
            {name: float(samples[:, column].mean()) for name, samples in table.items()},
            {name: _interval(samples[:, column]) for name, samples in table.items()},
        )
        for column, choice in enumerate(tried)
        if choice not in withheld
    ]
    rest = [Importance(choice, {}, withheld=reason) for choice, reason in withheld.items()]
    return (*sorted(given, key=lambda importance: -importance.mean), *rest)


def _withheld(
    study: StudyResults, trials: Sequence[Trial], tried: Mapping[str, Sequence[int | str | None]]
) -> dict[str, str]:
    """Return the choices whose importance cannot be told, and why, in words that follow the name of the choice."""
    reasons = {}
    for covered in study.coverage:
        if covered.choice in tried and len(covered.tried) < LEAST_SEEN * len(covered.values):
            reasons[covered.choice] = f"{len(covered.tried)} of {len(covered.values)} values tried"
    rest = [choice for choice in tried if choice not in reasons]
    values = {choice: [value_of(trial.setting, choice) for trial in trials] for choice in tried}
    p_values = [noise_p_value(trials, values, choice, study.metric) for choice in rest]
    significant = True
    for rank, index in enumerate(np.argsort(p_values, kind="stable").tolist()):
        corrected = min(1.0, p_values[index] * (len(rest) - rank))
        significant &= corrected <= SIGNIFICANCE
        if not significant:
            reasons[rest[index]] = f"no effect beyond the noise of the images, p = {corrected:.2f}"
    return {choice: reasons[choice] for choice in tried if choice in reasons}


def _shares(
    tried: Mapping[str, Sequence[int | str | None]],
    values: Mapping[str, Sequence[int | str | None]],
    scores: np.ndarray,
) -> dict[str, np.ndarray]:
    """Evaluator → (RESAMPLES, choices) shares of the choices in bootstrap samples of the trials; their mean is the
    estimate. A tree of fANOVA's forest draws its sample of the trials itself."""
    # Timesteps and pools become ranks: they are unevenly spaced, and only their order matters.
    ranks = {choice: {value: rank for rank, value in enumerate(tried[choice])} for choice in tried}
    columns = np.array([[ranks[choice][value] for value in values[choice]] for choice in tried]).T
    kinds: dict[str, BaseDistribution] = {
        choice: CategoricalDistribution(range(len(known))) if choice == "head" else IntDistribution(0, len(known) - 1)
        for choice, known in tried.items()
    }

    def study_of(rows: Sequence[int]) -> optuna.Study:
        copied = optuna.create_study(directions=DIRECTIONS[:1])
        copied.add_trials(
            create_trial(
                params=dict(zip(tried, columns[row].tolist(), strict=True)),
                distributions=kinds,
                value=float(scores[row]),
            )
            for row in rows
        )
        return copied

    def shares(copied: optuna.Study, evaluator: BaseImportanceEvaluator) -> list[float]:
        by_choice = optuna.importance.get_param_importances(copied, evaluator=evaluator)
        return [float(by_choice[choice]) for choice in tried]

    every, generator = study_of(range(len(scores))), np.random.default_rng(0)
    quantile = min(max(0.1, GOOD / len(scores)), 0.5)
    samples = [generator.integers(len(scores), size=len(scores)).tolist() for _ in range(RESAMPLES)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.simplefilter("ignore", UserWarning)  # PED-ANOVA warns where many trials are equal
        return {
            "fANOVA": np.array(
                [shares(every, FanovaImportanceEvaluator(seed=seed, n_trees=1)) for seed in range(RESAMPLES)]
            ),
            "PED-ANOVA": np.array(
                [shares(study_of(rows), PedAnovaImportanceEvaluator(target_quantile=quantile)) for rows in samples]
            ),
        }


def _interval(samples: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(samples, (0.025, 0.975)).tolist()
    return low, high
