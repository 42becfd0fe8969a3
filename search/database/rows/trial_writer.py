"""Writes the trials of a study: each change in one transaction, Optuna's rows and the project's own together.

Optuna writes each parameter and each attribute of a trial in a transaction of its own. The rows are the same.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, final

from optuna.distributions import (
    BaseDistribution,
    check_distribution_compatibility,
    distribution_to_json,
    json_to_distribution,
)
from optuna.trial import TrialState
from sqlalchemy import Connection, Select, func, insert, select, update

from search.database.connection.dialects import upsert
from search.database.optuna_storage.tables import (
    EPOCHS,
    PARAMS,
    STUDIES,
    TRIALS,
    USER_ATTRIBUTES,
    VALUES,
    to_stored_epoch,
    to_stored_value,
)
from search.database.records import TrialRecord
from search.database.rows.writing import OnBeat, record_trial

UNFINISHED = (TrialState.RUNNING, TrialState.WAITING)


@final
class TrialWriter:
    """Creates, changes and ends the trials of one study.

    study: its name. study_id: its id in Optuna. transaction: begins one, and turns the errors of the database, and a
    KeyError where the study or the trial is gone, into a StorageError. on_beat: see `record_trial`. A trial is named by
    Optuna's id of it. Each method is safe to repeat after a commit whose answer was lost, but `create`.
    """

    def __init__(
        self,
        study: str,
        study_id: int,
        transaction: Callable[[], AbstractContextManager[Connection]],
        on_beat: OnBeat,
    ) -> None:
        self.study = study
        self.study_id = study_id
        self._transaction = transaction
        self._on_beat = on_beat
        self._compatible: dict[str, str] = {}

    def create(
        self, params: Mapping[str, Any], kinds: Mapping[str, BaseDistribution], attributes: Mapping[str, Any]
    ) -> tuple[int, int]:
        """Create a running trial, and return its id and its number.

        kinds: the distribution of each parameter. Raises ValueError where an earlier trial of the study has a parameter
        of the same name and another distribution.
        """
        count = select(func.count()).where(TRIALS.c.study_id == self.study_id).scalar_subquery()
        begin = insert(TRIALS).values(
            study_id=self.study_id, number=count, state=TrialState.RUNNING, datetime_start=_utc_now()
        )
        with self._transaction() as connection:
            # Whoever creates a trial holds this lock until the end, so that no number is given twice.
            _one(connection, select(STUDIES.c.study_id).filter_by(study_id=self.study_id).with_for_update())
            trial_id, number = connection.execute(begin.returning(TRIALS.c.trial_id, TRIALS.c.number)).one()
            self._write_params(connection, trial_id, params, kinds)
            _write_attributes(connection, trial_id, attributes)
        return trial_id, number

    def start(
        self,
        trial_id: int,
        params: Mapping[str, Any],
        kinds: Mapping[str, BaseDistribution],
        attributes: Mapping[str, Any],
    ) -> bool:
        """Start a trial that waits. Return False where somebody else has started or ended it meanwhile.

        params: those that the trial lacks. Raises as `create` does.
        """
        begin = {"state": TrialState.RUNNING, "datetime_start": _utc_now()}
        with self._transaction() as connection:
            if not _update(connection, trial_id, (TrialState.WAITING,), begin):
                return False
            self._write_params(connection, trial_id, params, kinds)
            _write_attributes(connection, trial_id, attributes)
            return True

    def write_epoch(self, trial_id: int, epoch: int, score: float) -> bool:
        """Save the score of a trial after an epoch. Return False where the trial has ended."""
        value, kind = to_stored_epoch(score)
        values = {
            "trial_id": trial_id,
            "step": epoch,
            "intermediate_value": value,
            "intermediate_value_type": kind,
        }
        with self._transaction() as connection:
            if not _may_change(connection, trial_id):
                return False
            upsert(connection, EPOCHS, values, ("trial_id", "step"))
            return True

    def write_attributes(self, trial_id: int, attributes: Mapping[str, Any]) -> bool:
        """Write user attributes of a trial. Return False where it has ended."""
        with self._transaction() as connection:
            if not _may_change(connection, trial_id):
                return False
            _write_attributes(connection, trial_id, attributes)
            return True

    def end(
        self,
        trial_id: int,
        state: TrialState,
        attributes: Mapping[str, Any],
        values: Sequence[float] | None = None,
        record: TrialRecord | None = None,
    ) -> bool:
        """End a trial. Return False, and write nothing, where it has ended already.

        record: what the project's own tables keep of it. A trial that waited is started too, since Optuna cannot copy a
        finished trial that never started.
        """
        moment = _utc_now()
        started = func.coalesce(TRIALS.c.datetime_start, moment)
        end = {"state": state, "datetime_complete": moment, "datetime_start": started}
        with self._transaction() as connection:
            if not _update(connection, trial_id, UNFINISHED, end):
                return False
            if values is not None:
                stored = [(objective, *to_stored_value(value)) for objective, value in enumerate(values)]
                names = ("objective", "value", "value_type")
                rows = [{"trial_id": trial_id, **dict(zip(names, row, strict=True))} for row in stored]
                connection.execute(insert(VALUES), rows)
            _write_attributes(connection, trial_id, attributes)
            if record is not None:
                record_trial(connection, self.study, record, self._on_beat)
            return True

    def _write_params(
        self,
        connection: Connection,
        trial_id: int,
        params: Mapping[str, Any],
        kinds: Mapping[str, BaseDistribution],
    ) -> None:
        rows = []
        for name, value in params.items():
            text = distribution_to_json(kinds[name])
            self._check_compatible(connection, name, kinds[name], text)
            stored = kinds[name].to_internal_repr(value)
            rows.append({"trial_id": trial_id, "param_name": name, "param_value": stored, "distribution_json": text})
        if rows:
            connection.execute(insert(PARAMS), rows)

    def _check_compatible(self, connection: Connection, name: str, kind: BaseDistribution, text: str) -> None:
        """Check that an earlier trial has no other distribution for this parameter, as Optuna does."""
        if self._compatible.get(name) == text:
            return
        earlier = select(PARAMS.c.distribution_json).join(TRIALS).where(TRIALS.c.study_id == self.study_id)
        before = connection.scalar(earlier.where(PARAMS.c.param_name == name).limit(1))
        if before is not None:
            check_distribution_compatibility(json_to_distribution(before), kind)
        self._compatible[name] = text


def _write_attributes(connection: Connection, trial_id: int, attributes: Mapping[str, Any]) -> None:
    rows = [{"trial_id": trial_id, "key": name, "value_json": json.dumps(value)} for name, value in attributes.items()]
    if rows:
        upsert(connection, USER_ATTRIBUTES, rows, ("trial_id", "key"))


def _update(connection: Connection, trial_id: int, states: Sequence[TrialState], values: Mapping[str, Any]) -> bool:
    """Update a trial that is in one of the states. Return whether it was. Raises KeyError where it is gone."""
    change = update(TRIALS).where(TRIALS.c.trial_id == trial_id, TRIALS.c.state.in_(states))
    if connection.execute(change.values(**values)).rowcount:
        return True
    _one(connection, select(TRIALS.c.trial_id).filter_by(trial_id=trial_id))
    return False


def _may_change(connection: Connection, trial_id: int) -> bool:
    """Return whether a trial has not ended. Nobody else may change it until the transaction ends."""
    state: TrialState = _one(connection, select(TRIALS.c.state).filter_by(trial_id=trial_id).with_for_update())
    return not state.is_finished()


def _one(connection: Connection, query: Select[Any]) -> Any:
    """Return the one value of a query. Raises KeyError where there is none."""
    value = connection.scalar(query)
    if value is None:
        raise KeyError
    return value


def _utc_now() -> datetime:
    """Return the time as Optuna stores it: in UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)
