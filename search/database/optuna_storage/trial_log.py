"""Reads the trials of an Optuna study again and again, each time only what changed.

Optuna's cache reads a running trial with all its rows each time, and it makes two distributions for each parameter of
each trial. Here equal distributions are one object, and a running trial is read again when its state has changed.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, final

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial
from sqlalchemy import ColumnElement, Connection, Table, or_, select

from search.database.optuna_storage.tables import (
    EPOCHS,
    PARAMS,
    STUDIES,
    SYSTEM_ATTRIBUTES,
    TRIALS,
    USER_ATTRIBUTES,
    VALUES,
    from_stored_epoch,
    from_stored_value,
)

MOST_NAMED = 200
"""Trials that a query names one by one. More are read as all trials from the first of them on."""

TRIAL_COLUMNS = (
    TRIALS.c.trial_id,
    TRIALS.c.number,
    TRIALS.c.state,
    TRIALS.c.datetime_start,
    TRIALS.c.datetime_complete,
)


@final
class TrialLog:
    """The trials of one study that were read so far. One thread at a time may use it."""

    def __init__(self, study_id: int) -> None:
        self.study_id = study_id
        self._trials: dict[int, FrozenTrial] = {}  # by Optuna's id, which grows with the number
        self._unfinished: dict[int, FrozenTrial] = {}
        self._last_id = -1

    def read(self, connection: Connection, as_they_began: bool) -> tuple[Sequence[FrozenTrial], Sequence[FrozenTrial]]:
        """Return all trials in order of their numbers, and those that are new or have changed.

        as_they_began: whether running trials may lack what was written since they began. Raises KeyError where the
        study is gone.
        """
        rows = connection.execute(
            select(*TRIAL_COLUMNS).where(TRIALS.c.study_id == self.study_id, self._may_have_changed())
        ).all()
        if not rows and connection.scalar(select(STUDIES.c.study_id).filter_by(study_id=self.study_id)) is None:
            raise KeyError(self.study_id)
        changed = [row for row in rows if self._has_changed(row) or not (as_they_began or row.state.is_finished())]
        trials = [*_loaded(connection, self.study_id, sorted(changed, key=lambda row: row.trial_id))]
        for trial in trials:
            self._trials[trial._trial_id] = trial
            if trial.state.is_finished():
                self._unfinished.pop(trial._trial_id, None)
            else:
                self._unfinished[trial._trial_id] = trial
            self._last_id = max(self._last_id, trial._trial_id)
        return [*self._trials.values()], trials

    def _may_have_changed(self) -> ColumnElement[bool]:
        """Trials of one study are created one after the other, so a new one has a greater id than all before."""
        if not self._unfinished:
            return TRIALS.c.trial_id > self._last_id
        if len(self._unfinished) > MOST_NAMED:
            return TRIALS.c.trial_id >= min(self._unfinished)
        return or_(TRIALS.c.trial_id > self._last_id, TRIALS.c.trial_id.in_([*self._unfinished]))

    def _has_changed(self, row: Any) -> bool:
        known = self._trials.get(row.trial_id)
        return known is None or known.state != row.state


def _loaded(connection: Connection, study_id: int, rows: Sequence[Any]) -> Iterator[FrozenTrial]:
    """Yield the trials of some rows, with everything that Optuna keeps of them."""
    if not rows:
        return
    ids = [row.trial_id for row in rows]

    def rows_of(table: Table, *columns: str, order: str | None = None) -> Mapping[int, list[Any]]:
        query = select(table.c.trial_id, *(table.c[name] for name in columns)).where(_is_of(table, study_id, ids))
        grouped: dict[int, list[Any]] = defaultdict(list)
        for row in connection.execute(query.order_by(table.c[order]) if order else query):
            grouped[row.trial_id].append(row)
        return grouped

    params = rows_of(PARAMS, "param_name", "param_value", "distribution_json", order="param_id")
    values = rows_of(VALUES, "value", "value_type", order="objective")
    epochs = rows_of(EPOCHS, "step", "intermediate_value", "intermediate_value_type")
    user, system = (rows_of(table, "key", "value_json") for table in (USER_ATTRIBUTES, SYSTEM_ATTRIBUTES))
    for row in rows:
        number = row.trial_id
        kinds = {param.param_name: _distribution(param.distribution_json) for param in params.get(number, ())}
        yield FrozenTrial(
            number=row.number,
            state=row.state,
            value=None,
            values=[from_stored_value(v.value, v.value_type) for v in values.get(number, ())] or None,
            datetime_start=_local(row.datetime_start),
            datetime_complete=_local(row.datetime_complete),
            params={
                param.param_name: kinds[param.param_name].to_external_repr(param.param_value)
                for param in params.get(number, ())
            },
            distributions=kinds,
            user_attrs={attribute.key: json.loads(attribute.value_json) for attribute in user.get(number, ())},
            system_attrs={attribute.key: json.loads(attribute.value_json) for attribute in system.get(number, ())},
            intermediate_values={
                epoch.step: from_stored_epoch(epoch.intermediate_value, epoch.intermediate_value_type)
                for epoch in epochs.get(number, ())
            },
            trial_id=number,
        )


def _is_of(table: Table, study_id: int, ids: Collection[int]) -> ColumnElement[bool]:
    if len(ids) <= MOST_NAMED:
        return table.c.trial_id.in_(ids)
    later = select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study_id, TRIALS.c.trial_id >= min(ids))
    return table.c.trial_id.in_(later)


@lru_cache(maxsize=1024)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def _local(moment: datetime | None) -> datetime | None:
    """Return a time as Optuna does: in local time, without its zone. The database has it in UTC."""
    return None if moment is None else moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
