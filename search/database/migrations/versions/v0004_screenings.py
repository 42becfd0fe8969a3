"""Finished screenings, which later tasks learn from and searches start from."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "search_screenings",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dataset", sa.String, nullable=False),
        sa.Column("dataset_fingerprint", sa.String, nullable=False),
        sa.Column("backbone", sa.String, nullable=False),
        sa.Column("weights_digest", sa.String, nullable=False),
        sa.Column("architecture", sa.JSON, nullable=False),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("classes", sa.Integer, nullable=False),
        sa.Column("images", sa.Integer, nullable=False),
        sa.Column("errors", sa.JSON, nullable=False),
        sa.Column("best", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_search_screenings"),
        sa.UniqueConstraint(
            "dataset_fingerprint", "weights_digest", "seed", name="uq_search_screenings_dataset_fingerprint"
        ),
    )
