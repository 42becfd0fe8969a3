"""Text that a person has typed as values of options."""

import pytest

from search.options.notation import parse_duration, parse_integers, parse_names, parse_number, parse_size
from spaces import UsageError


@pytest.mark.parametrize(
    ("text", "size"),
    [("200GB", 200 * 10**9), ("1.5 TiB", int(1.5 * 2**40)), ("300m", 300 * 10**6), ("12", 12), ("0", 0)],
)
def test_sizes_are_parsed(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "lots", "1..5GB", "-3GB", "3XB", "1e3GB", "inf", "nan", "9" * 400 + "GB"])
def test_invalid_sizes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected a size such as 200GB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300), ("90s", 90), ("90", 90), ("1.5h", 5400), ("1h30m", 5400), ("1h 5s", 3605), (" 2 M ", 120)],
)
def test_durations_are_parsed(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "m", "-5m", "0", "5 minutes", "5d", "30m1h", "1h30", "nan", "inf", "1e400", "9" * 400]
)
def test_invalid_durations_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected a time such as 90s, 5m or 1h30m"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "values"), [("4", [4]), ("4,13-16", [4, 13, 14, 15, 16]), (" 1 , 2 ", [1, 2])])
def test_numbers_and_ranges_are_parsed(text: str, values: list[int]) -> None:
    assert parse_integers(text) == values


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected numbers and ranges such as 4,13-16, got ''"),
        ("4,,5", "expected numbers and ranges"),
        ("1e3", "expected numbers and ranges"),
        ("-5", "expected numbers and ranges"),
        ("²", "expected numbers and ranges"),
        ("9" * 5000, "expected numbers and ranges"),
        ("10-8", "a range begins with the smaller number, such as 8-10, got 10-8"),
        ("0-9999999999", "expected at most 100,000 numbers, got 0-9999999999"),
        ("0-99999,0", "expected at most 100,000 numbers, got 0"),
    ],
)
def test_what_is_no_list_of_numbers_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        parse_integers(text)
    assert len(str(raised.value)) < 250


@pytest.mark.parametrize("text", ["0", "65536", "1e3", "1.5", "nan", "inf", "-0", "", "0x10", "9" * 400, "9" * 5000])
def test_a_number_outside_the_range_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected a whole number from 1 to 65,535, got ") as raised:
        parse_number(text, 1, 65535)
    assert len(str(raised.value)) < 250


@pytest.mark.parametrize("text", ["0.04", "nan", "inf", "-inf", "1e400", "half", "9" * 5000])
def test_a_fraction_outside_the_range_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected a number from 0\.05 to 0\.5, got "):
        parse_number(text, 0.05, 0.5, float)


def test_numbers_are_parsed() -> None:
    assert (parse_number(" 7 ", 1, 9), parse_number("-0", 0, 9), parse_number("2.5e-1", 0, 1, float)) == (7, 0, 0.25)


def test_names_are_parsed() -> None:
    assert parse_names(" nll , cost ") == ["nll", "cost"]
    assert parse_names("accuracy,") == ["accuracy", ""]  # the empty name is refused with the option's name
