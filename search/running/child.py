"""The child process of a search: runs the engine and sends its events to the caller through a socket.

It starts with the signals to end it blocked. A thread waits for them: a run may be stopped by its caller, who got the
signal, and by a signal of its own, as systemd and Slurm send it to all processes. Then both are one request.
"""

import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from objectives.results import StudyResults
from search.events import Event
from search.running.process import CONTINUES, ORDERLY_SECONDS, Ended, ProcessDiedError
from search.scheduling.signals import heeded_stops
from spaces import SearchError

SAME_REQUEST = 2.0
"""Seconds within which a signal to this process and a request of the caller are one request."""

LAST_SECONDS = 5.0
"""Longest wait until the last message of a process that gives up is sent."""


def main(socket_number: int) -> None:
    """Run the search that the caller sends, and send what happens."""
    os.set_inheritable(socket_number, False)  # else Ray's processes keep it open, and the caller never sees its end
    socket = Connection(socket_number)
    _silence_libraries()
    try:
        options, began, path = socket.recv()
    except EOFError:  # the caller has died already
        return
    sys.path += [folder for folder in path if folder not in sys.path]
    caller = Caller(socket)
    heeded = heeded_stops()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # for `_interrupt`, also where a shell has it ignored
    signal.signal(signal.SIGUSR2, _interrupt)  # Ray Tune has a use of its own for SIGUSR1
    caller.begin(heeded)
    try:
        value = _outcome(options, began, caller)
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # it is too late to stop anything
    except KeyboardInterrupt as error:
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        value = error
    caller.end(Ended(value))


def _outcome(options: Any, began: float, caller: "Caller") -> StudyResults | BaseException:
    """Return the results, or the error that ends the run. What is no SearchError keeps its traceback as a note."""
    try:
        return _run(options, began, caller)
    except SearchError as error:
        return error
    except Exception as error:
        error.add_note(f"In the process of the search:\n{traceback.format_exc()}")
        return error


def _run(options: Any, began: float, caller: "Caller") -> StudyResults:
    from search.display.downloads import showing_downloads
    from search.running import engine

    with showing_downloads():
        return engine.run(options, caller.send, on_ray_lost=caller.give_up, began=began)


class Caller:
    """The process that asked for the search, at the other end of the socket."""

    def __init__(self, socket: Connection) -> None:
        self._socket = socket
        self._messages: queue.SimpleQueue[Event | Ended] = queue.SimpleQueue()
        self._sender = threading.Thread(target=self._send_all, name="events", daemon=True)
        self._main_thread = threading.main_thread().ident or 0
        self._stops = 0
        self._signalled = -SAME_REQUEST

    def begin(self, heeded: Sequence[int]) -> None:
        """Start to send, and to wait for requests to stop. heeded: the signals that are such requests."""
        self._sender.start()
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._wait_for_signals, args=(heeded,), daemon=True).start()

    def send(self, event: Event) -> None:
        """Send an event soon."""
        self._messages.put(event)

    def end(self, message: Ended) -> None:
        """Send the last message, and return when it is sent."""
        self._messages.put(message)
        self._sender.join()

    def give_up(self, reason: str) -> NoReturn:
        """Report that the run cannot go on, and end this process at once: its main thread may wait for Ray forever."""
        self._messages.put(Ended(ProcessDiedError(f"{reason}; {CONTINUES}")))
        self._sender.join(LAST_SECONDS)
        os._exit(1)

    def _send_all(self) -> None:
        """Send messages in a thread of its own: a signal, which the main thread handles, would tear one apart.

        A caller that has gone gets nothing. Then the run stops anyway.
        """
        with suppress(OSError):
            while True:
                message = self._messages.get()
                self._socket.send(message if isinstance(message, Event) else _sendable(message))
                if isinstance(message, Ended):
                    return

    def _listen(self) -> None:
        """Stop the run when the caller asks for it, or has died."""
        try:
            while True:
                self._socket.recv()
                if self._stops == 1 and time.monotonic() - self._signalled < SAME_REQUEST:
                    self._signalled = -SAME_REQUEST
                else:
                    self._stop()
        except (EOFError, OSError):
            self._stop()
            time.sleep(ORDERLY_SECONDS)
            os._exit(1)

    def _wait_for_signals(self, heeded: Sequence[int]) -> None:
        """Stop the run at the first signal that reaches this process itself."""
        while heeded:
            signal.sigwait(heeded)
            if not self._stops:
                self._signalled = time.monotonic()
                self._stop()

    def _stop(self) -> None:
        self._stops += 1
        signal.pthread_kill(self._main_thread, signal.SIGUSR2)


def _sendable(message: Ended) -> Ended:
    """Return the message, with another error where the one that ended the run cannot be pickled and unpickled."""
    if isinstance(message.value, BaseException):
        try:
            pickle.loads(pickle.dumps(message.value))
        except Exception:
            return Ended(RuntimeError("".join(traceback.format_exception(message.value))))
    return message


def _interrupt(_number: int, frame: Any) -> None:
    """Do in the main thread what Ctrl-C does now. A blocking call is interrupted too."""
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(signal.SIGINT, frame)


def _silence_libraries() -> None:
    """Let Ray's last words, which fill pages, go nowhere: the results are printed by the caller.

    What Python writes to standard error, such as a warning, goes where it did.
    """
    errors = os.dup(2)
    sys.stderr = os.fdopen(errors, "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
