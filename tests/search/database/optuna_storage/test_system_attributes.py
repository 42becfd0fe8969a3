"""Optuna's table of system attributes, which this project writes by itself."""

import json
from importlib.metadata import version

from optuna.study import StudyDirection
from sqlalchemy import inspect, select

from search.database.optuna_storage.system_attributes import STUDY_SYSTEM_ATTRIBUTES
from search.database.store import Store


def test_optuna_still_stores_system_attributes_in_this_table(store: Store) -> None:
    where = "search/database/optuna_storage/system_attributes.py"
    remedy = f"Optuna {version('optuna')} changed its system attributes: see {where}"
    table = inspect(store.optuna.engine)
    name = STUDY_SYSTEM_ATTRIBUTES.name
    assert name in table.get_table_names(), remedy
    assert {column.name for column in STUDY_SYSTEM_ATTRIBUTES.columns} <= {
        column["name"] for column in table.get_columns(name)
    }, remedy
    unique = [constraint["column_names"] for constraint in table.get_unique_constraints(name)]
    assert ["study_id", "key"] in unique, remedy
    study_id = store.optuna.create_new_study([StudyDirection.MAXIMIZE], "any")
    store.optuna.set_study_system_attr(study_id, "note", {"text": "ü"})
    with store.session() as session:
        (row,) = session.execute(select(STUDY_SYSTEM_ATTRIBUTES)).all()
    assert (row.study_id, row.key, json.loads(row.value_json)) == (study_id, "note", {"text": "ü"}), remedy
