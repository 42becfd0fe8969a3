"""Errors cross from workers to whoever shows them."""

import pickle

import pytest

from spaces import InvalidSpaceError, UnknownNameError
from spaces.errors import SearchError, did_you_mean


@pytest.mark.parametrize(
    "error",
    [UnknownNameError("head", "mpl", ("mlp", "linear")), InvalidSpaceError("pool 3 fits no map")],
    ids=lambda error: type(error).__name__,
)
def test_an_error_says_the_same_after_it_was_sent(error: SearchError) -> None:
    sent = pickle.loads(pickle.dumps(error))
    assert type(sent) is type(error)
    assert str(sent) == str(error)
    assert sent.exit_code == error.exit_code


def test_a_name_that_differs_in_case_alone_is_the_closest() -> None:
    assert did_you_mean("A", ["b", "a", "AB"]) == "did you mean 'a'? "
    assert did_you_mean("HEADS", ["heads", "HEADER"]) == "did you mean 'heads'? "
    assert did_you_mean("A", ["b"]) == ""


def test_an_error_is_one_line_whatever_the_names_in_it() -> None:
    assert str(SearchError("a\nb\r\0 is no \udcff; see C:\\x41 é")) == r"a\x0ab\x0d\x00 is no \xff; see C:\x41 é"
