from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.study import tables
from dashboards.study.answer.answer import study_answer
from dashboards.tables import Estimate
from objectives.results import Accuracy, Final, StudyResults, Trial
from spaces import Setting

StudyMaker = Callable[..., StudyResults]


def trial(number: int, correct: int, **changes: int | str) -> Trial:
    """A complete trial with `correct` of 200; block 10, t 50, pool 1, linear unless told otherwise."""
    setting = {"timestep": 50, "block": 10, "pool": 1, "head": "linear"} | changes
    return Trial(number, "complete", Setting(**setting), Accuracy(correct, 200))  # type: ignore[arg-type]


def final(setting: Setting, seed: int, validation: int, test: int) -> Final:
    return Final(setting, seed, Accuracy(validation, 200), Accuracy(test, 1000), 2.0, 100, 1200)


@pytest.fixture(scope="module")
def few(study: StudyMaker) -> StudyResults:
    trials = (
        trial(0, 80),
        trial(1, 120, block=14, pool=2),
        Trial(2, "failed", Setting(50, 20, 1, "linear"), reason="lost its worker", seconds={"extract": 1.0}),
        trial(3, 110, block=14, pool=4, head="mlp"),
        Trial(4, "pruned", Setting(90, 20, 1, "mlp"), Accuracy(20, 200), reason="under the median"),
        trial(5, 121, block=16, timestep=90, pool=2),
        Trial(6, "running", Setting(90, 21, 1, "linear")),
        Trial(7, "failed", Setting(50, 21, 1, "linear"), reason="lost its worker"),
        Trial(8, "failed", Setting(50, 22, 1, "linear")),
        trial(9, 119, block=14, pool=2, head="mlp"),
    )
    return study(trials)


@pytest.mark.parametrize(
    ("first", "second", "tied"),
    [
        # Newcombe (1998), table II: 56/70 against 48/80 differ by 0.2, interval 0.0524 to 0.3339; 5/56 against 0/29
        # by 0.0893, interval -0.0381 to 0.1926.
        (Accuracy(56, 70), Accuracy(48, 80), False),
        (Accuracy(5, 56), Accuracy(0, 29), True),
        (Accuracy(50, 100), Accuracy(50, 100), True),
        (Accuracy(0, 10), Accuracy(10, 10), False),
    ],
)
def test_a_tie_is_an_interval_that_holds_zero(first: Accuracy, second: Accuracy, tied: bool) -> None:
    assert Estimate.from_accuracy(first).tied_with(Estimate.from_accuracy(second)) is tied
    assert Estimate.from_accuracy(second).tied_with(Estimate.from_accuracy(first)) is tied


def test_without_finals_the_best_trial_answers(few: StudyResults) -> None:
    found = study_answer(few)
    assert found is not None
    assert (found.trial, found.setting) == (5, Setting(90, 16, 2, "linear"))
    assert (found.validation.value, found.validation.images) == (0.605, 200)
    assert (found.validation.low, found.validation.high) == pytest.approx((0.5358, 0.6701), abs=1e-4)
    assert (found.test, found.seeds, found.tied, found.is_finalist) == (None, (), (), False)


def test_the_best_finalist_answers_by_mean_validation_whatever_the_test(study: StudyMaker, few: StudyResults) -> None:
    first, second, third = (t.setting for t in few.complete[:3])
    finals = (
        final(first, 0, 118, 900),
        final(first, 1, 118, 900),
        final(second, 1, 121, 601),
        final(second, 0, 123, 603),
        final(third, 0, 20, 950),
    )
    found = study_answer(study(few.trials, finals))
    assert found is not None
    assert found.setting == second
    assert (found.trial, found.seeds, found.tied, found.is_finalist) == (1, (0, 1), (first,), True)
    assert found.validation.value == pytest.approx(0.61)
    assert found.test is not None
    assert found.test.value == pytest.approx(0.602)
    assert found.test.images == 1000
    assert (found.test.low, found.test.high) == pytest.approx(Accuracy(602, 1000).interval())
    assert [row.tied for row in tables.finalists(study(few.trials, finals))] == [True, True, False]


def test_no_complete_trial_gives_empty_tables(study: StudyMaker) -> None:
    empty = study((Trial(0, "failed", Setting(50, 10, 1, "linear"), reason="lost"),))
    assert study_answer(empty) is None
    assert tables.leaderboard(empty) == tables.Leaderboard((), 0, 0)
    assert tables.block_by_timestep(empty).cells == {}
    assert tables.block_by_timestep(empty).best is None
    for table in (
        tables.pooling_groups,
        tables.head_groups,
        tables.history,
        tables.finalists,
        tables.time_by_phase,
    ):
        assert table(empty) == ()


def test_leaderboard(few: StudyResults) -> None:
    board = tables.leaderboard(few, top=3)
    assert [(row.rank, row.trial, row.validation.value) for row in board.rows] == [
        (1, 5, 0.605),
        (2, 1, 0.6),
        (3, 9, 0.595),
    ]
    assert board.complete == 5
    assert board.tied == 4  # 80 of 200 is not


def test_block_by_timestep(few: StudyResults) -> None:
    table = tables.block_by_timestep(few)
    assert table.timesteps == (50, 90)
    assert len(table.blocks) == 25
    assert {key: (cell.trial, cell.count, cell.best.value) for key, cell in table.cells.items()} == {
        (10, 50): (0, 1, 0.4),
        (14, 50): (1, 3, 0.6),
        (16, 90): (5, 1, 0.605),
    }
    assert table.best == table.cells[16, 90]


def test_groups(few: StudyResults) -> None:
    pools = [(group.name, group.values, group.median, group.setting.block) for group in tables.pooling_groups(few)]
    assert pools == [
        ("1", (0.4,), 0.4, 10),
        ("2", (0.605, 0.6, 0.595), 0.6, 16),
        ("4", (0.55,), 0.55, 14),
    ]
    heads = [(group.name, group.values, group.median) for group in tables.head_groups(few)]
    assert heads == [("linear", (0.605, 0.6, 0.4), 0.6), ("mlp", (0.595, 0.55), pytest.approx(0.5725))]


def test_history(few: StudyResults) -> None:
    points = [(point.trial, point.value, point.best) for point in tables.history(few)]
    assert points == [(0, 0.4, 0.4), (1, 0.6, 0.6), (3, 0.55, 0.6), (5, 0.605, 0.605), (9, 0.595, 0.605)]


def test_time_and_passes_count_every_trial_and_the_finals(study: StudyMaker) -> None:
    setting = Setting(50, 10, 1, "linear")
    one = Trial(
        0, "complete", setting, Accuracy(1, 2), None, 1.0, {"extract": 6.0, "fit": 1.0, "wait": 0.0}, 1500, 1500
    )
    two = Trial(1, "failed", setting, None, "lost", 2.0, {"extract": 1.0}, 0, 1500)
    both = study((one, two), (final(setting, 0, 100, 500),))
    phases = [(phase.name, phase.seconds, phase.share) for phase in tables.time_by_phase(both)]
    assert phases == [("extract", 7.0, 0.7), ("finals", 2.0, 0.2), ("fit", 1.0, 0.1)]
    passes = tables.passes(both)
    assert (passes.made, passes.needed, passes.saved) == (1600, 4200, 2600)


def test_states_and_failures(few: StudyResults) -> None:
    counts = tables.trial_counts(few)
    assert (counts.complete, counts.pruned, counts.failed, counts.running, counts.total) == (5, 1, 3, 1, 10)
    assert [(row.reason, row.trials) for row in tables.failures(few)] == [
        ("lost its worker", (2, 7)),
        ("no reason was recorded", (8,)),
    ]


trials_lists = st.lists(
    st.builds(
        lambda correct, timestep, block, pool, head: (correct, timestep, block, pool, head),
        st.integers(0, 200),
        st.sampled_from((20, 50, 90)),
        st.integers(8, 12),
        st.sampled_from((1, 2, 4)),
        st.sampled_from(("linear", "mlp")),
    ),
    min_size=1,
    max_size=30,
)


@given(rows=trials_lists)
def test_laws(study: StudyMaker, rows: list[tuple[int, int, int, int, str]]) -> None:
    trials = tuple(
        trial(number, correct, timestep=timestep, block=block, pool=pool, head=head)
        for number, (correct, timestep, block, pool, head) in enumerate(rows)
    )
    made = study(trials)
    best = max(row[0] for row in rows) / 200

    bests = [point.best for point in tables.history(made)]
    assert bests == sorted(bests)
    assert bests[-1] == best

    table = tables.block_by_timestep(made)
    for t in trials:
        assert t.validation is not None
        assert table.cells[t.setting.block, t.setting.timestep].best.value >= t.validation.value
    assert sum(cell.count for cell in table.cells.values()) == len(trials)
    assert table.best is not None
    assert (table.best.best.value, table.best.trial) == (best, made.complete[0].number)

    for groups in (tables.pooling_groups(made), tables.head_groups(made)):
        assert sum(len(group.values) for group in groups) == len(trials)
        for group in groups:
            assert group.values[-1] <= group.median <= group.values[0] == group.best.value

    board = tables.leaderboard(made, top=5)
    assert [row.validation.value for row in board.rows] == sorted((row[0] / 200 for row in rows), reverse=True)[:5]
    assert 1 <= board.tied <= len(trials)
