"""An upgrade of an old database is killed: the next command finds the old or the new tables, and all rows."""

import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, text

from search.database import migrations
from search.database.connection.dialects import roll_back_schema_changes
from search.database.connection.opening import open_storage
from search.database.connection.url import Address
from tests.faults.row import Case, Row, demand
from tests.support.processes import child_process

OPEN = (
    "import sys; from search.database.connection.opening import open_storage; "
    "from search.database.connection.url import Address; address = Address(sys.argv[1]); "
    "print('ready', flush=True); open_storage(address); print('open', flush=True)"
)
"""Opens a database, which upgrades it. It says when all is imported, and when it is done."""

ROWS_EACH = 40
LONGEST = 0.6
"""Seconds that an upgrade takes at most on a slow machine."""

REWRITTEN = {("search_runs", "command")}
"""Columns that a migration rewrites."""


def kill_upgrade(case: Case) -> None:
    """Kill several upgrades of one database of a random version, each at a random moment."""
    version = case.random.choice(migrations.versions()[:-1])
    address = Address(case.url)
    before = make_old(address, version)
    for _ in range(3):
        command = [sys.executable, "-c", OPEN, case.url]
        with child_process(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            demand(process.stdout.readline() == "ready\n", process.stderr.read() if process.poll() else "not ready")
            time.sleep(case.random.uniform(0.0, LONGEST))
            process.send_signal(signal.SIGKILL)
            ended = process.wait()
            demand(ended in (0, -signal.SIGKILL), f"from {version} it ended with {ended}: {process.stderr.read()}")
        if ended == 0:
            break
    storage = open_storage(address)
    try:
        with storage.engine.connect() as connection:
            reached = migrations.version_of(connection)
            demand(reached == migrations.versions()[-1], f"from {version} it reached {reached}")
            after = content(connection, before)
            demand(after == before, f"from {version}: rows have changed")
            if address.file is not None:
                damage = connection.scalar(text("PRAGMA integrity_check"))
                demand(damage == "ok", f"from {version}: {damage}")
    finally:
        storage.remove_session()
        storage.engine.dispose()


Content = dict[str, list[dict[str, Any]]]


def make_old(address: Address, version: str) -> Content:
    """Make a database of an old version with some rows in each table, and return them."""
    engine = sqlalchemy.create_engine(address.url, **address.engine_options(sqlalchemy.NullPool))
    if address.file is not None:
        roll_back_schema_changes(engine)
    with engine.begin() as connection:
        migrations.upgrade(connection, version)
        tables = sqlalchemy.MetaData()
        tables.reflect(connection)
        written = [table for table in tables.sorted_tables if table.name.startswith("search_") and "id" in _keys(table)]
        for table in written:
            for number in range(1, ROWS_EACH + 1):
                connection.execute(table.insert().values({c.name: _value(c, number) for c in table.columns}))
        shape: Content = {
            table.name: [{c.name: None for c in table.columns if (table.name, c.name) not in REWRITTEN}]
            for table in written
        }
        return content(connection, shape)


def content(connection: Connection, shape: Content) -> Content:
    """Return the rows of these tables, with these columns."""
    return {
        name: [
            dict(row._mapping)
            for row in connection.execute(text(f"SELECT {', '.join(rows[0])} FROM {name} ORDER BY id"))
        ]
        for name, rows in shape.items()
    }


def _keys(table: sqlalchemy.Table) -> set[str]:
    return {column.name for column in table.primary_key.columns}


def _value(column: sqlalchemy.Column[Any], number: int) -> Any:
    if column.name == "id" or column.foreign_keys:
        return number
    values: dict[type[Any], Any] = {
        sqlalchemy.JSON: {"number": number},
        sqlalchemy.DateTime: datetime(2026, 1, 1, 0, 0, number, tzinfo=UTC),
        sqlalchemy.LargeBinary: bytes([number]) * 1000,
        sqlalchemy.Integer: number,
        sqlalchemy.Float: float(number),
    }
    return next((value for kind, value in values.items() if isinstance(column.type, kind)), f"text {number}")


ROWS = [Row("upgrade of a database killed by signal 9, from any version: no row lost or changed", kill_upgrade)]
