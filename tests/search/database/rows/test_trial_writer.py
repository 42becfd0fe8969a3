"""What is written of a trial is what Optuna would have written, and it is read as Optuna reads it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import select

from search.database.optuna_storage.tables import EPOCHS, PARAMS, TRIALS, USER_ATTRIBUTES, VALUES
from search.database.optuna_storage.trial_log import TrialLog
from search.database.records import RunRecord, StudyRecord, TrialRecord
from search.database.store import Store
from spaces import Setting, StorageError

KINDS: dict[str, BaseDistribution] = {
    "block": CategoricalDistribution((3, 4, 8)),
    "head": CategoricalDistribution(("linear", "mlp")),
}
PARAMETERS = {"block": 8, "head": "mlp"}
EDITS = ("create", "wait", "start", "epoch", "end", "tell", "add")
FIRST = {"run": 1, "Setting": "block 8 – ü \ud800", "seed": 0}
LAST: dict[str, Any] = {"seconds": {"fit": 0.5}, "l2": 1e-9, "odd": float("nan"), "seed": 1}


def rows_of(store: Store, study: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return what Optuna's tables hold of a study's trials, but no ids and no times."""
    study_id = store.load(study)._study_id
    ids = select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study_id)
    contents = {}
    with store.optuna.engine.connect() as connection:
        for table in (PARAMS, VALUES, EPOCHS, USER_ATTRIBUTES):
            own = [column for column in table.columns if not column.primary_key and column.name != "trial_id"]
            query = select(TRIALS.c.number, *own).join(TRIALS).where(table.c.trial_id.in_(ids))
            contents[table.name] = sorted(map(tuple, connection.execute(query)), key=repr)
        query = select(TRIALS.c.number, TRIALS.c.state, TRIALS.c.datetime_start.is_(None)).where(
            TRIALS.c.study_id == study_id
        )
        contents["trials"] = sorted(map(tuple, connection.execute(query)), key=repr)
    return contents


@pytest.fixture
def two_studies(store: Store, make_record: Callable[..., StudyRecord]) -> tuple[str, str]:
    return tuple(store.ensure_study(make_record(chosen_name=name)) for name in ("ours", "optuna's"))  # type: ignore[return-value]


def test_rows_are_those_of_optuna(store: Store, two_studies: tuple[str, str]) -> None:
    ours, theirs = two_studies
    writer, storage, study_id = store.trial_writer(ours), store.optuna, store.load(theirs)._study_id
    ends = [(TrialState.COMPLETE, [0.9]), (TrialState.PRUNED, [float("-inf")]), (TrialState.FAIL, None)]
    for state, values in ends:
        trial_id, _ = writer.create(PARAMETERS, KINDS, FIRST)
        assert writer.write_epoch(trial_id, 1, 0.25)
        assert writer.write_epoch(trial_id, 1, float("inf"))
        assert writer.write_epoch(trial_id, 2, float("nan"))
        assert writer.write_attributes(trial_id, {"worth on 3 images": 0.5})
        assert writer.end(trial_id, state, LAST, values)
        template = create_trial(state=TrialState.RUNNING, params=PARAMETERS, distributions=KINDS, user_attrs=FIRST)
        trial_id = storage.create_new_trial(study_id, template)
        for step, score in ((1, 0.25), (1, float("inf")), (2, float("nan"))):
            storage.set_trial_intermediate_value(trial_id, step, score)
        for name, value in ({"worth on 3 images": 0.5} | LAST).items():
            storage.set_trial_user_attr(trial_id, name, value)
        storage.set_trial_state_values(trial_id, state, values)
    made = rows_of(store, ours)
    assert made == rows_of(store, theirs)
    assert [len(made[name]) for name in ("trials", "trial_params", "trial_values")] == [3, 6, 2]
    first, other = (optuna.load_study(study_name=name, storage=storage).trials[0] for name in two_studies)
    assert first.datetime_start is not None
    assert other.datetime_start is not None
    assert first.datetime_complete is not None
    assert abs((other.datetime_start - first.datetime_start).total_seconds()) < 60
    assert 0 <= (first.datetime_complete - first.datetime_start).total_seconds() < 60


def test_a_trial_that_has_ended_never_changes(store: Store, two_studies: tuple[str, str]) -> None:
    writer = store.trial_writer(two_studies[0])
    trial_id, number = writer.create(PARAMETERS, KINDS, FIRST)
    assert (number, writer.start(trial_id, {}, KINDS, {"a": 1})) == (0, False)
    store.optuna.set_trial_state_values(trial_id, TrialState.FAIL)
    before = rows_of(store, two_studies[0])
    record = TrialRecord(number, 1, 1, Setting(90, 8, 2, "linear"))
    assert not writer.end(trial_id, TrialState.COMPLETE, LAST, [0.5], record)
    assert not writer.write_epoch(trial_id, 1, 0.5)
    assert not writer.write_attributes(trial_id, {"a": 1})
    assert rows_of(store, two_studies[0]) == before


def test_a_trial_ends_with_its_record_or_not_at_all(
    store: Store, two_studies: tuple[str, str], run_record: RunRecord
) -> None:
    name, setting = two_studies[0], Setting(90, 8, 2, "linear")
    run, writer = store.begin_run(name, run_record), store.trial_writer(name)
    trial_id, number = writer.create(PARAMETERS, KINDS, FIRST)
    before = rows_of(store, name)
    with pytest.raises(StorageError):  # there is no such run
        writer.end(trial_id, TrialState.COMPLETE, LAST, [0.5], TrialRecord(number, run + 1, 1, setting))
    assert rows_of(store, name) == before
    assert writer.end(trial_id, TrialState.COMPLETE, LAST, [0.5], TrialRecord(number, run, 1, setting))


def test_a_waiting_trial_is_started_once_and_one_that_is_refused_can_be_copied(
    store: Store, two_studies: tuple[str, str]
) -> None:
    name, study = two_studies[0], store.load(two_studies[0])
    study.enqueue_trial({"block": 8})
    study.enqueue_trial({"block": 99})
    first, second = store.trials(name).enqueued
    writer = store.trial_writer(name)
    assert writer.start(first._trial_id, PARAMETERS, KINDS, FIRST)
    assert not writer.start(first._trial_id, PARAMETERS, KINDS, FIRST)
    assert writer.end(second._trial_id, TrialState.FAIL, {"reason": "refused"})
    started, refused = study.trials
    assert (started.state, started.params, started.user_attrs["seed"]) == (TrialState.RUNNING, PARAMETERS, 0)
    assert started.datetime_start is not None
    study.add_trial(refused)
    assert store.trials(name).enqueued == ()


def test_another_distribution_is_refused(store: Store, two_studies: tuple[str, str]) -> None:
    store.load(two_studies[0]).add_trial(
        create_trial(value=0.5, params={"head": "x"}, distributions={"head": CategoricalDistribution(["x"])})
    )
    with pytest.raises(ValueError, match="dynamic value space"):
        store.trial_writer(two_studies[0]).create(PARAMETERS, KINDS, FIRST)
    assert len(store.load(two_studies[0]).trials) == 1


def test_a_study_that_is_gone_is_a_readable_error(store: Store, two_studies: tuple[str, str]) -> None:
    name = two_studies[0]
    writer = store.trial_writer(name)
    trial_id, _ = writer.create(PARAMETERS, KINDS, FIRST)
    optuna.delete_study(study_name=name, storage=store.optuna)
    for write in (
        lambda: writer.create(PARAMETERS, KINDS, FIRST),
        lambda: writer.end(trial_id, TrialState.COMPLETE, LAST, [0.5]),
        lambda: writer.write_epoch(trial_id, 1, 0.5),
        lambda: writer.write_attributes(trial_id, LAST),
    ):
        with pytest.raises(StorageError, match="is no longer in"):
            write()


def test_numbers_are_given_once_beside_other_programs(store: Store, two_studies: tuple[str, str]) -> None:
    name, study = two_studies[0], store.load(two_studies[0])
    writers = [store.trial_writer(name) for _ in range(3)]
    makers: list[Callable[[], object]] = [
        *(lambda writer=writer: writer.create(PARAMETERS, KINDS, FIRST) for writer in writers),
        lambda: study.add_trial(create_trial(state=TrialState.FAIL)),
    ]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda make: [make() for _ in range(5)], makers))
    assert [trial.number for trial in store.load(name).trials] == list(range(20))


def contents(trials: list[FrozenTrial]) -> list[dict[str, Any]]:
    return [{**vars(trial), "_user_attrs": repr(sorted(trial.user_attrs.items()))} for trial in trials]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(
        st.tuples(st.sampled_from(["create", "wait", "start", "epoch", "end", "tell", "add"]), st.integers(0, 9))
    )
)
def test_trials_are_read_as_optuna_reads_them(
    store: Store, make_record: Callable[..., StudyRecord], edits: list[tuple[str, int]]
) -> None:
    name = store.ensure_study(make_record(chosen_name=f"read-{len(store.names())}"))
    study, writer = store.load(name), store.trial_writer(name)
    log, as_they_began = TrialLog(study._study_id), TrialLog(study._study_id)
    for kind, number in edits:
        waiting = [trial for trial in study.trials if trial.state == TrialState.WAITING]
        running = [trial for trial in study.trials if trial.state == TrialState.RUNNING]
        if kind == "create":
            writer.create(PARAMETERS, KINDS, FIRST)
        elif kind == "wait":
            study.enqueue_trial({"block": 3}, user_attrs={"by": "hand"})
        elif kind == "start" and waiting:
            writer.start(waiting[number % len(waiting)]._trial_id, PARAMETERS, KINDS, FIRST)
        elif kind == "epoch" and running:
            writer.write_epoch(running[number % len(running)]._trial_id, number, number / 7)
        elif kind == "end" and running:
            writer.end(running[number % len(running)]._trial_id, TrialState.COMPLETE, LAST, [number / 3])
        elif kind == "tell":
            study.tell(study.ask(KINDS), number / 9)
        else:
            study.add_trial(create_trial(value=0.5, params=PARAMETERS, distributions=KINDS))
        with store.optuna.engine.connect() as connection:
            trials, _ = log.read(connection, as_they_began=False)
            early, changed = as_they_began.read(connection, as_they_began=True)
            assert len(changed) <= 1
            assert as_they_began.read(connection, as_they_began=True)[1] == []
        expected = optuna.load_study(study_name=study.study_name, storage=store.optuna).trials
        assert contents([*trials]) == contents(expected)
        assert [trial.state for trial in early] == [trial.state for trial in expected]
        ended = [index for index, trial in enumerate(expected) if trial.state.is_finished()]
        assert contents([early[index] for index in ended]) == contents([expected[index] for index in ended])
