"""CSV that a spreadsheet opens: no text is a formula, numbers stay numbers."""

import csv
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.page.spreadsheet import FORMULA, csv_text
from spaces.text import one_line
from tests.support.names import unsafe_characters

TEXTS = st.text(st.sampled_from("=+-@\t\r\n＝＋－＠'\",;\x1b\x07\u202e\udcffax1") | st.characters())


def cells(*values: object) -> list[str]:
    """Write a row, and read it as a spreadsheet does."""
    names = [f"c{number}" for number in range(len(values))]
    header, row = csv.reader(StringIO(csv_text(names, [dict(zip(names, values, strict=True))])))
    assert header == names
    return row


@given(TEXTS, TEXTS)
def test_no_text_begins_as_a_formula_or_leaves_its_cell(one: str, other: str) -> None:
    row = cells(one, other, 1)
    assert row == [f"'{one_line(text)}" if text[:1] in FORMULA else one_line(text) for text in (one, other)] + ["1"]
    assert not {text[:1] for text in row} & set("=+-@\t\r\n＝＋－＠")
    assert unsafe_characters("".join(row), "") == set()


@pytest.mark.parametrize("number", [-1, -0.5, 1e-9, float("-inf"), 0, True])
def test_numbers_stay_as_they_are(number: float) -> None:
    assert cells(number) == [str(number)]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1", "'+1"),
        ("-owl", "'-owl"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", r"'\x09=1"),
        ("\r=1", r"'\x0d=1"),
        ("owl-1", "owl-1"),
        ("'quoted'", "'quoted'"),
        ("two\nlines", r"two\x0alines"),
        ("", ""),
    ],
)
def test_texts(text: str, cell: str) -> None:
    assert cells(text) == [cell]


def test_a_value_that_a_row_lacks_is_empty_and_a_column_is_no_formula() -> None:
    assert csv_text(["=a", "b"], [{"=a": 1}, {}]) == "'=a,b\n1,\n,\n"
