"""Runs a search in a child process, so that nothing of Ray can end the caller, and sends its events to the caller.

Ray's code may end the process that it runs in, and it wants signals, variables and threads of its own. The child is a
fresh Python, which `search.running.child` describes. The two processes share a socket: the child sends events and at
last the results or an error, the caller sends requests to stop. If one process ends, the other sees the end of the
socket.
"""

import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any, final

import psutil

from objectives.results import StudyResults
from search.events import OnEvent
from search.notifications import Notifications
from search.options.run_options import RunOptions
from search.running.run_folder import remove_remains
from search.scheduling.signals import STOPS, at_first_signal
from spaces import SearchError

START = "import sys; sys.path[:0] = sys.argv[2:]; from search.running.child import main; main(int(sys.argv[1]))"
"""The program of the child. Its arguments are the number of its socket, and the folder of our packages."""

STOP = "stop"
"""The caller's request to stop. The second one interrupts the child wherever it is."""

ORDERLY_SECONDS = 6.0
"""Longest wait for a run to end in good order after a request to stop. Then it is killed."""

HURRIED_SECONDS = 3.0
"""The same after a second request."""

SERVERS = ("gcs_server", "raylet")
"""Processes of Ray without which the child may wait for a minute, deaf to everything, until Ray ends it."""

WATCH_SECONDS = 2.0
"""Seconds between two looks at whether they live."""

DEAD_SECONDS = 4.0
"""Time for the child to report such a death itself, or to end Ray in good order."""

CONTINUES = "every finished trial is kept, and the same search again continues"
"""The last words of an error where the process or Ray died."""

END_SECONDS = 3.0
"""Longest wait for the process after its last message."""


@final
class ProcessDiedError(SearchError):
    """The process of a search died, or Ray in it. The same search may succeed the next time."""


@final
@dataclass(frozen=True)
class Ended:
    """The last message of the child. value: results, or the error that ended the run."""

    value: StudyResults | BaseException


def run(options: RunOptions, on_event: OnEvent, began: float | None = None) -> StudyResults:
    """Search as `engine.run` does, in a child process. began: as of `engine.run`; every process has the same clock.

    on_event: called in this thread. An exception that it raises ends the run, and is raised when the run has ended.
    Raises SearchError in words, also where the child or Ray dies, and KeyboardInterrupt after a signal to end. It tells
    people of its end, see `search.notifications`.
    """
    if not options.notify and not options.on_finish:
        return _run(options, on_event, began)
    options.check()
    with Notifications(options, on_event) as notifications:
        return _run(replace(options, notify=None, on_finish=None), notifications, began)


def _run(options: RunOptions, on_event: OnEvent, began: float | None) -> StudyResults:
    with ExitStack() as stack:
        with _signals_blocked():
            child = stack.enter_context(_Child(options, time.monotonic() if began is None else began))
            stack.enter_context(at_first_signal(child.stop))
        error: BaseException | None = None
        while True:
            try:
                message = child.receive()
                if isinstance(message, Ended):
                    break
                if error is None:
                    on_event(message)
            except BaseException as raised:  # KeyboardInterrupt too: the child ends in good order
                error = error or raised
                child.stop()
    if error is not None:
        raise error
    if isinstance(message.value, BaseException):
        raise message.value
    return message.value


class _Child:
    """The child process. It blocks the signals that this thread blocks now. Leaving the `with` block ends it."""

    def __init__(self, options: RunOptions, began: float) -> None:
        self._socket, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", START, str(theirs.fileno()), *code_folder()],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._deadline: float | None = None
        self._stops = 0
        self._left = threading.Event()
        threading.Thread(target=self._read, name="events of the search", daemon=True).start()
        threading.Thread(target=self._watch_ray, name="watch of Ray", daemon=True).start()
        with suppress(OSError):  # a child that has died already is reported as such
            self._socket.send((options, began, sys.path))

    def __enter__(self) -> "_Child":
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        try:
            code = self._process.wait(END_SECONDS)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self._process.kill()
            code = self._process.wait()
        if code or self._stops:
            remove_remains()  # it may have had no time to end Ray
        self._socket.close()

    def _read(self) -> None:
        """Pass on the messages in a thread of its own, so that no signal tears one apart."""
        try:
            while True:
                self._messages.put(self._socket.recv())
        except (EOFError, OSError):
            self._messages.put(None)
        except Exception as error:  # a message that cannot be read, as after a change of the code on disk
            self._messages.put(Ended(error))

    def _watch_ray(self) -> None:
        """End the child where a server of its Ray has died and the child does not say so."""
        since: float | None = None
        while not self._left.wait(WATCH_SECONDS):
            server = dead_server(self._process.pid)
            since = (since or time.monotonic()) if server and not self._stops else None
            if since is not None and time.monotonic() - since >= DEAD_SECONDS:
                self._messages.put(Ended(ProcessDiedError(f"a process of Ray ({server}) died; {CONTINUES}")))
                self._process.kill()
                return

    def receive(self) -> Any:
        """Return the next message of the child. Where it died without a last one, that is an error in words."""
        while True:
            left = None if self._deadline is None else max(self._deadline - time.monotonic(), 0.0)
            try:
                message = self._messages.get(timeout=left)
            except queue.Empty:
                self._process.kill()
                self._deadline = None
                continue
            return Ended(self._death()) if message is None else message

    def _death(self) -> BaseException:
        code = self._process.wait()
        if self._stops:
            return KeyboardInterrupt()
        how = f"ended with code {code}"
        if code < 0:
            memory = ", perhaps because the machine is out of memory" if code == -signal.SIGKILL else ""
            how = f"was killed by signal {-code} ({signal.strsignal(-code)}){memory}"
        return ProcessDiedError(f"the process of the search {how}; {CONTINUES}")

    def stop(self) -> None:
        """Ask the child to stop. It has `ORDERLY_SECONDS` for it."""
        self._stops += 1
        deadline = time.monotonic() + (ORDERLY_SECONDS if self._stops == 1 else HURRIED_SECONDS)
        self._deadline = min(self._deadline or deadline, deadline)
        with suppress(OSError):
            self._socket.send(STOP)


def dead_server(pid: int) -> str | None:
    """Return the name of a server of Ray that this process has started, and that has ended; None if there is none."""
    with suppress(psutil.Error):
        for child in psutil.Process(pid).children():
            if child.name() in SERVERS and child.status() == psutil.STATUS_ZOMBIE:
                return child.name()
    return None


def code_folder() -> list[str]:
    """Return the folder of our packages, unless the child finds them by itself."""
    import site

    folder = str(Path(__file__).parents[2])
    return [] if folder in (*site.getsitepackages(), site.getusersitepackages()) else [folder]


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block `STOPS` in this thread. A process that starts meanwhile has them blocked too."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
