from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dashboards.screening import sentences, tables
from objectives.results import ComparedSetting, ScreenedSetting, ScreeningResults, StudyResults
from spaces import Setting, Tap

StudyMaker = Callable[..., StudyResults]


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def scored(block: int, right: int, images: int = 200, timestep: int | None = 44, pool: int = 2) -> ScreenedSetting:
    """Right on the first so many images."""
    answers = tuple(place < right for place in range(images))
    errors = tuple(0.02 if answer else 1.0 for answer in answers)
    return ScreenedSetting(Setting(timestep, block, pool, "ridge"), answers, errors, 1.0, 0.1)


def beside(best: ScreenedSetting, score: ScreenedSetting, cost: float) -> ComparedSetting:
    return ComparedSetting(score, cost, tables.accuracy_loss(score, best))


def recommended(
    best: ScreenedSetting,
    others: tuple[tuple[ScreenedSetting, float], ...] = (),
    images: int = 200,
    chance: float = 0.1,
    **more: Any,
) -> ScreeningResults:
    """others: settings at the same timestep, with their costs."""
    compared = tuple(beside(best, score, cost) for score, cost in others)
    cheaper = tuple(other for other in compared if other.cost <= 0.75)
    screened = (best, *(score for score, _ in others))
    return ScreeningResults(best, compared, cheaper, screened, images, 1450, chance, **more)


BEST = scored(16, 135)
TWO_TAPS = Setting(44, 12, 2, "ridge", further=(Tap(16, 44),))


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        (
            recommended(
                BEST,
                (
                    *((scored(block, 134), block / 16) for block in (17, 18, 19, 20)),
                    (scored(12, 134), 0.75),
                    (scored(8, 100), 0.5),
                    (scored(4, 137), 0.25),
                    (scored(2, 9), 0.1),
                ),
                measuring=400,
                more_taps=(beside(BEST, replace(scored(16, 150), setting=TWO_TAPS), 1.2),),
                other_timesteps=(beside(BEST, scored(9, 90, 150, timestep=5), 0.6),),
            ),
            """\
setting         block 16, t 44, pool 2
accuracy        67.5 %  (95 % interval 57.7 to 76.0; leave-one-out ridge on all 200 training images)
chance          10.0 %, the share of the most frequent class
cost            0.16 GMAC per image, 64 % of the whole network
tied            Compared on 200 images with 8 other settings at t 44, it is tied with 6: block 17, t 44, pool 2; block 18, t 44, pool 2; block 19, t 44, pool 2; and 3 more.
                By accuracy block 4, t 44, pool 2 gains 1.0 points (−0.8 to 3.6): tied. The choice was by squared error, which has less noise, and by cost.
cheaper         block 12, t 44, pool 2: 75 % of the cost, loses 0.5 points (−1.2 to 2.8): tied
                block 8, t 44, pool 2: 50 % of the cost, loses 17.5 points (12.6 to 23.4): worse
                block 4, t 44, pool 2: 25 % of the cost, gains 1.0 points (−0.8 to 3.6): tied
more taps       block 12 at t 44 + block 16 at t 44, pool 2: 120 % of the cost, gains 7.5 points (4.1 to 12.0): better
other timestep  block 9, t 5, pool 2, the best setting screened at t 5: loses 30.0 points (22.9 to 37.8): worse, on 150 images
screened        9 settings at 1 of 8 timesteps: 90.6 % of the 1,600 passes that 200 images at 8 timesteps would take
screening       1,050 forward passes, each of one image at one timestep, chose it; 400 more measured it, which stay in the cache for its classifier
report          page.html
next            search run""",  # noqa: E501
        ),
        (
            recommended(
                replace(scored(16, 135, timestep=None), correct=tuple(place % 3 > 0 for place in range(200))),
                images=2000,
                on_half=replace(scored(16, 60), correct=tuple(place % 5 > 1 for place in range(100))),
            ),
            """\
setting         block 16, pool 2
accuracy        82.2 %  (95 % interval 56.7 to 98.1; leave-one-out ridge on 200 of 2,000 training images)
                66.5 % is measured; the rest is extrapolated to all 2,000 images, by the growth from half of the screened images to all of them
chance          10.0 %, the share of the most frequent class
cost            0.16 GMAC per image, 64 % of the whole network
tied            No other setting was compared with it.
screened        1 setting at 1 of 8 timesteps: 9.1 % of the 16,000 passes that 2,000 images at 8 timesteps would take
screening       1,450 forward passes, each of one image at one timestep
report          page.html
next            search run""",  # noqa: E501
        ),
        (
            recommended(scored(16, 24), ((scored(17, 23), 1.1), (scored(4, 20), 0.25))),
            """\
setting         none: no setting is better than chance
accuracy        12.0 %  (95 % interval 7.0 to 19.9; leave-one-out ridge on all 200 training images)
chance          10.0 %, the share of the most frequent class
screened        3 settings at 1 of 8 timesteps: 90.6 % of the 1,600 passes that 200 images at 8 timesteps would take
screening       1,450 forward passes, each of one image at one timestep
report          page.html""",
        ),
    ],
    ids=["with all", "alone", "chance"],
)
def test_recommendation(study: StudyMaker, found: ScreeningResults, lines: str) -> None:
    told = sentences.recommendation_lines(found, study().architecture, 8, "search run", "page.html")
    assert "\n".join(map(plain, told)) == lines


@pytest.mark.parametrize(
    ("others", "text"),
    [
        (((scored(17, 60), 1.1),), "Compared on 200 images with 1 other setting at t 44, it is tied with none."),
        (
            ((scored(17, 134), 1.1), (scored(18, 60), 1.2)),
            "Compared on 200 images with 2 other settings at t 44, it is tied with 1: block 17, t 44, pool 2.",
        ),
    ],
)
def test_tied(others: tuple[tuple[ScreenedSetting, float], ...], text: str) -> None:
    assert sentences.ties_sentence(recommended(BEST, others)) == text


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        (
            (BEST, scored(20, 130), scored(8, 20)),
            "The recommended block 16, t 44, framed, is the highest of 3 cells: 67.5 % (59.2–74.8); "
            "the lowest, block 8, t 44, reaches 10.0 % (6.0–16.2).",
        ),
        (
            (BEST, scored(20, 140)),
            "The recommended block 16, t 44, framed, reaches 67.5 % (59.7–74.4); "
            "the highest of 2 cells, block 20, t 44, reaches 70.0 % (62.3–76.7).",
        ),
        ((BEST,), "The only screened cell, block 16, t 44, reaches 67.5 % (60.7–73.6)."),
    ],
)
def test_screened_cells(study: StudyMaker, scores: tuple[ScreenedSetting, ...], text: str) -> None:
    found = ScreeningResults(scores[0], (), (), scores, 2000, 100, 0.1)
    table = tables.block_by_timestep(found, study().architecture)
    assert plain(sentences.block_by_timestep_sentence(table)) == text


def test_screened_pools() -> None:
    found = ScreeningResults(BEST, (), (), (BEST, scored(16, 120, pool=4), scored(16, 60, pool=1)), 2000, 100, 0.1)
    assert plain(sentences.pooling_sentence(found)) == (
        "Pool 2 reaches the highest accuracy, 67.5 % (59.2–74.8). On the same images the best setting of pool 4 "
        "loses 7.5 points (3.4 to 13.2); the difference is significant (p < 0.0001)."
    )
    alone = plain(sentences.pooling_sentence(recommended(BEST)))
    assert alone == "Only pool 2 was screened: its best setting reaches 67.5 % (60.7–73.6)."


@pytest.mark.parametrize(
    ("rights", "text"),
    [
        ((134, 134, 90), "At 50.0 % of the recommended setting's cost, block 8, t 44, pool 2 loses 0.5 points"),
        ((120, 110, 90), "At 75.0 % of the recommended setting's cost, block 12, t 44, pool 2 loses 7.5 points"),
    ],
)
def test_cheaper_names_the_cheapest_that_holds_or_else_the_least_loss(rights: tuple[int, ...], text: str) -> None:
    places = zip(rights, (12, 8, 4), (0.75, 0.5, 0.25), strict=True)
    found = recommended(BEST, tuple((scored(block, right), cost) for right, block, cost in places))
    assert plain(sentences.cheaper_sentence(found.cheaper)).startswith(text)


def test_how_many_images_what_was_screened_on() -> None:
    raced = ScreeningResults(scored(16, 270, 400), (), (), (scored(16, 270, 400), *[BEST] * 3), 2000, 100, 0.1)
    assert sentences.screened_sentence(raced) == "4 settings on 200 images; 1 of them, the best, on 400 images."
    assert sentences.screened_sentence(recommended(BEST)) == "1 setting on 200 images, the least squared error first."
