"""Operations are repeated while the database does not answer, once for each, and that is said once."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg
import pytest
from sqlalchemy import Connection, event, text

from objectives.results import Accuracy, Evaluation, Final, Reevaluation
from search.database.connection import outages as module
from search.database.connection.outages import OutageError, Outages
from search.database.optuna_storage.parameters import to_params
from search.database.records import RunRecord
from search.database.store import Store
from search.samplers.catalog import sampler_named
from search.scheduling.coordinator import Coordinator
from search.scheduling.requests import FinalRequest, TrialRequest
from search.scheduling.trials.driver import StudyDriver
from spaces import Setting, Space, StorageError
from tests.support.postgresql import PASSWORD, Server
from tests.support.studies import MakeRecord

DOWN = OutageError.of("db", "Connection refused")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say an outage at its second failure."""
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(module, "SHORTEST", 0.02)


def failing(times: int, error: OutageError = DOWN) -> Callable[[], str]:
    """Return an operation that fails so many times and then returns a text."""
    left = iter(range(times))

    def operate() -> str:
        if next(left, None) is not None:
            raise error.copy()
        return "done"

    return operate


def test_an_outage_is_said_once_and_its_end_too(quick: None) -> None:
    outages, said = Outages(), list[str]()
    outages.begin(said.append)
    assert outages.repeat(failing(4)) == "done"
    assert said == [
        "the database does not answer: Connection refused; trying again for 5 minutes",
        "the database answers again, after 0 s",
    ]
    assert outages.repeat(failing(0)) == "done"
    assert len(said) == 2


def test_a_dropped_connection_is_not_worth_a_line() -> None:
    outages, said = Outages(), list[str]()
    outages.begin(said.append)
    assert outages.repeat(failing(1)) == "done"
    assert not said


def test_only_the_outer_operation_is_repeated(quick: None) -> None:
    outages, calls, inner = Outages(), list[str](), failing(2)
    outages.begin()

    def outer() -> str:
        calls.append("outer")
        return outages.repeat(inner)

    assert outages.repeat(outer) == "done"
    assert len(calls) == 3


def test_after_its_time_a_run_ends_with_words_and_asks_no_more(quick: None) -> None:
    outages, calls = Outages(), list[None]()
    outages.begin(seconds=0.3)
    with pytest.raises(OutageError, match="did not answer for 0 minutes: Connection refused; every finished trial is"):
        outages.repeat(failing(1000))
    with pytest.raises(OutageError, match="did not answer"):
        outages.repeat(lambda: calls.append(None))
    assert not calls
    outages.end()
    assert outages.repeat(failing(0)) == "done"


def test_a_request_to_stop_ends_the_wait() -> None:
    outages = Outages()
    outages.begin()
    timer = threading.Timer(0.5, outages.stop)
    timer.start()
    began = time.monotonic()
    with pytest.raises(StorageError, match="the study database db cannot be used: Connection refused"):
        outages.repeat(failing(1000))
    assert time.monotonic() - began < 3


def test_without_a_run_only_a_lock_is_waited_for() -> None:
    outages = Outages()
    with pytest.raises(OutageError):
        outages.repeat(failing(1))
    assert outages.repeat(failing(1, OutageError.of("db", "database is locked", busy=True))) == "done"


# Answers that are lost ------------------------------------------------------------------------------------------------


@contextmanager
def losing(store: Store, commit: int, carried_out: bool) -> Iterator[list[int]]:
    """Let the answer to one commit be lost, the first being 1, whether it is carried out or not. Yield the commits."""
    commits: list[int] = []

    def on_commit(connection: Connection) -> None:
        commits.append(len(commits) + 1)
        if len(commits) == commit:
            if carried_out:
                connection.connection.commit()
            raise DOWN.copy()

    event.listen(store.optuna.engine, "commit", on_commit)
    try:
        yield commits
    finally:
        event.remove(store.optuna.engine, "commit", on_commit)


def work(store: Store, study: str, space: Space, record: RunRecord) -> None:
    """Do everything that a run does with its database."""
    with store.run(study, record, heartbeat_seconds=100) as run_id:
        driver = StudyDriver(store, study, space, sampler_named("random", 0), seed=0, budget=9, run_id=run_id)
        driver.reconcile()
        numbers = [answer.number for _ in range(3) if isinstance(answer := driver.next_trial(), TrialRequest)]
        driver.report_epoch(numbers[0], 1, 0.5)
        driver.complete(numbers[0], Evaluation(Accuracy(18, 20), {"fit": 0.5}, passes_made=7, passes_needed=10))
        driver.prune(numbers[1])
        driver.fail(numbers[2], "by the test")
        request = driver.next_trial()
        assert isinstance(request, TrialRequest)
        assert request.number == 3
        store.record_final(study, Final(request.setting, 1, Accuracy(1, 2), Accuracy(1, 3), 0.1, 0, 0))
        driver.abandon()


@pytest.mark.parametrize("most", [6, pytest.param(1000, marks=pytest.mark.slow)])
def test_an_answer_that_is_lost_changes_nothing(
    store: Store, make_record: MakeRecord, run_record: RunRecord, space: Space, most: int
) -> None:
    """The answer to single commits of a run is lost: before it is carried out, or after."""

    def lose(commit: int, carried_out: bool) -> int:
        study = store.ensure_study(make_record(chosen_name=f"lost {commit} {carried_out}"))
        store.load(study).enqueue_trial(to_params(Setting(10, 3, 1, "mlp")))
        with losing(store, commit, carried_out) as commits:
            work(store, study, space, run_record)
        states = [trial.state.name for trial in store.trials(study).own]
        results, [run] = store.read_study(study), store.read_runs(study)
        assert states == ["COMPLETE", "PRUNED", "FAIL", "FAIL"], (commit, carried_out)
        assert (run.state, run.alive, len(run.ends)) == ("finished", False, 1), (commit, carried_out)
        assert (len(results.finals), results.others) == (1, 0), (commit, carried_out)
        return len(commits)

    last = lose(0, carried_out=False)
    cases = [(commit, carried_out) for commit in range(1, last + 1) for carried_out in (False, True)]
    for commit, carried_out in random.Random(0).sample(cases, min(most, len(cases))):
        lose(commit, carried_out)


# On a real server -----------------------------------------------------------------------------------------------------


@pytest.fixture
def server_store(postgresql_url: str) -> Iterator[Store]:
    with Store.open(postgresql_url) as store:
        yield store


@pytest.mark.postgresql
def test_a_run_outlives_a_restart_of_the_server(
    server_store: Store, postgresql_server: Server, make_record: MakeRecord, run_record: RunRecord, space: Space
) -> None:
    study = server_store.ensure_study(make_record())
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if len(said) == 1:
            postgresql_server.start()

    with server_store.run(study, run_record, say=say) as run_id:
        proposer = sampler_named("random", 0)
        driver = StudyDriver(server_store, study, space, proposer, seed=0, budget=4, run_id=run_id)
        driver.next_trial()
        postgresql_server.stop()
        second = driver.next_trial()
    assert isinstance(second, TrialRequest)
    assert second.number == 1
    assert [trial.state.name for trial in driver.store.trials(study).own] == ["RUNNING", "RUNNING"]
    assert len(said) == 2
    assert "does not answer: connection" in said[0]


@pytest.mark.postgresql
def test_a_server_without_free_connections_is_waited_for(server_store: Store, postgresql_server: Server) -> None:
    with server_store.session() as session:
        most = int(session.scalar(text("SHOW max_connections")) or 0)
    server_store.optuna.engine.dispose()
    host, _, port = postgresql_server.address.partition(":")
    others: list[psycopg.Connection[tuple[object, ...]]] = []
    with suppress(psycopg.OperationalError):
        for _ in range(most + 1):
            others.append(psycopg.connect(host=host, port=port, user="search", password=PASSWORD, dbname="postgres"))
    assert len(others) <= most
    server_store.outages.begin()

    def close_all() -> None:
        for other in others:
            other.close()

    timer = threading.Timer(0.7, close_all)
    timer.start()
    try:
        assert server_store.studies() == []
    finally:
        timer.join()
        server_store.outages.end()


class NoFinals:
    """A run without finals."""

    def next_round(self) -> Sequence[FinalRequest]:
        return []

    def most_later(self) -> int:
        return 0

    def keep(self, final: Final | Reevaluation) -> None: ...


def test_ctrl_c_ends_a_run_whose_database_is_down(
    sqlite_url: str, make_record: MakeRecord, run_record: RunRecord, space: Space
) -> None:
    down = False

    def on_checkout(*_: object) -> None:
        if down:
            raise DOWN.copy()

    def work() -> None:
        nonlocal down
        with store.run(study, run_record) as run_id:
            driver = StudyDriver(store, study, space, sampler_named("random", 0), seed=0, budget=9, run_id=run_id)
            coordinator = Coordinator(driver, NoFinals(), lambda _event: None)
            assert isinstance(coordinator.next_request("0"), TrialRequest)
            with coordinator.handling_signals():
                down = True
                ctrl_c = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
                ctrl_c.start()
                coordinator.next_request("1")
                ctrl_c.join()
            assert coordinator.stop
            coordinator.raise_error()

    with Store.open(sqlite_url) as store:
        study = store.ensure_study(make_record())
        event.listen(store.optuna.engine, "checkout", on_checkout)
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            work()
        assert time.monotonic() - began < 5
        down = False
        with store.run(study, run_record) as run_id:
            driver = StudyDriver(store, study, space, sampler_named("random", 0), seed=0, budget=9, run_id=run_id)
            store.end_run(run_id - 1, "failed")  # the process that runs this test still lives
            driver.reconcile()
            retried = driver.next_trial()
    assert isinstance(retried, TrialRequest)
    assert retried.attempt == 2
