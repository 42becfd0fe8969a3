"""Trivial classifiers on the images of a study. Beside their accuracy, that of the answer means something."""

from dataclasses import dataclass
from typing import Literal

from objectives.results.metrics import ACCURACY, Accuracy, CorrectMask, IntervalEstimate, Metric, Part, Scores
from spaces import Setting

BaselineKind = Literal["pixels", "first block"]

BASELINE_KINDS: tuple[BaselineKind, ...] = ("pixels", "first block")
"""All baselines, in the order in which they are made and shown."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A `linear` head on features that need almost no network.

    kind: "pixels" reads the images as the network gets them, averaged to a small square of 3 channels. "first block"
    reads the first block of the study's space at the answer's least noisy timestep and the largest pool of the space.
    setting: what "first block" reads; None for "pixels". side: the side of the pooled grid. features: their number for
    one image.
    seed: of the study; draws the validation split (or the folds). validation: the accuracy on that split. test: the
    test accuracy after a refit on train + validation.
    seconds: how long reading and fitting took. No baseline makes a forward pass.
    validation_scores, test_scores: values by all metrics on the same images.
    test_correct_mask: the correct images among the dataset's test images, in the order of a `Final`.
    """

    kind: BaselineKind
    setting: Setting | None
    side: int
    features: int
    seed: int
    validation: Accuracy
    test: Accuracy
    seconds: float
    validation_scores: Scores | None = None
    test_scores: Scores | None = None
    test_correct_mask: CorrectMask | None = None

    def estimate(self, part: Part, metric: Metric) -> IntervalEstimate | None:
        """Return the value on one part by a metric, with its 95 % interval; None if it was not stored."""
        is_test = part == "test"
        accuracy, scores = (self.test, self.test_scores) if is_test else (self.validation, self.validation_scores)
        if metric == ACCURACY:
            return IntervalEstimate(accuracy.value, *accuracy.interval())
        return scores.values.get(metric.name) if scores else None
