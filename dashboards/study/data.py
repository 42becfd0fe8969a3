"""What a report draws, as plain numbers for programs: JSON of every table, CSV of every trial."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from io import StringIO
from typing import Any

from dashboards.study import choices, scores, tradeoff
from dashboards.study import tables as summaries
from dashboards.study.choices import Importance
from dashboards.study.contested import contested
from dashboards.study.published import published
from objectives.results import METRICS, Metric, Picture, StudyResults, Trial
from spaces import Block, Setting


def study_json(study: StudyResults, importances: Sequence[Importance] = ()) -> str:
    """One object: the study's facts, the answer, and each table of its report under the name of its section.

    Accuracies are in [0, 1]; an estimate is its value, its 95 % interval, the images and the metric's name.
    """
    cells = summaries.block_by_timestep(study)
    tables = {
        "study": {"name": study.name, "dataset": study.dataset, "backbone": study.backbone, "metric": study.metric},
        "provenance": study.provenance,
        "trials": summaries.trial_counts(study),
        "answer": summaries.answer(study),
        "finalists": summaries.finalists(study),
        "published": published(study),
        "blocks": tuple(cells.cells.values()),
        "pooling": summaries.by_pooling(study),
        "heads": summaries.by_head(study),
        "taps": summaries.by_taps(study),
        "importances": importances,
        "interaction": choices.interaction(study, importances),
        "cost": tradeoff.trade_off(study),
        "history": summaries.history(study),
        "time": summaries.time_by_phase(study),
        "passes": summaries.passes(study),
        "scores": scores.scores(study),
        "confusions": scores.confusions(study),
        "contested": contested(study),
        "leaderboard": summaries.leaderboard(study) if study.complete else None,
        "failures": summaries.failures(study),
    }
    return json.dumps(plain(tables), indent=2, ensure_ascii=False) + "\n"


def plain(value: Any) -> Any:
    """JSON-ready: dataclasses by their fields, settings as they are written everywhere, pictures by their names."""
    match value:
        case Setting():
            found: Any = value.to_dict()
        case Metric() | Picture():
            found = value.name
        case Block():
            found = value.number
        case tuple() | list():
            found = [plain(each) for each in value]
        case Mapping() if all(isinstance(key, str) for key in value):
            found = {key: plain(each) for key, each in value.items()}
        case Mapping():
            found = [{"at": plain(key), **plain(each)} for key, each in value.items()]
        case _ if is_dataclass(value):
            found = {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        case _:
            found = value
    return found


def study_csv(study: StudyResults) -> str:
    """A row for each trial: number and state, the setting, what it is worth on validation by each metric with its 95 %
    interval, its cost, its seconds by phase and its passes. What a trial has not is empty. Accuracies are in [0, 1]."""
    rows = trial_rows(study)
    columns = list(dict.fromkeys(name for row in rows for name in row)) or ["number"]
    text = StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


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
        if (found := trial.estimate(metric)) is not None:
            row |= {name: found.value, f"{name} low": found.low, f"{name} high": found.high}
    row |= {"gmacs": trial.gmacs} if trial.gmacs is not None else {}
    row |= {f"seconds {phase}": seconds for phase, seconds in trial.seconds.items()}
    row |= {"passes made": trial.passes_made, "passes needed": trial.passes_needed}
    row |= {"finished": trial.finished} if trial.finished is not None else {}
    return row | ({"reason": trial.reason} if trial.reason else {})
