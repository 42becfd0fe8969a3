"""Makes the Optuna study of each of the project's studies, and finds it again after a person renamed it."""

import warnings
from collections.abc import Iterable

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage

from search.database.records import StudyRecord

MADE_AS = "search study"
"""User attribute of an Optuna study: the project's name of it. Optuna Dashboard renames a study by making a copy, which
keeps the attribute."""


def ensure_optuna_study(storage: RDBStorage, record: StudyRecord, made: str | None) -> None:
    """Make the Optuna study of a record, or mark the one that an earlier version made.

    made: the name in Optuna of the study that exists, if any.
    """
    study = (
        optuna.create_study(storage=storage, study_name=record.name, directions=record.directions)
        if made is None
        else optuna.load_study(storage=storage, study_name=made)
    )
    if study.user_attrs.get(MADE_AS) != record.name:
        study.set_user_attr(MADE_AS, record.name)
    if made is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # metric names, since Optuna 3.2
            study.set_metric_names(record.value_names)


def optuna_names(storage: RDBStorage, names: Iterable[str]) -> dict[str, str]:
    """Map the names of the project's studies to their names in Optuna. Studies that were deleted there are left out."""
    studies = storage.get_all_studies()
    present = {study.study_name for study in studies}
    renamed = {str(study.user_attrs.get(MADE_AS)): study.study_name for study in studies if MADE_AS in study.user_attrs}
    return {name: name if name in present else renamed[name] for name in names if name in present or name in renamed}
