"""The script that Alembic runs for `search.database.migrations.upgrade`."""

from alembic import context

from search.database.migrations import VERSION_TABLE
from search.database.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
