"""The differences between SQLite and PostgreSQL: the clock, transactions, and insert-or-update."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, TableClause, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Session


def now(session: Session) -> datetime:
    """Return the time in UTC: the server's where there is a server, since the clocks of its clients differ."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    moment: datetime = session.scalars(select(func.clock_timestamp())).one()
    return moment.astimezone(UTC)


def server_started(session: Session) -> datetime | None:
    """Return when the server of the database started, in UTC; None for SQLite, which has no server."""
    if session.get_bind().dialect.name == "sqlite":
        return None
    moment: datetime = session.scalars(select(func.pg_postmaster_start_time())).one()
    return moment.astimezone(UTC)


def upsert(
    session: Session, table: TableClause | type[DeclarativeBase], values: Mapping[str, Any], keys: Sequence[str]
) -> None:
    """Insert a row, or update the row that has the same values in the columns `keys`."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    rest = {name: value for name, value in values.items() if name not in keys}
    session.execute(insert(table).values(**values).on_conflict_do_update(index_elements=keys, set_=rest))


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
