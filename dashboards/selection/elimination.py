"""Successive elimination: candidates are compared on the same images, round by round, and the worse ones drop out.

Even-Dar, Mannor & Mansour (2006, JMLR 7:1079) eliminate arms by confidence bounds; here the bounds are those of paired
differences over images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Generic, TypeVar

from objectives.results import CorrectMask, ImageScores, IntervalEstimate

if TYPE_CHECKING:
    import numpy as np

ERROR = 0.05
"""The most probability that the best candidate is dropped, over all candidates and rounds together."""

AS_GOOD = 0.25
"""Standard errors of a paired difference within which a cheaper setting counts as equally good. One, the classic rule
(Breiman et al. 1984, section 3.4.3), cost up to two points of accuracy (docs/benchmarks.md, Selection)."""

WORTHWHILE = 0.05
"""A further round is made while the last one made the standard errors smaller by at least this share. With folds, each
round has the same images, and soon tells nothing new."""

Key = TypeVar("Key")
Rounds = Mapping[int, ImageScores]
"""The scores of one candidate by the seed of the round."""


@dataclass(frozen=True, slots=True)
class PairedLoss:
    """The mean score of the leader minus that of another candidate, on the same images.

    error: the standard error of `value` over images. images: how many.
    """

    value: float
    error: float
    images: int

    @property
    def errors(self) -> float:
        """The loss in standard errors."""
        if self.error == 0:
            return 0.0 if self.value == 0 else inf if self.value > 0 else -inf
        return self.value / self.error

    def significant(self, comparisons: int) -> bool:
        """Whether the other candidate is worse, by a one-sided t-test with Bonferroni's correction."""
        from scipy.stats import t

        return self.images > 1 and self.errors > float(t.isf(ERROR / max(comparisons, 1), self.images - 1))

    def interval(self, comparisons: int) -> IntervalEstimate:
        """Return the loss with the interval of the same test: its low end is above 0 where the loss is significant."""
        from scipy.stats import t

        half = float(t.isf(ERROR / max(comparisons, 1), max(self.images - 1, 1))) * self.error
        return IntervalEstimate(self.value, self.value - half, self.value + half)


def paired_loss(leader: "np.ndarray", other: "np.ndarray") -> PairedLoss:
    """Compare the scores of single images, float (n,); NaN for an image that one of them did not score."""
    import numpy as np

    gaps = paired_gaps(leader, [other])[0]
    gaps = gaps[~np.isnan(gaps)]
    error = float(gaps.std(ddof=1)) / len(gaps) ** 0.5 if len(gaps) > 1 else 0.0
    return PairedLoss(float(gaps.mean()) if len(gaps) else 0.0, error, len(gaps))


def paired_gaps(leader: "np.ndarray", others: Sequence["np.ndarray"]) -> "np.ndarray":
    """Return the leader's score minus that of each other candidate, float (candidates, images).

    NaN for an image that one of the two did not score, also where an array is shorter than another.
    """
    import numpy as np

    gaps = np.full((len(others), len(leader)), np.nan)
    for row, scores in zip(gaps, others, strict=True):
        common = min(len(leader), len(scores))
        row[:common] = leader[:common] - scores[:common]
    return gaps


def image_means(rounds: Sequence[ImageScores]) -> "np.ndarray":
    """Return the mean score of each image of the dataset over the rounds in which it validated; NaN for no round.

    An image that validates in several rounds counts once, so that the images are independent.
    """
    import numpy as np

    images = [np.frombuffer(scores.images, "<i4") for scores in rounds]
    length = 1 + max((int(indices.max()) for indices in images), default=-1)
    sums, counts = np.zeros(length), np.zeros(length)
    for indices, scores in zip(images, rounds, strict=True):
        sums[indices] += np.frombuffer(scores.scores, "<f4")
        counts[indices] += 1
    with np.errstate(invalid="ignore"):
        means: np.ndarray = sums / counts
    return means


def mask_scores(mask: CorrectMask) -> "np.ndarray":
    """Return 1 for each correct image and 0 for each wrong one, float64 (images,)."""
    import numpy as np

    bits = np.unpackbits(np.frombuffer(mask.to_bytes(), np.uint8), bitorder="little")
    scores: np.ndarray = bits[: mask.total].astype(np.float64)
    return scores


@dataclass(frozen=True)
class Elimination(Generic[Key]):
    """The state after the complete rounds.

    remaining: the candidates that are left, in the order of their mean scores, best first. dropped: candidate → the
    round, from 1, after which it was dropped. rounds: how many are complete. scores: candidate → mean score of each
    image, over all its rounds. comparisons: how many tests the correction counts. gain: the share by which the last
    round made the standard errors of the paired differences smaller; 1 after fewer than two rounds.
    """

    remaining: tuple[Key, ...]
    dropped: Mapping[Key, int]
    rounds: int
    scores: Mapping[Key, "np.ndarray"]
    comparisons: int
    gain: float

    @cached_property
    def losses(self) -> Mapping[Key, PairedLoss]:
        """Candidate → its loss to the leader. A dropped one is compared on the images of its own rounds."""
        leader = self.scores.get(self.remaining[0]) if self.remaining else None
        if leader is None:
            return {}
        return {key: paired_loss(leader, scores) for key, scores in self.scores.items()}


def eliminate(candidates: Sequence[Key], evaluations: Mapping[Key, Rounds], seeds: Sequence[int]) -> Elimination[Key]:
    """Replay the rounds, one for each seed, until one candidate remains or a round is not complete.

    After a round, every candidate that is significantly worse than the leader is dropped. The best candidate is dropped
    with a probability of at most `ERROR`: each other one has so many chances to beat it as there are rounds, and
    Bonferroni's correction counts all of them.
    """
    import numpy as np

    remaining, dropped, done = list(candidates), dict[Key, int](), 0
    scores: dict[Key, np.ndarray] = {}
    comparisons = (len(candidates) - 1) * len(seeds)
    for number, seed in enumerate(seeds, start=1):
        if len(remaining) < 2 or any(seed not in evaluations.get(key, {}) for key in remaining):
            break
        done = number
        scores |= {key: image_means([evaluations[key][one] for one in seeds[:number]]) for key in remaining}
        remaining.sort(key=lambda key: -float(np.nanmean(scores[key])))
        leader = scores[remaining[0]]
        worse = [key for key in remaining[1:] if paired_loss(leader, scores[key]).significant(comparisons)]
        dropped |= dict.fromkeys(worse, number)
        remaining = [key for key in remaining if key not in worse]
    gain = 1.0
    if done > 1 and len(remaining) > 1:
        former = {key: image_means([evaluations[key][seed] for seed in seeds[: done - 1]]) for key in remaining}
        before, after = (
            sum(paired_loss(means[remaining[0]], means[key]).error for key in remaining[1:])
            for means in (former, scores)
        )
        gain = 1 - after / before if before > 0 else 0.0
    return Elimination(tuple(remaining), dropped, done, scores, comparisons, gain)


def told_apart(scores: Mapping[Key, "np.ndarray"]) -> list[Key]:
    """Return the candidates that are significantly worse than the best, simultaneously over all of them."""
    best = max(scores, key=lambda key: float(scores[key].mean()))
    return [key for key in scores if paired_loss(scores[best], scores[key]).significant(len(scores) - 1)]
