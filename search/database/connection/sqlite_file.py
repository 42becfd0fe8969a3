"""Notices when the file of an open SQLite database is deleted, replaced or damaged, and rescues what it held.

SQLite itself does not notice: it goes on to write to a file that has no name any more, and all is lost at the end.
"""

import json
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, final

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import InvalidatePoolError

from search.database.connection.outages import SLICE_SECONDS
from spaces import StorageError

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

LOOK_SECONDS = 60.0
"""Shortest time between two checks of the whole content. One takes about a second for 100 MB."""

FAILURES = (sqlite3.Error, OSError)


@final
class SqliteFile:
    """The file of an open database.

    Outside a run, another file in its place is opened. In a run (`guarded`) that is a loss: its content is copied to
    another file, in which the operations of the run go on, so that its last trial is kept and the others are closed.
    The run shall then end with the words of `loss`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.loss: str | None = None
        self._remembered: Callable[[], Any] = dict
        self._named = path
        self._identity: tuple[int, int] | None = None
        self._size = 0
        self._changed = 0  # when the file was changed last
        self._next_look = 0.0  # when its content may be checked again
        self._logs: dict[Path, tuple[int, int]] = {}
        self._keeper: sqlite3.Connection | None = None  # through which the content of a deleted file can be read
        self._unusable = False
        self._lock = threading.RLock()

    def watch(self, engine: Engine) -> None:
        """Look at the file whenever this engine gives out a connection."""

        @event.listens_for(engine, "connect")
        def on_connect(_connection: Any, record: Any) -> None:
            record.info["file"] = self._identity

        @event.listens_for(engine, "checkout")
        def on_checkout(_connection: Any, record: Any, _proxy: Any) -> None:
            self._check()
            if record.info.get("file") != self._identity:
                raise InvalidatePoolError()  # a new connection is made

        @event.listens_for(engine, "handle_error")
        def on_error(context: ExceptionContext) -> None:
            error = context.original_exception
            if self._keeper and isinstance(error, sqlite3.Error) and _code(error) in DAMAGED:
                with self._lock:
                    self._lose("was overwritten, or cut short, while the search ran")
                raise StorageError(self.loss) from error

    def connect(self) -> sqlite3.Connection:
        """Open the file for writing. It must exist."""
        with self._lock:
            self._check()
            connection = self._connect()
            if self._identity is None:
                self._take(self.path.stat())
            return connection

    def _take(self, stat: os.stat_result) -> None:
        self._identity, self._size, self._changed = _identity(stat), stat.st_size, stat.st_mtime_ns

    def _connect(self) -> sqlite3.Connection:
        self.path.stat()  # raises an error that says more than SQLite's
        uri = f"{self.path.as_uri()}?mode=rw"
        return sqlite3.connect(uri, uri=True, timeout=SLICE_SECONDS, check_same_thread=False)

    @contextmanager
    def guarded(self, remembered: Callable[[], Any]) -> Iterator[None]:
        """Rescue the content of the file if it is lost before the block ends.

        remembered: returns what is known of the database without reading it, ready for JSON.
        """
        self._remembered = remembered
        with closing(self.connect()) as keeper:
            keeper.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()  # this opens the write-ahead log too
            logs = [Path(f"{self.path}{suffix}") for suffix in ("-wal", "-shm")]
            self._logs = {log: _identity(log.stat()) for log in logs if log.exists()}
            self._keeper = keeper
            try:
                yield
            finally:
                self._keeper = None

    def check(self) -> None:
        """Notice now what would be noticed later, and raise StorageError where the file was lost."""
        self._next_look = 0.0
        self._check()
        if self.loss is not None:
            raise StorageError(self.loss)

    def _check(self) -> None:
        """Compare the file with the one that was opened."""
        with self._lock:
            if self._unusable:
                raise StorageError(self.loss)
            if self._identity is None:
                return
            try:
                stat = self.path.stat()
            except FileNotFoundError:
                stat = None
            if stat is None or _identity(stat) != self._identity:
                if self._keeper is None:
                    self._identity = None  # the next connection opens what is there, if anything
                else:
                    how = "deleted or moved" if stat is None else "replaced by another file"
                    self._lose(f"was {how} while the search ran")
            elif self._keeper is not None and self._is_suspect(stat):
                self._next_look = time.monotonic() + LOOK_SECONDS
                if not _is_whole(self._keeper):
                    self._lose("was overwritten, or cut short, while the search ran")
                    raise StorageError(self.loss)
                self._take(stat)

    def _is_suspect(self, stat: os.stat_result) -> bool:
        """Return whether the content may be another one: SQLite itself seldom writes to the file, but to its log."""
        written = stat.st_mtime_ns != self._changed and time.monotonic() >= self._next_look
        return written or stat.st_size < self._size

    def _lose(self, how: str) -> None:
        """Rescue what can be, set `loss`, and go on in the rescued file if there is one."""
        keeper, self._keeper = self._keeper, None
        assert keeper is not None
        what = f"the study database {self._named} {how}"
        rescued = _first(lambda folder: _copied(keeper, folder / f"{self._named.stem}-rescued-{os.getpid()}.db"), self)
        keeper.close()  # the last connection to close removes a log of this name, whosever it is by then
        if rescued is None:
            self._unusable = True
            listed = _first(self._listed, self)
            left = f"the trials that the search remembers are listed in {listed}; " if listed else ""
            self.loss = (
                f"{what}, and cannot be read any more; {left}put a copy of yours in its place, or delete it, and type "
                "the same command again: the features in the cache are kept"
            )
            return
        for log, identity in self._logs.items():  # it would be applied to the file that is put in its place
            if log.exists() and _identity(log.stat()) == identity:
                log.unlink()
        self.path = rescued
        self._take(rescued.stat())
        self.loss = (
            f"{what}; all that it held is in {rescued}: move that file to {self._named}, and type the same command "
            "again to go on"
        )

    def _listed(self, folder: Path) -> Path:
        path = folder / f"{self._named.stem}-rescued-{os.getpid()}.json"
        path.write_text(json.dumps(self._remembered(), indent=1, default=str), "utf-8")
        return path


def _first(write: Callable[[Path], Path], file: SqliteFile) -> Path | None:
    """Return what `write` returns for the first folder that takes a file: the database's, this one, the temporary."""
    for folder in (file.path.parent, Path.cwd(), Path(tempfile.gettempdir())):
        try:
            if folder.is_dir():
                return write(folder)
        except FAILURES:
            continue
    return None


def _copied(connection: sqlite3.Connection, path: Path) -> Path:
    """Copy a database to a new file, and return its path. Raises sqlite3.Error where either cannot be used."""
    try:
        with closing(sqlite3.connect(path)) as copy:
            connection.backup(copy)
            if not _is_whole(copy):
                raise sqlite3.DatabaseError("the copy is damaged")
    except FAILURES:
        path.unlink(missing_ok=True)
        raise
    return path


def _is_whole(connection: sqlite3.Connection) -> bool:
    """Return whether SQLite finds no damage in a database, and any table."""
    try:
        tables = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
        return bool(tables) and connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
    except sqlite3.Error:
        return False


def _identity(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
