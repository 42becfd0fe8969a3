"""Rows as CSV, which spreadsheets open: no text from the data becomes a formula there."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from typing import Any

from spaces.text import one_line

FORMULA = frozenset("=+-@\t\r\n＝＋－＠")
"""Beginnings that spreadsheets read as a formula, or skip before one (OWASP, "CSV Injection")."""


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return a header and a row for each mapping from columns to values; values that a row lacks are empty.

    Numbers stay as they are. Control characters of a text are spelled as `spaces.text.one_line` does. A text that
    begins as a formula gets an apostrophe before it, with which spreadsheets show it as text.
    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_cell, columns))
    writer.writerows([_cell(row.get(column, "")) for column in columns] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return ("'" if value[:1] in FORMULA else "") + one_line(value)
