"""Adds the costs of a run: the seconds of its stages, and forward passes that no trial or final has kept."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("search_runs", sa.Column("costs", sa.JSON))
