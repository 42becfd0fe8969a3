"""The commands `search serve` and `search token`, in processes of their own, and `--server`."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
import psutil
import pytest

from search.database.jobs.worker_table import WorkerTable
from search.database.store import Store
from tests.support.command_line import search_process
from tests.support.processes import child_process
from tests.support.served import free_port

PLACE = """job 1 is queued: 0 jobs running, 0 jobs before it
no worker is alive, so that it waits; `search worker` starts one
`search logs 1 -f --server """


@contextmanager
def serving(home: Path, *words: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Run `search serve`, and yield its address."""
    command = [sys.executable, "-m", "search", "serve", "--home", str(home), "--port", str(free_port()), *words]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with child_process(command, **options) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"serving at (https?://\S+); Ctrl-C ends it\n", line)
        assert found, line + process.communicate()[1]
        try:
            yield found[1], process
        finally:
            process.terminate()  # in good order, so that it ends the worker beside it
            process.wait(60)


def test_a_token_is_shown_once_listed_and_deleted(tmp_path: Path) -> None:
    made = search_process(tmp_path, tmp_path, "token", "create", "anna", "--role", "runner")
    assert made.code == 0, made.stderr
    token = made.stdout.strip()
    assert re.fullmatch(r"dfs_[\w-]{43}", token)
    assert "is not shown again" in made.stderr
    (listed,) = json.loads(search_process(tmp_path, tmp_path, "token", "list", "--json").stdout)
    assert (listed["name"], listed["role"], listed["last_used"]) == ("anna", "runner", None)
    assert token not in json.dumps(listed)
    for words, error in (
        (("create", "anna", "--role", "admin"), "there is a token 'anna' already"),
        (("create", "an na", "--role", "admin"), "must be at most 60 letters"),
        (("create", "otto", "--role", "boss"), "unknown role 'boss'; known: admin, runner, viewer"),
        (("delete", "anne"), "did you mean 'anna'?"),
    ):
        refused = search_process(tmp_path, tmp_path, "token", *words)
        assert refused.code in (1, 2)
        assert error in refused.stderr
    assert search_process(tmp_path, tmp_path, "token", "delete", "anna").stdout == "token anna is deleted\n"


def test_commands_ask_a_server_that_ends_in_good_order(tmp_path: Path) -> None:
    token = search_process(tmp_path, tmp_path, "token", "create", "anna", "--role", "runner").stdout.strip()
    with serving(tmp_path, "--log-format", "json") as (address, process):
        os.environ["SEARCH_TOKEN"] = token
        try:
            for words, part in (
                (("submit", "--dataset", "digits", "--trials", "3"), PLACE),
                (("jobs",), "no worker is alive"),
                (("jobs", "cancel", "1"), "job 1: cancelled"),
                (("jobs", "resume", "9", "1"), "job 1: queued"),
                (("status",), "no studies yet"),
            ):
                ran = search_process(tmp_path, tmp_path / "other", *words, "--server", address)
                assert part in ran.stdout, ran.stderr
            for wrong, error in (
                (("jobs", "--home", "x"), "--home is that of the server"),
                (("submit", "--dataset", "digits", "--blocks", "99"), "block 99 does not exist"),
                (("export", "--dataset", "digits"), "the server has no study of dataset 'digits' yet"),
                (("export", "--study", "digits"), "there is no study 'digits'"),
                (("try", "--dataset", "digits", "--setting", "block=9"), "the server has no study of dataset"),
                (
                    ("try", "--dataset", "digits", "--name", "x", "--setting", "block=9"),
                    "no study 'x' of dataset 'digits'",
                ),
                (
                    ("try", "--dataset", "digits", "--setting", "block=9", "--heads", "mlp"),
                    "--heads is that of the study",
                ),
            ):
                refused = search_process(tmp_path, tmp_path / "other", *wrong, "--server", address)
                assert error in refused.stderr
                assert refused.stdout == ""
        finally:
            del os.environ["SEARCH_TOKEN"]
        refused = search_process(tmp_path, tmp_path, "jobs", "--server", address)
        assert "needs a token that it knows" in refused.stderr
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
        assert process.returncode == 143
    lines = [json.loads(line) for line in log.splitlines()]
    assert {"POST", "GET"} <= {line["method"] for line in lines}
    assert token not in log


def test_whoever_ends_the_following_of_a_log_of_a_server_reads_that_the_job_goes_on(tmp_path: Path) -> None:
    search_process(tmp_path, tmp_path, "submit", "--dataset", "digits")
    with serving(tmp_path) as (address, _):
        command = [sys.executable, "-m", "search", "logs", "1", "-f", "--server", address]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with child_process(command, **streams) as process:
            assert process.stderr is not None
            assert process.stderr.readline() == "no worker is alive, so that job 1 waits; `search worker` starts one\n"
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        assert (out, process.returncode) == ("", 130)
        assert err == f"job 1 goes on; `search logs 1 -f --server {address}` follows it\n"


def test_the_error_of_a_taken_port_names_a_free_one(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        for command in (("serve",), ("dashboard", "--no-browser")):
            ran = search_process(tmp_path, tmp_path, *command, "--port", str(port))
            assert (ran.code, ran.stdout) == (1, "")
            assert re.fullmatch(
                rf"error: cannot listen on 127.0.0.1 port {port}: the port is in use; end the program that uses it, or "
                r"choose another --port, such as \d+\n",
                ran.stderr,
            ), ran.stderr


def test_https_is_served_with_a_certificate(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {cert} -days 2 -subj /CN=localhost"
    subprocess.run(words.split(), check=True, capture_output=True)
    with serving(tmp_path, "--tls-cert", str(cert), "--tls-key", str(key)) as (address, _):
        assert address.startswith("https://")
        answer = httpx2.get(f"{address}/healthz", verify=False)
        assert answer.json() == {"status": "ok"}
        assert "Strict-Transport-Security" in answer.headers


def worker_of(home: Path, other_than: int = 0) -> int:
    """Wait for a live worker, and return its process number."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (home / "studies.db").exists():
            with Store.open(home / "studies.db", reading=True) as store:
                alive = [worker.pid for worker in WorkerTable(store).live() if worker.pid != other_than]
            if alive:
                return alive[0]
        time.sleep(0.3)
    raise AssertionError("no worker is alive")


@pytest.mark.slow
def test_the_worker_beside_a_server_is_started_again_and_outlives_the_server_that_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path, "--with-worker") as (_, process):
        first = worker_of(tmp_path)
        os.kill(first, signal.SIGKILL)
        second = worker_of(tmp_path, other_than=first)
        process.kill()
        process.wait()
    worker = psutil.Process(second)
    try:
        assert worker_of(tmp_path) == second
    finally:
        worker.terminate()
        worker.wait(30)
    with serving(tmp_path, "--with-worker") as (_, process):
        third = worker_of(tmp_path)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert not psutil.pid_exists(third)


@pytest.mark.slow
def test_a_classifier_is_exported_and_settings_are_tried_on_a_server(finished_home: Path, tmp_path: Path) -> None:
    setting = "block=9,timestep=20,block 2=14,timestep 2=300,pool=1,head=linear"
    with serving(finished_home, "--with-worker") as (address, _):
        worker_of(finished_home)
        out = tmp_path / "birds.safetensors"
        words = ("--dataset", "folder", "--server", address)
        nowhere = search_process(tmp_path, tmp_path / "other", "export", *words, "--out", "/dev/null/x.safetensors")
        assert (nowhere.code, nowhere.stdout) == (1, "")
        assert re.fullmatch(r"error: .* /dev/null/x.safetensors: .*\n", nowhere.stderr), "and no job is queued"
        exported = search_process(tmp_path, tmp_path / "other", "export", *words, "--out", str(out))
        assert (exported.code, exported.stdout) == (0, f"{out}\n"), exported.stderr
        assert out.is_file()
        assert re.search(r"job 1 of study \S+ is queued; `search jobs cancel 1 --server", exported.stderr)
        assert "classifier  " in exported.stderr
        page = re.search(r"doubtful labels: (\S+)", exported.stderr)
        assert page
        assert "Accuracy" in httpx2.get(page[1]).text
        tried = search_process(tmp_path, tmp_path / "other", "try", *words, "--setting", setting)
        assert re.match(r"block 9.*: validation .* \(95 % interval .*\)\nreport      http", tried.stdout), tried.stdout
        again = search_process(tmp_path, tmp_path / "other", "try", *words, "--setting", setting)
        assert (again.code, again.stdout) == (0, tried.stdout)
        assert "queued" not in again.stderr
    assert (finished_home / "classifiers").is_dir()
