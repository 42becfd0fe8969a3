"""Successive elimination on scores of single images, with random truth."""

import numpy as np
import pytest

from dashboards.selection.elimination import (
    ERROR,
    eliminate,
    image_means,
    mask_scores,
    paired_loss,
    told_apart,
)
from objectives.results import CorrectMask, ImageScores

SEEDS = [1, 2, 3, 4, 5]


def scored(images: np.ndarray, scores: np.ndarray) -> ImageScores:
    return ImageScores(images.astype("<i4").tobytes(), scores.astype("<f4").tobytes())


def rounds(chances: dict[str, float], seed: int, images: int = 400) -> dict[str, dict[int, ImageScores]]:
    """Five rounds on a fifth of the images each. An image that is easy for one candidate is so for all."""
    generator = np.random.default_rng(seed)
    easy = generator.random(images)
    made: dict[str, dict[int, ImageScores]] = {name: {} for name in chances}
    for round_seed in SEEDS:
        validated = np.sort(generator.permutation(images)[: images // 5])
        for name, chance in chances.items():
            luck = 0.7 * easy[validated] + 0.3 * generator.random(len(validated))
            made[name][round_seed] = scored(validated, luck < chance)
    return made


def test_an_image_of_several_rounds_counts_once() -> None:
    first = scored(np.array([4, 0]), np.array([1.0, 0.0]))
    second = scored(np.array([4, 2]), np.array([0.0, 1.0]))
    np.testing.assert_array_equal(image_means([first, second]), [0.0, np.nan, 1.0, np.nan, 0.5])
    assert paired_loss(image_means([first]), image_means([second])).images == 1


def test_a_mask_becomes_scores() -> None:
    np.testing.assert_array_equal(mask_scores(CorrectMask(10, 0b1000000101)), [1, 0, 1, 0, 0, 0, 0, 0, 0, 1])


def test_candidates_that_differ_are_dropped_and_equal_ones_remain() -> None:
    result = eliminate(["a", "b", "bad"], rounds({"a": 0.7, "b": 0.7, "bad": 0.2}, 0), SEEDS)
    assert set(result.remaining) == {"a", "b"}
    assert result.dropped == {"bad": 1}
    assert result.rounds == 5
    assert result.losses[result.remaining[0]].value == 0
    assert result.losses["bad"].interval(result.comparisons).low > 0
    assert result.losses["bad"].images == 80  # of its only round


def test_rounds_end_when_one_remains() -> None:
    result = eliminate(["bad", "good"], rounds({"good": 0.9, "bad": 0.2}, 0), SEEDS)
    assert (result.remaining, result.dropped, result.rounds) == (("good",), {"bad": 1}, 1)


def test_a_round_that_is_not_complete_does_not_count() -> None:
    made = rounds({"a": 0.7, "b": 0.7}, 0)
    del made["b"][3]
    result = eliminate(["a", "b"], made, SEEDS)
    assert result.rounds == 2
    assert eliminate(["a", "new"], made, SEEDS).rounds == 0
    assert eliminate(["a"], {}, SEEDS).remaining == ("a",)
    assert eliminate([], {}, SEEDS).remaining == ()


def test_rounds_on_the_same_images_gain_nothing_and_rounds_on_others_do() -> None:
    images = np.arange(50)
    fixed = {name: scored(images, (images + shift) % 3 > 0) for name, shift in (("a", 0), ("b", 1))}
    same = {name: dict.fromkeys(SEEDS, scores) for name, scores in fixed.items()}
    assert eliminate(["a", "b"], same, SEEDS[:1]).gain == 1
    assert eliminate(["a", "b"], same, SEEDS[:2]).gain == 0
    other = eliminate(["a", "b"], rounds({"a": 0.7, "b": 0.7}, 0), SEEDS[:2])
    assert other.gain > 0.1


def test_equal_answers_are_tied_whatever_their_errors() -> None:
    same = scored(np.arange(3), np.array([1.0, 0.0, 1.0]))
    result = eliminate(["a", "b"], {"a": {1: same}, "b": {1: same}}, [1])
    assert set(result.remaining) == {"a", "b"}
    assert {loss.errors for loss in result.losses.values()} == {0.0}


@pytest.mark.parametrize("gap", [0.0, 0.05])
def test_the_best_is_dropped_hardly_ever(gap: float) -> None:
    """Simulated: 11 rivals that are as good, or a little worse."""
    chances = {"best": 0.6, **{f"rival {number}": 0.6 - gap for number in range(11)}}
    lost = sum("best" in eliminate(list(chances), rounds(chances, seed), SEEDS).dropped for seed in range(200))
    assert lost <= 200 * ERROR


def test_the_best_of_many_trials_is_told_apart_from_none() -> None:
    """A trial that is as good as 39 others is hardly ever lost, although it is compared with the luckiest of them."""
    lost = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        scores = {number: (generator.random(300) < 0.6).astype(float) for number in range(40)}
        lost += 0 in told_apart(scores)
    assert lost <= 200 * ERROR
    scores[40] = (np.random.default_rng(0).random(300) < 0.2).astype(float)
    assert 40 in told_apart(scores)
