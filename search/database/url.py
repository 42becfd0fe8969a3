"""The address of a study database: its URL, its lock, and its errors in one line without the password."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final
from urllib.parse import quote, quote_plus

import sqlalchemy
from filelock import FileLock, Timeout
from optuna.exceptions import StorageInternalError
from sqlalchemy import URL, func, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from spaces import StorageError

BUSY_SECONDS = 60
CONNECT_SECONDS = 10
EXAMPLES = "sqlite:////path/to/studies.db or postgresql://user:password@host/database"


@final
class Address:
    """The URL of a SQLite file or of a PostgreSQL server. Raises StorageError for any other URL."""

    def __init__(self, url: str) -> None:
        try:
            parsed = sqlalchemy.make_url(url)
            dialect = parsed.get_backend_name()
        except (ArgumentError, NoSuchModuleError, ValueError):
            dialect = ""
        if dialect not in ("sqlite", "postgresql", "postgres"):
            scheme = url.partition("://")[0] if "://" in url else ""  # the rest may hold a password
            raise StorageError(f"the storage must be SQLite or PostgreSQL, got {scheme or 'no URL'!r}; try {EXAMPLES}")
        if dialect != "sqlite":
            parsed = parsed.set(drivername="postgresql+psycopg")
        elif parsed.database in (None, "", ":memory:") or parsed.query:
            raise StorageError(f"a SQLite storage must name a plain file, got {url!r}; try {EXAMPLES}")
        self.url: URL = parsed
        self.file = Path(str(parsed.database)).absolute() if dialect == "sqlite" else None

    def __str__(self) -> str:
        return self.masked(self.url.render_as_string(hide_password=False))

    def masked(self, message: str) -> str:
        """Return the message with *** in place of the password, quoted or not."""
        query = self.url.query.get("password", "")
        secrets = [str(self.url.password or ""), *([query] if isinstance(query, str) else query)]
        spellings = {
            spelling
            for secret in secrets
            if secret
            for spelling in (secret, quote(secret, safe=""), quote_plus(secret))
        }
        for spelling in sorted(spellings, key=len, reverse=True):
            message = message.replace(spelling, "***")
        return message

    @property
    def connect_args(self) -> dict[str, Any]:
        return {"timeout": BUSY_SECONDS} if self.file else {"connect_timeout": CONNECT_SECONDS}

    def engine_options(self) -> dict[str, Any]:
        """Return the arguments of `create_engine`. A dropped connection to a server is replaced before it is used."""
        return {"connect_args": self.connect_args, "pool_pre_ping": self.file is None}

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn every error of the database or its driver into a StorageError of one line."""
        try:
            yield
        except (SQLAlchemyError, StorageInternalError, ImportError, OSError, Timeout) as error:
            raise StorageError(self.masked(f"the study database {self} cannot be used: {_reason(error)}")) from None

    @contextmanager
    def lock(self, engine: sqlalchemy.Engine, name: str) -> Iterator[None]:
        """Hold a lock, which one thread of one process on one machine has at a time. A killed holder releases it.

        With SQLite the lock is a file next to the database, one for all names. With PostgreSQL it is an advisory lock
        of that name. Raises an error, which `errors` turns into StorageError, after a wait of `BUSY_SECONDS`.
        """
        if self.file:
            with FileLock(f"{self.file}.lock", timeout=BUSY_SECONDS, poll_interval=0.005):
                yield
        else:
            key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)
            with engine.begin() as connection:
                connection.execute(text(f"SET LOCAL lock_timeout = '{BUSY_SECONDS}s'"))
                connection.execute(select(func.pg_advisory_xact_lock(key)))
                yield


def _reason(error: BaseException) -> str:
    """Return the first line of the driver's own message."""
    cause: BaseException = error
    while isinstance(cause, StorageInternalError) and cause.__cause__:
        cause = cause.__cause__
    if isinstance(cause, ImportError):
        return "the PostgreSQL driver is missing; pip install 'psycopg[binary]'"
    if isinstance(cause, Timeout):
        return f"another process has held its lock for {BUSY_SECONDS} s"
    if isinstance(cause, DBAPIError) and cause.orig is not None:
        cause = cause.orig
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
