"""A row of the check: what it measures, the bar it has to meet, and its result. Runs rows one after the other."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from gpu_check.machine import Machine

LAST_START = 330.0
"""Seconds since the start of the check after which no row starts."""


Outcome = Literal["pass", "fail", "not run"]


class NotRun(Exception):  # noqa: N818 - not an error
    """Raised by a row that cannot run here; the message is the reason."""


@dataclass(frozen=True)
class Bar:
    """The largest figure that passes or, with `at_least`, the smallest."""

    limit: float
    at_least: bool = False

    def met(self, figure: float) -> bool:
        return figure >= self.limit if self.at_least else figure <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"


@dataclass(frozen=True)
class Measured:
    """The figure of a row. bar: None if any figure passes. note: what else a reader should know."""

    figure: float
    unit: str
    bar: Bar | None = None
    note: str = ""


@dataclass(frozen=True)
class Row:
    """A row of the check.

    seconds: what it may take. `measure` obeys it by its sizes, and by `Machine.seconds_left`.
    """

    name: str
    kind: Literal["right", "speed"]
    seconds: float
    measure: Callable[[Machine], Measured]


@dataclass(frozen=True)
class Result:
    """The result of a row.

    figure: None if there is none. limit: the seconds that the row may take. gpu_memory_gib: the most that it held.
    """

    name: str
    kind: str
    outcome: Outcome
    figure: float | None
    unit: str
    bar: str
    seconds: float
    limit: float
    note: str
    gpu_memory_gib: float | None = None

    @classmethod
    def without_figure(cls, row: Row, outcome: Outcome, note: str, seconds: float = 0.0) -> "Result":
        """Make the result of a row that measured nothing."""
        return cls(row.name, row.kind, outcome, None, "", "", seconds, row.seconds, note)

    @classmethod
    def of(cls, row: Row, measured: Measured, seconds: float) -> "Result":
        """Compare a figure with its bar. A figure that is not finite fails."""
        bar, figure = measured.bar, measured.figure if math.isfinite(measured.figure) else None
        passed = figure is not None and (bar is None or bar.met(figure))
        odd = f"the figure is {measured.figure}" if figure is None else ""
        late = f"took longer than its {row.seconds:g} s" if seconds > row.seconds else ""
        note = "; ".join(filter(None, (odd, measured.note, late)))
        return cls(
            row.name, row.kind, "pass" if passed else "fail", figure, measured.unit, str(bar or ""), seconds,
            row.seconds, note,
        )  # fmt: skip


def run_rows(rows: Sequence[Row], machine: Machine) -> Iterator[Result]:
    """Run every row and yield its result. An exception fails its own row alone."""
    for row in rows:
        if machine.seconds_since_start() > LAST_START:
            yield Result.without_figure(row, "not run", "no time left")
        else:
            yield run_row(row, machine)


def run_row(row: Row, machine: Machine) -> Result:
    """Run a row and return its result."""
    machine.begin(row.seconds)
    since = time.perf_counter()
    try:
        measured = row.measure(machine)
        result = Result.of(row, measured, time.perf_counter() - since)
    except NotRun as reason:
        result = Result.without_figure(row, "not run", str(reason), time.perf_counter() - since)
    except Exception as error:  # whatever it is, the next row starts
        result = Result.without_figure(row, "fail", one_line(error), time.perf_counter() - since)
    return replace(result, gpu_memory_gib=machine.end())


def one_line(error: BaseException) -> str:
    """Return the kind of an error and its message in one line of at most 300 characters."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
