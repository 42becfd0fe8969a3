"""The table and the JSON file of a check."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from gpu_check.rows import Result

COLUMNS = ("row", "result", "figure", "unit", "bar", "seconds", "note")


def line(result: Result) -> tuple[str, ...]:
    """Return a row's cells in the order of `COLUMNS`."""
    figure = "" if result.figure is None else f"{result.figure:.4g}"
    return (
        result.name, result.outcome, figure, result.unit, result.bar, f"{result.seconds:.1f}", result.note,
    )  # fmt: skip


def table(results: Sequence[Result]) -> str:
    """Return the table as text."""
    lines = [COLUMNS, *(line(result) for result in results)]
    widths = [max(len(cells[column]) for cells in lines) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip() for cells in lines
    )


def summary(results: Sequence[Result], seconds: float) -> str:
    """Return the numbers of rows by outcome."""
    counts = Counter(result.outcome for result in results)
    return f"pass {counts['pass']}, fail {counts['fail']}, not run {counts['not run']}; {seconds:.0f} s"


def heading(facts: dict[str, object]) -> str:
    """Return one line about the device, the versions and the commit."""
    versions = facts["versions"]
    assert isinstance(versions, dict)
    driver = f", driver {facts['driver']}, CUDA {facts['cuda']}" if "driver" in facts else ""
    return (
        f"{facts['name']} ({facts['device']}), {facts['cores']} cores{driver}, Python {facts['python']}, "
        f"torch {versions['torch']}, diffusers {versions['diffusers']}, commit {facts['commit']}"
    )


def save(file: Path, facts: dict[str, object], results: Sequence[Result], seconds: float) -> None:
    """Write facts and results as JSON. The file is complete at any moment."""
    content = {"machine": facts, "seconds": seconds, "rows": [asdict(result) for result in results]}
    part = file.with_name(f"{file.name}.part")
    part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    part.replace(file)
