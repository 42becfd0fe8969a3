import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.datasets.dataset import Dataset
from objectives.datasets.images import ArrayImages
from objectives.datasets.layouts import read_digits
from objectives.datasets.splits import Split, carve_test, few_shot, fingerprint_of, folds, rung, split
from spaces.errors import DatasetError, UsageError

SEEDS = st.integers(0, 2**32 - 1)


def dataset(rest: Sequence[int], test: Sequence[int], order: int = 0) -> Dataset:
    """rest, test: images of each class outside and inside the test split. order: seed of their order."""
    labels = np.concatenate([np.repeat(np.arange(len(n)), n) for n in (rest, test)]).astype(np.int64)
    is_test = np.arange(len(labels)) >= sum(rest)
    shuffle = np.random.default_rng(order).permutation(len(labels))
    classes = tuple(f"class {c}" for c in range(len(rest)))
    return Dataset(
        "x", classes, ArrayImages(np.zeros((len(labels), 1, 1), np.uint8)), labels[shuffle], is_test[shuffle]
    )


def check_laws(data: Dataset, result: Split, fraction: float) -> None:
    parts = (result.train, result.validation, result.test)
    assert all(part.dtype == np.int64 and (np.diff(part) > 0).all() for part in parts)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(data)))  # disjoint, and all
    assert data.is_test[result.test].all()
    assert not data.is_test[np.concatenate(parts[:2])].any()

    validated = len(result.validation)
    total = validated + len(result.train)
    assert validated == math.ceil(fraction * total)
    of = [np.bincount(data.labels[part], minlength=len(data.classes)) for part in parts[:2]]
    assert (of[0] > 0).all()
    assert (np.abs(of[1] - (of[0] + of[1]) * validated / total) < 1).all()  # stratified within rounding


@given(st.data(), SEEDS, st.floats(0.1, 0.5), st.integers(0, 99))
@settings(max_examples=60)
def test_enough_images_always_split(data: st.DataObject, seed: int, fraction: float, order: int) -> None:
    counts = data.draw(st.lists(st.tuples(st.integers(10, 30), st.integers(1, 5)), min_size=2, max_size=6))
    images = dataset([rest for rest, _ in counts], [test for _, test in counts], order)
    result = split(images, seed, fraction)
    check_laws(images, result, fraction)
    assert split(images, seed, fraction).fingerprint == result.fingerprint


@given(st.data(), SEEDS, st.floats(0.01, 0.99))
@settings(max_examples=150)
def test_any_images_split_or_raise_a_readable_error(data: st.DataObject, seed: int, fraction: float) -> None:
    counts = data.draw(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2)), min_size=1, max_size=5))
    images = dataset([rest for rest, _ in counts], [test for _, test in counts])
    try:
        result = split(images, seed, fraction)
    except DatasetError:
        return
    check_laws(images, result, fraction)


def test_only_the_validation_split_depends_on_the_seed() -> None:
    digits = read_digits()
    results = [split(digits, seed) for seed in range(3)]
    assert len({result.fingerprint for result in results}) == 3
    assert all(np.array_equal(result.test, np.flatnonzero(digits.is_test)) for result in results)
    assert [len(part) for part in (results[0].train, results[0].validation)] == [1149, 288]


def test_the_fingerprints_of_the_parts_differ() -> None:
    a, b, c = np.array([0, 1]), np.array([2]), np.array([3])
    splits = [Split(a, b, c), Split(b, a, c), Split(a, c, b), Split(np.array([0]), np.array([1, 2]), c)]
    assert len({split.fingerprint for split in splits}) == 4


@pytest.mark.parametrize(
    ("rest", "test", "fraction", "message"),
    [
        ([9], [1], 0.2, r"at least 2 classes are needed, got 1 \('class 0'\)"),
        ([], [], 0.2, "no test images"),
        ([9, 9], [0, 0], 0.2, "no test images; put some"),
        ([0, 0], [9, 9], 0.2, "no training images, all 18 are test images; mark images of each class as train"),
        ([9, 0], [1, 0], 0.2, "class 'class 1' has no image that can be read; add training images of it, or remove"),
        ([9, 0, 0], [1, 4, 1], 0.2, "class 'class 1' has no training image, only 4 test images; 1 more class lacks tr"),
        ([1, 9], [1, 1], 0.2, "class 'class 0' has 1 image to carve the validation split from.*add images of it"),
        ([3, 2, 3], [1, 1, 1], 0.2, r"holding 2 of 8 .* classes \(3; class 'class 1' has 2 images, the fewest\)"),
        ([3, 2, 3], [1, 1, 1], 0.8, "holding 7 of 8 .*hold another fraction"),
    ],
)  # fmt: skip
def test_images_that_cannot_be_split_are_refused(
    rest: list[int], test: list[int], fraction: float, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        split(dataset(rest, test), 0, fraction)


@pytest.mark.parametrize(("seed", "fraction"), [(-1, 0.2), (2**32, 0.2), (0, 0.0), (0, 1.0), (0, math.nan)])
def test_seeds_and_fractions_out_of_range_are_refused(seed: int, fraction: float) -> None:
    with pytest.raises(UsageError, match=f"got {seed if seed else fraction}"):
        split(dataset([9, 9], [1, 1]), seed, fraction)


def test_a_class_without_training_images_is_named() -> None:
    with pytest.raises(DatasetError, match=r"has 2 images, and holding 0\.96 .* leaves none to train on"):
        split(dataset([2, 200], [1, 1]), 0, 0.96)


def test_carved_test_splits_are_a_stratified_fifth() -> None:
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    is_test = carve_test(labels, ("a", "b", "c"))
    assert np.bincount(labels[is_test]).tolist() == [10, 6, 4]


@given(st.integers(1, 6), st.integers(0, 5), SEEDS)
@settings(max_examples=40)
def test_shots_are_the_same_number_of_each_class_and_nested(shots: int, more: int, seed: int) -> None:
    images = dataset([20, 15, 31], [2, 2, 2], order=seed % 100)
    parts = split(images, 0)
    few = few_shot(images, parts, shots, seed)
    assert np.bincount(images.labels[few.train]).tolist() == [shots] * 3
    assert (np.diff(few.train) > 0).all()
    assert set(few.train) <= set(few_shot(images, parts, shots + more, seed).train) <= set(parts.train)
    assert few.validation is parts.validation
    assert few.test is parts.test
    assert few.fingerprint == few_shot(images, parts, shots, seed).fingerprint != parts.fingerprint


def test_a_carved_test_split_does_not_need_images_of_unused_class_names() -> None:
    labels = np.repeat([0, 2], [50, 20])
    assert np.bincount(labels[carve_test(labels, ("a", "b", "c"))]).tolist() == [10, 0, 4]


def test_seeds_and_shots_change_the_fingerprint() -> None:
    digits = read_digits()
    parts = split(digits, 0)
    assert len({few_shot(digits, parts, shots, seed).fingerprint for shots in (1, 5) for seed in range(3)}) == 6


@pytest.mark.parametrize(
    ("shots", "seed", "error", "message"),
    [
        (0, 0, UsageError, r"`shots` must be at least 1 .* got 0"),
        (-3, 0, UsageError, "got -3"),
        (1, -1, UsageError, "a seed lies in 0 to 4294967295, got -1"),
        (9, 0, DatasetError, "class 'class 1' has 8 training images beside the validation split, too few for 9 shots"),
    ],
)
def test_impossible_shots_are_refused(shots: int, seed: int, error: type[Exception], message: str) -> None:
    images = dataset([20, 10], [2, 2])
    with pytest.raises(error, match=message):
        few_shot(images, split(images, 0), shots, seed)
    assert len(few_shot(images, split(images, 0), 8, 0).train) == 16


@given(st.data(), st.integers(2, 6), SEEDS)
@settings(max_examples=40)
def test_each_image_is_validated_in_one_fold(data: st.DataObject, k: int, seed: int) -> None:
    counts = data.draw(st.lists(st.integers(k, 20), min_size=2, max_size=5))
    images = dataset(counts, [1] * len(counts), order=seed % 100)
    parts = folds(images, k, seed)
    assert len(parts) == k
    validated = np.concatenate([part.validation for part in parts])
    np.testing.assert_array_equal(np.sort(validated), np.flatnonzero(~images.is_test))
    for part in parts:
        assert not set(part.train) & set(part.validation)
        assert len(part.train) + len(part.validation) == len(validated)
        assert (np.diff(part.train) > 0).all()
        np.testing.assert_array_equal(part.test, np.flatnonzero(images.is_test))
        of = np.bincount(images.labels[part.validation], minlength=len(counts))
        assert (np.abs(of - np.array(counts) / k) < 1).all()
    again = [part.fingerprint for part in folds(images, k, seed)]
    assert again == [part.fingerprint for part in parts]
    assert len(set(again)) == k


def test_the_fingerprint_of_splits_depends_on_every_split() -> None:
    images = dataset([9, 9], [1, 1])
    parts = split(images, 0)
    assert fingerprint_of([parts]) == parts.fingerprint
    assert len({fingerprint_of(folds(images, k, seed)) for k in (2, 3) for seed in range(2)}) == 4
    assert fingerprint_of(folds(images, 3, 1)) == fingerprint_of(folds(images, 3, 1))


def test_the_folds_depend_on_the_seed() -> None:
    digits = read_digits()
    assert len({part.fingerprint for seed in range(3) for part in folds(digits, 5, seed)}) == 15


@pytest.mark.parametrize(
    ("rest", "test", "k", "seed", "error", "message"),
    [
        ([9, 9], [1, 1], 1, 0, UsageError, "at least 2 folds are needed, got 1"),
        ([9, 9], [1, 1], 3, 2**32, UsageError, "a seed lies in"),
        ([9], [1], 3, 0, DatasetError, "at least 2 classes are needed, got 1"),
        ([9, 9], [0, 0], 3, 0, DatasetError, "no test images"),
        ([9, 4], [1, 1], 5, 0, DatasetError, "class 'class 1' has 4 images outside the test split, .* 5 folds"),
        ([9, 0], [1, 1], 2, 0, DatasetError, "class 'class 1' has no training image, only 1 test image; add"),
    ],
)  # fmt: skip
def test_impossible_folds_are_refused(
    rest: list[int], test: list[int], k: int, seed: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        folds(dataset(rest, test), k, seed)


@given(st.data(), SEEDS, st.sampled_from([None, 2, 5]), st.sampled_from([None, 1, 3]))
@settings(max_examples=60)
def test_a_rung_is_a_stratified_part_of_each_split_and_of_every_higher_rung(
    data: st.DataObject, seed: int, k: int | None, shots: int | None
) -> None:
    counts = data.draw(st.lists(st.integers(10, 40), min_size=2, max_size=6))
    images = dataset(counts, [1] * len(counts))
    whole: tuple[Split, ...] = folds(images, k, seed) if k else (split(images, seed),)
    if shots:
        whole = tuple(few_shot(images, parts, shots, seed) for parts in whole)
    rungs = [rung(images, whole, fraction, seed) for fraction in (0.01, 0.25, 0.5, 1.0)]
    assert fingerprint_of(rungs[-1]) == fingerprint_of(whole)
    for lower, higher in pairwise(rungs):
        for low, high in zip(lower, higher, strict=True):
            for part, larger in ((low.train, high.train), (low.validation, high.validation)):
                assert (np.diff(part) > 0).all()
                assert set(part) <= set(larger)
            assert set(images.labels[low.train]) == set(range(len(counts)))
            assert len(low.validation) > 0
            assert low.test.tolist() == high.test.tolist()
    if k is None:
        for parts, of in ((rungs[1][0].train, whole[0].train), (rungs[1][0].validation, whole[0].validation)):
            kept, there = (np.bincount(images.labels[each], minlength=len(counts)) for each in (parts, of))
            assert (np.abs(kept - there / 4) <= 1).all()


@pytest.mark.parametrize("k", [None, 5])
def test_a_rung_has_its_fraction_of_the_images_even_with_small_classes(k: int | None) -> None:
    """Six images of each of fifty classes validate: a quarter is one of them or two."""
    images = dataset([30] * 50, [1] * 50)
    whole = folds(images, k, 0) if k else (split(images, 0),)
    for parts, of in zip(rung(images, whole, 0.25, 0), whole, strict=True):
        assert abs(len(parts.train) - len(of.train) / 4) <= 10
        assert abs(len(parts.validation) - len(of.validation) / 4) <= 3
