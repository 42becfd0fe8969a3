"""`search dashboard` for others: on a real terminal, with its token, and from a batch job."""

import http.client
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.command_line import Search
from tests.support.processes import child_process
from tests.support.served import free_port

TOKEN = "correct-horse-battery"


def command(port: int, home: Path) -> list[str]:
    words = ["--host", "127.0.0.1", "--allowed-host", "birds.example", "--no-browser", "--port", str(port)]
    return [sys.executable, "-m", "search", "dashboard", *words, "--home", str(home)]


def status(port: int, **headers: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", "/api/studies", headers={"Host": f"birds.example:{port}"} | headers)
        return connection.getresponse().status


def read_until(terminal: int, wanted: Callable[[str], object], seconds: float = 60) -> str:
    """Read what a terminal shows until it is what is wanted."""
    shown, deadline = "", time.monotonic() + seconds
    while not wanted(shown):
        assert time.monotonic() < deadline, shown
        if select.select([terminal], [], [], 0.2)[0]:
            shown += os.read(terminal, 65536).decode()
    return shown


def test_a_new_token_is_shown_once_on_the_terminal_and_lets_in(tmp_path: Path) -> None:
    port = free_port()
    ours, theirs = pty.openpty()
    (tmp_path / "home").mkdir()
    with child_process(command(port, tmp_path / "home"), stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        link = re.compile(rf"http://birds\.example:{port}/#([\w-]{{43}})\r\n")
        shown = read_until(ours, link.search)
        match = link.search(shown)
        assert match is not None
        token = match[1]
        assert shown.count(token) == 1
        assert "whoever has the token can delete studies" in shown
        assert [status(port), status(port, Authorization=f"Bearer {token}"), status(port, Host="evil.example")] == [
            401,
            200,
            403,
        ]
        for folder, _, names in os.walk(tmp_path):
            assert all(token.encode() not in Path(folder, name).read_bytes() for name in names)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    os.close(ours)


def test_a_token_of_the_environment_is_shown_nowhere(tmp_path: Path) -> None:
    port = free_port()
    environment = {**os.environ, "SEARCH_DASHBOARD_TOKEN": TOKEN}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    (tmp_path / "home").mkdir()
    with child_process(command(port, tmp_path / "home"), env=environment, **streams) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"Optuna Dashboard at http://birds.example:{port}; Ctrl-C ends it\n"
        assert [status(port), status(port, Authorization=f"Bearer {TOKEN}")] == [401, 200]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert process.returncode == 0
    assert TOKEN not in out + err


@pytest.mark.parametrize("token", ["", "short", "sixteen chars and a space"])
def test_a_weak_token_is_refused_and_not_repeated(search: Search, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("SEARCH_DASHBOARD_TOKEN", token)
    ran = search("dashboard", "--host", "0.0.0.0", "--allowed-host", "birds.example")
    assert (ran.code, ran.stdout) == (2, "")
    assert "error: the token must have at least 16 characters" in ran.stderr
    assert not token or token not in ran.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--home", "studyes"), "there is no folder {here}/studyes; name the folder of your studies with --home"),
        (
            ("--storage", "sqlite:///studyes.db"),
            "there is no database at sqlite:///{here}/studyes.db; name the one of ",
        ),
    ],
)
def test_a_mistyped_place_is_refused_and_not_made(
    search: Search, tmp_path: Path, words: tuple[str, str], expected: str
) -> None:
    ran = search("dashboard", "--no-browser", *words)
    assert (ran.code, expected.format(here=tmp_path) in ran.stderr) == (1, True), ran.stderr
    assert list(tmp_path.iterdir()) == []
