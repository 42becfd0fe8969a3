"""Finds the studies that a person means."""

from collections.abc import Iterable, Sequence

from optuna.storages import RDBStorage
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from search.database.connection.url import Address
from search.database.models import RunRow, StudyRow
from search.database.optuna_storage.studies import optuna_names
from search.database.rows import reading
from spaces.errors import StorageError, did_you_mean


def study_rows(session: Session, optuna: RDBStorage) -> list[StudyRow]:
    """Return the studies that Optuna has too: the others were deleted in Optuna Dashboard."""
    rows = session.scalars(select(StudyRow).order_by(StudyRow.id)).all()
    names = optuna_names(optuna, [row.name for row in rows])
    return [row for row in rows if row.name in names]


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


def no_study(name: str, address: Address) -> StorageError:
    """Say that there is no study of this name."""
    return StorageError(f"there is no study {name!r} in {address}; `search status` lists the studies")


def none_found(dataset: str | None, name: str | None, address: str, rows: Sequence[StudyRow]) -> str:
    """Say that no study fits, which one may be meant, and which there are."""
    wanted = ("" if name is None else f" {name!r}") + ("" if dataset is None else f" of dataset {dataset!r}")
    names, hint = {row.name for row in rows}, ""
    if name is not None and name not in names:
        hint = did_you_mean(name, names)
    elif name is None and dataset in names:
        hint = f"{dataset} is the name of a study: use `study` {dataset}; "
    elif name is None and dataset is not None:
        hint = did_you_mean(dataset, {called for row in rows for called in (row.dataset, reading.called_of(row))})
    listed = "; ".join(f"{row.name} of dataset {row.dataset}" for row in rows)
    return f"no study{wanted} in {address}; {hint}there are: {listed or 'none yet'}"


def check_case(name: str, names: Iterable[str]) -> None:
    """Raise StorageError where another study's name differs in case alone: some disks hold one file for both."""
    for other in names:
        if other != name and other.casefold() == name.casefold():
            raise StorageError(
                f"`name` {name!r} differs from study {other!r} in case alone, and on some disks one report would "
                "replace the other; choose another `name`"
            )
