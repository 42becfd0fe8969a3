"""Tells cheaply whether studies have changed since they were read, without reading their trials."""

import time
from collections.abc import Hashable

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from search.database.models import BaselineRow, FinalRow, PictureRow, ReevaluationRow, RunRow, StudyRow, TrialRow
from search.database.optuna_storage.tables import STUDIES, TRIALS

RUNNING_SECONDS = 10
"""How long the version stays the same while a run works and nothing ends: a run that was killed says nothing."""


def content_version(session: Session, study: str | None = None, optuna_id: int | None = None) -> Hashable:
    """Return a value that differs once a study, or any study, has changed.

    study, optuna_id: the name of one study, and its id in Optuna; None for all. Epochs of running trials do not count.
    """
    trials = select(TRIALS.c.study_id, TRIALS.c.state, func.count(), func.max(TRIALS.c.trial_id))
    studies = select(STUDIES.c.study_id, STUDIES.c.study_name)
    if optuna_id is not None:
        trials, studies = trials.where(TRIALS.c.study_id == optuna_id), studies.filter_by(study_id=optuna_id)
    queries: list[Select[*tuple[object, ...]]] = [
        studies.order_by(STUDIES.c.study_id),
        trials.group_by(TRIALS.c.study_id, TRIALS.c.state).order_by(TRIALS.c.study_id, TRIALS.c.state),
        _rows(study, func.count(), func.max(StudyRow.created), func.count(StudyRow.majority)),
        _rows(study, func.count(), func.count(TrialRow.validation_correct), func.max(TrialRow.finished), of=TrialRow),
        _rows(
            study, func.count(), func.count(RunRow.ended), func.max(RunRow.ended), func.count(RunRow.costs), of=RunRow
        ),
        *(_rows(study, func.count(), func.max(row.id), of=row) for row in (FinalRow, ReevaluationRow)),
        _rows(study, func.count(), func.sum(BaselineRow.seconds), of=BaselineRow),
        _rows(study, func.count(), func.sum(PictureRow.image), of=PictureRow),
    ]
    rows = [tuple(map(tuple, session.execute(query).all())) for query in queries]
    total, ended, *_ = rows[4][0]
    return (*rows, time.monotonic() // RUNNING_SECONDS if total != ended else None)


def _rows(study: str | None, *columns: object, of: type | None = None) -> Select[*tuple[object, ...]]:
    """Return a query of columns over the rows of one study, or of all. of: their table, if it is another."""
    query = select(*columns).select_from(StudyRow)  # type: ignore[call-overload]
    query = query if of is None else query.join(of, of.study_id == StudyRow.id)  # type: ignore[attr-defined]
    found: Select[*tuple[object, ...]] = query if study is None else query.where(StudyRow.name == study)
    return found
