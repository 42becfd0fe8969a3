"""Takes passwords out of the commands that earlier versions kept as they were typed."""

import sqlalchemy as sa
from alembic import op

from search.database.secrets import command_without_secrets

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    runs, connection = sa.table("search_runs", sa.column("id"), sa.column("command")), op.get_bind()
    for number, command in connection.execute(sa.select(runs.c.id, runs.c.command)).all():
        cleaned = command_without_secrets(command)
        if cleaned != command:
            connection.execute(sa.update(runs).where(runs.c.id == number).values(command=cleaned))
