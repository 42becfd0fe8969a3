"""Migrations of the project's own tables, with Alembic.

Every change of `models.py` needs a new file in `versions/`. A test compares the two.
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
    """Return the schema versions that this program knows, oldest first."""
    scripts = ScriptDirectory.from_config(_config())
    return [script.revision for script in scripts.walk_revisions()][::-1]


def version_of(connection: Connection) -> str | None:
    """Return the schema version of a database; None where it has none of the project's tables yet."""
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def upgrade(connection: Connection, version: str = "head") -> None:
    """Upgrade to a version, by default the newest, within the transaction of the caller."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, version)
