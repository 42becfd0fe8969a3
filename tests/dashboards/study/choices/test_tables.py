from collections.abc import Callable
from dataclasses import replace

import pytest

from dashboards.study.choices import sentences
from dashboards.study.choices.figures import importance_figure, interaction_figure
from dashboards.study.choices.tables import Importance, interaction, varied
from objectives.results import ACCURACY, Accuracy, StudyResults, Trial
from spaces import Setting, Tap

StudyMaker = Callable[..., StudyResults]


def importances(*names: str) -> tuple[Importance, ...]:
    """The first the most important."""
    total = sum(range(1, len(names) + 1))
    shares = [(len(names) - place) / total for place in range(len(names))]
    return tuple(Importance(name, {"fANOVA": s, "PED-ANOVA": s}) for name, s in zip(names, shares, strict=True))


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.fixture
def crossed(study: StudyMaker) -> StudyResults:
    """Pool 4 is best at block 10, pool 1 by far at block 14; at block 16 only pool 4 was tried."""
    right = {(10, 1): 500, (10, 4): 800, (14, 1): 700, (14, 4): 600, (16, 4): 650}
    trials = [
        Trial(number, "complete", Setting(44, block, pool, "linear"), Accuracy(correct, 1000))
        for number, ((block, pool), correct) in enumerate(right.items())
    ]
    worse = Trial(9, "complete", Setting(44, 10, 4, "linear", draws=4), Accuracy(790, 1000))
    return study((*trials, worse))


def test_only_choices_that_were_varied_count(crossed: StudyResults) -> None:
    assert varied(crossed) == {"block": (10, 14, 16), "pool": (1, 4), "draws": (1, 4)}


def test_an_interaction_holds_the_best_of_each_pair(crossed: StudyResults) -> None:
    found = interaction(crossed, importances("pool", "block", "draws"))
    assert found is not None
    assert (found.row, found.column) == ("block", "pool")
    assert (found.rows, found.columns) == ((10, 14, 16), (1, 4))
    assert {key: pair.best.value for key, pair in found.cells.items()} == {
        (10, 1): 0.5,
        (10, 4): 0.8,
        (14, 1): 0.7,
        (14, 4): 0.6,
        (16, 4): 0.65,
    }
    assert (found.cells[10, 4].count, found.cells[10, 4].trial) == (2, 1)
    assert found.best == (10, 4)
    assert found.exceptions() == ([14], 2)
    assert plain(sentences.interaction_sentence(found, ACCURACY)) == (
        "Best at block 10 and pool 4: 80.0 % (77.4–82.4), as the best of 2 trials. Pool 4 is significantly worse than "
        "another pool at block 14, of the 2 blocks that can be compared: the two must be chosen together."
    )


def test_choices_that_do_not_depend_on_each_other_are_told_so(crossed: StudyResults) -> None:
    without = replace(crossed, trials=tuple(t for t in crossed.trials if (t.setting.block, t.setting.pool) != (14, 1)))
    found = interaction(without, importances("block", "pool"))
    assert found is not None
    assert found.exceptions() == ([], 1)
    told = plain(sentences.interaction_sentence(found, ACCURACY))
    assert told.endswith(
        "Pool 4 is not significantly worse than another pool at the only block that can be compared: nothing shows "
        "that the two must be chosen together."
    )


@pytest.mark.parametrize(
    ("order", "pair"),
    [
        (("block", "timestep", "pool"), {"block", "pool"}),
        (("timestep", "block", "head"), {"timestep", "head"}),
        (("pool", "timestep", "block"), {"pool", "timestep"}),
        (("block", "timestep"), {"block", "timestep"}),
    ],
)
def test_block_and_timestep_have_a_figure_of_their_own(
    realistic: StudyMaker, order: tuple[str, ...], pair: set[str]
) -> None:
    found = interaction(realistic(), importances(*order))
    assert found is not None
    assert {found.row, found.column} == pair


def test_without_two_choices_there_is_no_interaction(study: StudyMaker, crossed: StudyResults) -> None:
    assert interaction(crossed, importances("pool")) is None
    assert interaction(study(crossed.trials[:1]), importances("pool", "block")) is None
    assert interaction(study(), ()) is None


def test_trials_of_several_taps_are_left_out(crossed: StudyResults) -> None:
    several = replace(crossed.trials[0], number=50, setting=crossed.trials[0].setting.reading(Tap(3, 5), Tap(4, 5)))
    more = replace(crossed, trials=(*crossed.trials, several))
    assert varied(more) == varied(crossed)


def test_an_encoder_has_no_timestep_and_words_follow_numbers(study: StudyMaker) -> None:
    settings = (Setting(None, 3, 1, "mlp"), Setting(None, 12, 1, "linear"))
    found = varied(study(tuple(Trial(n, "complete", s, Accuracy(5, 10)) for n, s in enumerate(settings))))
    assert found == {"block": (3, 12), "head": ("linear", "mlp")}


def test_figures_draw_the_tables(crossed: StudyResults) -> None:
    found = interaction(crossed, importances("pool", "block"))
    assert found is not None
    heat = interaction_figure(found, ACCURACY).data[0]
    assert (list(heat.y), list(heat.x)) == (["10", "14", "16"], ["1", "4"])
    assert [[None if z is None else round(z) for z in row] for row in heat.z] == [[50, 80], [70, 60], [None, 65]]
    assert "best of 2 trials" in heat.customdata[0][1]
    one, other = importance_figure(importances("pool", "block")).data
    assert (one.name, list(one.y)) == ("fANOVA", ["Pool", "Block"])
    assert list(one.x) == pytest.approx([200 / 3, 100 / 3])
    assert other.name == "PED-ANOVA"


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        (((0.7, 0.6), (0.3, 0.4)), "The pool matters most by both evaluators: fANOVA gives 70.0 % to the pool, "),
        (((0.7, 0.2), (0.3, 0.8)), "The evaluators disagree on what matters most: fANOVA gives 70.0 % to the pool, "),
    ],
)
def test_whether_evaluators_agree_is_told(shares: tuple[tuple[float, float], ...], told: str) -> None:
    both = [
        Importance(name, {"fANOVA": one, "PED-ANOVA": other})
        for name, (one, other) in zip(("pool", "block"), shares, strict=True)
    ]
    assert plain(sentences.importances_sentences(both)[0]).startswith(told)
