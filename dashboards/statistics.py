"""Differences between two classifiers: the one place where an interval, a p-value and a verdict are computed.

The interval of a difference is always the set of differences that its test does not reject at 5 %. So the interval
excludes 0 if and only if p < 0.05, and the verdict, which reads p, never contradicts the interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, lcm
from statistics import NormalDist, fmean
from typing import TYPE_CHECKING

from objectives.results import CorrectMask, Difference, IntervalEstimate, ScreenedSetting

if TYPE_CHECKING:
    import numpy as np

Z = NormalDist().inv_cdf(0.975)
RESAMPLES = 500
"""Resamples of the images for an optimism. Its standard error is then a twentieth of an accuracy's."""
STEPS = 32
"""Values of the tilt that an interval end is searched on; twice as many move no end by more than 0.1 %."""
FAR = 9.0
"""Standard deviations, by Hoeffding's bound, beyond which a sum of random signs has a probability below 1e-17."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The accuracy difference of two settings on the same `images` images.

    difference: mean accuracy of the first minus that of the second, in [−1, 1].
    both, first_only, second_only, neither: how many images were classified correctly by both settings, by one of them,
    or by neither. With several seeds they are averages over all pairs of a classifier of the first and one of the
    second. They add up to `images`.
    """

    images: int
    difference: Difference
    both: float
    first_only: float
    second_only: float
    neither: float


def verdict(difference: Difference) -> str:
    """Say whether a difference is significant at 5 %: "the difference is not significant (p = 0.057)"."""
    is_not = "" if difference.significant else "not "
    return f"the difference is {is_not}significant ({p_text(difference.p)})"


def p_text(p: float) -> str:
    """ "p = 0.057". Two digits, or as many more as it takes to stay on the same side of 0.05."""
    if p < 0.0001:
        return "p < 0.0001"
    texts = (f"{p:.{digits}g}" for digits in range(2, 17))
    return f"p = {next((text for text in texts if float(text) != 0.05), '0.05')}"


def paired_difference(
    first: Sequence[CorrectMask], second: Sequence[CorrectMask], *, comparisons: int = 1
) -> PairedDifference:
    """Compare two settings on the same images by a paired test, and invert the test into a 95 % interval.

    first, second: one mask a seed, at least one each, of the same images in the same order. The result is about further
    images of this kind and these classifiers. It does not cover other training images or another search.
    comparisons: how many differences are shown together. All their intervals contain the truth at once with 95 %
    confidence, and p is the adjusted one (Bonferroni's correction; Dunn 1961, JASA 56:52).

    The margin of an image is the share of the first setting's classifiers that are right minus the second's.
    p: the two-sided sign-flip test of the margins (Fisher 1935, The Design of Experiments, section 21) with the mid-p
    correction. With one seed each this is the mid-p McNemar test, which Fagerland, Lydersen & Laake (2013, BMC Medical
    Research Methodology 13:91) recommend: the exact test is needlessly conservative, and over 9,595 scenarios the mid-p
    test did not exceed its nominal level.
    interval: the inversion of that test. The difference is a product: the mean size of the margins, times their mean
    sign weighted by size. Tilting the flips (P(+) = 1 / (1 + exp(−2 λ size))) tests every value of the second factor;
    at λ = 0 it is the test above. Wilson's score test tests every value of the first. Both give a signed normal
    deviate, and the interval holds every product for which the two squared deviates can sum to at most 1.96². A
    difference of 0 needs no deviate of the size, so there the test is the one of p.

    Raises ValueError where the masks have different numbers of images.
    """
    import numpy as np

    totals = {mask.total for mask in (*first, *second)}
    if len(totals) != 1:
        raise ValueError(f"paired masks need one number of images, got {sorted(totals)}")
    images = totals.pop()
    first_counts, second_counts = _correct_counts(first), _correct_counts(second)
    unit = lcm(len(first), len(second))
    margins = unit // len(first) * first_counts - unit // len(second) * second_counts
    sizes, counts = np.unique(np.abs(margins[margins != 0]), return_counts=True)
    flips = _SignFlips(sizes.astype(np.int64), counts, unit, images, level=0.05 / comparisons)
    observed = int(margins.sum())
    p = flips.p(observed)
    high, low = flips.upper(observed, p), -flips.upper(-observed, p)
    a, b = first_counts / len(first), second_counts / len(second)
    return PairedDifference(
        images=images,
        difference=Difference(observed / (unit * images), low, high, min(1.0, comparisons * p)),
        both=float((a * b).sum()),
        first_only=float((a * (1 - b)).sum()),
        second_only=float(((1 - a) * b).sum()),
        neither=float(((1 - a) * (1 - b)).sum()),
    )


def unpaired_difference(first: IntervalEstimate, second: IntervalEstimate) -> Difference:
    """Compare two measured values by their 95 % intervals alone, as if of different images.

    The interval is Newcombe's method 10 (1998, Statistics in Medicine 17:873), for other intervals than Wilson's that
    of Zou & Donner (2008, Statistics in Medicine 27:1693). If both were measured on the same images it is too wide. p:
    from the interval's end on the side of 0 (Altman & Bland 2011, BMJ 343:d2304).
    """
    value = first.value - second.value
    below = hypot(first.value - first.low, second.high - second.value)
    above = hypot(first.high - first.value, second.value - second.low)
    half = below if value > 0 else above
    p = 2 * NormalDist().cdf(-Z * abs(value) / half) if half > 0 else float(value == 0)
    return Difference(value, value - below, value + above, p)


def mean_difference(differences: Sequence[IntervalEstimate]) -> IntervalEstimate:
    """The mean of independent differences, with the interval of Zou & Donner (2008, section 2).

    A difference that is known for certain (low = high) adds no width.
    """
    value, count = fmean(each.value for each in differences), len(differences)
    below = hypot(*(each.value - each.low for each in differences)) / count
    above = hypot(*(each.high - each.value for each in differences)) / count
    return IntervalEstimate(value, value - below, value + above)


def optimism(settings: Sequence[ScreenedSetting]) -> float:
    """By how much choosing the setting with the least error raises its accuracy on the same images, at least 0.

    settings: all on the same images. Images are resampled, and each time the setting with the least error on the
    resampled ones is chosen. The optimism is the mean of its accuracy on them minus its accuracy on all images (Efron
    and Tibshirani 1993, An Introduction to the Bootstrap, section 17.6), less the same for the setting that is the best
    on all images, whose mean is 0: so it has less noise, and is 0 for a single setting.
    """
    import numpy as np

    errors = np.array([setting.errors for setting in settings])
    correct = np.array([setting.correct for setting in settings], float)
    images = errors.shape[1]
    counts = np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), RESAMPLES)
    chosen = (counts @ errors.T).argmin(axis=1)
    resampled = (counts @ correct.T) / images - correct.mean(axis=1)  # of each setting: its luck on each resample
    best = errors.mean(axis=1).argmin()
    return max(float((resampled[np.arange(RESAMPLES), chosen] - resampled[:, best]).mean()), 0.0)


def _correct_counts(masks: Sequence[CorrectMask]) -> "np.ndarray":
    """Count the masks that have each image right. Return int64 (images,)."""
    import numpy as np

    bits = [np.unpackbits(np.frombuffer(mask.to_bytes(), np.uint8), bitorder="little") for mask in masks]
    counts: np.ndarray = np.stack(bits).sum(axis=0, dtype=np.int64)
    return counts[: masks[0].total]


@dataclass(frozen=True)
class _SignFlips:
    """The distribution of a sum of margins with random signs: P(+) = 1 / (1 + exp(−2 `tilt` size / largest size)).

    sizes, counts: the distinct nonzero margin sizes in units of 1 / `unit`, and how many images have each. level: the
    probability, under the truth, of an interval that does not contain it.
    """

    sizes: "np.ndarray"
    counts: "np.ndarray"
    unit: int
    images: int
    level: float

    def p(self, observed: int) -> float:
        """The two-sided mid-p of a sum under fair signs."""
        return min(1.0, 2 * min(self._below(observed, 0.0), self._below(-observed, 0.0))) if len(self.sizes) else 1.0

    def upper(self, observed: int, p: float) -> float:
        """The upper end of the interval of the mean margin, in [−1, 1]. p: of the same observed sum."""
        import numpy as np
        from scipy.special import ndtri

        tail = self.level / 2
        z = -float(ndtri(tail))
        if not len(self.sizes):
            return float(_wilson_end(0.0, self.images, z))
        limit = 20.0 * self.sizes[-1] / self.sizes[0]  # where every sign is certain
        # p decides on which side of 0 the end lies, so that rounding cannot set the two at odds.
        furthest = self._tilt(observed, tail, *((-limit, 0.0) if p < self.level and observed < 0 else (0.0, limit)))
        nearest = self._tilt(observed, 0.5, -limit, furthest)
        tilts = nearest + (furthest - nearest) * np.sin(np.linspace(0, np.pi / 2, STEPS))
        deviates = ndtri(np.clip([self._below(observed, tilt) for tilt in tilts], tail, 0.5))
        left = np.sqrt(np.maximum(z**2 - deviates**2, 0.0))
        signs = np.array([self._mean(tilt) for tilt in tilts]) / (self.sizes @ self.counts)
        mean_size = float(self.sizes @ self.counts) / (self.unit * self.images)
        return float((signs * _wilson_end(mean_size, self.images, np.where(signs > 0, left, -left))).max())

    def _tilt(self, observed: int, probability: float, low: float, high: float) -> float:
        """The tilt in [low, high] under which `_below` the observed sum comes nearest to a probability."""
        from scipy.optimize import brentq

        if self._below(observed, low) <= probability:
            return low
        if self._below(observed, high) >= probability:
            return high
        return float(brentq(lambda tilt: self._below(observed, tilt) - probability, low, high, xtol=1e-14))

    def _chances(self, tilt: float) -> "np.ndarray":
        """P(+) of each size."""
        from scipy.special import expit

        chances: np.ndarray = expit(2 * tilt * self.sizes / self.sizes[-1])
        return chances

    def _mean(self, tilt: float) -> float:
        """The mean of the sum."""
        return float((self.sizes * self.counts) @ (2 * self._chances(tilt) - 1))

    def _below(self, observed: int, tilt: float) -> float:
        """P(sum < observed) + P(sum = observed) / 2, within 1e-12."""
        import numpy as np
        from scipy.fft import irfft, next_fast_len
        from scipy.special import bdtr

        chances = self._chances(tilt)
        furthest = int(self.sizes @ self.counts)
        if len(self.sizes) == 1:
            images = int(self.counts[0])
            positive = (observed // int(self.sizes[0]) + images) // 2
            at_most = [bdtr(k, images, chances[0]) if k >= 0 else 0.0 for k in (positive - 1, positive)]
            return float(sum(at_most)) / 2
        mean, reach = self._mean(tilt), FAR * float(self.counts @ self.sizes**2) ** 0.5
        if abs(observed - mean) > reach:
            return float(observed > mean)
        # The characteristic function is a product over the images; its Fourier transform is the distribution.
        start = max(-furthest, int(mean - reach) - 1)
        length = next_fast_len(min(2 * furthest, int(2 * reach) + 2) + 1, real=True)
        angles = 2 * np.pi * np.arange(length // 2 + 1) / length
        function = np.ones_like(angles, dtype=complex)
        for size, count, chance in zip(self.sizes, self.counts, chances, strict=True):
            function *= (np.cos(size * angles) + 1j * (1 - 2 * chance) * np.sin(size * angles)) ** count
        shares = irfft(function, length)[np.arange(start, observed + 1) % length]
        return float(np.clip(shares[:-1].sum() + shares[-1] / 2, 0.0, 1.0))


def _wilson_end(share: float, images: int, deviate: "float | np.ndarray") -> "np.ndarray":
    """The end of Wilson's interval (1927) of a share that lies this normal deviate above it (below, if negative)."""
    import numpy as np

    square = np.square(deviate) / images
    spread = np.sqrt(share * (1 - share) / images + square / (4 * images))
    end: np.ndarray = (share + square / 2 + deviate * spread) / (1 + square)
    return end
