"""The validation that is chosen where nobody says it."""

import pytest

from objectives.datasets.validation import default_folds
from objectives.heads.catalog import HEADS
from objectives.heads.head import FoldsHead
from spaces import FOLDS_TOGETHER


@pytest.mark.parametrize(
    ("counts", "shots", "folds"),
    [
        ([5, 5], None, 5),  # the smallest dataset with 5 folds
        ([4, 100], None, 4),  # a class has fewer images than folds
        ([3, 100], None, 3),
        ([2, 100], None, None),
        ([1, 100], None, None),
        ([0, 100], None, None),  # `split` says what is wrong
        ([30] * 100, None, 5),
        ([30] * 99 + [31], None, 3),
        ([4] * 1000, None, 3),
        ([2] * 2000, None, None),
        ([1000] * 10, None, 3),
        ([1000] * 9 + [1001], None, None),
        ([100_000] * 10, None, None),
        ([10, 10], 8, 5),  # every fold leaves 8 of 10
        ([10, 10], 9, None),
        ([6, 6], 4, 5),
        ([6, 6], 5, None),
        ([4, 4], 3, 4),
        ([6000, 6000], 5, None),
    ],
)
def test_folds_by_images_classes_and_shots(counts: list[int], shots: int | None, folds: int | None) -> None:
    assert default_folds(counts, ["linear", "ridge"], shots) == folds


def test_there_are_3_folds_where_a_head_fits_fold_after_fold() -> None:
    assert default_folds([100, 100], ["linear", "mlp"]) == 3
    assert default_folds([3, 100], ["linear", "mlp"]) == 3
    assert default_folds([2, 100], ["linear", "mlp"]) is None


def test_the_heads_that_fit_folds_together_are_named() -> None:
    assert {name for name, head in HEADS.items() if isinstance(head, FoldsHead)} == FOLDS_TOGETHER
