"""Sizes in words."""

import pytest

from objectives.sizes import size_in_words


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1500, "1.5 kB"),
        (2_211_383_297, "2.2 GB"),
        (1.25e12, "1.2 TB"),
        (2e18, "2,000.0 PB"),
    ],
)
def test_a_size_has_the_largest_unit_that_fits(size: float, words: str) -> None:
    assert size_in_words(size) == words
