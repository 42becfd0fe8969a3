"""A password that was typed on the command line is hidden at once, and its owner is told where it belongs."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from search.cli.typed_passwords import RAY_JOB
from tests.support.command_line import Search
from tests.support.processes import child_process

pytestmark = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="the system has no /proc")


@pytest.mark.parametrize("form", ["--storage {}", "--storage={}"])
def test_the_list_of_processes_does_not_show_it(form: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://me:%2fhUsh7@127.0.0.1:{silent.getsockname()[1]}/db"
        command = [sys.executable, "-m", "search", "status", *form.format(url).split()]
        with child_process(command, stderr=subprocess.PIPE, text=True) as process:
            silent.settimeout(60)
            with silent.accept()[0]:  # the command has understood the URL and connects to it
                proc = Path(f"/proc/{process.pid}")
                shown = (proc / "cmdline").read_text().split("\0")
                assert "hUsh7" not in (proc / "environ").read_text()
            silent.close()
            _, errors = process.communicate(timeout=60)
    assert form.format(f"postgresql+psycopg://me@{url.rpartition('@')[2]}") in " ".join(shown)
    assert process.returncode == 1
    assert "note: the shell's history, and `ps` for a moment, show the password" in errors
    assert "cannot be used" in errors
    assert "hUsh7" not in errors


def test_the_list_of_processes_shows_no_address_of_a_message_and_no_command_of_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/db"
        secrets = ["--notify", "json://host/hUsh7", "--on-finish=psql postgresql://me:hUsh7@host/db"]
        command = [sys.executable, "-m", "search", "run", "--dataset", "digits", *secrets, "--storage", url]
        with child_process(command, stderr=subprocess.PIPE, text=True) as process:
            silent.settimeout(60)
            with silent.accept()[0]:
                shown = Path(f"/proc/{process.pid}/cmdline").read_text().split("\0")
            silent.close()
            _, errors = process.communicate(timeout=60)
    assert shown[-8:-1] == ["--dataset", "digits", "--notify", "***", "--on-finish=***", "--storage", url]
    assert "cannot be used" in errors
    assert "hUsh7" not in errors
    assert "history" not in errors  # which is said of passwords of databases


def test_a_job_of_ray_is_warned(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RAY_JOB, "{}")
    ran = search("status", "--storage", "postgresql://me:hUsh7@127.0.0.1:1/db")
    assert "warning: Ray keeps the command line of this job, with the password" in ran.stderr
    assert "PGPASSWORD" in ran.stderr
    assert "hUsh7" not in ran.stderr
    quiet = search("status", "--storage", "postgresql://me@127.0.0.1:1/db")
    assert "warning" not in quiet.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--dataset", "postgresql://me:hUsh7@host/db"),
        ("status", "--home", "postgresql://me:hUsh7@host/db"),
        ("status", "postgresql://me:hUsh7@host/db"),
        ("status", "--storge=postgresql://me:hUsh7@host/db"),
    ],
)
def test_a_url_in_the_wrong_place_is_refused_and_not_shown(words: tuple[str, ...], search: Search) -> None:
    ran = search(*words)
    assert ran.code == 2
    assert "only --storage takes the URL of a database, got one" in ran.stderr
    assert "hUsh7" not in ran.stderr
