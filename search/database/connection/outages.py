"""Waits for a database that does not answer, and repeats what it was asked for."""

import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, Self, TypeVar, final

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import InterfaceError, OperationalError

from spaces import StorageError

RUN_SECONDS = 300.0
"""How long a run repeats an operation."""

BUSY_SECONDS = 60.0
"""How long other commands wait for a lock that another process has."""

SLICE_SECONDS = 5.0
"""Longest wait for a lock within the database. Between two waits the process may be told to stop."""

SHORTEST, LONGEST = 0.1, 10.0
"""First and longest pause between repetitions, in seconds, before chance changes them."""

QUIET_SECONDS = 1.0
"""An outage is said when it has lasted this long. A dropped connection alone is not worth a line."""

POLL_SECONDS = 0.2
"""A request to stop ends a pause within this time."""

CONTINUES = "every finished trial is kept, and the same command again continues"

CONNECTION_STATES = ("08", "25P03", "53300", "57P01", "57P02", "57P03", "57P05")
"""PostgreSQL's codes (its manual, appendix A) for a connection that fails or is ended: class 08, idle in a transaction,
too many connections, the server shuts down, crashed, starts, idle."""

BUSY_STATES = ("40001", "40P01", "55P03")
"""PostgreSQL's codes for a transaction that another one hinders: not serialisable, deadlock, lock not available."""

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


class UnusableError(StorageError):
    """The database cannot be used now: it does not answer, or there is no room or no right. Later it may be usable."""


@final
class OutageError(UnusableError):
    """The database does not answer. The operation may have been carried out nevertheless.

    database: its name. reason: in words. busy: whether the database is there, and another process has its lock.
    """

    def __init__(self, message: str, database: str, reason: str, busy: bool = False) -> None:
        super().__init__(message)
        self.database = database
        self.reason = reason
        self.busy = busy

    @classmethod
    def of(cls, database: str, reason: str, busy: bool = False) -> Self:
        return cls(f"the study database {database} cannot be used: {reason}", database, reason, busy)

    def copy(self) -> Self:
        """Return a new error with the same words."""
        return type(self)(*self.__reduce__()[1])

    def __reduce__(self) -> tuple[type[Self], tuple[str, str, str, bool]]:
        return type(self), (super().__str__(), self.database, self.reason, self.busy)


def raise_outages(engine: Engine, database: str, first_line: Callable[[BaseException], str]) -> None:
    """Let an engine raise OutageError where its database does not answer.

    Optuna, which would repeat some operations without asking whether they were carried out, passes it on.
    first_line: returns that of the driver's message, without the password.
    """

    @event.listens_for(engine, "handle_error")
    def on_error(context: ExceptionContext) -> None:
        if context.is_pre_ping:  # the pool replaces the connection
            return
        error = context.original_exception
        reason = " ".join(first_line(error).split())
        if isinstance(error, sqlite3.OperationalError):
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise OutageError.of(database, reason, busy=True) from error
        elif isinstance(context.sqlalchemy_exception, (OperationalError, InterfaceError)):
            state = getattr(error, "sqlstate", None) or CONNECTION_STATES[0]
            if state.startswith((*CONNECTION_STATES, *BUSY_STATES)):
                raise OutageError.of(database, reason, busy=state in BUSY_STATES) from error


def _say(text: str) -> None:
    log.warning("%s", text)


@final
class Outages:
    """The outages of one database, as one process sees them. All threads of the process share it.

    Outside a run an operation is repeated only if another process has a lock. In a run, between `begin` and `end`, it
    is repeated for `RUN_SECONDS`; that is said once, and so is the end of the outage.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._say: Callable[[str], None] = _say
        self._run_thread = 0
        self._stopped = False
        self._over: OutageError | None = None
        self._waiting: dict[int, float] = {}  # thread → when its operation failed first
        self._said: float | None = None  # when the outage began that was said
        self._lock = threading.Lock()
        self._thread = threading.local()

    def begin(self, say: Callable[[str], None] | None = None, seconds: float = RUN_SECONDS) -> None:
        """Begin a run of this thread. say: called with a line when an outage begins and ends; by default it logs."""
        self._seconds, self._say, self._stopped = seconds, say or _say, False
        self._over = self._said = None
        self._run_thread = threading.get_ident()

    def end(self) -> None:
        """End a run."""
        self.begin(seconds=0.0)

    def stop(self) -> None:
        """Wait no longer, now and later in this run. A signal handler may call this."""
        self._stopped = True

    @property
    def repeats(self) -> bool:
        """Whether this thread is within an operation that is repeated as a whole."""
        return getattr(self._thread, "repeats", False)

    def repeat(self, operation: Callable[[], T]) -> T:
        """Call `operation`, again and again as long as it raises OutageError, and return what it returns.

        It must be safe to repeat, also after a commit whose answer was lost. Within another such operation it is called
        once: the outer one is repeated as a whole. After the thread of the run has waited for too long, or was stopped
        in an outage, no operation is tried any more. Raises OutageError after the last failure.
        """
        if self.repeats:
            return operation()
        failures, thread = 0, threading.get_ident()
        self._thread.repeats = True
        try:
            while True:
                if self._over is not None:
                    raise self._over.copy()
                try:
                    answer = operation()
                except OutageError as error:
                    self._wait(error, thread, failures)
                    failures += 1
                else:
                    if failures:
                        self._answered(thread)
                    return answer
        finally:
            self._thread.repeats = False
            self._waiting.pop(thread, None)

    def _wait(self, error: OutageError, thread: int, failures: int) -> None:
        """Wait before an operation is repeated, or raise OutageError where the time is over."""
        began = self._waiting.setdefault(thread, time.monotonic())
        seconds = max(self._seconds, BUSY_SECONDS if error.busy else 0.0)
        left = began + seconds - time.monotonic()
        if left <= 0 or self._stopped or self._over is not None:
            if self._seconds and not self._stopped:
                message = (
                    f"the study database {error.database} did not answer for {self._seconds / 60:.0f} minutes: "
                    f"{error.reason}; {CONTINUES}"
                )
                error = OutageError(message, error.database, error.reason, error.busy)
            if self._seconds and thread == self._run_thread:
                self._over = self._over or error
            raise error
        if time.monotonic() - began >= QUIET_SECONDS:
            self._begun(error, began)
        pause = min(SHORTEST * 2**failures, LONGEST) * random.uniform(0.5, 1.5)  # noqa: S311 - only spreads attempts
        until = time.monotonic() + min(pause, left)
        while not self._stopped and self._over is None and (rest := until - time.monotonic()) > 0:
            time.sleep(min(rest, POLL_SECONDS))

    def _begun(self, error: OutageError, began: float) -> None:
        with self._lock:
            if self._said is not None or not self._seconds:
                return
            self._said = began
        self._say(f"the database does not answer: {error.reason}; trying again for {self._seconds / 60:.0f} minutes")

    def _answered(self, thread: int) -> None:
        with self._lock:
            self._waiting.pop(thread, None)
            if self._said is None or self._waiting:
                return
            seconds, self._said = time.monotonic() - self._said, None
        self._say(f"the database answers again, after {seconds:.0f} s")


class HasOutages(Protocol):
    """An object whose operations on a database are repeated."""

    @property
    def outages(self) -> Outages: ...


H = TypeVar("H", bound=HasOutages)


def repeated(method: Callable[Concatenate[H, P], T]) -> Callable[Concatenate[H, P], T]:
    """Let a method be repeated as a whole while its database does not answer; see `Outages.repeat`."""

    @wraps(method)
    def repeating(self: H, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.outages.repeat(lambda: method(self, *args, **kwargs))

    return repeating
