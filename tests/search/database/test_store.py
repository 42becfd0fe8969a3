"""The study database: what is put in comes out, on SQLite and PostgreSQL; what cannot be used is said in one line."""

import os
import socket
import stat
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import optuna
import psutil
import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial
from sqlalchemy import event, inspect, text

from objectives.results import Accuracy, Confusion, CorrectMask, Final, Measured, Picture, Scores
from search.database import migrations
from search.database.leases import running_seconds
from search.database.models import Base, RunRow
from search.database.records import Recipe, RunFacts, StudyFacts, TrialFacts
from search.database.store import Store
from search.database.url import Address, own_transactions
from search.samplers.parameters import distributions, to_params
from spaces import Setting, Space, StorageError

Facts = Callable[..., StudyFacts]
SCORES = Scores(20, {"accuracy": Measured(0.9, 0.7, 0.97), "nll": Measured(0.31, 0.2, 0.5)})


def add_trial(store: Store, study: str, space: Space, setting: Setting, state: TrialState, **fields: object) -> int:
    trial = create_trial(
        state=state,
        params=to_params(setting),
        distributions=distributions(space, setting),
        **fields,  # type: ignore[arg-type]
    )
    store.load(study).add_trial(trial)
    return store.trials(study)[-1].number


def test_a_study_comes_back_as_it_was_put(store: Store, make_facts: Facts, run_facts: RunFacts, space: Space) -> None:
    name = store.ensure_study(make_facts())
    run = store.begin_run(name, run_facts)
    settings = list(space.settings())[:4]
    curve = {1: 0.5, 2: 0.75}
    complete = add_trial(store, name, space, settings[0], TrialState.COMPLETE, value=0.9)
    pruned = add_trial(store, name, space, settings[1], TrialState.PRUNED, intermediate_values=curve)
    failed = add_trial(store, name, space, settings[2], TrialState.FAIL, user_attrs={"reason": "out of memory"})
    add_trial(store, name, space, settings[3], TrialState.RUNNING)
    seconds, answers = {"extract": 1.5, "fit": 0.25}, CorrectMask(20, 2**20 - 4)
    facts = TrialFacts(
        complete, run, 1, settings[0], Accuracy(18, 20), seconds, 100, 160, {"l2": 0.01}, SCORES, answers
    )
    store.record_trial(name, facts)
    store.record_trial(name, TrialFacts(pruned, run, 1, settings[1]))
    store.record_trial(name, TrialFacts(failed, run, 1, settings[2]))
    test_scores = Scores(50, {"accuracy": Measured(0.8, 0.67, 0.89)})
    confused = (Confusion(1, 0, 2, (5, 17)), Confusion(0, 1, 1))
    counts = Accuracy(17, 20), Accuracy(40, 50)
    final = Final(settings[0], 3, *counts, 2.5, 50, 150, SCORES, test_scores, confused, CorrectMask(50, 2**40 - 1))
    store.record_final(name, replace(final, seconds=9.0, test_scores=None, confused=(), test_correct_mask=None))
    store.record_final(name, final)
    pictures = (Picture(5, None, 0, "<b>.jpg", b"jpeg"), Picture(17, 3, 1, "image 17", b"\x00\xff"))
    store.keep_pictures(name, [replace(pictures[0], image=4)])
    store.keep_pictures(name, pictures)
    store.end_run(run, "finished")

    study = store.read_study(name)

    assert study.architecture == space.architecture
    assert (study.name, study.dataset, study.backbone, study.preset) == (name, "digits", "bundled", "default")
    assert (study.space_size, study.classes) == (len(space), ("zero", "one"))
    assert study.counts == {"train": 80, "validation": 20, "test": 50}
    assert study.provenance["command"] == run_facts.command
    assert study.provenance["versions"] == "optuna 5.0.0"
    assert study.provenance["validation split"] == "20 % of the training images, seed 0"
    assert [trial.state for trial in study.trials] == ["complete", "pruned", "failed", "running"]
    assert [trial.setting for trial in study.trials] == settings
    first = study.trials[0]
    assert (first.validation, first.seconds, first.details) == (
        Accuracy(18, 20),
        {"extract": 1.5, "fit": 0.25},
        {"l2": 0.01},
    )
    assert (first.passes_made, first.passes_needed) == (100, 160)
    assert (first.scores, first.correct_mask) == (SCORES, answers)
    assert (study.trials[1].scores, study.trials[1].correct_mask) == (None, None)
    assert study.pictures == pictures
    assert first.finished is not None
    assert 0 <= first.finished <= study.wall_seconds < 60
    assert study.trials[1].curve == ((1, 0.5), (2, 0.75))
    assert study.trials[2].reason == "out of memory"
    assert study.finals == (final,)
    assert study.passes_made == 150

    (summary,) = store.studies()
    assert (summary.complete, summary.pruned, summary.failed, summary.running) == (1, 1, 1, 1)
    assert (summary.best, summary.metric.name, summary.at_work) == (0.9, "accuracy", False)


def test_all_is_there_when_opened_again(storage_url: str, make_facts: Facts, run_facts: RunFacts) -> None:
    with Store.open(storage_url) as store:
        name = store.ensure_study(make_facts())
        run = store.begin_run(name, run_facts)
        study = store.read_study(name)
    with Store.open(storage_url) as again:
        assert replace(again.read_study(name)) == study
        assert again.is_alive(run)
        assert optuna.load_study(study_name=name, storage=again.optuna).metric_names == ["validation accuracy"]


def test_times_are_utc(store: Store, make_facts: Facts, run_facts: RunFacts) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    store.begin_run(store.ensure_study(make_facts()), run_facts)
    with store.session() as session:
        started = session.query(RunRow).one().started
    assert started.utcoffset() == timedelta(0)
    assert before < started < datetime.now(UTC) + timedelta(seconds=2)


def test_ensuring_a_study_twice_makes_one(store: Store, make_facts: Facts) -> None:
    assert store.ensure_study(make_facts()) == store.ensure_study(make_facts())
    assert len(store.studies()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "cub"},
        {"dataset_fingerprint": "e" * 64},
        {"backbone": "other"},
        {"weights_digest": "x" * 64},
        {"protocol": {"validation split": "another"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_cannot_be_compared_is_another_study(store: Store, make_facts: Facts, change: dict[str, object]) -> None:
    assert store.ensure_study(make_facts()) != store.ensure_study(make_facts(**change))
    store.ensure_study(make_facts(chosen_name="mine"))
    with pytest.raises(StorageError, match="'mine' was made with another"):
        store.ensure_study(make_facts(chosen_name="mine", **change))


def test_another_space_is_another_study(store: Store, make_facts: Facts, space: Space) -> None:
    assert store.ensure_study(make_facts()) != store.ensure_study(make_facts(space=space.narrow(pools=(1, 2))))


def test_a_study_deleted_in_the_dashboard_starts_afresh(
    store: Store, make_facts: Facts, run_facts: RunFacts, space: Space
) -> None:
    name = store.ensure_study(make_facts())
    run = store.begin_run(name, run_facts)
    setting = next(space.settings())
    store.record_final(name, Final(setting, 0, Accuracy(1, 2), Accuracy(1, 2), 1.0, 0, 0))
    store.record_trial(name, TrialFacts(0, run, 1, setting))
    store.keep_pictures(name, [Picture(0, None, 0, "a.jpg", b"jpeg")])
    optuna.delete_study(study_name=name, storage=store.optuna)
    assert store.studies() == []
    assert store.ensure_study(make_facts()) == name
    assert store.read_study(name).finals == ()
    assert store.read_study(name).pictures == ()


def test_the_last_run_that_kept_its_options_tells_them(
    store: Store, make_facts: Facts, run_facts: RunFacts, space: Space
) -> None:
    name, other = store.ensure_study(make_facts()), store.ensure_study(make_facts(dataset="cub"))
    kept: dict[str, object] = {"data_root": "/a folder/ü", "seed": 3, "folds": None, "flips": True}
    for options in ({"seed": 1}, kept, None):
        store.begin_run(name, replace(run_facts, options=options))
    assert store.recipe(name) == Recipe(space, kept)
    assert store.recipe(other) == Recipe(space, None)
    with pytest.raises(StorageError, match="there is no study 'nothing'"):
        store.recipe("nothing")


def test_finding_a_study(store: Store, make_facts: Facts, run_facts: RunFacts) -> None:
    with pytest.raises(StorageError, match="there are: none yet"):
        store.find_study()
    digits = store.ensure_study(make_facts())
    cub = store.ensure_study(make_facts(dataset="cub"))
    store.begin_run(digits, run_facts)
    store.begin_run(cub, run_facts)
    store.begin_run(digits, run_facts)
    assert store.find_study() == digits
    assert store.find_study(dataset="cub") == cub
    assert store.find_study(name=digits) == digits
    assert [summary.name for summary in store.studies()] == [digits, cub]
    with pytest.raises(StorageError, match=f"no study of dataset 'pets'.*there are: {digits} of dataset digits"):
        store.find_study(dataset="pets")
    with pytest.raises(StorageError, match="no study of dataset 'cub' and name"):
        store.find_study(dataset="cub", name=digits)
    with pytest.raises(StorageError, match="there is no study 'nothing'"):
        store.read_study("nothing")


# Runs


@pytest.fixture
def asleep() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    yield process
    process.kill()
    process.wait()


def test_a_killed_run_is_dead_at_once(
    store: Store, make_facts: Facts, run_facts: RunFacts, asleep: "subprocess.Popen[bytes]"
) -> None:
    name = store.ensure_study(make_facts())
    started = psutil.Process(asleep.pid).create_time()
    run = store.begin_run(name, replace(run_facts, pid=asleep.pid, process_started=started))
    impostor = store.begin_run(name, replace(run_facts, pid=asleep.pid, process_started=started - 3600))
    elsewhere = store.begin_run(name, replace(run_facts, host="another-machine", pid=1, process_started=0.0))
    assert [store.is_alive(each) for each in (run, impostor, elsewhere)] == [True, False, True]
    asleep.kill()
    deadline = time.monotonic() + 10
    while psutil.Process(asleep.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not store.is_alive(run)
    assert store.live_runs(name) == {elsewhere}


def test_a_run_without_heartbeat_is_dead(store: Store, make_facts: Facts, run_facts: RunFacts) -> None:
    name = store.ensure_study(make_facts())
    silent, heartbeat, ended = (store.begin_run(name, run_facts) for _ in range(3))
    with store.session() as session:
        for run in (silent, heartbeat):
            session.get_one(RunRow, run).heartbeat -= timedelta(seconds=61)
    store.beat(heartbeat)
    store.end_run(ended, "finished")
    assert store.live_runs(name) == {heartbeat}
    assert not store.is_alive(10_000)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=6))
def test_running_seconds_count_each_second_once(spans: list[tuple[int, int]]) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    runs = [
        RunRow(started=start + timedelta(seconds=a), heartbeat=start + timedelta(seconds=a + length), ended=None)
        for a, length in spans
    ]
    assert running_seconds(runs) == len({second for a, length in spans for second in range(a, a + length)})


# Several at once


def test_opening_a_new_database_from_many_processes_at_once(storage_url: str) -> None:
    code = "import sys; from search.database.store import Store; Store.open(sys.argv[1]).close()"
    command = [sys.executable, "-W", "error", "-c", code, storage_url]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors


def test_exclusive_admits_one_at_a_time(storage_url: str, make_facts: Facts) -> None:
    inside: list[int] = []
    with Store.open(storage_url) as one, Store.open(storage_url) as other:
        name = one.ensure_study(make_facts())

        def enter(store: Store) -> int:
            with store.exclusive(name):
                inside.append(1)
                most = len(inside)
                time.sleep(0.02)
                inside.pop()
            return most

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(enter, [one, other] * 5)) == [1] * 10


def test_drivers_of_one_study_may_ensure_it_at_once(storage_url: str, make_facts: Facts) -> None:
    with Store.open(storage_url) as one, Store.open(storage_url) as other, ThreadPoolExecutor(2) as pool:
        names = list(pool.map(lambda store: store.ensure_study(make_facts()), [one, other]))
        assert len(set(names)) == len(one.studies()) == 1


# The schema


def test_migrations_make_what_the_models_say(store: Store) -> None:
    ours = [name for name in inspect(store.optuna.engine).get_table_names() if name.startswith("search_")]
    assert set(ours) == {*Base.metadata.tables, migrations.VERSION_TABLE}

    def is_ours(_object: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
        return kind != "table" or (str(name).startswith("search_") and name != migrations.VERSION_TABLE)

    with store.optuna.engine.connect() as connection:
        options = {"include_object": is_ours, "compare_type": True, "version_table": migrations.VERSION_TABLE}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata) == []


def test_a_newer_schema_is_refused_and_left_alone(storage_url: str) -> None:
    with Store.open(storage_url) as store, store.optuna.engine.begin() as connection:
        connection.execute(text(f"UPDATE {migrations.VERSION_TABLE} SET version_num = '9999'"))
    words = rf"newer version of this program: its schema is 9999, .* up to {migrations.versions()[-1]}"
    with pytest.raises(StorageError, match=words) as caught:
        Store.open(storage_url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("version", "mend"), [("v99.0.0.a", "; upgrade Optuna$"), ("v3.0.0.a", "; run `optuna storage")]
)
def test_tables_of_another_optuna_are_refused(storage_url: str, version: str, mend: str) -> None:
    with Store.open(storage_url) as store, store.optuna.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
    with pytest.raises(StorageError, match=rf"is of Optuna's schema {version}, not v.*{mend}") as caught:
        Store.open(storage_url)
    _says_nothing_of(caught.value, "s3cret")


def test_sqlite_is_tuned(sqlite_url: str) -> None:
    with Store.open(sqlite_url) as store, store.optuna.engine.connect() as connection:
        pragmas = {
            name: connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 60_000}


def test_a_migration_cut_short_leaves_nothing(sqlite_url: str) -> None:
    engine = sqlalchemy.create_engine(sqlite_url, poolclass=sqlalchemy.NullPool)
    own_transactions(engine)

    def cut_short() -> None:
        with engine.begin() as connection:
            migrations.upgrade(connection)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_short()
    assert inspect(engine).get_table_names() == []
    Store.open(sqlite_url).close()


# What cannot be used


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "must be SQLite or PostgreSQL, got 'no URL'"),
        ("studies.db", "must be SQLite or PostgreSQL"),
        ("mysql://bob:topsecret@host/db", "must be SQLite or PostgreSQL, got 'mysql'"),
        ("nonsense+x://bob:topsecret@host/db", "must be SQLite or PostgreSQL, got 'nonsense"),
        ("postgresql://bob:topsecret@host:notaport/db", "must be SQLite or PostgreSQL"),
        ("sqlite://", "must name a plain file"),
        ("sqlite:///:memory:", "must name a plain file"),
        ("sqlite:///file:x.db?mode=ro&uri=true", "must name a plain file"),
        ("sqlite:////proc/nowhere/studies.db", "cannot be used"),
    ],
)
def test_a_wrong_url_is_said_in_one_line(url: str, words: str) -> None:
    with pytest.raises(StorageError) as caught:
        Store.open(url)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "topsecret" not in str(caught.value)


def test_an_unreachable_server_is_said_without_the_password() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"postgresql://bob:top%2Fsecret@127.0.0.1:{free.getsockname()[1]}/db?password=top%2Fsecret"
    with pytest.raises(StorageError, match=r"bob:\*\*\*@127.*cannot be used: connection.*refused") as caught:
        Store.open(url)
    _says_nothing_of(caught.value, "top/secret", "top%2Fsecret")


@pytest.mark.parametrize("wrong", ["user", "database"])
def test_a_refusing_server_is_said_without_the_password(postgresql_url: str, wrong: str) -> None:
    url = {
        "user": postgresql_url.replace("//search:", "//nobody:"),
        "database": postgresql_url.rpartition("/")[0] + "/nowhere",
    }[wrong]
    with pytest.raises(StorageError, match=r"cannot be used: .*FATAL") as caught:
        Store.open(url)
    _says_nothing_of(caught.value, "s3cret")


def test_a_password_in_the_words_of_the_driver_is_masked() -> None:
    address = Address("postgresql://bob:top%2Fsecret@host/db?password=other")
    with pytest.raises(StorageError) as caught, address.errors():
        raise sqlalchemy.exc.OperationalError(
            "SELECT 1", {}, Exception("no luck with top/secret or top%2Fsecret or other")
        )
    assert str(caught.value).endswith("cannot be used: no luck with *** or *** or ***")
    assert "bob:***@host" in str(caught.value)


def test_a_missing_driver_is_said() -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from search.database.store import Store\n"
        "from spaces import StorageError\n"
        "try: Store.open('postgresql://bob:topsecret@host/db')\n"
        "except StorageError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "driver is missing; pip install" in done.stdout
    assert "topsecret" not in done.stdout + done.stderr


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    path.write_text("something precious " * 100)
    with pytest.raises(StorageError, match="file is not a database"):
        Store.open(f"sqlite:///{path}")
    assert path.read_text() == "something precious " * 100


def test_a_read_only_database_is_said(sqlite_url: str, tmp_path: Path) -> None:
    Store.open(sqlite_url).close()
    tmp_path.parent.parent.chmod(0o755)
    tmp_path.parent.chmod(0o755)
    tmp_path.chmod(0o555)
    for path in tmp_path.iterdir():
        path.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)  # whom permissions hold for
    try:
        with pytest.raises(
            StorageError, match=r"cannot be used: .*(readonly|read-only|Permission denied|unable to open)"
        ):
            Store.open(sqlite_url)
    finally:
        if root:
            os.seteuid(0)
        tmp_path.chmod(0o755)


def test_a_full_disk_is_said_and_loses_nothing(sqlite_url: str, make_facts: Facts, run_facts: RunFacts) -> None:
    with Store.open(sqlite_url) as store:
        name = store.ensure_study(make_facts())
        engine = store.optuna.engine

        @event.listens_for(engine, "connect")
        def fill(connection: sqlalchemy.engine.interfaces.DBAPIConnection, _record: object) -> None:
            # SQLite's own limit: from here on it answers as on a full disk.
            cursor = connection.cursor()
            cursor.execute("PRAGMA max_page_count = 1")
            cursor.close()

        engine.dispose()
        with pytest.raises(StorageError, match="cannot be used: database or disk is full") as caught:
            store.begin_run(name, replace(run_facts, command="x" * 100_000))
        assert "\n" not in str(caught.value)
        event.remove(engine, "connect", fill)
        engine.dispose()
        assert store.read_study(name).wall_seconds == 0


def test_a_database_that_goes_away_is_said(store: Store, make_facts: Facts, space: Space) -> None:
    name = store.ensure_study(make_facts())
    with store.optuna.engine.begin() as connection:
        connection.execute(text("DROP TABLE search_finals"))
    with pytest.raises(StorageError, match=r"cannot be used: .*search_finals") as caught:
        store.record_final(name, Final(next(space.settings()), 0, Accuracy(1, 2), Accuracy(1, 2), 1.0, 0, 0))
    assert "\n" not in str(caught.value)


def _says_nothing_of(error: BaseException, *secrets: str) -> None:
    """Neither the message nor any that a traceback would print."""
    printed = "".join(traceback.format_exception(error))
    assert "\n" not in str(error)
    for secret in secrets:
        assert secret not in printed
