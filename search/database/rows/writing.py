"""Turns results into values of the database's columns, as `reading` turns rows into results, and writes a trial."""

import zlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from objectives.results import Baseline, Final, Reevaluation
from search.database.connection.dialects import now, upsert
from search.database.models import RunRow, StudyRow, TrialRow
from search.database.records import TrialRecord, scores_to_dict
from search.database.runs.leases import covered_seconds

OnBeat = Callable[[int, datetime, datetime], None]
"""Called with the id of a run, when it sent its last heartbeat, and when it sends this one."""


def record_trial(connection: Connection, study: str, record: TrialRecord, on_beat: OnBeat) -> None:
    """Write the row of a trial, in place of an earlier one, and a heartbeat of its run.

    Raises KeyError where the study or the run is gone.
    """
    columns = (RunRow.study_id, RunRow.id, RunRow.started, RunRow.ended, RunRow.heartbeat)
    runs = connection.execute(select(*columns).join(StudyRow).where(StudyRow.name == study)).all()
    moment, last = now(connection), {run.id: run.heartbeat for run in runs}[record.run_id]
    on_beat(record.run_id, last, moment)
    spans = [(run.started, run.ended or (moment if run.id == record.run_id else run.heartbeat)) for run in runs]
    connection.execute(update(RunRow).where(RunRow.id == record.run_id).values(heartbeat=moment))
    values = {"study_id": runs[0].study_id, "finished": covered_seconds(spans), **trial_values(record)}
    upsert(connection, TrialRow, values, ("study_id", "number"))


def trial_values(record: TrialRecord) -> dict[str, Any]:
    """Return column → value of a `TrialRow`, but not its study and when it finished."""
    return {
        "number": record.number,
        "run_id": record.run_id,
        "attempt": record.attempt,
        "setting": record.setting,
        "validation_correct": record.validation.correct if record.validation else None,
        "validation_total": record.validation.total if record.validation else None,
        "seconds": dict(record.seconds),
        "passes_made": record.passes_made,
        "passes_needed": record.passes_needed,
        "details": dict(record.details),
        "scores": scores_to_dict(record.scores),
        "answers": record.correct_mask.to_bytes() if record.correct_mask else None,
    }


def final_values(final: Final) -> dict[str, Any]:
    """Return column → value of a `FinalRow`, but not its study."""
    return {
        **_evaluation_values(final),
        "test_correct": final.test.correct,
        "test_total": final.test.total,
        "validation_scores": scores_to_dict(final.validation_scores),
        "test_scores": scores_to_dict(final.test_scores),
        "confused": [[pair.true, pair.predicted, pair.count, list(pair.examples)] for pair in final.confused],
        "test_answers": final.test_correct_mask.to_bytes() if final.test_correct_mask else None,
    }


def reevaluation_values(reevaluation: Reevaluation) -> dict[str, Any]:
    """Return column → value of a `ReevaluationRow`, but not its study."""
    return {
        **_evaluation_values(reevaluation),
        "images": zlib.compress(reevaluation.image_scores.images),
        "image_scores": zlib.compress(reevaluation.image_scores.scores),
        "scores": scores_to_dict(reevaluation.validation_scores),
    }


def baseline_values(baseline: Baseline, key: str) -> dict[str, Any]:
    """Return column → value of a `BaselineRow`, but not its study."""
    mask = baseline.test_correct_mask
    return {
        "kind": baseline.kind,
        "key": key,
        "setting": baseline.setting,
        "side": baseline.side,
        "features": baseline.features,
        "seed": baseline.seed,
        "validation_correct": baseline.validation.correct,
        "validation_total": baseline.validation.total,
        "test_correct": baseline.test.correct,
        "test_total": baseline.test.total,
        "seconds": baseline.seconds,
        "validation_scores": scores_to_dict(baseline.validation_scores),
        "test_scores": scores_to_dict(baseline.test_scores),
        "test_answers": mask.to_bytes() if mask else None,
    }


def _evaluation_values(evaluation: Final | Reevaluation) -> dict[str, Any]:
    return {
        "setting": evaluation.setting,
        "seed": evaluation.seed,
        "validation_correct": evaluation.validation.correct,
        "validation_total": evaluation.validation.total,
        "seconds": evaluation.seconds,
        "passes_made": evaluation.passes_made,
        "passes_needed": evaluation.passes_needed,
    }
