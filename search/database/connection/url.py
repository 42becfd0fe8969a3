"""The address of a study database: its URL, its lock, and its errors in one line without the password."""

import errno
import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import sqlalchemy
from filelock import FileLock, Timeout
from optuna.exceptions import StorageInternalError
from sqlalchemy import URL, func, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool, Pool, QueuePool

from objectives.home import Home, may_write
from search.database.connection.outages import BUSY_SECONDS, OutageError, UnusableError
from search.database.secrets import masked, parse_url
from spaces import StorageError
from spaces.errors import first_line

SERVER_OPTIONS = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""Options of libpq that the URL may change: a server that does not answer is noticed after 10 s, and one that went
without a word after a minute. The system alone would wait for a quarter of an hour."""


@final
class Address:
    """A SQLite file or a PostgreSQL server, named by a URL, or a SQLite file named by its path.

    A path is used as it is: characters that mean something in a URL mean nothing in a path. Raises StorageError for any
    other URL.
    """

    def __init__(self, storage: str | Path) -> None:
        self._secrets: dict[str, str] = {}
        if isinstance(storage, Path):
            url = URL.create("sqlite", database=str(storage))
        else:
            url, self._secrets = parse_url(storage)
        self.file = Path(str(url.database)).absolute() if url.get_backend_name() == "sqlite" else None
        self.url: URL = url
        self._was_named = not isinstance(storage, Path)

    def __str__(self) -> str:
        """Return the URL without its secrets, as a person can type it."""
        if self.file is not None:
            return f"sqlite:///{str(self.file).replace('%', '%25').replace('?', '%3F')}"
        return self.url.render_as_string()

    @property
    def words(self) -> list[str]:
        """The words of a command line that name this database; none for that of the default home folder."""
        if self._was_named or self.file is None:
            return ["--storage", str(self)]
        home = Home(self.file.parent)
        return [] if home.is_default else ["--home", str(home.folder)]

    @property
    def optuna_url(self) -> str:
        """The URL for Optuna, which fills braces in it with its schema version. That of a file names no file."""
        url = "sqlite://" if self.file else str(self)
        return url.replace("{", "{{").replace("}", "}}")

    def engine_options(self, poolclass: type[Pool] = QueuePool, reading: bool = False) -> dict[str, Any]:
        """Return the arguments of `create_engine` beside `url`, with the secrets.

        A dropped connection to a server is replaced before it is used. reading: open a file without writing anything,
        also no file beside it.
        """
        if self.file is None:
            options = {name: value for name, value in SERVER_OPTIONS.items() if name not in self.url.query}
            return {"connect_args": {**options, **self._secrets}, "poolclass": poolclass, "pool_pre_ping": True}
        return {"creator": self._connect_reading if reading else self._connect, "poolclass": poolclass}

    def check_may_be_missing(self) -> None:
        """Raise StorageError where a file that does not exist was named, by its URL or by a home folder."""
        file = self.file
        assert file is not None
        if self._was_named:
            raise StorageError(f"there is no database at {self}; name the one of your studies with `storage`")
        if not file.parent.exists() and file != Home.at(None).storage:
            raise StorageError(f"there is no folder {file.parent}; name the folder of your studies with `home`")

    def check_writable(self) -> None:
        """Refuse a database that cannot be opened or written; make nothing. Raises StorageError."""
        with self.errors():
            if self.file is not None and not self.file.exists():
                folder = next(path for path in self.file.parents if path.exists())
                if not folder.is_dir() or not may_write(folder):
                    code = errno.EACCES if folder.is_dir() else errno.ENOTDIR
                    raise OSError(code, f"{os.strerror(code)}: {folder}")
                return
            if self.file is not None and self.file.is_dir():
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
            if self.is_read_only():
                raise OSError(errno.EACCES, "it may only be read")
            engine = sqlalchemy.create_engine(self.url, **self.engine_options(NullPool, reading=self.file is not None))
            with engine.connect() as connection:
                if self.file is not None:
                    connection.execute(text("SELECT 1 FROM sqlite_master LIMIT 1"))

    def is_read_only(self) -> bool:
        """Return whether this is a file that exists and that this process must not write."""
        file = self.file
        return file is not None and file.exists() and not (may_write(file) and may_write(file.parent))

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(str(self.file), timeout=BUSY_SECONDS, check_same_thread=False)

    def _connect_reading(self) -> sqlite3.Connection:
        """Open the file for reading.

        While a run has the file open, its latest changes are in the write-ahead log, which is read too. Without a log,
        SQLite would write one, unless the file is declared immutable.
        """
        assert self.file is not None
        log = Path(f"{self.file}-wal")
        at_rest = not log.exists() or log.stat().st_size == 0
        uri = f"{self.file.as_uri()}?mode=ro{'&immutable=1' if at_rest else ''}"
        return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, check_same_thread=False)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn every error of the database or its driver into a StorageError of one line."""
        try:
            yield
        except (SQLAlchemyError, StorageInternalError, ImportError, OSError) as error:
            raise UnusableError(f"the study database {self} cannot be used: {self._reason(error)}") from None

    def _reason(self, error: BaseException) -> str:
        """Return the first line of the driver's own message, and what mends a full disk."""
        cause = _cause(error)
        if is_disk_full(error):
            return f"{first_line(cause)}; free space on its disk, or raise the limit of file sizes (`ulimit -f`)"
        if isinstance(cause, ImportError):
            return "the PostgreSQL driver is missing; pip install 'psycopg[binary]'"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        return self.first_line(cause)

    def first_line(self, error: BaseException) -> str:
        """Return the first line of a driver's message, with *** in place of every secret, also of several lines."""
        return (masked(str(error), self._secrets.values()).strip() or type(error).__name__).splitlines()[0]

    @contextmanager
    def lock(self, engine: sqlalchemy.Engine, name: str, seconds: float = BUSY_SECONDS) -> Iterator[Callable[[], None]]:
        """Hold a lock, which one thread of one process on one machine has at a time. A killed holder releases it.

        With SQLite the lock is a file next to the database, one for all names. With PostgreSQL it is an advisory lock
        of that name, which ends with the connection. Raises OutageError after a wait of so many seconds, and at the end
        where the lock was lost meanwhile. Yields a function that raises it at once where the lock is lost.
        """
        if self.file:
            lock = FileLock(f"{self.file}.lock", timeout=seconds, poll_interval=0.005)
            try:
                held = lock.acquire()
            except Timeout:
                raise OutageError.of(str(self), "another process holds its lock", busy=True) from None
            with held:
                yield lambda: None
        else:
            key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)
            with engine.begin() as connection:
                connection.execute(text(f"SET LOCAL lock_timeout = '{seconds:.0f}s'"))
                connection.execute(select(func.pg_advisory_xact_lock(key)))
                yield lambda: connection.execute(text("SELECT 1")).close()


def is_disk_full(error: BaseException) -> bool:
    """Return whether a file could not be written for want of room: the disk is full, or a limit is reached."""
    cause = _cause(error)
    if isinstance(cause, sqlite3.OperationalError):
        return cause.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _cause(error: BaseException) -> BaseException:
    """Return the driver's own error."""
    cause: BaseException = error
    while isinstance(cause, StorageInternalError) and cause.__cause__:
        cause = cause.__cause__
    return cause.orig if isinstance(cause, DBAPIError) and cause.orig is not None else cause
