"""Importances of studies whose accuracy follows a known rule."""

import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from objectives.results import Accuracy, IntervalEstimate, Scores, StudyResults, Trial
from search.reports.importances import FEWEST, importances
from spaces import Setting
from tests.support.studies import small_results


def studied(score: Callable[[Setting], float], count: int = 120, metric: str = "accuracy") -> StudyResults:
    """Return a study of random settings. score: the score of each setting, in [0, 1]."""
    chance = random.Random(0)
    trials = []
    for number in range(count):
        setting = Setting(
            chance.choice((5, 44, 260)),
            chance.randint(1, 12),
            chance.choice((1, 2, 4)),
            chance.choice(("linear", "mlp")),
        )
        value = score(setting)
        scores = Scores(1000, {"nll": IntervalEstimate(1 - value, 0.0, 1.0)})
        accuracy = Accuracy(round(1000 * value), 1000) if metric == "accuracy" else Accuracy(500, 1000)
        trials.append(Trial(number, "complete", setting, accuracy, scores=scores))
    return small_results(tuple(trials), provenance={"metric": metric})


RULES: dict[str, Callable[[Setting], float]] = {
    "pool": lambda setting: 0.4 + 0.1 * setting.pool,
    "block": lambda setting: 0.9 - 0.005 * (setting.block - 7) ** 2,
    "timestep": lambda setting: 0.9 - 0.001 * (setting.timestep or 0),
    "head": lambda setting: 0.8 if setting.head == "mlp" else 0.4,
}


@pytest.mark.parametrize("metric", ["accuracy", "nll"])
@pytest.mark.parametrize("choice", RULES)
def test_the_decisive_choice_is_the_most_important(choice: str, metric: str) -> None:
    ranking = importances(studied(RULES[choice], metric=metric))
    assert ranking[0].choice == choice
    assert {importance.choice for importance in ranking} == {
        "block",
        "timestep",
        "pool",
        "head",
    }  # draws were not varied
    for name in ("fANOVA", "PED-ANOVA"):
        assert max(ranking, key=lambda importance: importance.shares[name]).choice == choice
        assert sum(importance.shares[name] for importance in ranking) == pytest.approx(1)
    assert ranking == importances(studied(RULES[choice], metric=metric))


def test_too_few_trials_give_no_importances() -> None:
    assert importances(studied(RULES["pool"], FEWEST - 1)) == ()
    assert importances(studied(RULES["pool"], FEWEST)) != ()
    assert importances(studied(RULES["pool"], 0)) == ()


def test_settings_of_equal_score_give_no_importances() -> None:
    assert importances(studied(lambda _: 0.5)) == ()


@pytest.mark.parametrize("odd", range(3))
def test_one_better_setting_is_enough_to_be_better_than_chance(odd: int) -> None:
    """On an easy dataset, all trials but one may classify every image correctly."""
    plain = studied(lambda _: 0.5, FEWEST)
    trials = tuple(replace(t, validation=Accuracy(501 if t.number == odd else 500, 1000)) for t in plain.trials)
    for importance in importances(replace(plain, trials=trials)):
        assert all(0 <= share <= 1 for share in importance.shares.values())


def test_optunas_own_lines_about_studies_are_not_printed() -> None:
    check = "import search.database.store, optuna; optuna.create_study()"
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert ran.stderr == ""
