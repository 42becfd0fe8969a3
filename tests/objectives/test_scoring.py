"""Metrics by hand, against scikit-learn, and by their laws."""

from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, log_loss, top_k_accuracy_score

from objectives.results import METRICS, SELECTION_METRICS, Accuracy, Confusion, CorrectMask
from objectives.scoring import MAX_LOSS, Predictions


def drawn(n: int, classes: int, seed: int = 0, present: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that know something of the labels, of which only the first `present` classes occur."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(present or classes, (n,), generator=generator)
    logits = 2 * torch.randn(n, classes, generator=generator)
    logits[torch.arange(n), labels] += 1.5
    return logits, labels


def logits_of(*predictions: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(predictions).log()


@pytest.mark.parametrize(("n", "classes", "present"), [(400, 7, None), (60, 30, 12), (25, 102, None)])
def test_scikit_learn_measures_the_same(n: int, classes: int, present: int | None) -> None:
    logits, labels = drawn(n, classes, present=present)
    scores = Predictions.of(logits, labels).scores()
    truth, predictions = labels.numpy(), logits.double().softmax(dim=1).numpy()
    names = np.arange(classes)
    with np.errstate(all="raise"):
        expected = {
            "accuracy": float((predictions.argmax(axis=1) == truth).mean()),
            "top-5": top_k_accuracy_score(truth, predictions, k=5, labels=names),
            "nll": log_loss(truth, predictions, labels=names),
        }
    occur = np.unique(truth)
    recall = [(predictions[truth == c].argmax(axis=1) == c).mean() for c in occur]
    expected["mean-per-class"] = np.mean(recall)
    for name, value in expected.items():
        assert scores.values[name].value == pytest.approx(value, abs=1e-6), name
    assert scores.total == n
    if present is None and len(occur) == classes:
        assert expected["mean-per-class"] == pytest.approx(balanced_accuracy_score(truth, predictions.argmax(axis=1)))


def test_by_hand() -> None:
    logits = logits_of((0.7, 0.2, 0.1), (0.5, 0.4, 0.1), (0.1, 0.8, 0.1), (0.3, 0.6, 0.1))
    predictions = Predictions.of(logits, torch.tensor([0, 1, 1, 0]))
    assert predictions.accuracy == Accuracy(2, 4)
    assert predictions.rank.tolist() == [0, 1, 0, 1]
    assert predictions.value("mean-per-class") == 0.5  # the third class has no image and does not count
    assert predictions.value("nll") == pytest.approx(-np.log([0.7, 0.4, 0.8, 0.3]).mean())
    assert predictions.score("nll") == -predictions.value("nll")
    # Each answer is in a bin of its own.
    assert predictions.value("ece") == pytest.approx((0.3 + 0.5 + 0.2 + 0.6) / 4)
    assert predictions.confused(9) == (Confusion(0, 1, 1, (3,)), Confusion(1, 0, 1, (1,)))
    assert predictions.confused(1, np.array([70, 71, 72, 73])) == (Confusion(0, 1, 1, (73,)),)
    assert predictions.correct_mask == CorrectMask(4, 0b0101)
    assert predictions.image_scores("accuracy").tolist() == [1, 0, 1, 0]
    assert predictions.image_scores("mean-per-class").tolist() == [1, 0, 1, 0]
    for metric in SELECTION_METRICS:
        assert predictions.image_scores(metric).mean() == pytest.approx(predictions.score(metric))
    fewer = Predictions.of(logits[:3], torch.tensor([0, 1, 1]))
    assert fewer.image_scores("mean-per-class").tolist() == [1.5, 0, 0.75]
    assert "top-5" not in predictions.scores().values


def test_within_a_bin_over_and_under_confidence_cancel() -> None:
    logits = logits_of((0.61, 0.39), (0.65, 0.35), (0.9, 0.1))
    predictions = Predictions.of(logits, torch.tensor([0, 1, 0]))
    # 0.61 and 0.65 share the bin (9/15, 10/15]; 0.9 is alone.
    assert predictions.value("ece") == pytest.approx((abs(1 - 0.61 - 0.65) + 0.1) / 3, abs=1e-6)


def test_of_equal_beliefs_the_first_class_is_predicted_and_ranks_first() -> None:
    predictions = Predictions.of(torch.zeros(8, 8), torch.arange(8))
    assert predictions.predicted.tolist() == [0] * 8
    assert predictions.rank.tolist() == list(range(8))
    assert predictions.value("top-5") == 5 / 8


def test_no_belief_and_no_number_are_a_large_finite_loss() -> None:
    logits = torch.tensor([[0.0, -torch.inf], [torch.nan, torch.nan], [0.0, 500.0]])
    predictions = Predictions.of(logits, torch.tensor([1, 1, 0]))
    assert predictions.loss.tolist() == [MAX_LOSS] * 3
    assert predictions.correct.tolist() == [False] * 3
    assert all(np.isfinite([m.value, m.low, m.high]).all() for m in predictions.scores().values.values())


def test_a_head_that_has_diverged_is_wrong_for_every_image() -> None:
    """The largest of logits that are no numbers is the first one, which would be right for every image of its class."""
    predictions = Predictions.of(torch.full((8, 8), torch.nan), torch.arange(8))
    assert {name: value.value for name, value in predictions.scores().values.items()} == {
        "accuracy": 0,
        "mean-per-class": 0,
        "top-5": 0,
        "nll": MAX_LOSS,
        "ece": 1,
    }


def test_parts_add_up() -> None:
    logits, labels = drawn(90, 6)
    whole = Predictions.of(logits, labels)
    joined = Predictions.joined([Predictions.of(logits[:17], labels[:17]), Predictions.of(logits[17:], labels[17:])])
    assert joined.scores() == whole.scores()
    assert joined.confused(5) == whole.confused(5)


def test_the_most_confused_come_first() -> None:
    predicted = [1, 1, 1, 2, 2, 0, 0]
    labels = torch.tensor([0, 0, 1, 0, 0, 2, 0])
    predictions = Predictions.of(torch.eye(3)[predicted], labels)
    assert predictions.confused(3) == (Confusion(0, 1, 2, (0, 1)), Confusion(0, 2, 2, (3, 4)), Confusion(2, 0, 1, (5,)))


def test_examples_of_a_confusion_are_the_surest_mistakes() -> None:
    sure = [0.6, 0.9, 0.7, 0.95, 0.8]
    logits = logits_of(*((1 - each, each) for each in sure))
    (found,) = Predictions.of(logits, torch.zeros(5, dtype=torch.int64)).confused(9, np.arange(100, 105))
    assert found == Confusion(0, 1, 5, (103, 101, 104))


def test_intervals_narrow_with_the_images_and_are_repeatable() -> None:
    few, many = (Predictions.of(*drawn(n, 6)).scores().values for n in (100, 10_000))
    for name in METRICS:
        assert few[name].low < few[name].high
        assert many[name].high - many[name].low < 0.5 * (few[name].high - few[name].low)
    assert Predictions.of(*drawn(100, 6)).scores().values == few


@pytest.mark.parametrize("metric", ["mean-per-class", "nll"])
def test_intervals_hold_the_truth_nineteen_times_in_twenty(metric: str) -> None:
    truth = Predictions.of(*drawn(200_000, 4, seed=99)).value(metric)
    measured = [Predictions.of(*drawn(250, 4, seed)).scores().values[metric] for seed in range(200)]
    held = sum(each.low <= truth <= each.high for each in measured)
    assert 180 <= held <= 198


def test_a_perfect_score_is_not_certain() -> None:
    labels = torch.arange(40) % 4
    perfect = Predictions.of(5 * torch.eye(4)[labels], labels).scores().values["mean-per-class"]
    assert perfect.low == pytest.approx(Accuracy(40, 40).interval()[0])
    assert perfect.value == perfect.high == 1.0


cases = st.builds(drawn, st.integers(1, 40), st.integers(2, 9), st.integers(0, 2**31))


@given(cases, st.randoms())
def test_laws(case: tuple[torch.Tensor, torch.Tensor], chance: Random) -> None:
    logits, labels = case
    classes = logits.shape[1]
    predictions = Predictions.of(logits, labels)
    values = {name: predictions.value(name) for name in METRICS}

    order = list(range(len(labels)))
    chance.shuffle(order)
    shuffled = Predictions.of(logits[order], labels[order])
    renamed = list(range(classes))
    chance.shuffle(renamed)
    places = torch.tensor(renamed)  # class c is now called places[c]
    relabelled = Predictions.of(logits[:, places.argsort()], places[labels])
    for name, value in values.items():
        assert shuffled.value(name) == pytest.approx(value, abs=1e-5), name
        assert relabelled.value(name) == pytest.approx(value, abs=1e-5), name

    assert predictions.correct_mask.accuracy == predictions.accuracy
    assert [bool(predictions.correct_mask.bits >> at & 1) for at in range(len(labels))] == predictions.correct.tolist()

    for name in ("accuracy", "top-5", "mean-per-class", "ece"):
        assert 0 <= values[name] <= 1
    assert values["accuracy"] <= values["top-5"]
    assert values["nll"] >= 0
    for measured in predictions.scores().values.values():
        assert measured.low <= measured.value <= measured.high
    assert sum(pair.count for pair in predictions.confused(classes**2)) == len(labels) - predictions.accuracy.correct
