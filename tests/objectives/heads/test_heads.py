"""The contract of heads, tested on every head."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save

from objectives.heads.catalog import HEADS, head_named
from objectives.heads.head import Fit, FittedHead, LabelledFeatures, predict, predict_labels
from objectives.results import SELECTION_METRICS, Accuracy
from spaces import HEAD_OPTIONS, BackboneError, DatasetError, UnknownNameError
from tests.support.heads import OPTIONS, blobs, blobs_of_sizes, digits, fit_head

CHOSEN = {"l2": 1.0, "factor": 1.0, "doubt": 0.1, "epochs": 1}
"""Details that a head may have chosen, for a refit of any head."""

DIGITS = {"ridge": 0.92, "prototype": 0.87, "attention": 0.94}
"""The share of digits that a head must get right where 0.95 is beyond it."""

TRAINED_SLOWLY = [pytest.param(name, marks=[pytest.mark.slow] * (name in ("cnn", "attention"))) for name in HEADS]
"""Every head; those that train for seconds are marked."""


def score(classifier: FittedHead, data: LabelledFeatures) -> Accuracy:
    labels = predict_labels(classifier, data.features)
    assert labels.shape == data.labels.shape
    assert labels.dtype == torch.int64
    return Accuracy(int((labels == data.labels).sum()), len(data.labels))


def test_heads_are_the_same_as_in_the_space() -> None:
    assert HEADS.keys() == HEAD_OPTIONS.keys() == OPTIONS.keys()


def test_an_unknown_head_is_named_with_the_known_heads() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown head 'liner'; did you mean 'linear'\? known: "):
        head_named("liner")


@pytest.mark.parametrize("name", HEADS)
class TestHead:
    def test_learns_what_is_separable(self, name: str) -> None:
        train, validation = blobs(5, 203, 0.1, seed=1), blobs(5, 60, 0.1, seed=2)
        _, fit = fit_head(name, train, validation, 5)
        assert fit.validation == score(fit.classifier, validation) == Accuracy(60, 60)
        assert score(fit.classifier, train) == Accuracy(203, 203)

    @pytest.mark.parametrize("count", [16, 120])  # of 12 features
    def test_balancing_equal_classes_changes_nothing(self, name: str, count: int) -> None:
        train, validation = blobs(4, count, 1.0, seed=1), blobs(4, 80, 1.0, seed=2)
        _, plain = fit_head(name, train, validation, 4)
        _, balanced = fit_head(name, replace(train, balanced=True), validation, 4)
        assert balanced.details == pytest.approx(plain.details)
        assert balanced.validation == plain.validation
        logits = [fit.classifier.logits(validation.features) for fit in (plain, balanced)]
        torch.testing.assert_close(logits[1], logits[0], rtol=1e-4, atol=1e-4)

    def test_its_logits_are_finite_log_probabilities_and_the_largest_is_the_label(self, name: str) -> None:
        train, validation = blobs(4, 130, 1.5, seed=1), blobs(4, 400, 1.5, seed=2)
        _, fit = fit_head(name, train, validation, 4)
        logits = fit.classifier.logits(validation.features)
        assert logits.shape == (400, 4)
        assert logits.dtype == torch.float32
        assert bool(logits.isfinite().all())
        assert torch.equal(logits.argmax(dim=1), predict_labels(fit.classifier, validation.features))
        guessing = torch.tensor(4.0).log()
        assert torch.nn.functional.cross_entropy(logits, validation.labels) < guessing

    def test_an_image_is_classified_the_same_alone_and_in_a_batch(self, name: str) -> None:
        train, validation = blobs(4, 130, 1.0, seed=1), blobs(4, 40, 1.0, seed=2)
        _, fit = fit_head(name, train, validation, 4)
        features = validation.features.clone()
        together = fit.classifier.logits(features)
        alone = torch.cat([fit.classifier.logits(image[None]) for image in features])
        torch.testing.assert_close(alone, together, rtol=1e-3, atol=1e-3)
        assert torch.equal(features, validation.features)  # and reading them changes nothing

    def test_constant_features_and_an_absent_class_do_no_harm(self, name: str) -> None:
        train, validation = blobs(3, 90, 0.1, seed=1), blobs(3, 30, 0.1, seed=2)
        for data in (train, validation):
            data.features[:, 0] = 0.1
            data.features[:, 1, 0, 0] = 0
        _, fit = fit_head(name, train, validation, 4)
        assert fit.validation == Accuracy(30, 30)

    @pytest.mark.parametrize("balanced", [False, True])
    def test_a_class_without_training_images_is_not_predicted(self, name: str, balanced: bool) -> None:
        train, validation = blobs(3, 90, 1.0, seed=1), blobs(3, 600, 1.0, seed=2)
        with_gaps = torch.tensor([0, 2, 3])  # of five
        train, validation = (replace(data, labels=with_gaps[data.labels]) for data in (train, validation))
        _, fit = fit_head(name, replace(train, balanced=balanced), validation, 5)
        logits = fit.classifier.logits(validation.features)
        assert set(logits.argmax(dim=1).tolist()) == {0, 2, 3}
        assert bool(logits.isfinite().all())  # such an image would be a surprise, and not an infinite one
        assert logits.softmax(dim=1)[:, [1, 4]].mean() < 0.15  # of one of five that is guessed, 0.2

    def test_features_without_information_give_the_most_frequent_class(self, name: str) -> None:
        train = LabelledFeatures(torch.full((60, 2, 1, 1), 3.3), (torch.arange(60) % 3).clamp(max=1))
        _, fit = fit_head(name, train, train, 3)
        assert predict_labels(fit.classifier, train.features).tolist() == [1] * 60

    def test_state_is_what_safetensors_can_save(self, name: str) -> None:
        train = blobs(3, 90, 0.5, seed=1)
        state = fit_head(name, train, train, 3)[1].classifier.state()
        loaded = load(save(state))
        assert loaded.keys() == state.keys()
        assert all(torch.equal(loaded[key], state[key]) for key in state)

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    @pytest.mark.parametrize("split", ["training", "validation"])
    def test_features_that_are_not_finite_are_refused(self, name: str, split: str, value: float) -> None:
        train, validation = blobs(3, 30, 0.1, seed=1), blobs(3, 30, 0.1, seed=2)
        {"training": train, "validation": validation}[split].features[17, 1, 0, 1] = value
        with pytest.raises(BackboneError, match=rf"1 of 12 of {split} image 17 are not, the first is {value}: "):
            fit_head(name, train, validation, 3)
        if split == "training":
            with pytest.raises(BackboneError, match="training image 17 are not"):
                head_named(name).refit(train, 3, OPTIONS[name], CHOSEN, 0)

    def test_one_class_is_refused(self, name: str) -> None:
        one = LabelledFeatures(torch.rand(9, 1, 1, 1), torch.full((9,), 2))
        with pytest.raises(DatasetError, match="at least two classes; all 9 are of class 2"):
            fit_head(name, one, one, 3)
        with pytest.raises(DatasetError, match="at least two classes"):
            head_named(name).refit(one, 3, OPTIONS[name], CHOSEN, 0)

    @pytest.mark.parametrize(
        ("features", "labels", "message"),
        [
            (torch.rand(6, 12), torch.arange(6) % 3, r"training features must be float32 \(n, c, p, p\)"),
            (torch.rand(6, 3, 2, 2).double(), torch.arange(6) % 3, r"not torch.float64 \(6, 3, 2, 2\)"),
            (torch.rand(0, 3, 2, 2), torch.arange(0), "none of them 0"),
            (torch.rand(6, 3, 2, 2), torch.arange(5) % 3, r"training labels must be int64 \(6,\)"),
            (torch.rand(6, 3, 2, 2), torch.arange(6).float(), "not torch.float32"),
            (torch.rand(6, 3, 2, 2), torch.arange(6), r"must lie in \[0, 3\).*\[0, 5\]"),
            (torch.rand(6, 3, 1, 1), torch.arange(6) % 3, r"one shape, not \(3, 1, 1\) and \(3, 2, 2\)"),
        ],
    )
    def test_inputs_that_do_not_match_are_refused(
        self, name: str, features: torch.Tensor, labels: torch.Tensor, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            fit_head(name, LabelledFeatures(features, labels), blobs(3, 6, 0.1, seed=1), 3)
        if "one shape" not in message:
            with pytest.raises(ValueError, match=message):
                head_named(name).refit(LabelledFeatures(features, labels), 3, OPTIONS[name], CHOSEN, 0)


@pytest.mark.parametrize("name", TRAINED_SLOWLY)
class TestTrainedHead:
    @pytest.mark.parametrize(("spread", "seed"), [(1.0, 1), (1.5, 1), (2.5, 3)])
    def test_chooses_by_the_given_metric(self, name: str, spread: float, seed: int) -> None:
        """The first class has most images, so that the metrics disagree on the best fit."""
        train, whole = blobs(4, 80, spread, seed), blobs(4, 400, spread, 100 + seed)
        rows = torch.cat([torch.arange(0, 400, 4), *(torch.arange(label, 60, 4) for label in (1, 2, 3))])
        reached = {}
        for metric in SELECTION_METRICS:
            validation = LabelledFeatures(whole.features, whole.labels[rows], rows, metric=metric)
            epochs, fit = fit_head(name, train, validation, 4)
            predictions = predict(fit.classifier, validation)
            assert predictions.accuracy == fit.validation
            assert all(epoch.score <= predictions.score(metric) + 1e-6 for epoch in epochs)
            reached[metric] = {other: predictions.score(other) for other in SELECTION_METRICS}
        # A fit in epochs stops at another epoch by another metric. That it keeps its best is asserted above.
        for metric in SELECTION_METRICS if not epochs else ():
            # The chosen strength is fitted further than the path was, hence the tolerance.
            assert reached[metric][metric] >= max(scores[metric] for scores in reached.values()) - 1e-3

    def test_same_seed_same_classifier_whatever_the_global_random_state(self, name: str) -> None:
        train, validation = blobs(4, 130, 1.0, seed=1), blobs(4, 40, 1.0, seed=2)
        torch.manual_seed(1)
        before = torch.get_rng_state()
        _, first = fit_head(name, train, validation, 4)
        assert torch.equal(torch.get_rng_state(), before)
        reports = []
        for report in head_named(name).fit(train, validation, 4, OPTIONS[name], 0):
            torch.rand(3)  # whoever listens to the reports may draw numbers too
            reports.append(report)
        again = reports[-1]
        assert isinstance(again, Fit)
        assert again.details == first.details
        for key, tensor in first.classifier.state().items():
            assert torch.equal(tensor, again.classifier.state()[key]), key

    def test_renaming_the_classes_renames_the_predictions_and_changes_nothing_else(self, name: str) -> None:
        train, validation = blobs(4, 150, 0.3, seed=1), blobs(4, 80, 0.3, seed=2)
        renamed = torch.tensor([2, 0, 3, 1])
        _, fit = fit_head(name, train, validation, 4)
        train, validation = (LabelledFeatures(data.features, renamed[data.labels]) for data in (train, validation))
        epochs, other = fit_head(name, train, validation, 4)
        assert abs(fit.validation.correct - other.validation.correct) <= 1
        logits = [fitted.classifier.logits(validation.features) for fitted in (fit, other)]
        assert (renamed[logits[0].argmax(dim=1)] == logits[1].argmax(dim=1)).float().mean() >= 0.98
        if not epochs:  # a network's classes begin at different random weights; see test_networks.py
            torch.testing.assert_close(logits[1][:, renamed], logits[0], rtol=1e-3, atol=1e-2)

    def test_learns_real_digits(self, name: str) -> None:
        train, validation = digits()
        epochs, fit = fit_head(name, train, validation, 10)
        assert fit.validation == score(fit.classifier, validation)
        assert fit.validation.value >= DIGITS.get(name, 0.95)
        assert all(epoch.validation.correct <= fit.validation.correct for epoch in epochs)
        assert [epoch.number for epoch in epochs] == list(range(1, len(epochs) + 1))

    def test_balanced_classes_improve_rare_classes(self, name: str) -> None:
        train = blobs_of_sizes((600, 30, 30, 30), 2.0, seed=1)
        validation = replace(blobs(4, 400, 2.0, seed=2), metric="mean-per-class")
        score = []
        for balanced in (False, True):
            _, fit = fit_head(name, replace(train, balanced=balanced), validation, 4)
            score.append(predict(fit.classifier, blobs(4, 4000, 2.0, seed=3)).score("mean-per-class"))
        assert score[1] > score[0] + 0.01

    def test_refit_on_the_same_images_reaches_the_same(self, name: str) -> None:
        train, validation = digits()
        few = LabelledFeatures(train.features[:300], train.labels[:300])
        _, fit = fit_head(name, few, validation, 10)
        again = head_named(name).refit(few, 10, OPTIONS[name], fit.details, 0)
        agreed = (
            (predict_labels(again, validation.features) == predict_labels(fit.classifier, validation.features))
            .float()
            .mean()
        )
        assert agreed >= 0.995

    def test_refit_on_more_images_is_better(self, name: str) -> None:
        train, validation = digits()
        few = LabelledFeatures(train.features[:150], train.labels[:150])
        _, fit = fit_head(name, few, validation, 10)
        more = head_named(name).refit(train, 10, OPTIONS[name], fit.details, 0)
        assert score(more, validation).value > fit.validation.value + 0.01
