"""Results that describe a classifier and its images: accuracy by class, mistakes, doubtful labels, copies."""

from dataclasses import dataclass

from objectives.results.metrics import Accuracy
from objectives.results.reports import Confusion


@dataclass(frozen=True, slots=True)
class ClassAccuracy:
    """The accuracy on the images of one class.

    label: an index into the classes. validation: None if no image of the class validated. test: None if the test split
    was not read, or has no image of the class.
    """

    label: int
    validation: Accuracy | None
    test: Accuracy | None = None


@dataclass(frozen=True, slots=True)
class Mistake:
    """An image that is classified as another class than its label says.

    image: its index into the dataset. label, predicted: indices into the classes. confidence, self_confidence: the
    probabilities of `predicted` and of `label`, in [0, 1], by a classifier that was not fitted on the image.
    """

    image: int
    label: int
    predicted: int
    confidence: float
    self_confidence: float


@dataclass(frozen=True, slots=True)
class LabelTrial:
    """The result of the search for label errors after the labels of some images were changed at random.

    changed: how many labels were changed, each to another class. named: how many images the search then names. found:
    how many of these are among the changed ones.
    """

    changed: int
    named: int
    found: int

    @property
    def recall(self) -> float:
        """The share of the changed labels that the search names."""
        return self.found / self.changed

    @property
    def precision(self) -> float:
        """The share of the named images whose label was changed. It is a floor: others may be label errors too."""
        return self.found / max(self.named, 1)


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """A test image that is, but for small changes, a training image.

    train, test: their indices into the dataset. similarity: the cosine of their features, in [-1, 1]. mirrored: whether
    one is the mirror image of the other. identical: whether their files have the same bytes.
    """

    train: int
    test: int
    similarity: float
    mirrored: bool = False
    identical: bool = False


@dataclass(frozen=True, slots=True)
class Assessment:
    """How a classifier does on images that it was not fitted on.

    images: how many were judged outside the test split. fits: by how many classifiers, each fitted on the other images;
    1 for a single split. classes: in the order of the dataset's. confusions: all pairs of confused classes, the most
    frequent first. label_trial: how far a search for label errors can be trusted here. label_errors: images whose label
    is probably wrong, the least credible label first; None if that search cannot be trusted. mistakes: other wrong
    images, the most confident first.
    """

    images: int
    fits: int
    accuracy: Accuracy
    classes: tuple[ClassAccuracy, ...]
    confusions: tuple[Confusion, ...]
    label_trial: LabelTrial
    label_errors: tuple[Mistake, ...] | None
    mistakes: tuple[Mistake, ...]
