from collections.abc import Callable
from dataclasses import replace

import pytest

from dashboards.study import sentences, tables
from dashboards.study.answer.answer import study_answer
from dashboards.study.answer.sentences import tied_sentence
from dashboards.study.choices import sentences as choice_sentences
from dashboards.study.tables import TrialCounts
from objectives.results import Accuracy, Final, StudyResults, Trial
from spaces import Setting, Tap

StudyMaker = Callable[..., StudyResults]


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def trial(number: int, correct: int, timestep: int, block: int, pool: int = 2) -> Trial:
    return Trial(number, "complete", Setting(timestep, block, pool, "linear"), Accuracy(correct, 200))


@pytest.fixture(scope="module")
def few(study: StudyMaker) -> StudyResults:
    return study((trial(0, 60, 19, 10, 1), trial(1, 135, 44, 16), trial(2, 131, 19, 16), trial(3, 90, 44, 20)))


def test_blocks_and_timesteps(few: StudyResults) -> None:
    assert plain(choice_sentences.block_by_timestep_sentence(tables.block_by_timestep(few))) == (
        "The answer's cell, block 16, t 44, reaches 67.5 % (60.7–73.6) in its only trial. 1 of the 3 other cells "
        "that were tried differs from it by less than chance would. The lowest, block 10, t 19, reaches 30.0 %. 46 of "
        "the 50 cells were not tried."
    )


def test_groups(few: StudyResults, study: StudyMaker) -> None:
    assert plain(choice_sentences.groups_sentence("Pool", tables.pooling_groups(few))) == (
        "Pool 2 reaches the highest accuracy, 67.5 % (60.7–73.6), as the best of 3 trials. That is 37.5 points above "
        "the only trial with pool 1; the difference is significant (p < 0.0001). The best of more trials is "
        "better by chance alone, so this does not show which is better."
    )
    assert plain(choice_sentences.groups_sentence("Head", tables.head_groups(few))) == (
        "Only head linear was tried: its best trial reaches 67.5 % (60.7–73.6)."
    )
    close = study((trial(0, 100, 19, 10, 1), trial(1, 101, 19, 10, 2)))
    assert choice_sentences.groups_sentence("Pool", tables.pooling_groups(close)).endswith(
        "0.5 points above the only trial with pool 1; the difference is not significant (p = 0.92)."
    )


@pytest.mark.parametrize(
    ("corrects", "text"),
    [
        (
            (100, 150),
            "Best with 2 taps: 75.0 % (68.6–80.5), in its only trial, 25.0 points from the only trial with one tap; "
            "the difference is significant (p < 0.0001).",
        ),
        (
            (100, 101),
            "Best with 2 taps: 50.5 % (43.6–57.4), in its only trial, 0.5 points from the only trial with one tap; "
            "the difference is not significant (p = 0.92).",
        ),
        ((100, 99), "Best with one tap: 50.0 % (43.1–56.9), in its only trial; more taps do not improve it."),
    ],
)
def test_taps(study: StudyMaker, corrects: tuple[int, int], text: str) -> None:
    one, two = trial(0, corrects[0], 19, 10), trial(1, corrects[1], 19, 10)
    several = replace(two, setting=two.setting.reading(Tap(10, 19), Tap(16, 19)))
    assert plain(choice_sentences.taps_sentence(tables.tap_groups(study((one, several))))) == text


def test_history(few: StudyResults) -> None:
    points = tables.history(few)
    assert plain(sentences.history_sentence(points)) == (
        "Trial 1 reached the best value, 67.5 %. None of the 2 complete trials after it was better."
    )
    last = plain(sentences.history_sentence(points[:2]))
    assert last == "Trial 1 reached the best value, 67.5 %. It is the last complete trial."
    one_after = plain(sentences.history_sentence(points[:3]))
    assert one_after == "Trial 1 reached the best value, 67.5 %. The complete trial after it was not better."


def test_leaderboard(few: StudyResults, study: StudyMaker) -> None:
    told = plain(sentences.leaderboard_sentence(tables.leaderboard(few)))
    assert told == "1 of the 3 other complete trials differs from the first by less than chance would."
    clear = tables.leaderboard(study((trial(0, 190, 19, 10), trial(1, 20, 19, 11))))
    assert "significantly better than every other" in sentences.leaderboard_sentence(clear)


@pytest.mark.parametrize(
    ("corrects", "said"),
    [
        ((120,), "One setting was re-evaluated, over 1 seed."),
        ((120, 20, 10), "The best on validation is significantly better than every other."),
        ((120, 119), "The other setting is tied with the best, as far as 200 validation images can tell."),
        ((120, 119, 118), "Both other settings are tied with the best, as far as 200 validation images can tell."),
        ((120, 119, 20), "1 of the 2 other settings is tied with the best, as far as 200 validation images can tell."),
    ],
)
def test_finalists(study: StudyMaker, corrects: tuple[int, ...], said: str) -> None:
    finals = tuple(
        Final(Setting(19, 10 + index, 1, "linear"), 0, Accuracy(correct, 200), Accuracy(500, 1000), 1.0, 0, 0)
        for index, correct in enumerate(corrects)
    )
    assert sentences.finalists_sentence(tables.finalists(study((), finals))).startswith(said)


def test_answer_without_finals_warns_of_its_bias(few: StudyResults) -> None:
    found = study_answer(few)
    assert found is not None
    assert "only the best of 4 trials so far" in tied_sentence(found, 4)
    assert "only complete trial" in tied_sentence(found, 1)


def test_selection_text() -> None:
    assert sentences.selection_text(None) == "on the validation split"
    assert sentences.selection_text("5") == "by cross-validation in 5 folds"


def test_passes_and_trials() -> None:
    assert plain(sentences.passes_sentence(tables.Passes(250, 1000))) == (
        "250 forward passes were made. A plain script that makes its own passes for each trial would have made 1,000: "
        "75.0 % were saved."
    )
    assert sentences.passes_sentence(tables.Passes(90, 80, 40, 10)) == (
        "90 forward passes were made, 40 of them to screen, 10 of them in trials that did not finish. A plain script "
        "that makes its own passes for each trial would have made 80."
    )
    assert sentences.passes_sentence(tables.Passes(0, 0)) == "No forward pass was needed."
    assert sentences.trial_counts_text(TrialCounts(1, 0, 0, 0)) == "1 trial: 1 complete"
    assert (
        sentences.trial_counts_text(TrialCounts(1200, 3, 0, 1)) == "1,204 trials: 1,200 complete, 3 pruned, 1 running"
    )
    assert sentences.trial_counts_text(TrialCounts(0, 0, 0, 0, others=1)) == "no trial yet"


def test_trials_that_no_number_counts_have_a_sentence() -> None:
    assert sentences.other_trials_sentence(TrialCounts(1, 0, 0, 0)) == ""
    assert sentences.other_trials_sentence(TrialCounts(1, 0, 0, 0, waiting=1)) == "1 enqueued trial runs next."
    assert sentences.other_trials_sentence(TrialCounts(1, 0, 0, 0, waiting=2, others=1)) == (
        "2 enqueued trials run next; 1 other trial left out: no run measured it."
    )
