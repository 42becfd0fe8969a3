"""The paired test against scipy and all sign flips; its interval against its p-value and against simulated truth."""

from itertools import product
from math import hypot

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from dashboards.statistics import (
    PairedDifference,
    mean_difference,
    p_text,
    paired_difference,
    unpaired_difference,
    verdict,
)
from objectives.results import Accuracy, CorrectMask, Difference, IntervalEstimate


def mask(correct: np.ndarray) -> CorrectMask:
    """correct: booleans (images,)."""
    packed = np.packbits(correct.astype(bool), bitorder="little")
    return CorrectMask(len(correct), int.from_bytes(packed.tobytes(), "little"))


def from_counts(both: int, first_only: int, second_only: int, neither: int) -> PairedDifference:
    counts = [both, first_only, second_only, neither]
    first, second = (mask(np.repeat(correct, counts)) for correct in ([1, 1, 0, 0], [1, 0, 1, 0]))
    return paired_difference([first], [second])


@pytest.mark.parametrize(
    "counts",
    [(90, 6, 4, 0), (300, 0, 0, 60), (0, 1, 0, 0), (4, 5, 0, 1), (50, 12, 30, 8), (400, 90, 41, 469), (0, 40, 40, 0)],
)
def test_with_one_seed_each_p_is_the_mid_p_mcnemar_test(counts: tuple[int, int, int, int]) -> None:
    result = from_counts(*counts)
    assert [result.both, result.first_only, result.second_only, result.neither] == list(counts)
    fewer, discordant = min(counts[1:3]), counts[1] + counts[2]
    # Fagerland, Lydersen & Laake (2013): the exact p-value minus the probability of the observed table.
    known = min(1.0, 2 * binom.cdf(fewer, discordant, 0.5) - binom.pmf(fewer, discordant, 0.5))
    assert result.difference.p == pytest.approx(known if counts[1] != counts[2] else 1.0, rel=1e-9)
    assert result.difference.value == pytest.approx((counts[1] - counts[2]) / sum(counts))


def test_the_interval_and_p_of_a_borderline_case_agree() -> None:
    """60 against 40 of 1,389: the exact McNemar test says p = 0.057 where Wald intervals exclude 0."""
    difference = from_counts(1000, 60, 40, 289).difference
    assert difference.p == pytest.approx(0.0460, abs=1e-4)
    assert 0 < difference.low < 0.001
    assert verdict(difference) == "the difference is significant (p = 0.046)"
    closer = from_counts(1000, 59, 41, 289).difference
    assert closer.low < 0 < closer.high
    assert verdict(closer) == "the difference is not significant (p = 0.073)"


def test_the_interval_is_near_that_of_bonett_and_price() -> None:
    """Their example (2012): p12 = (f12 + 1) / (n + 2), p21 = (f21 + 1) / (n + 2)."""
    difference = from_counts(59, 2, 16, 80).difference
    p12, p21 = 3 / 159, 17 / 159
    half = 1.959964 * ((p12 + p21 - (p12 - p21) ** 2) / 159) ** 0.5
    assert (difference.low, difference.high) == pytest.approx((p12 - p21 - half, p12 - p21 + half), abs=0.006)
    assert (difference.low, difference.high) == pytest.approx((-0.14699, -0.03815), abs=1e-4)


def test_several_seeds_are_tested_by_all_sign_flips() -> None:
    rng = np.random.default_rng(0)
    for seeds in ((1, 2), (2, 3), (5, 5)):
        first, second = (rng.random((count, 10)) < chance for count, chance in zip(seeds, (0.8, 0.5), strict=True))
        margins = first.mean(0) - second.mean(0)
        sums = np.array(list(product((1, -1), repeat=10))) @ margins
        reached = abs(margins.sum())
        known = 2 * (np.mean(sums > reached + 1e-9) + np.mean(np.abs(sums - reached) < 1e-9) / 2)
        result = paired_difference([*map(mask, first)], [*map(mask, second)])
        assert result.difference.p == pytest.approx(min(1.0, known))


masks = st.integers(1, 60).flatmap(
    lambda images: st.tuples(
        *(
            st.lists(st.integers(0, 2**images - 1).map(lambda bits: CorrectMask(images, bits)), min_size=1, max_size=4)
            for _ in range(2)
        )
    )
)


@given(masks)
def test_the_interval_excludes_0_exactly_if_p_is_below_5_percent(
    both: tuple[list[CorrectMask], list[CorrectMask]],
) -> None:
    difference = paired_difference(*both).difference
    assert (difference.p < 0.05) == (not difference.low <= 0 <= difference.high)
    assert -1 <= difference.low <= difference.value <= difference.high <= 1
    assert 0 <= difference.p <= 1


@given(masks, st.integers(2, 60))
def test_intervals_of_several_comparisons_are_wider_and_agree_with_the_adjusted_p(
    both: tuple[list[CorrectMask], list[CorrectMask]], comparisons: int
) -> None:
    alone, together = (paired_difference(*both, comparisons=count).difference for count in (1, comparisons))
    assert together.p == pytest.approx(min(1.0, comparisons * alone.p))
    assert together.low <= alone.low + 1e-9
    assert alone.high <= together.high + 1e-9
    assert (together.p < 0.05) == (not together.low <= 0 <= together.high)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 2000))
def test_the_same_holds_for_every_two_counts(first_only: int, second_only: int, others: int) -> None:
    difference = from_counts(others + 1, first_only, second_only, 0).difference
    assert (difference.p < 0.05) == (not difference.low <= 0 <= difference.high)
    assert -1 <= difference.low <= difference.value <= difference.high <= 1


@given(masks)
def test_swapping_the_two_reverses_the_difference(both: tuple[list[CorrectMask], list[CorrectMask]]) -> None:
    result, swapped = paired_difference(*both), paired_difference(*reversed(both))
    difference, reverse = result.difference, swapped.difference
    assert (difference.value, difference.low, difference.high) == (-reverse.value, -reverse.high, -reverse.low)
    assert difference.p == pytest.approx(reverse.p)
    assert (result.first_only, result.both) == pytest.approx((swapped.second_only, swapped.both))
    means = [np.mean([each.accuracy.value for each in side]) for side in both]
    assert difference.value == pytest.approx(means[0] - means[1])
    assert result.first_only - result.second_only == pytest.approx(result.images * difference.value)
    assert result.both + result.first_only + result.second_only + result.neither == pytest.approx(result.images)


@pytest.mark.parametrize("correct", [False, True], ids=["both wrong", "both correct"])
@given(masks, st.integers(0, 200))
def test_images_on_which_both_agree_shrink_the_difference_and_leave_p(
    correct: bool, both: tuple[list[CorrectMask], list[CorrectMask]], count: int
) -> None:
    total = both[0][0].total
    more = (2**count - 1) << total if correct else 0
    first, second = ([CorrectMask(total + count, mask.bits | more) for mask in side] for side in both)
    difference, wider = paired_difference(*both).difference, paired_difference(first, second).difference
    assert wider.value * (total + count) == pytest.approx(difference.value * total)
    assert wider.p == pytest.approx(difference.p)


@given(st.lists(st.integers(0, 2**30 - 1).map(lambda bits: CorrectMask(30, bits)), min_size=1, max_size=3))
def test_equal_masks_have_no_difference(same: list[CorrectMask]) -> None:
    difference = paired_difference(same, same).difference
    assert (difference.value, difference.p) == (0, 1)
    assert difference.low < 0 < difference.high


def coverage(images: int, first_only: float, second_only: float, draws: int = 1500) -> tuple[float, float]:
    """Return the fraction of intervals that cover the true difference, and the fraction of p < 0.05.

    first_only, second_only: the probabilities that only one of the two classifiers is correct.
    """
    chances = [first_only, second_only, 1 - first_only - second_only]
    tables, times = np.unique(np.random.default_rng(0).multinomial(images, chances, draws), axis=0, return_counts=True)
    covered = rejected = 0
    for (one, other, rest), count in zip(tables.tolist(), times.tolist(), strict=True):
        difference = from_counts(rest, one, other, 0).difference
        covered += count * (difference.low <= first_only - second_only <= difference.high)
        rejected += count * (difference.p < 0.05)
    return covered / draws, rejected / draws


@pytest.mark.parametrize("images", [20, 100, 1389])
@pytest.mark.parametrize("discordance", [0.005, 0.02, 0.1, 0.3])
@pytest.mark.parametrize("direction", [0, 0.3, 0.8, 1])
def test_the_95_percent_interval_covers_the_truth_at_least_93_times_in_100(
    images: int, discordance: float, direction: float
) -> None:
    """direction: of the discordant images, how many more the first classifier has correct than the second."""
    covered, rejected = coverage(images, discordance * (1 + direction) / 2, discordance * (1 - direction) / 2)
    assert covered >= 0.93
    if images == 1389 and discordance >= 0.1 and direction < 1:  # with fewer discordant images, counts are too coarse
        assert covered <= 0.975
    if direction == 0:
        assert rejected <= 0.06


def drawn(rng: np.random.Generator, images: int, better: float) -> Difference:
    """Two settings of three seeds each. An image is equally hard for all; the first is better by `better`."""
    ease = rng.beta(8, 1, images) * 0.9
    first, second = (rng.random((3, images)) < chance for chance in (ease + better, ease))
    return paired_difference([*map(mask, first)], [*map(mask, second)]).difference


@pytest.mark.slow
def test_the_same_coverage_and_error_rate_hold_for_several_seeds() -> None:
    rng = np.random.default_rng(1)
    apart = [drawn(rng, 300, 0.05) for _ in range(1000)]
    assert 0.93 <= np.mean([difference.low <= 0.05 <= difference.high for difference in apart]) <= 0.985
    assert np.mean([difference.significant for difference in apart]) > 0.5
    alike = [drawn(rng, 300, 0.0) for _ in range(1000)]
    assert 0.03 < np.mean([difference.significant for difference in alike]) < 0.07


def test_masks_of_different_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"need one number of images, got \[3, 4\]"):
        paired_difference([CorrectMask(3, 0b101)], [CorrectMask(4, 0b101)])


def measured(accuracy: Accuracy) -> IntervalEstimate:
    return IntervalEstimate(accuracy.value, *accuracy.interval())


def test_an_unpaired_difference_is_newcombes_tenth() -> None:
    """The first example of Newcombe (1998), table II: 56/70 against 48/80, 0.0524 to 0.3339."""
    difference = unpaired_difference(measured(Accuracy(56, 70)), measured(Accuracy(48, 80)))
    assert (difference.low, difference.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert difference.significant


counts = st.integers(1, 300).flatmap(lambda total: st.builds(Accuracy, st.integers(0, total), st.just(total)))


@given(counts, counts)
def test_an_unpaired_interval_and_p_agree_too(first: Accuracy, second: Accuracy) -> None:
    difference = unpaired_difference(measured(first), measured(second))
    assert (difference.p < 0.05) == (not difference.low <= 0 <= difference.high)
    reverse = unpaired_difference(measured(second), measured(first))
    assert (reverse.value, reverse.low, reverse.high) == pytest.approx(
        (-difference.value, -difference.high, -difference.low)
    )
    assert reverse.p == pytest.approx(difference.p)


def test_pairing_finds_a_difference_that_two_accuracies_do_not_show() -> None:
    first, second = CorrectMask(400, 2**220 - 1), CorrectMask(400, 2**208 - 1)  # the first has 12 more correct
    assert paired_difference([first], [second]).difference.significant
    assert not unpaired_difference(measured(first.accuracy), measured(second.accuracy)).significant


def test_a_mean_of_one_is_that_one_and_a_mean_of_many_is_narrower() -> None:
    one = IntervalEstimate(0.1, 0.05, 0.2)
    assert mean_difference([one]) == one
    four = mean_difference([one] * 4)
    assert (four.value, four.low, four.high) == pytest.approx((0.1, 0.075, 0.15))
    certain = mean_difference([one, IntervalEstimate(0, 0, 0)])
    assert (certain.value, certain.low) == pytest.approx((0.05, 0.05 - hypot(0.05, 0) / 2))


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (1.0, "p = 1"),
        (0.0569, "p = 0.057"),
        (0.04996, "p = 0.04996"),
        (0.0502, "p = 0.0502"),
        (0.00012, "p = 0.00012"),
        (1e-9, "p < 0.0001"),
    ],
)
def test_p_as_text_stays_on_its_side_of_5_percent(p: float, text: str) -> None:
    assert p_text(p) == text
