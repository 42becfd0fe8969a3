"""The differences between SQLite and PostgreSQL: the clock, transactions, and insert-or-update."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Engine, Executable, TableClause, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Session


def now(database: Session | Connection) -> datetime:
    """Return the time in UTC: the server's where there is a server, since the clocks of its clients differ."""
    if _dialect(database) == "sqlite":
        return datetime.now(UTC)
    moment: datetime = database.execute(select(func.clock_timestamp())).scalar_one()
    return moment.astimezone(UTC)


def server_started(session: Session) -> datetime | None:
    """Return when the server of the database started, in UTC; None for SQLite, which has no server."""
    if session.get_bind().dialect.name == "sqlite":
        return None
    moment: datetime = session.scalars(select(func.pg_postmaster_start_time())).one()
    return moment.astimezone(UTC)


def upsert(
    database: Session | Connection,
    table: TableClause | type[DeclarativeBase],
    rows: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    keys: Sequence[str],
) -> None:
    """Insert one row or several of the same columns. Update a row that has the same values in the columns `keys`."""
    columns = tuple(rows if isinstance(rows, Mapping) else rows[0])
    database.execute(_upsert(_dialect(database), table, columns, tuple(keys)), rows)


@lru_cache(maxsize=64)
def _upsert(
    dialect: str, table: TableClause | type[DeclarativeBase], columns: Sequence[str], keys: Sequence[str]
) -> Executable:
    insert = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(table)
    rest = {name: insert.excluded[name] for name in columns if name not in keys}
    return insert.on_conflict_do_update(index_elements=keys, set_=rest)


def _dialect(database: Session | Connection) -> str:
    return (database.get_bind() if isinstance(database, Session) else database).dialect.name


def use_write_ahead_log(engine: Engine) -> None:
    """Make SQLite keep a write-ahead log.

    Readers and a writer then do not wait for each other, and a commit needs no fsync. A power cut may lose the last
    commits, but never the database. A killed process loses nothing.
    """

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")


def roll_back_schema_changes(engine: Engine) -> None:
    """Let SQLite roll back CREATE TABLE too. Python's driver would commit it at once."""

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
