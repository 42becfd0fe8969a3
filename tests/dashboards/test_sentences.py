from collections.abc import Callable
from dataclasses import replace

import pytest

from dashboards import sentences, summaries
from dashboards.summaries import TrialCounts
from objectives.results import Accuracy, Final, Study, Trial
from spaces import Setting, Tap

StudyMaker = Callable[..., Study]


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def trial(number: int, correct: int, timestep: int, block: int, pool: int = 2) -> Trial:
    return Trial(number, "complete", Setting(timestep, block, pool, "linear"), Accuracy(correct, 200))


@pytest.fixture(scope="module")
def few(study: StudyMaker) -> Study:
    return study((trial(0, 60, 19, 10, 1), trial(1, 135, 44, 16), trial(2, 131, 19, 16), trial(3, 90, 44, 20)))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (0.0421, "0.042 s"), (9.97, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (7384, "2 h 03 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert plain(sentences.duration(seconds)) == text


def test_head_tells_options_and_draws() -> None:
    setting = Setting(1, 1, 1, "mlp", 4, (("width", 128), ("learning_rate", 0.003)))
    assert sentences.head(setting) == "mlp, learning rate 0.003, width 128, 4 draws"


def test_blocks_and_timesteps(few: Study) -> None:
    assert plain(sentences.of_blocks_and_timesteps(summaries.block_by_timestep(few))) == (
        "Best at block 16, t 44: 67.5 % (60.7–73.6); 1 of the other 3 cells tried is within its noise, "
        "and the lowest, block 10, t 19, reaches 30.0 %."
    )


def test_groups(few: Study, study: StudyMaker) -> None:
    assert plain(sentences.of_groups("Pool", summaries.by_pooling(few))) == (
        "Pool 2 reaches the highest accuracy, 67.5 % (60.7–73.6), 37.5 points above pool 1: more than the noise."
    )
    assert plain(sentences.of_groups("Head", summaries.by_head(few))) == (
        "Only head linear was tried: its best trial reaches 67.5 % (60.7–73.6)."
    )
    close = study((trial(0, 100, 19, 10, 1), trial(1, 101, 19, 10, 2)))
    assert sentences.of_groups("Pool", summaries.by_pooling(close)).endswith(
        "0.5 points above pool 1: within the noise."
    )


@pytest.mark.parametrize(
    ("corrects", "text"),
    [
        ((100, 150), "Best with 2 taps: 75.0 % (68.6–80.5), 25.0 points from the best with one: more than the noise."),
        ((100, 101), "Best with 2 taps: 50.5 % (43.6–57.4), 0.5 points from the best with one: within the noise."),
        ((100, 99), "Best with one tap: 50.0 % (43.1–56.9); more taps gain nothing."),
    ],
)
def test_taps(study: StudyMaker, corrects: tuple[int, int], text: str) -> None:
    one, two = trial(0, corrects[0], 19, 10), trial(1, corrects[1], 19, 10)
    several = replace(two, setting=two.setting.reading(Tap(10, 19), Tap(16, 19)))
    assert plain(sentences.of_taps(summaries.by_taps(study((one, several))))) == text


def test_history(few: Study) -> None:
    points = summaries.history(few)
    assert plain(sentences.of_history(points)) == (
        "The best, 67.5 %, was found by trial 1; 2 complete trials after it found nothing better."
    )
    assert plain(sentences.of_history(points[:2])) == "The best, 67.5 %, was found by trial 1, the last complete one."


def test_leaderboard(few: Study, study: StudyMaker) -> None:
    told = plain(sentences.of_leaderboard(summaries.leaderboard(few)))
    assert told == "2 of 4 complete trials cannot be told from the first at 95 %."
    clear = summaries.leaderboard(study((trial(0, 190, 19, 10), trial(1, 20, 19, 11))))
    assert "ahead of all others" in sentences.of_leaderboard(clear)


@pytest.mark.parametrize(
    ("corrects", "said"),
    [
        ((120,), "One setting was re-evaluated, over 1 seed."),
        ((120, 20, 10), "Validation tells the first from every other."),
        ((120, 119), "Validation cannot tell the first from the other."),
        ((120, 119, 118), "Validation cannot tell the first from the 2 others."),
        ((120, 119, 20), "Validation cannot tell the first from 1 of the 2 others."),
    ],
)
def test_finalists(study: StudyMaker, corrects: tuple[int, ...], said: str) -> None:
    finals = tuple(
        Final(Setting(19, 10 + index, 1, "linear"), 0, Accuracy(correct, 200), Accuracy(500, 1000), 1.0, 0, 0)
        for index, correct in enumerate(corrects)
    )
    assert sentences.of_finalists(summaries.finalists(study((), finals))).startswith(said)


def test_answer_without_finals_warns_of_its_bias(few: Study) -> None:
    found = summaries.answer(few)
    assert found is not None
    assert "best of 4 noisy" in sentences.of_answer(found, 4)
    assert "only complete trial" in sentences.of_answer(found, 1)


@pytest.mark.parametrize(
    ("train", "folds", "text"),
    [
        (1200, None, "1,200 train, 1,500 validation, 360 test"),
        (1500, "5", "1,500 train and validate in 5 folds, 360 test"),
        (50, "5", "1,500 validate in 5 folds, 50 train in each, 360 test"),
    ],
)
def test_images(train: int, folds: str | None, text: str) -> None:
    assert sentences.of_images({"test": 360, "train": train, "validation": 1500}, folds) == text


def test_choice() -> None:
    assert sentences.of_choice(None) == "on the validation split"
    assert sentences.of_choice("5") == "by cross-validation in 5 folds"


def test_passes_and_trials() -> None:
    assert plain(sentences.of_passes(summaries.Passes(250, 1000))) == (
        "250 U-Net passes were made where 1,000 were needed: the cache saved 75.0 % of them."
    )
    assert sentences.of_passes(summaries.Passes(0, 0)) == "No U-Net pass was needed."
    assert sentences.of_trials(TrialCounts(1, 0, 0, 0)) == "1 trial: 1 complete"
    assert sentences.of_trials(TrialCounts(1200, 3, 0, 1)) == "1,204 trials: 1,200 complete, 3 pruned, 1 running"
    assert sentences.of_trials(TrialCounts(0, 0, 0, 0)) == "no trial yet"
