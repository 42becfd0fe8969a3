"""The errors of a comparison of two studies."""

import pytest

from dashboards.comparison import StudyComparison
from spaces import SearchError
from tests.support.studies import small_results


def test_studies_of_other_images_are_refused_with_each_image_counted_once() -> None:
    counts = {"train": 240, "validation": 240, "test": 60}
    folds = {"folds": "5", "dataset fingerprint": "1"}
    mine = small_results(name="mine", dataset="csv", counts=counts, provenance=folds)
    digits = small_results(name="digits", provenance={"dataset fingerprint": "2"})
    with pytest.raises(SearchError, match=r"mine is of csv \(300 images\), digits of digits \(150 images\)"):
        StudyComparison.of(mine, digits)
