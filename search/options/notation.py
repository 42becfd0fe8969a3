"""Turns text that a person has typed into the value of an option: lists, sizes, durations and numbers.

The command line and the form of the server use it. Every error is a UsageError that says what was expected.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from search.options.option import Notation
from spaces import UsageError
from spaces.errors import shown
from spaces.space import MOST_VALUES

BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_integers(text: str) -> list[int]:
    """Parse numbers and ranges: `13,16-18` → [13, 16, 17, 18].

    Raises UsageError for other text, and for a range that is empty or longer than any list may be.
    """
    values: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,10})\s*(?:-\s*([0-9]{1,10})\s*)?", part)
        if match is None:
            raise UsageError(f"expected numbers and ranges such as 4,13-16, got {shown(text)}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UsageError(f"a range begins with the smaller number, such as {last}-{first}, got {part.strip()}")
        if len(values) + last - first >= MOST_VALUES:
            raise UsageError(f"expected at most {MOST_VALUES:,} numbers, got {part.strip()}")
        values += range(first, last + 1)
    return values


def parse_names(text: str) -> list[str]:
    """Parse names: `linear, mlp` → ["linear", "mlp"]."""
    return [name.strip() for name in text.split(",")]


def parse_size(text: str) -> int:
    """Parse a size into bytes: `200GB` → 200,000,000,000; `1.5GiB` → 1,610,612,736. Raises UsageError."""
    match = re.fullmatch(r"([0-9]{1,19}(?:\.[0-9]+)?)\s*(|[kmgt]i?)b?", text.strip().lower())
    if match is None:
        raise UsageError(f"expected a size such as 200GB or 1.5TB, or a number of bytes, got {shown(text)}")
    return int(float(match[1]) * BYTES[match[2]])


def parse_duration(text: str) -> float:
    """Parse a duration into seconds: `5m` → 300; `90s` or `90` → 90; `1h30m` or `1.5h` → 5400. Raises UsageError."""
    number, units = r"([0-9]{1,9}(?:\.[0-9]+)?)", []
    text = str(text).strip().lower()
    if re.fullmatch(rf"{number}|(?:{number}\s*h\s*)?(?:{number}\s*m\s*)?(?:{number}\s*s)?", text):
        units = re.findall(rf"{number}\s*([smh]?)", text)
    seconds = sum(float(value) * SECONDS[unit] for value, unit in units)
    if seconds <= 0:
        rule = "a time such as 90s, 5m or 1h30m, or a number of seconds above 0, each number of at most 9 digits"
        raise UsageError(f"expected {rule}, got {shown(text)}")
    return seconds


def parse_number(text: object, low: float, high: float, kind: type[float] = int) -> float:
    """Parse a number from low to high, both included. kind: int for whole numbers only. Raises UsageError."""
    words = str(text).strip()
    try:
        number = kind(words)
    except ValueError:  # also for a number of thousands of digits
        number = math.nan
    if not low <= number <= high:
        what = "a whole number" if kind is int else "a number"
        raise UsageError(f"expected {what} from {low:,} to {high:,}, got {shown(words)}")
    return number


PARSERS: Mapping[Notation, Callable[[str], Any]] = {
    "integers": parse_integers,
    "names": parse_names,
    "size": parse_size,
    "duration": parse_duration,
}
