"""What a probe reports of a setting while it works, and at the end."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from objectives.results.metrics import Accuracy, CorrectMask, Part, Scores
from spaces import Setting


@dataclass(frozen=True, slots=True)
class Confusion:
    """`count` images of class `true` were taken for class `predicted`; both index the dataset's classes.

    examples: indices of some of these images, the mistakes that the classifier was surest of first; in a final
    they are the dataset's.
    """

    true: int
    predicted: int
    count: int
    examples: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Extracted:
    """Progress of a setting's features: `done` of `total` images are cached, `made` of them by this call's passes."""

    done: int
    total: int
    made: int


@dataclass(frozen=True, slots=True)
class Epoch:
    """A head that trains in epochs, after epoch `number` (1-based). validation: in folds that of the first alone.

    optimised: the score by the metric that the search maximises; None where that is the accuracy.
    """

    number: int
    validation: Accuracy
    optimised: float | None = None

    @property
    def score(self) -> float:
        return self.validation.value if self.optimised is None else self.optimised


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The last report of a setting, or part of a Rung.

    validation: of the validation split; in folds of all of them together, so that each image counts once.
    seconds: by phase: "extract" (own passes), "wait" (another process's passes), "read", "fit".
    passes_made: U-Net passes over one image each that this call made. passes_needed: how many it would have made
    with no cache. details: facts of the fit, such as the chosen "l2" or the "epochs" trained, and of one that was not
    stopped after an epoch `GMACS`. optimised: as of an Epoch.
    scores: by all metrics. correct_mask: image by image. Both are of the same images, and None for a trial that was
    stopped after an epoch.
    """

    validation: Accuracy
    seconds: Mapping[str, float]
    passes_made: int
    passes_needed: int
    details: Mapping[str, float] = field(default_factory=dict)
    optimised: float | None = None
    scores: Scores | None = None
    correct_mask: CorrectMask | None = None

    @property
    def score(self) -> float:
        return self.validation.value if self.optimised is None else self.optimised


@dataclass(frozen=True, slots=True)
class Rung:
    """On a ladder: what a setting is worth on some of the images, and what it has cost so far.

    number: 1-based, from the bottom; the Evaluation of all images, which ends the ladder, is no Rung. images: from
    which the features of the rung are made, as many at each rung of that number of a study.
    """

    number: int
    images: int
    evaluation: Evaluation


Report = Extracted | Epoch | Rung | Evaluation

GMACS = "gmacs"
"""Of an evaluation's details: the setting's cost, 1e9 multiply-accumulates to classify an image, passes and head."""


@dataclass(frozen=True, slots=True)
class Final:
    """A finalist re-evaluated under another seed (validation split, head initialisation), then refitted and tested.

    validation: on that seed's own validation split, or its own folds. test: after refitting on train + validation.
    validation_scores, test_scores: of the same images by all metrics; None in a study that did not keep them.
    confused: on validation, most frequent first, and if there are very many the most frequent alone.
    test_correct_mask: of the dataset's test images in their order; None in a study that did not keep them.
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
        return self.validation_scores if part == "validation" else self.test_scores
