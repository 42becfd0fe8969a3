"""Confident learning on a case computed by hand, and on digits whose labels were changed."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier

from objectives.data_quality.label_errors import label_errors, label_trial
from objectives.datasets.catalog import load_dataset

# Seven images of three classes. The thresholds are the means of the columns over the images labelled so:
# class 0: (0.8 + 0.6 + 0.1) / 3 = 0.5; class 1: (0.7 + 0.2) / 2 = 0.45; class 2: (0.9 + 0.4) / 2 = 0.65.
LABELS = np.array([0, 0, 0, 1, 1, 2, 2])
PROBABILITIES = np.array(
    [
        [0.8, 0.1, 0.1],  # reaches class 0, its label
        [0.6, 0.3, 0.1],  # reaches class 0, its label
        [0.1, 0.2, 0.7],  # reaches class 2: doubtful, self-confidence 0.1
        [0.3, 0.7, 0.0],  # reaches class 1, its label
        [0.5, 0.2, 0.3],  # reaches class 0 exactly: doubtful, self-confidence 0.2
        [0.0, 0.1, 0.9],  # reaches class 2, its label
        [0.2, 0.4, 0.4],  # reaches none: not counted
    ]
)


def test_a_case_computed_by_hand() -> None:
    found = label_errors(PROBABILITIES, LABELS)
    assert found.images.tolist() == [2, 4]
    assert found.suggested.tolist() == [2, 0]
    assert found.joint.tolist() == [[2, 0, 1], [1, 1, 0], [0, 0, 1]]


def test_a_label_that_is_the_most_probable_class_is_not_doubtful() -> None:
    # Threshold of class 0: 0.7, of class 1: 0.25. The first image reaches class 1 alone.
    found = label_errors(np.array([[0.6, 0.4], [0.8, 0.2], [0.9, 0.1], [0.6, 0.4]]), np.array([0, 0, 1, 1]))
    assert found.joint.tolist() == [[1, 1], [1, 1]]
    assert found.images.tolist() == [2]


def test_a_class_without_images_is_never_suggested() -> None:
    probabilities = np.array([[0.1, 0.9, 0.0], [0.5, 0.5, 0.0], [0.0, 0.6, 0.4], [0.3, 0.5, 0.2]])
    found = label_errors(probabilities, np.array([0, 0, 2, 2]))
    assert found.joint.tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 1]]
    assert found.suggested.tolist() == [0]


@pytest.fixture(scope="module")
def judged() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return probabilities out of fold, the labels, 5 % of which were changed, which were, and the true labels."""
    digits = load_dataset("digits", None)
    generator = np.random.default_rng(0)
    images = np.stack([np.asarray(digits.images.read(i).convert("L")).ravel() for i in range(len(digits))]) / 255
    labels = digits.labels.copy()
    changed = generator.permutation(len(labels))[: round(0.05 * len(labels))]
    labels[changed] = (labels[changed] + generator.integers(1, 10, len(changed))) % 10
    probabilities = np.empty((len(labels), 10))
    for fold in range(5):
        held = np.arange(len(labels)) % 5 == fold
        head = RidgeClassifier(10.0).fit(images[~held], labels[~held])
        scores = np.exp(5 * head.decision_function(images[held]))
        probabilities[held] = scores / scores.sum(axis=1, keepdims=True)
    return probabilities, labels, changed, digits.labels


def test_changed_labels_of_digits_are_found(judged: tuple[np.ndarray, ...]) -> None:
    probabilities, labels, changed, true = judged
    found = label_errors(probabilities, labels)
    right = np.isin(found.images, changed)
    assert right.sum() / len(changed) > 0.8
    assert right.mean() > 0.8
    first = found.images[: len(changed) // 2]  # the least credible labels are nearly all wrong
    assert np.isin(first, changed).mean() > 0.9
    suggested = dict(zip(found.images.tolist(), found.suggested.tolist(), strict=True))
    named = [image for image in changed.tolist() if image in suggested]
    assert np.mean([suggested[image] == true[image] for image in named]) > 0.9


def test_a_trial_tells_a_good_classifier_from_one_that_knows_nothing(judged: tuple[np.ndarray, ...]) -> None:
    probabilities, _, _, true = judged
    trial = label_trial(probabilities, true)
    assert trial.changed == 90
    assert trial.recall > 0.8
    assert trial.precision > 0.8
    nothing = np.random.default_rng(0).dirichlet(np.ones(10), len(true))
    assert label_trial(nothing, true).precision < 0.1
