"""The paired test against scipy's, against all ways to flip signs, and against what a thousand tests say."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from dashboards.statistics import Paired, paired
from objectives.results import CorrectMask


def answers(right: np.ndarray) -> CorrectMask:
    """Of booleans (images,)."""
    return CorrectMask(len(right), sum(1 << int(image) for image in np.flatnonzero(right)))


def of_counts(both: int, first_only: int, second_only: int, neither: int) -> list[CorrectMask]:
    counts = [both, first_only, second_only, neither]
    return [answers(np.repeat(right, counts)) for right in ([1, 1, 0, 0], [1, 0, 1, 0])]


@pytest.mark.parametrize(
    "counts",
    [(90, 6, 4, 0), (300, 0, 0, 60), (0, 1, 0, 0), (4, 5, 0, 1), (50, 12, 30, 8), (400, 90, 41, 469), (0, 40, 40, 0)],
)
def test_with_one_seed_each_it_is_mcnemars_exact_test(counts: tuple[int, int, int, int]) -> None:
    first, second = of_counts(*counts)
    found = paired([first], [second])
    assert [found.both, found.first_only, found.second_only, found.neither] == list(counts)
    discordant = counts[1] + counts[2]
    known = binomtest(counts[1], discordant).pvalue if discordant else 1.0
    assert found.p == pytest.approx(known, rel=1e-9, abs=1e-12)
    assert found.difference == pytest.approx((counts[1] - counts[2]) / sum(counts))


def test_the_interval_is_that_of_bonett_and_price() -> None:
    """Recalculated from their equation: p12 = (f12 + 1) / (n + 2), p21 = (f21 + 1) / (n + 2)."""
    found = paired(*([each] for each in of_counts(59, 2, 16, 80)))
    p12, p21 = 3 / 159, 17 / 159
    half = 1.959964 * ((p12 + p21 - (p12 - p21) ** 2) / 159) ** 0.5
    assert (found.low, found.high) == pytest.approx((p12 - p21 - half, p12 - p21 + half), abs=1e-6)


def test_several_seeds_are_tested_by_all_ways_to_flip_signs() -> None:
    rng = np.random.default_rng(0)
    for seeds in ((1, 2), (2, 3), (5, 5)):
        first, second = (rng.random((each, 10)) < chance for each, chance in zip(seeds, (0.8, 0.5), strict=True))
        margins = first.mean(0) - second.mean(0)
        sums = np.array(list(product((1, -1), repeat=10))) @ margins
        known = np.mean(np.abs(sums) >= abs(margins.sum()) - 1e-9)
        assert paired([*map(answers, first)], [*map(answers, second)]).p == pytest.approx(known)


classifiers = st.integers(1, 40).flatmap(
    lambda images: st.tuples(
        *(
            st.lists(st.integers(0, 2**images - 1).map(lambda bits: CorrectMask(images, bits)), min_size=1, max_size=4)
            for _ in range(2)
        )
    )
)


@given(classifiers)
def test_swapping_the_two_turns_the_difference_round(both: tuple[list[CorrectMask], list[CorrectMask]]) -> None:
    found, swapped = paired(*both), paired(*reversed(both))
    assert found.difference == -swapped.difference
    assert (found.low, found.high) == pytest.approx((-swapped.high, -swapped.low))
    assert found.p == pytest.approx(swapped.p)
    assert (found.first_only, found.both) == pytest.approx((swapped.second_only, swapped.both))
    means = [np.mean([each.accuracy.value for each in answers]) for answers in both]
    assert found.difference == pytest.approx(means[0] - means[1])
    assert found.first_only - found.second_only == pytest.approx(found.images * found.difference)
    assert found.both + found.first_only + found.second_only + found.neither == pytest.approx(found.images)
    assert -1 <= found.low <= found.high <= 1
    assert 0 <= found.p <= 1


@given(st.lists(st.integers(0, 2**30 - 1).map(lambda bits: CorrectMask(30, bits)), min_size=1, max_size=3))
def test_what_answers_alike_cannot_be_told_apart(answers: list[CorrectMask]) -> None:
    found = paired(answers, answers)
    assert (found.difference, found.p) == (0, 1)
    assert found.low < 0 < found.high


def drawn(rng: np.random.Generator, images: int, better: float) -> Paired:
    """Two settings of three seeds each; an image is as hard for all of them, and the first is better by so much."""
    ease = rng.beta(8, 1, images) * 0.9
    first, second = (rng.random((3, images)) < chance for chance in (ease + better, ease))
    return paired([*map(answers, first)], [*map(answers, second)])


def test_the_interval_holds_the_truth_and_the_test_errs_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    apart = [drawn(rng, 300, 0.05) for _ in range(1000)]
    assert 0.93 < np.mean([found.low <= 0.05 <= found.high for found in apart]) < 0.975
    assert np.mean([found.p < 0.05 for found in apart]) > 0.5
    alike = [drawn(rng, 300, 0.0) for _ in range(1000)]
    assert 0.03 < np.mean([found.p < 0.05 for found in alike]) < 0.07


def test_answers_to_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"of one number of them, got \[3, 4\]"):
        paired([CorrectMask(3, 0b101)], [CorrectMask(4, 0b101)])
