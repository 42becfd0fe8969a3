from collections.abc import Callable
from dataclasses import replace

import pytest

from dashboards import formatting as sentences
from dashboards.screening import sentences as screened_sentences
from dashboards.screening import tables as screened
from dashboards.study import tables as summaries
from dashboards.study.tables import TrialCounts
from objectives.results import Accuracy, CheaperSetting, Final, Recommendation, ScreenedSetting, StudyResults, Trial
from spaces import Setting, Tap

StudyMaker = Callable[..., StudyResults]


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def trial(number: int, correct: int, timestep: int, block: int, pool: int = 2) -> Trial:
    return Trial(number, "complete", Setting(timestep, block, pool, "linear"), Accuracy(correct, 200))


@pytest.fixture(scope="module")
def few(study: StudyMaker) -> StudyResults:
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


def test_blocks_and_timesteps(few: StudyResults) -> None:
    assert plain(sentences.of_blocks_and_timesteps(summaries.block_by_timestep(few))) == (
        "Best at block 16, t 44: 67.5 % (60.7–73.6); 1 of the other 3 cells tried is within its noise, "
        "and the lowest, block 10, t 19, reaches 30.0 %."
    )


def test_groups(few: StudyResults, study: StudyMaker) -> None:
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


def test_history(few: StudyResults) -> None:
    points = summaries.history(few)
    assert plain(sentences.of_history(points)) == (
        "The best, 67.5 %, was found by trial 1; 2 complete trials after it found nothing better."
    )
    assert plain(sentences.of_history(points[:2])) == "The best, 67.5 %, was found by trial 1, the last complete one."


def test_leaderboard(few: StudyResults, study: StudyMaker) -> None:
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


def test_answer_without_finals_warns_of_its_bias(few: StudyResults) -> None:
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


def scored(block: int, right: int, images: int = 200, timestep: int | None = 44, pool: int = 2) -> ScreenedSetting:
    """Right on the first so many images."""
    answers = tuple(place < right for place in range(images))
    errors = tuple(0.02 if answer else 1.0 for answer in answers)
    return ScreenedSetting(Setting(timestep, block, pool, "ridge"), answers, errors, 1.0, 0.1)


def recommended(
    best: ScreenedSetting,
    tied: tuple[ScreenedSetting, ...] = (),
    cheaper: tuple[tuple[ScreenedSetting, float], ...] = (),
    others: int = 0,
    images: int = 2000,
    chance: float = 0.1,
) -> Recommendation:
    alternatives = tuple(CheaperSetting(score, cost, score.accuracy_loss(best)) for score, cost in cheaper)
    dropped = tuple(scored(1 + place, 10) for place in range(others))
    return Recommendation(best, tied, alternatives, (best, *tied, *dropped), images, 1450, chance)


BEST = scored(16, 135)


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        (
            recommended(
                BEST,
                tuple(scored(block, 134) for block in (17, 18, 19, 20)),
                ((scored(12, 134), 0.75), (scored(8, 100), 0.5), (scored(4, 137), 0.25), (scored(2, 9), 0.1)),
                others=4,
            ),
            """\
setting     block 16, t 44, pool 2
accuracy    67.5 %  (95 % interval 57.8 to 75.9; leave-one-out ridge on 200 images)
            rather too low for heads fitted on all 2,000
cost        0.16 GMAC an image, 64 % of the whole network
tied        4 of the 8 other settings are tied with it on 200 images: block 17, t 44, pool 2; block 18, t 44, pool 2; block 19, t 44, pool 2; and 1 more.
cheaper     block 12, t 44, pool 2: 75 % of the cost, loses 0.5 points (−0.5 to 1.5)
            block 8, t 44, pool 2: 50 % of the cost, loses 17.5 points (12.2 to 22.8)
            block 4, t 44, pool 2: 25 % of the cost, gains 1.0 points (−0.4 to 2.4)
screening   1,450 passes, each of an image at a timestep""",  # noqa: E501
        ),
        (
            recommended(scored(16, 135, timestep=None), images=200),
            """\
setting     block 16, pool 2
accuracy    67.5 %  (95 % interval 60.7 to 73.6; leave-one-out ridge on 200 images)
cost        0.16 GMAC an image, 64 % of the whole network
tied        It is the only setting that was screened.
screening   1,450 passes, each of an image at a timestep""",
        ),
        (
            recommended(scored(16, 24), tied=(scored(17, 23),), cheaper=((scored(4, 20), 0.25),)),
            """\
setting     none: no setting is better than chance
accuracy    12.0 %  (95 % interval 7.8 to 18.1; leave-one-out ridge on 200 images)
chance      10.0 %, the share of the most frequent class
screening   1,450 passes, each of an image at a timestep""",
        ),
    ],
    ids=["with all", "alone", "chance"],
)
def test_recommendation(study: StudyMaker, found: Recommendation, lines: str) -> None:
    assert "\n".join(sentences.of_recommendation(found, study().architecture)) == lines


@pytest.mark.parametrize(
    ("tied", "others", "text"),
    [
        ((), 3, "None of the 3 other settings is tied with it: 200 images tell them apart."),
        (
            (scored(17, 134),),
            1,
            "1 of the 2 other settings is tied with it on 200 images: block 17, t 44, pool 2.",
        ),
    ],
)
def test_tied(tied: tuple[ScreenedSetting, ...], others: int, text: str) -> None:
    assert sentences.of_tied(recommended(BEST, tied, others=others)) == text


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        (
            (BEST, scored(20, 130), scored(8, 20)),
            "The recommended block 16, t 44, framed, is the highest of 3 cells: 67.5 % (59.2–74.8); "
            "the lowest, block 8, t 44, 10.0 % (6.0–16.2).",
        ),
        (
            (BEST, scored(20, 140)),
            "The recommended block 16, t 44, framed, reaches 67.5 % (59.7–74.4); "
            "the highest of 2 cells, block 20, t 44, 70.0 % (62.3–76.7).",
        ),
        ((BEST,), "The only cell screened, block 16, t 44, reaches 67.5 % (60.7–73.6)."),
    ],
)
def test_screened_cells(study: StudyMaker, scores: tuple[ScreenedSetting, ...], text: str) -> None:
    found = Recommendation(scores[0], (), (), scores, 2000, 100, 0.1)
    table = screened.by_block_and_timestep(found, study().architecture)
    assert plain(screened_sentences.of_cells(table)) == text


def test_screened_pools() -> None:
    found = Recommendation(BEST, (), (), (BEST, scored(16, 120, pool=4), scored(16, 60, pool=1)), 2000, 100, 0.1)
    assert plain(screened_sentences.of_pools(found)) == (
        "Pool 2 reaches the highest accuracy, 67.5 % (59.2–74.8); "
        "on the same images the best of pool 4 loses 7.5 points (3.8 to 11.2): more than the noise."
    )
    alone = plain(screened_sentences.of_pools(recommended(BEST)))
    assert alone == "Only pool 2 was screened: its best reaches 67.5 % (60.7–73.6)."


@pytest.mark.parametrize(
    ("rights", "text"),
    [
        ((134, 134, 90), "At 50.0 % of the recommended setting's cost, block 8, t 44, pool 2 loses 0.5 points"),
        ((120, 110, 90), "At 75.0 % of the recommended setting's cost, block 12, t 44, pool 2 loses 7.5 points"),
    ],
)
def test_cheaper_names_the_cheapest_that_holds_or_else_the_least_loss(rights: tuple[int, ...], text: str) -> None:
    places = zip(rights, (12, 8, 4), (0.75, 0.5, 0.25), strict=True)
    found = recommended(BEST, cheaper=tuple((scored(block, right), cost) for right, block, cost in places))
    assert plain(screened_sentences.of_cheaper(found.cheaper)).startswith(text)


def test_how_many_images_what_was_screened_on() -> None:
    raced = Recommendation(scored(16, 270, 400), (), (), (scored(16, 270, 400), *[BEST] * 3), 2000, 100, 0.1)
    assert (
        screened_sentences.of_screened(raced) == "4 settings on 200 images, and 1 of them, still in the race, on 400."
    )
    assert (
        screened_sentences.of_screened(recommended(BEST)) == "1 setting on 200 images, the least squared error first."
    )
