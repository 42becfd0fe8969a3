"""The report across datasets as data for programs: JSON of every table, CSV of every cell."""

import json
from collections.abc import Iterable
from typing import Any

from dashboards.cross_dataset.advice import Advice
from dashboards.cross_dataset.tables import Regret, RegretMatrix, Task, best_by_block, task_row
from dashboards.page.spreadsheet import csv_text
from dashboards.study.data import plain

NamedMatrices = Iterable[tuple[str, RegretMatrix, Advice | None]]
"""Rows, one for each network: its name, the matrix of its datasets, and the advice for a new dataset."""

COLUMNS = ("network", "best setting of", "used on", "setting", "loses", "low", "high", "images", "paired", "missing")


def across_json(networks: NamedMatrices) -> str:
    """A list of networks. Accuracies and losses are in [0, 1]; a cell's `missing` is null if its loss is known."""
    content = [
        {
            "network": name,
            "datasets": [_dataset(task) for task in matrix.tasks],
            "regret": [_cell(cell) for cell in matrix.cells.values()],
            "together": [
                {
                    "of": shared.best_of,
                    "setting": shared.setting,
                    "mean": shared.mean,
                    "worst": _cell(shared.worst),
                }
                for shared in matrix.shared_settings
            ],
            "new": _advice(advice) if advice else None,
        }
        for name, matrix, advice in networks
    ]
    return json.dumps(plain(content), indent=2, ensure_ascii=False) + "\n"


def across_csv(networks: NamedMatrices) -> str:
    """A row for each cell: the accuracy, in [0, 1], that the best setting of one dataset loses on another.

    Values that a missing cell lacks are empty.
    """
    rows = []
    for name, matrix, _ in networks:
        for cell in matrix.cells.values():
            loss = (cell.loss.value, cell.loss.low, cell.loss.high) if cell.loss else ("", "", "")
            values = (name, cell.best_of, cell.used_on, str(cell.setting), *loss)
            values += (cell.images, cell.paired, cell.missing or "")
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    return csv_text(COLUMNS, rows)


def _dataset(task: Task) -> dict[str, Any]:
    row = task_row(task)
    return {
        "dataset": task.label,
        "study": task.study.name,
        "other studies": task.others,
        "classes": len(task.study.classes),
        "images": row.images,
        "setting": row.setting,
        "validation": row.validation,
        "test": row.test,
        "expected loss": row.expected_loss,
        "better than chance": row.better_than_chance,
        "gmacs": row.gmacs,
        "trials": row.trials,
        "blocks": [
            {"block": best.block, "trial": best.trial.number, "validation": best.validation, "loses": best.loss}
            for best in best_by_block(task)
        ],
    }


def _cell(cell: Regret) -> dict[str, Any]:
    facts = {name: getattr(cell, name) for name in ("setting", "images", "paired", "missing", "why")}
    return {"of": cell.best_of, "on": cell.used_on, **facts, "loses": cell.loss}


def _advice(advice: Advice) -> dict[str, Any]:
    return {
        "setting": advice.setting,
        "classes": advice.classes,
        "images": advice.images,
        "places": advice.candidates,
        "standings": [
            {
                "task": past.task,
                "weight": past.weight,
                "own": past.best,
                "above": past.above,
                "loses": past.loss,
            }
            for past in advice.rankings
        ],
        "command": advice.command,
    }
