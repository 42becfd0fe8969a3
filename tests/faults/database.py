"""The database goes away while drivers work: its server stops, its file is deleted, another process locks it."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg

from search.database.store import Store
from tests.faults.row import Case, Row, demand
from tests.support import driver_process
from tests.support.postgresql import PASSWORD, Server
from tests.support.processes import child_process
from tests.support.studies import small_record, small_space

WORDS = "run --dataset digits --trials 30 --heads linear --blocks 3,8,12,16 --pools 1"
COMMAND = tuple(WORDS.split())
"""A search of about a minute, in a space of 32 settings."""

TRIALS = 30
SECONDS = 0.05
"""Of one trial."""


class Drivers:
    """Drivers in processes of their own, which work on one study. Their output is in files of the case's folder."""

    def __init__(self, case: Case) -> None:
        self.case = case
        with Store.open(case.url) as store:
            self.study = store.ensure_study(small_record())
        self.processes: list[subprocess.Popen[str]] = []

    @contextmanager
    def started(self, count: int) -> Iterator[None]:
        """Start drivers, and wait until each has begun a trial, or has ended."""
        space = json.dumps(small_space().to_dict())
        words = [self.case.url, self.study, space, str(TRIALS), str(SECONDS), "random"]
        with ExitStack() as stack:
            for number in range(count):
                output = stack.enter_context((self.case.folder / f"driver-{len(self.processes)}").open("w+"))
                command = [sys.executable, driver_process.__file__, *words]
                child = child_process(command, stdout=output, stderr=output, text=True, env={**os.environ})
                process = stack.enter_context(child)
                self.processes.append(process)
                while not self.output(number).strip() and process.poll() is None:
                    time.sleep(0.02)
            yield

    def output(self, number: int) -> str:
        return (self.case.folder / f"driver-{number}").read_text("utf-8", "replace")

    def demand_end(self, status: int = 0, seconds: float = 120) -> None:
        for number, process in enumerate(self.processes):
            try:
                ended = process.wait(seconds)
            except subprocess.TimeoutExpired:
                demand(False, f"driver {number} hangs: {self.output(number)[-500:]}")
            demand(ended == status, f"driver {number} ended with {ended}: {self.output(number)[-500:]}")

    def demand_whole(self, interrupted: int = 0) -> None:
        """Demand all trials of the study, none of them twice, and at most so many interrupted ones."""
        with Store.open(self.case.url) as store:
            trials = store.read_study(self.study).trials
        states = Counter(trial.state for trial in trials)
        demand(states["complete"] == TRIALS, f"{states['complete']} of {TRIALS} trials are complete")
        demand(states["interrupted"] <= interrupted, f"{states['interrupted']} trials were lost")
        demand(len(trials) <= TRIALS + interrupted, f"there are {len(trials)} trials")
        settings = Counter(trial.setting for trial in trials if trial.state == "complete")
        demand(set(settings.values()) == {1}, "a setting is complete twice")

    def demand_said_once(self) -> None:
        """Demand that an outage is said once, and its end once."""
        for number in range(len(self.processes)):
            said = len(re.findall("does not answer", self.output(number)))
            back = len(re.findall("answers again", self.output(number)))
            demand(said == back <= 1, f"driver {number} says the outage {said} times, its end {back} times")


def server_of(case: Case) -> Server:
    assert case.server is not None
    return case.server


def restart(case: Case) -> None:
    """Stop the server at a random moment, in a random manner, and start it again after a while."""
    drivers = Drivers(case)
    with drivers.started(2):
        time.sleep(case.random.uniform(0.0, 2.0))
        server_of(case).stop(case.random.choice(["fast", "immediate"]))
        try:
            time.sleep(case.random.choice([0.0, 0.5, 3.0]))
        finally:
            server_of(case).start()
        drivers.demand_end()
    drivers.demand_said_once()
    drivers.demand_whole()


def end_connections(case: Case) -> None:
    """End all connections of the drivers, several times."""
    drivers = Drivers(case)
    with drivers.started(2):
        for _ in range(case.random.randint(1, 8)):
            time.sleep(case.random.uniform(0.0, 0.4))
            with _connected(server_of(case)) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                )
        drivers.demand_end()
    drivers.demand_whole()


def exhaust_connections(case: Case) -> None:
    """Take all connections of the server, again and again, for some seconds."""
    drivers = Drivers(case)
    with drivers.started(2), ExitStack() as taken:
        until = time.monotonic() + case.random.uniform(1.0, 4.0)
        while time.monotonic() < until:
            try:
                taken.enter_context(_connected(server_of(case)))
            except psycopg.OperationalError:
                time.sleep(0.05)
        taken.close()
        drivers.demand_end()
    drivers.demand_whole()


def lock(case: Case) -> None:
    """Let another process hold SQLite's lock for some seconds."""
    drivers = Drivers(case)
    with drivers.started(1):
        with closing(sqlite3.connect(_file(case), isolation_level=None, timeout=30)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            time.sleep(case.random.choice([0.5, 3.0, 8.0]))
            connection.execute("ROLLBACK")
        drivers.demand_end()
    drivers.demand_whole()


def delete_file(case: Case) -> None:
    """Delete, move or replace the file. Put the rescued file back, and go on with it."""
    file, drivers = _file(case), Drivers(case)
    with drivers.started(1):
        time.sleep(case.random.uniform(0.0, 1.5))
        told = drivers.output(0).split()
        match case.random.choice(["delete", "delete all", "move", "replace"]):
            case "delete":
                file.unlink()
            case "delete all":
                for part in case.folder.glob(f"{file.name}*"):
                    part.unlink()
            case "move":
                file.rename(case.folder / "elsewhere.db")
            case _:
                sqlite3.connect(case.folder / "other.db").close()
                (case.folder / "other.db").replace(file)
        drivers.demand_end(status=1)
    words = re.search(r"all that it held is in (.*?): move that file to", drivers.output(0))
    demand(words is not None, f"it says: {drivers.output(0)[-500:]}")
    assert words is not None
    Path(words.group(1)).replace(file)
    with Store.open(case.url) as store:
        ended = [trial.number for trial in store.read_study(drivers.study).trials if trial.state == "complete"]
    begun = [int(number) for number in told if number.isdecimal()]
    demand(len(ended) >= len(begun) - 1, f"{len(ended)} trials are rescued, {len(begun)} had begun")
    drivers.processes.clear()
    with drivers.started(1):
        drivers.demand_end()
    drivers.demand_whole(interrupted=1)


def stop_in_outage(case: Case) -> None:
    """Stop a run of the product by Ctrl-C or SIGTERM while its server is down: it ends soon, in words."""
    number, status = case.random.choice([(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    with case.started(*COMMAND) as run:
        while "study " not in case.output and run.poll() is None:
            time.sleep(0.1)
        time.sleep(case.random.uniform(2.0, 15.0))
        server_of(case).stop()
        try:
            time.sleep(case.random.uniform(0.0, 4.0))
            began = time.monotonic()
            run.send_signal(number)
            ended = run.wait(60)
            seconds = time.monotonic() - began
        finally:
            server_of(case).start()
    demand(ended == status, f"it ended with {ended}: {case.output[-500:]}")
    demand(seconds < 12, f"it took {seconds:.0f} s to end")
    demand("Traceback" not in case.output, case.output[-2000:])


def run_through_outage(case: Case) -> None:
    """Stop the server of a run of the product for 30 s."""
    with case.started(*COMMAND) as run:
        while "study " not in case.output and run.poll() is None:
            time.sleep(0.1)
        time.sleep(case.random.uniform(2.0, 10.0))
        server_of(case).stop(case.random.choice(["fast", "immediate"]))
        started = threading.Timer(30, server_of(case).start)
        started.start()
        try:
            ended = run.wait(240)
        finally:
            started.join()
    demand(ended == 0, f"it ended with {ended}: {case.output[-1000:]}")
    demand(case.output.count("does not answer") == 1, f"it says: {case.output[-1000:]}")
    with Store.open(case.url) as store:
        [study] = store.studies()
    demand((study.complete, study.interrupted, study.failed) == (30, 0, 0), f"{study}")


@contextmanager
def _connected(server: Server) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    host, _, port = server.address.partition(":")
    with psycopg.connect(
        host=host, port=port, user="search", password=PASSWORD, dbname="postgres", autocommit=True
    ) as connection:
        yield connection


def _file(case: Case) -> Path:
    return Path(case.url.removeprefix("sqlite:///"))


ROWS = [
    Row("server stopped and started while two drivers work: no trial lost or doubled", restart, ["postgresql"]),
    Row("connections ended by the server: no trial lost or doubled", end_connections, ["postgresql"]),
    Row("connections exhausted for seconds: no trial lost or doubled", exhaust_connections, ["postgresql"]),
    Row("file locked by another process: no trial lost or doubled", lock, ["sqlite"]),
    Row("file deleted, moved or replaced: noticed, rescued, and continued from the rescue", delete_file, ["sqlite"]),
    Row(
        "server down for 30 s while a run works: the run goes on, and says it once", run_through_outage, ["postgresql"]
    ),
    Row("run stopped by a signal while its server is down: ends within 12 s in words", stop_in_outage, ["postgresql"]),
]
