"""Measures how much each choice of a study matters, with Optuna's evaluators."""

import warnings
from collections.abc import Mapping

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.importance import BaseImportanceEvaluator, FanovaImportanceEvaluator, PedAnovaImportanceEvaluator
from optuna.trial import create_trial

from dashboards.study.choices import Importance, one_tap_trials, value_of, varied
from objectives.results import StudyResults
from search.database.records import DIRECTIONS

FEWEST = 10
"""Complete trials below which importances are mostly chance."""

GOOD = 5
"""The least trials in the best group of PED-ANOVA."""


def importances(study: StudyResults) -> tuple[Importance, ...]:
    """Return the importance of each choice that the complete trials of one tap vary, most important first.

    The order is by the mean of two evaluators. fANOVA (Hutter et al. 2014) gives the share of the variance over the
    whole space that a choice explains by itself. PED-ANOVA (Watanabe et al. 2023) gives how much a choice matters for
    being in the best tenth, or the best five trials. The two answer different questions, and samplers try good settings
    more often, so they seldom agree. Empty if there are too few trials, or all have the same score.
    """
    trials, tried = one_tap_trials(study), varied(study)
    scores = [study.metric.score(value.value) for trial in trials if (value := trial.estimate(study.metric))]
    if len(trials) < FEWEST or not tried or len(set(scores)) == 1:
        return ()
    # Timesteps and pools become ranks: they are unevenly spaced, and only their order matters.
    ranks = {choice: {value: rank for rank, value in enumerate(values)} for choice, values in tried.items()}
    spaces: dict[str, BaseDistribution] = {
        choice: CategoricalDistribution(range(len(values))) if choice == "head" else IntDistribution(0, len(values) - 1)
        for choice, values in tried.items()
    }
    copied = optuna.create_study(directions=DIRECTIONS[:1])
    copied.add_trials(
        create_trial(
            params={choice: ranks[choice][value_of(trial.setting, choice)] for choice in tried},
            distributions=spaces,
            value=score,
        )
        for trial, score in zip(trials, scores, strict=True)
    )
    quantile = min(max(0.1, GOOD / len(trials)), 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.simplefilter("ignore", UserWarning)  # PED-ANOVA warns where many trials are equal
        evaluators: Mapping[str, BaseImportanceEvaluator] = {
            "fANOVA": FanovaImportanceEvaluator(seed=0),
            "PED-ANOVA": PedAnovaImportanceEvaluator(target_quantile=quantile),
        }
        shares = {
            name: optuna.importance.get_param_importances(copied, evaluator=evaluator)
            for name, evaluator in evaluators.items()
        }
    table = [Importance(choice, {name: float(by[choice]) for name, by in shares.items()}) for choice in tried]
    return tuple(sorted(table, key=lambda importance: -importance.mean))
