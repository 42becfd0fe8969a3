"""A private Ray dies, its driver is killed, its doors are tried, and another Ray is near."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from search.database.store import Store
from tests.faults.row import Case, Row, demand
from tests.support.noting_command import VARIABLE

COMMAND = ("run", "--dataset", "digits", "--trials", "8", "--heads", "linear", "--blocks", "3,8,16", "--pools", "1")

LONGEST = 20.0
"""Seconds in which a run must say that its Ray has died."""

LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def descendants(run: "subprocess.Popen[str]") -> list[psutil.Process]:
    try:
        return psutil.Process(run.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _named(run: "subprocess.Popen[str]", name: str) -> list[psutil.Process]:
    """Return the processes of a run that have this name, and have not ended."""
    named = []
    for process in descendants(run):
        with suppress(psutil.NoSuchProcess):
            named += [process] if process.name() == name else []
    return named


def _wait_for_event(case: Case, run: "subprocess.Popen[str]", event: str) -> None:
    noted, deadline = Path(case.variables[VARIABLE]), time.monotonic() + 120
    while run.poll() is None and time.monotonic() < deadline:
        if noted.exists() and event in noted.read_text().split():
            return
        time.sleep(0.02)
    raise AssertionError(f"the run sent no {event}: {case.output[-500:]}")


def _noting(case: Case) -> None:
    case.program = ("-m", "tests.support.noting_command")
    case.variables[VARIABLE] = str(case.folder / "events")


def _ray_process_killed(name: str) -> Callable[[Case], None]:
    """Return what kills a process of Ray at a random moment, from its start to the finals."""

    def kill(case: Case) -> None:
        with case.started(*COMMAND) as run:
            while run.poll() is None and not _named(run, name):
                time.sleep(0.01)
            time.sleep(case.random.choice([case.random.uniform(0.0, 3.0), case.random.uniform(0.0, 15.0)]))
            killed = _named(run, name)
            began = time.monotonic()
            for process in killed:
                process.kill()
            try:
                code = run.wait(90)
            except subprocess.TimeoutExpired:
                code = None
            seconds = time.monotonic() - began
        said = f"({len(killed)} killed, {seconds:.1f} s, exit code {code}): {case.output[-400:]}"
        demand("Traceback" not in case.output and "*** SIG" not in case.output, f"a traceback {said}")
        if killed and code != 0:
            demand(code == 1, f"wrong exit code {said}")
            demand(seconds <= LONGEST, f"too late {said}")
            demand("error: " in case.output.splitlines()[-1] and "Ray" in case.output.splitlines()[-1], f"words {said}")
        demand(_folders(case) == [], f"left {_folders(case)} {said}")
        ended = case.finished(*COMMAND)
        demand(ended.returncode == 0, f"the next run ended with {ended.returncode}: {ended.stderr[-500:]}")
        with Store.open(case.url) as store:
            [study] = store.studies()
            demand(study.complete + study.pruned >= 8, "the next run lacks trials")

    return kill


def _folders(case: Case) -> list[str]:
    """Return the names of the folders of runs for temporary files."""
    return sorted(path.name for path in case.folder.glob("search-*"))


def leftovers(case: Case) -> None:
    """Kill all processes of a run at a random moment. The start of the next one removes what is left, and no more."""
    _noting(case)
    (case.folder / "search-results").mkdir()  # a person's own
    with case.started(*COMMAND, "--name", "living") as living:
        _wait_for_event(case, living, "RunPrepared")
        kept = _folders(case)
        with case.started(*COMMAND, "--name", "killed") as killed:
            time.sleep(case.random.uniform(1.0, 15.0))
            processes = descendants(killed)
            os.killpg(killed.pid, signal.SIGKILL)
            killed.wait()
            for process in processes[:1]:  # the child process; Ray's own may outlive it
                if process.is_running():
                    process.kill()
        Path(case.variables[VARIABLE]).unlink()
        demand(living.poll() is None, f"the other run ended: {case.output[-300:]}")
        with case.started(*COMMAND, "--name", "next") as following:
            _wait_for_event(case, following, "RunPrepared")
            now = _folders(case)
            following.send_signal(signal.SIGTERM)
            demand(following.wait(30) == 143, f"the next run ended with {following.returncode}")
        demand({*kept} <= {*now}, f"the folder of a living run was removed: {kept}, {now}")
        demand(len(now) <= len(kept) + 1, f"remains of the killed run: {kept}, {now}")
        psutil.wait_procs(processes, 1)
        left = [process.name() for process in processes if process.is_running()]
        demand(left == [], f"processes of the killed run still run: {left}")
        living.send_signal(signal.SIGTERM)
        demand(living.wait(30) == 143, f"the living run ended with {living.returncode}: {case.output[-300:]}")
    demand(_folders(case) == ["search-results"], f"left {_folders(case)}")


def _doors(processes: list[psutil.Process]) -> Iterator[str]:
    for process in processes:
        try:
            for door in process.net_connections("inet"):
                if door.status in (psutil.CONN_LISTEN, psutil.CONN_NONE):
                    yield door.laddr.ip
        except psutil.Error:
            continue


def doors(case: Case) -> None:
    """Look at every listening socket of every process of a run, and who may enter its folder."""
    _noting(case)
    long = case.folder / ("own-" + "x" * case.random.randint(1, 150))
    long.mkdir()
    case.variables["TMPDIR"] = str(long)
    with case.started(*COMMAND) as run:
        _wait_for_event(case, run, "TrialStarted")
        time.sleep(case.random.uniform(0.0, 4.0))
        processes = descendants(run)
        open_doors = {*_doors(processes)} - LOOPBACK
        folders = {
            Path(file.path).parents[len(Path(file.path).parts) - 4]
            for process in processes
            for file in process.open_files()
            if "/search-" in file.path and str(case.folder) not in file.path
        }
        modes = {str(folder): stat.S_IMODE(folder.stat().st_mode) for folder in folders if folder.is_dir()}
        ended = run.wait(120)
    demand(open_doors == set(), f"listens on {open_doors}")
    demand(all(mode & 0o077 == 0 for mode in modes.values()), f"folders that others may enter: {modes}")
    demand(ended == 0, f"the run ended with {ended}: {case.output[-400:]}")


OWN_RAY = """
import sys, ray, search
ray.init(num_cpus=1, include_dashboard=False, logging_level=40)
answer = ray.remote(num_cpus=0)(lambda: 6)
assert ray.get(answer.remote()) == 6
node = ray.get_runtime_context().get_node_id()
study = search.run("digits", home=sys.argv[1], storage=sys.argv[2], trials=3, heads=["ridge"], blocks=[8],
                   timesteps=[20, 40], pools=[1, 2], finalists=1, final_seeds=1, warm_start=False)
assert ray.is_initialized() and ray.get_runtime_context().get_node_id() == node
assert ray.get(answer.remote()) == 6
print("finished", study.best.setting)
"""


def own_ray(case: Case) -> None:
    """Search in a process that runs Ray already. Its Ray is left alone."""
    command = [sys.executable, "-c", OWN_RAY, str(case.home), case.url]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=case.folder)
    demand(
        ran.returncode == 0 and "finished" in ran.stdout, f"{ran.returncode}: {ran.stdout[-200:]} {ran.stderr[-600:]}"
    )


ROWS = [
    Row("raylet of the private Ray killed; words in 20 s, the next run goes on", _ray_process_killed("raylet")),
    Row("GCS of the private Ray killed; words in 20 s, the next run goes on", _ray_process_killed("gcs_server")),
    Row(
        "kill -9 leaves folders and processes; the next start removes those of dead runs alone", leftovers, ("sqlite",)
    ),
    Row("a private Ray listens on loopback alone; its folder is closed; any TMPDIR", doors, ("sqlite",)),
    Row("the caller runs a Ray of its own, which is left alone", own_ray, ("sqlite",)),
]
