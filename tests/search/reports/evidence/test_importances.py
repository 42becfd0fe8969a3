"""Importances of studies whose accuracy follows a known rule."""

import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from objectives.results import Accuracy, CorrectMask, IntervalEstimate, Scores, StudyResults, Trial
from search.reports.evidence.importances import FEWEST, importances
from spaces import Setting, Space
from tests.support.studies import small_results


def studied(score: Callable[[Setting], float], count: int = 60, metric: str = "accuracy") -> StudyResults:
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
        scores = Scores(1000, {"nll": IntervalEstimate(1 - value, 0.99 - value, 1.01 - value)})
        accuracy = Accuracy(round(1000 * value), 1000) if metric == "accuracy" else Accuracy(500, 1000)
        trials.append(Trial(number, "complete", setting, accuracy, scores=scores))
    return small_results(tuple(trials), provenance={"metric": metric})


RULES: dict[str, Callable[[Setting], float]] = {
    "pool": lambda setting: 0.4 + 0.1 * setting.pool,
    "block": lambda setting: 0.9 - 0.005 * (setting.block - 7) ** 2,
    "timestep": lambda setting: 0.9 - 0.001 * (setting.timestep or 0),
    "head": lambda setting: 0.8 if setting.head == "mlp" else 0.4,
}


def noisy(count: int = 60, images: int = 400, better: str = "") -> StudyResults:
    """Return a study whose trials classify random images correctly: all alike, or an mlp more of them."""
    chance = random.Random(0)
    plain = studied(lambda _: 0.5, count)
    hard = [chance.random() for _ in range(images)]  # each image is as hard for all settings

    def trial(trial: Trial) -> Trial:
        share = 0.75 if trial.setting.head == better else 0.5
        bits = sum(1 << bit for bit in range(images) if 0.5 * hard[bit] + 0.5 * chance.random() < share)
        mask = CorrectMask(images, bits)
        return replace(trial, validation=mask.accuracy, correct_mask=mask)

    return replace(plain, trials=tuple(map(trial, plain.trials)))


def test_scores_that_are_noise_have_no_importance() -> None:
    assert all(row.withheld and not row.shares for row in importances(noisy()))


def test_a_choice_without_an_effect_has_no_importance_beside_one_that_has() -> None:
    first, *others = importances(noisy(better="mlp"))
    assert first.choice == "head"
    assert first.shares["fANOVA"] > 0.9
    assert first.intervals["fANOVA"][0] <= first.shares["fANOVA"] <= first.intervals["fANOVA"][1]
    assert {row.choice for row in others if "beyond the noise" in (row.withheld or "")} == {"block", "timestep", "pool"}


def test_a_choice_with_few_of_its_values_tried_has_no_importance() -> None:
    plain = studied(RULES["timestep"])
    timesteps = (5, 44, 260, *range(300, 304))  # 3 of 7
    space = Space(plain.architecture, timesteps, tuple(range(1, 13)), (1, 2, 4), ("linear", "mlp"))
    rows = {row.choice: row for row in importances(replace(plain, space=space))}
    assert rows["timestep"].withheld == "3 of 7 values tried"
    narrow = replace(space, timesteps=timesteps[:6])
    assert importances(replace(plain, space=narrow))[0].choice == "timestep"


@pytest.mark.parametrize("metric", ["accuracy", "nll"])
@pytest.mark.parametrize("choice", RULES)
def test_the_decisive_choice_is_the_most_important(choice: str, metric: str) -> None:
    ranking = importances(studied(RULES[choice], metric=metric))
    assert ranking[0].choice == choice
    assert ranking[0].withheld is None
    assert {importance.choice for importance in ranking} == {
        "block",
        "timestep",
        "pool",
        "head",
    }  # draws were not varied
    for name in ("fANOVA", "PED-ANOVA"):
        given = [importance for importance in ranking if importance.shares]
        assert max(given, key=lambda importance: importance.shares[name]).choice == choice
        assert sum(importance.shares[name] for importance in given) <= 1 + 1e-9


def test_importances_repeat() -> None:
    assert importances(studied(RULES["pool"], FEWEST)) == importances(studied(RULES["pool"], FEWEST))


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
