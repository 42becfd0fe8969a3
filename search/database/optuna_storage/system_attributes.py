"""Edits the system attributes of an Optuna study all at once. Optuna Dashboard keeps its notes and figures in them."""

import json
from collections.abc import Container, Iterator
from contextlib import contextmanager

import optuna
from optuna.storages import InMemoryStorage, RDBStorage
from sqlalchemy import column, table
from sqlalchemy.orm import Session

from search.database.connection.dialects import upsert
from search.database.records import DIRECTIONS

STUDY_SYSTEM_ATTRIBUTES = table("study_system_attributes", column("study_id"), column("key"), column("value_json"))
"""Optuna's own table. Optuna has no public way to write several attributes in one transaction."""


@contextmanager
def edited_attributes(storage: RDBStorage, study_id: int, name: str, keep: Container[str]) -> Iterator[optuna.Study]:
    """Yield a study in memory that has the system attributes of a stored one. Write those that changed at the end.

    Optuna writes attributes one by one, and Optuna Dashboard splits a note or a figure over many. A reader in between
    would see half of one. Nothing is written where the block raises.

    keep: keys that are not overwritten where the stored study has them.
    """
    memory = InMemoryStorage()
    copy_id = memory.create_new_study(DIRECTIONS[:1], name)
    stored = storage.get_study_system_attrs(study_id)
    for key, value in stored.items():
        memory.set_study_system_attr(copy_id, key, value)
    yield optuna.load_study(study_name=name, storage=memory)
    with Session(storage.engine) as session, session.begin():
        for key, value in memory.get_study_system_attrs(copy_id).items():
            if key not in stored or (stored[key] != value and key not in keep):
                values = {"study_id": study_id, "key": key, "value_json": json.dumps(value)}
                upsert(session, STUDY_SYSTEM_ATTRIBUTES, values, ("study_id", "key"))
