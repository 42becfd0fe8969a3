"""What the report across datasets draws, as plain numbers for programs: JSON of every table, CSV of every cell."""

import csv
import json
from collections.abc import Iterable
from io import StringIO
from typing import Any

from dashboards.cross_dataset.advice import Advice
from dashboards.cross_dataset.tables import Matrix, Regret, Task, by_block, row
from dashboards.study.data import plain

Named = Iterable[tuple[str, Matrix, Advice | None]]
"""Of each network its name, all its datasets, and where a new one would begin."""

COLUMNS = ("network", "best setting of", "used on", "setting", "loses", "low", "high", "images", "paired", "missing")


def across_json(networks: Named) -> str:
    """A list of networks. Accuracies and what is lost of them are in [0, 1]; a cell's `missing` is null where it is
    known."""
    found = [
        {
            "network": name,
            "datasets": [_dataset(task) for task in table.tasks],
            "regret": [_cell(cell) for cell in table.cells.values()],
            "together": [
                {"of": each.of, "setting": each.setting, "mean": each.mean, "worst": _cell(each.worst)}
                for each in table.together
            ],
            "new": advice,
        }
        for name, table, advice in networks
    ]
    return json.dumps(plain(found), indent=2, ensure_ascii=False) + "\n"


def across_csv(networks: Named) -> str:
    """A row for each cell: what the best setting of one dataset loses on another, of its accuracy in [0, 1]. What a
    cell that is missing has not is empty."""
    text = StringIO()
    columns = (
        "network",
        "best setting of",
        "used on",
        "setting",
        "loses",
        "low",
        "high",
        "images",
        "paired",
        "missing",
    )
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for name, table, _ in networks:
        for cell in table.cells.values():
            loses = (cell.loses.value, cell.loses.low, cell.loses.high) if cell.loses else ("", "", "")
            writer.writerow(
                [name, cell.of, cell.on, str(cell.setting), *loses, cell.images, cell.paired, cell.missing or ""]
            )
    return text.getvalue()


def _dataset(task: Task) -> dict[str, Any]:
    found = row(task)
    return {
        "dataset": task.label,
        "study": task.study.name,
        "other studies": task.others,
        "classes": len(task.study.classes),
        "images": found.images,
        "setting": found.setting,
        "validation": found.validation,
        "test": found.test,
        "gmacs": found.gmacs,
        "trials": found.trials,
        "blocks": [
            {"block": at.block, "trial": at.trial.number, "validation": at.validation, "loses": at.loses}
            for at in by_block(task)
        ],
    }


def _cell(cell: Regret) -> dict[str, Any]:
    facts = {name: getattr(cell, name) for name in ("of", "on", "setting", "images", "paired", "missing", "why")}
    return facts | {"loses": cell.loses}
