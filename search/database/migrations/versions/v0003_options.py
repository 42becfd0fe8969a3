"""The options of each run, from which its features and fits can be made again; null in older rows."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("search_runs", sa.Column("options", sa.JSON))
