"""Makes the Optuna study of each of the project's studies, and finds it again after a person renamed it."""

import json
import warnings
from collections.abc import Iterable

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from sqlalchemy import update
from sqlalchemy.orm import Session

from search.database.optuna_storage.tables import STUDIES, STUDY_USER_ATTRIBUTES
from search.database.records import StudyRecord

MADE_AS = "search study"
"""User attribute of an Optuna study: the project's name of it. Every copy keeps the attribute."""

ORIGINAL = "search:study_id"
"""System attribute of an Optuna study: its own id. `optuna.copy_study` copies the attribute, so a copy has another
study's id in it. Optuna Dashboard, which renames a study by making a copy, does not copy it."""


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
    if storage.get_study_system_attrs(study._study_id).get(ORIGINAL) != study._study_id:
        storage.set_study_system_attr(study._study_id, ORIGINAL, study._study_id)
    if study.metric_names is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # metric names, since Optuna 3.2
            study.set_metric_names(record.value_names)


def rename_optuna_study(session: Session, study_id: int, name: str) -> None:
    """Give an Optuna study another name, also as the project's own. Optuna has no function for it."""
    session.execute(update(STUDIES).where(STUDIES.c.study_id == study_id).values(study_name=name))
    attributes = STUDY_USER_ATTRIBUTES.c
    session.execute(
        update(STUDY_USER_ATTRIBUTES)
        .where(attributes.study_id == study_id, attributes.key == MADE_AS)
        .values(value_json=json.dumps(name))
    )


def optuna_names(storage: RDBStorage, names: Iterable[str]) -> dict[str, str]:
    """Map the names of the project's studies to their names in Optuna. Studies that were deleted there are left out.

    A study is found by its own id, whatever its name; else by its name; else it is the copy that Optuna Dashboard made
    to rename it. A copy that `optuna.copy_study` made is another study.
    """
    studies = sorted(storage.get_all_studies(), key=lambda study: -study._study_id)  # of one name the oldest wins
    originals = [study for study in studies if study.system_attrs.get(ORIGINAL) == study._study_id]
    renamed = [study for study in studies if ORIGINAL not in study.system_attrs]
    optuna_name = (
        {str(study.user_attrs[MADE_AS]): study.study_name for study in renamed if MADE_AS in study.user_attrs}
        | {study.study_name: study.study_name for study in studies}
        | {str(study.user_attrs[MADE_AS]): study.study_name for study in originals if MADE_AS in study.user_attrs}
    )
    return {name: optuna_name[name] for name in names if name in optuna_name}
