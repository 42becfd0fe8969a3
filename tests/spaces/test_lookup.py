"""Looking up a name that a user gave."""

import pytest

from spaces import UnknownNameError, check_name, lookup


def test_a_name_gives_its_entry() -> None:
    assert lookup("head", "mlp", {"linear": 1, "mlp": 2}) == 2


def test_an_unknown_name_lists_those_that_exist() -> None:
    with pytest.raises(UnknownNameError, match="unknown head 'mpl'; did you mean 'mlp'\\? known: linear, mlp"):
        lookup("head", "mpl", {"linear": 1, "mlp": 2})
    with pytest.raises(UnknownNameError, match="unknown sampler 'grid'; known: none"):
        check_name("sampler", "grid", [])


@pytest.mark.parametrize("name", [None, 1, ["mlp"], {}])
def test_a_name_that_is_no_text_is_unknown(name: object) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown head .*; known: linear, mlp"):
        check_name("head", name, {"linear": 1, "mlp": 2})
