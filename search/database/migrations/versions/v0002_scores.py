"""Scores of trials and finals, beside their accuracies; null in older rows."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("search_trials", sa.Column("scores", sa.JSON))
    for name in ("validation_scores", "test_scores", "confused"):
        op.add_column("search_finals", sa.Column(name, sa.JSON))
