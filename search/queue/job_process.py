"""The worker's side of a job's process: starts it, collects its messages and its log, and ends it."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, final

from search.database.jobs.job_table import Job
from search.queue.process import Task
from search.running.process import code_folder

ORDERLY_SECONDS = 15.0
"""Longest wait for a job's process to end in good order. Then it is killed."""

GROUP_SECONDS = 10.0
"""Longest wait for the processes that a killed job has left behind."""

LOG_SECONDS = 1.0
"""Longest wait for the last lines of the log."""


@final
class JobProcess:
    """A running job. `messages` has what its process sends, and None at its end.

    study, progress, result, error: from the last messages of each kind; None before. end: as `search.queue.process`
    sends it; None before, and where the process was killed.
    """

    def __init__(self, job: Job, home: str | None, storage: str | None, environment: Mapping[str, str]) -> None:
        self.job = job
        self.messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.study: str | None = None
        self.progress: dict[str, Any] | None = None
        self.result: dict[str, Any] | None = None
        self.error: str | None = None
        self.end: str | None = None
        self.began = time.monotonic()
        self._log: deque[str] = deque()
        self._deadline: float | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "search.queue.process", str(job.id)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
            env={**environment, **import_path(environment)},
            start_new_session=True,  # Ctrl-C at the worker's terminal is for the worker
        )
        assert self._process.stdin is not None
        with suppress(OSError):  # a process that has died already is noticed below
            self._process.stdin.write(Task(job.kind, dict(job.options), home, storage, job.study).line())
            self._process.stdin.flush()
        self._log_reader = threading.Thread(target=self._read_log, name="log", daemon=True)
        self._log_reader.start()
        threading.Thread(target=self._read_messages, name="messages", daemon=True).start()

    @property
    def pid(self) -> int:
        """The id of the process, and of the group of all that it starts."""
        return self._process.pid

    def take(self, message: Mapping[str, Any]) -> None:
        """Take a message into account."""
        for name in ("study", "progress", "result", "error", "end"):
            if name in message:
                setattr(self, name, message[name])

    def log(self) -> str:
        """Return what the process has printed since the last call."""
        lines = [self._log.popleft() for _ in range(len(self._log))]
        return "".join(lines)

    def put_back(self, text: str) -> None:
        """Let the next `log` return this text first."""
        self._log.appendleft(text)

    def stop(self) -> None:
        """Ask the process to end in good order, once. It has `ORDERLY_SECONDS` for it."""
        if self._deadline is None:
            self._deadline = time.monotonic() + ORDERLY_SECONDS
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process, and all that it started, now."""
        self._deadline = self._deadline or time.monotonic()
        with suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)

    @property
    def is_stopping(self) -> bool:
        """Whether the process was asked to end."""
        return self._deadline is not None

    def check_deadline(self) -> None:
        """Kill the process where it has not ended in good order in time."""
        if self._deadline is not None and time.monotonic() > self._deadline:
            self.kill()

    def finish(self) -> str:
        """Wait for the process, end what it left behind, and return how it ended, in words."""
        code = self._process.wait()
        if self.end is None:
            self._wait_for_group()
        self._log_reader.join(LOG_SECONDS)  # what it left behind may have the pipe open for longer
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        if code < 0:
            memory = ", perhaps because the machine is out of memory" if code == -signal.SIGKILL else ""
            return f"its process was killed by signal {-code} ({signal.strsignal(-code)}){memory}"
        return f"its process ended with code {code}"

    def _wait_for_group(self) -> None:
        """Wait until the search of a killed process has ended in good order, or kill it."""
        until = time.monotonic() + GROUP_SECONDS
        with suppress(OSError):
            while time.monotonic() < until:
                os.killpg(self.pid, 0)
                time.sleep(0.1)
            os.killpg(self.pid, signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with suppress(OSError):
            self._process.send_signal(number)

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        with suppress(OSError, ValueError):
            for line in self._process.stderr:
                self._log.append(line)

    def _read_messages(self) -> None:
        assert self._process.stdout is not None
        with suppress(OSError, ValueError):
            for line in self._process.stdout:
                self.messages.put(json.loads(line))
        self.messages.put(None)


def import_path(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variable that lets the process import the packages of this one."""
    folders = [*code_folder(), *filter(None, [environment.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(folders)} if folders else {}
