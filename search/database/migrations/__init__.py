"""Bring a database's tables of ours to the version of this program, or say that it is too new for it.

A change of `models.py` is a new file in `versions/`; a test compares the two.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

VERSION_TABLE = "search_schema_version"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def versions() -> list[str]:
    """All that this program knows, oldest first."""
    scripts = ScriptDirectory.from_config(_config())
    return [script.revision for script in scripts.walk_revisions()][::-1]


def version_of(connection: Connection) -> str | None:
    """The database's; None where it has no tables of ours yet."""
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def upgrade(connection: Connection, version: str = "head") -> None:
    """To a version, the newest if not told, in one transaction with what the caller does on the connection."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, version)
