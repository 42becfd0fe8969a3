"""A study's report as data for programs: JSON of every table, CSV of every trial."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from dashboards.page.spreadsheet import csv_text
from dashboards.selection.answer import selection
from dashboards.study import tables
from dashboards.study.answer.answer import study_answer
from dashboards.study.answer.scores import confusions, scores
from dashboards.study.answer.tradeoff import trade_off
from dashboards.study.choices.analysis import NO_ANALYSIS, Analysis
from dashboards.study.choices.contested import contested
from dashboards.study.choices.tables import interaction
from dashboards.study.published import published
from objectives.results import METRICS, Metric, Picture, StudyResults, Trial
from spaces import Block, Setting
from spaces.text import one_line


def study_json(study: StudyResults, analysis: Analysis = NO_ANALYSIS) -> str:
    """One object: the study's facts, the best setting, and each table of the report under the name of its section.

    Accuracies are in [0, 1]. An estimate is its value, its 95 % interval, the number of images and the metric's name.
    """
    cells, expected = tables.block_by_timestep(study), analysis.expected
    content = {
        "study": {"name": study.name, "dataset": study.dataset, "backbone": study.backbone, "metric": study.metric},
        "provenance": study.provenance,
        "trials": tables.trial_counts(study),
        "answer": study_answer(study),
        "candidates": chosen.candidates if (chosen := selection(study)) else (),
        "finalists": tables.finalists(study),
        "published": published(study),
        "blocks": tuple(cells.cells.values()),
        "expected": {"trials": expected.trials, "cells": tuple(expected.cells.values())} if expected else None,
        "pooling": tables.pooling_groups(study),
        "heads": tables.head_groups(study),
        "taps": tables.tap_groups(study),
        "importances": analysis.importances,
        "interaction": interaction(study, analysis.importances),
        "cost": {"front": costs.pareto_front, "others": costs.others} if (costs := trade_off(study)) else None,
        "history": tables.history(study),
        "stages": tables.stages(study),
        "time": tables.time_by_phase(study),
        "passes": tables.passes(study),
        "scores": scores(study),
        "confusions": confusions(study),
        "contested": contested(study),
        "leaderboard": tables.leaderboard(study) if study.complete else None,
        "failures": tables.failures(study),
    }
    return json.dumps(plain(content), indent=2, ensure_ascii=False) + "\n"


def plain(value: Any) -> Any:
    """Make a value JSON-ready: dataclasses by their fields, settings as dictionaries, pictures by their names.

    Control characters of a text are spelled as on a page.
    """
    match value:
        case Setting():
            ready: Any = value.to_dict()
        case str():
            ready = one_line(value)
        case Metric() | Picture():
            ready = one_line(value.name)
        case Block():
            ready = value.number
        case tuple() | list():
            ready = [plain(item) for item in value]
        case Mapping() if all(isinstance(key, str) for key in value):
            ready = {one_line(key): plain(item) for key, item in value.items()}
        case Mapping():
            ready = [{"at": plain(key), **plain(item)} for key, item in value.items()]
        case _ if is_dataclass(value):
            ready = {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        case _:
            ready = value
    return ready


def study_csv(study: StudyResults) -> str:
    """A row for each trial: number and state, the setting, its validation value by each metric with the 95 % interval,
    its cost, its seconds by phase and its passes. Values that a trial lacks are empty. Accuracies are in [0, 1]."""
    rows = trial_rows(study)
    columns = list(dict.fromkeys(name for row in rows for name in row)) or ["number"]
    return csv_text(columns, rows)


def trial_rows(study: StudyResults) -> list[dict[str, Any]]:
    """Return one row a trial, in the order of their numbers; a trial has no key for what it does not know."""
    return [_row(trial) for trial in study.trials]


def _row(trial: Trial) -> dict[str, Any]:
    setting = trial.setting
    row: dict[str, Any] = {
        "number": trial.number,
        "state": trial.state,
        "block": " + ".join(str(tap.block) for tap in setting.taps),
        "timestep": " + ".join("" if tap.timestep is None else str(tap.timestep) for tap in setting.taps),
        "pool": setting.pool,
        "draws": setting.draws,
        "head": setting.head,
        **{f"{setting.head}.{name}": value for name, value in setting.options},
    }
    if trial.validation is not None:
        row |= {"images": trial.validation.total, "correct": trial.validation.correct}
    for name, metric in METRICS.items():
        if (measured := trial.estimate(metric)) is not None:
            row |= {name: measured.value, f"{name} low": measured.low, f"{name} high": measured.high}
    row |= {"gmacs": trial.gmacs} if trial.gmacs is not None else {}
    row |= {f"seconds {phase}": seconds for phase, seconds in trial.seconds.items()}
    row |= {"passes made": trial.passes_made, "passes needed": trial.passes_needed}
    row |= {"finished": trial.finished} if trial.finished is not None else {}
    return row | ({"reason": trial.reason} if trial.reason else {})
