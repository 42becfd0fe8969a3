"""Signals of this process itself."""

import signal
import subprocess
import sys
import threading

import pytest

from search.scheduling.signals import at_first_signal
from tests.support.processes import child_process


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_is_handled_and_the_second_goes_to_the_handler_from_before(
    first: signal.Signals, second: signal.Signals
) -> None:
    heard: list[str] = []
    before = {number: signal.signal(number, lambda *_: heard.append("before")) for number in (first, second)}
    try:
        with at_first_signal(lambda: heard.append("first")):
            signal.raise_signal(first)
            signal.raise_signal(second)
        signal.raise_signal(first)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert heard == ["first", "before", "before"]


def test_another_thread_handles_no_signal() -> None:
    handlers: list[object] = []

    def work() -> None:
        with at_first_signal(lambda: None):
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    heard: list[str] = []
    try:
        with at_first_signal(lambda: heard.append("first")):
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert heard == []


COMMAND = """
import os, signal, sys
from search.cli.main import app, main

@app.command()
def wait():
    os.write(1, b"ready\\n")
    signal.pause()

sys.argv = ["search", "wait"]
main()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_command_that_a_signal_ends_has_the_exit_code_of_a_shell(number: signal.Signals, code: int) -> None:
    command = [sys.executable, "-c", COMMAND]
    with child_process(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        output, errors = process.communicate(timeout=30)
        assert (process.returncode, output, errors) == (code, "", "")
