"""Finds the studies that a person means."""

from collections.abc import Sequence

from optuna.storages import RDBStorage
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from search.database import reading
from search.database.models import RunRow, StudyRow
from search.database.optuna_storage.studies import optuna_names


def fitting_rows(
    session: Session, optuna: RDBStorage, dataset: str | None, name: str | None
) -> tuple[list[StudyRow], list[StudyRow]]:
    """Return the studies of a dataset and a name, where they are given, and all studies; the last that ran first."""
    last_run = select(func.max(RunRow.started)).where(RunRow.study_id == StudyRow.id).scalar_subquery()
    latest_first = select(StudyRow).order_by(func.coalesce(last_run, StudyRow.created).desc(), StudyRow.id.desc())
    every_row = session.scalars(latest_first).all()
    names = optuna_names(optuna, [row.name for row in every_row])
    rows = [row for row in every_row if row.name in names]
    fitting = [row for row in rows if dataset in (None, row.dataset) and name in (None, row.name, names[row.name])]
    if not fitting and dataset is not None and name is None:
        fitting = [row for row in rows if dataset == reading.called_of(row)]
    return fitting, rows


def none_found(dataset: str | None, name: str | None, address: str, rows: Sequence[StudyRow]) -> str:
    """Say that no study fits, and which there are."""
    wanted = " and ".join(
        f"{what} {value!r}" for what, value in (("dataset", dataset), ("name", name)) if value is not None
    )
    listed = "; ".join(f"{row.name} of dataset {row.dataset}" for row in rows)
    return f"no study{' of ' + wanted if wanted else ''} in {address}; there are: {listed or 'none yet'}"
