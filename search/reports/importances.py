"""How much each choice of a study matters, by Optuna's evaluators."""

import warnings
from collections.abc import Mapping

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.importance import BaseImportanceEvaluator, FanovaImportanceEvaluator, PedAnovaImportanceEvaluator
from optuna.trial import create_trial

from dashboards.study.choices import Importance, alone, value_of, varied
from objectives.results import StudyResults
from search.database.parameters import DIRECTIONS

FEWEST = 10
"""Trials: of fewer, importances are chance."""

GOOD = 5
"""Trials that PED-ANOVA should have above its quantile."""


def importances(study: StudyResults) -> tuple[Importance, ...]:
    """Of the choices that complete trials of one tap have varied, the most important by the mean of two evaluators
    first. Empty where there are too few trials, or all are worth the same.

    fANOVA (Hutter et al. 2014): the share of the variance over the whole space that a choice explains by itself.
    PED-ANOVA (Watanabe et al. 2023): how much it matters for being among the best tenth, or the best five trials. The
    two answer different questions, and samplers try good settings more often than others: they seldom agree.
    """
    trials, tried = alone(study), varied(study)
    scores = [study.metric.score(found.value) for trial in trials if (found := trial.estimate(study.metric))]
    if len(trials) < FEWEST or not tried or len(set(scores)) == 1:
        return ()
    # Numbers by their rank: timesteps and pools are spread unevenly, and what matters of them is their order.
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
        warnings.simplefilter("ignore", UserWarning)  # that of many equal trials PED-ANOVA finds all choices alike
        evaluators: Mapping[str, BaseImportanceEvaluator] = {
            "fANOVA": FanovaImportanceEvaluator(seed=0),
            "PED-ANOVA": PedAnovaImportanceEvaluator(target_quantile=quantile),
        }
        shares = {
            name: optuna.importance.get_param_importances(copied, evaluator=evaluator)
            for name, evaluator in evaluators.items()
        }
    found_all = [Importance(choice, {name: float(by[choice]) for name, by in shares.items()}) for choice in tried]
    return tuple(sorted(found_all, key=lambda each: -each.mean))
