"""Reports that a probe yields while it evaluates a setting, and at the end."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from objectives.results.metrics import Accuracy, CorrectMask, Part, Scores
from spaces import Setting


@dataclass(frozen=True, slots=True)
class Confusion:
    """The number of images of class `true` that a classifier takes for class `predicted`.

    true, predicted: indices into the dataset's classes.
    examples: indices of some of these images, in descending order of the classifier's confidence. In a final they
    index the dataset.
    """

    true: int
    predicted: int
    count: int
    examples: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Extracted:
    """Progress of feature extraction: `done` of `total` images are cached, `made` of them by this call's passes."""

    done: int
    total: int
    made: int


@dataclass(frozen=True, slots=True)
class Epoch:
    """The state of a head that trains in epochs, after epoch `number` (1-based).

    validation: the accuracy on the validation split; with folds, on the first fold alone.
    metric_score: the score by the search's metric (higher is better); None if that metric is the accuracy.
    """

    number: int
    validation: Accuracy
    metric_score: float | None = None

    @property
    def score(self) -> float:
        """The score by the search's metric; higher is better."""
        return self.validation.value if self.metric_score is None else self.metric_score


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The last report of a setting, or part of a Rung.

    validation: the accuracy on the validation split; with folds, on all folds together, so that each image counts once.
    seconds: time by phase: "extract" (own passes), "wait" (another process's passes), "read", "fit".
    passes_made: the number of forward passes, each over one image, that this call made.
    passes_needed: the number of passes that the call would have made without a cache.
    details: numbers that describe the fit, such as the chosen "l2" or the "epochs" trained. They include `GMACS` unless
    the trial was stopped after an epoch.
    metric_score: as in an Epoch.
    scores, correct_mask: values by all metrics and the correct images, both on the images of `validation`; None for a
    trial that was stopped after an epoch.
    """

    validation: Accuracy
    seconds: Mapping[str, float]
    passes_made: int
    passes_needed: int
    details: Mapping[str, float] = field(default_factory=dict)
    metric_score: float | None = None
    scores: Scores | None = None
    correct_mask: CorrectMask | None = None

    @property
    def score(self) -> float:
        """The score by the search's metric; higher is better."""
        return self.validation.value if self.metric_score is None else self.metric_score


@dataclass(frozen=True, slots=True)
class Rung:
    """The evaluation of a setting on part of the images, at one rung of successive halving.

    number: the rung, 1-based, from the fewest images on. The Evaluation on all images, which comes last, is no Rung.
    images: the number of images whose features the rung uses; the same for every setting of a study at this rung.
    evaluation: its seconds and passes count from the beginning of the trial.
    """

    number: int
    images: int
    evaluation: Evaluation


Report = Extracted | Epoch | Rung | Evaluation

GMACS = "gmacs"
"""Key in an evaluation's details of the setting's cost at inference, in 1e9 multiply-accumulates per image.

The cost is that of the forward passes and of the head.
"""


@dataclass(frozen=True, slots=True)
class Final:
    """The re-evaluation of a finalist with another seed, and its test.

    seed: draws the validation split (or the folds) and the head's initialisation.
    validation: the accuracy on that split. test: the test accuracy after a refit on train + validation.
    seconds, passes_made, passes_needed: as in an Evaluation, in total.
    validation_scores, test_scores: values by all metrics on the same images; None in a study that did not store them.
    confused: the pairs of classes confused on validation, most frequent first; the rarest pairs may be left out.
    test_correct_mask: the correct images among the dataset's test images, in their order; None in a study that did not
    store it.
    """

    setting: Setting
    seed: int
    validation: Accuracy
    test: Accuracy
    seconds: float
    passes_made: int
    passes_needed: int
    validation_scores: Scores | None = None
    test_scores: Scores | None = None
    confused: tuple[Confusion, ...] = ()
    test_correct_mask: CorrectMask | None = None

    def scores(self, part: Part) -> Scores | None:
        """Return the values by all metrics on one part; None in a study that did not store them."""
        return self.validation_scores if part == "validation" else self.test_scores


@dataclass(frozen=True, slots=True)
class ImageScores:
    """Scores of single images. Their mean is the classifier's score by the search's metric; higher is better.

    images: distinct indices into the dataset, packed as int32. scores: of these images, packed as float32. Both are
    little-endian. `array` and `numpy.frombuffer` unpack them.
    """

    images: bytes = field(repr=False)
    scores: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reevaluation:
    """The evaluation of a candidate on the splits of another seed. No test image is read.

    seed: draws the splits and the head's initialisation. image_scores: of the validation images. Other fields: as in
    a Final.
    """

    setting: Setting
    seed: int
    validation: Accuracy
    seconds: float
    passes_made: int
    passes_needed: int
    image_scores: ImageScores
    validation_scores: Scores | None = None
