"""Trivial classifiers on the images of a study."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "search_baselines",
        sa.Column("study_id", sa.Integer, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("setting", sa.Text),
        sa.Column("side", sa.Integer, nullable=False),
        sa.Column("features", sa.Integer, nullable=False),
        sa.Column("seed", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("validation_correct", sa.Integer, nullable=False),
        sa.Column("validation_total", sa.Integer, nullable=False),
        sa.Column("test_correct", sa.Integer, nullable=False),
        sa.Column("test_total", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("validation_scores", sa.JSON),
        sa.Column("test_scores", sa.JSON),
        sa.Column("test_answers", sa.LargeBinary),
        sa.ForeignKeyConstraint(["study_id"], ["search_studies.id"], name="fk_search_baselines_study_id"),
        sa.PrimaryKeyConstraint("study_id", "kind", name="pk_search_baselines"),
    )
    op.create_index("ix_search_baselines_key", "search_baselines", ["key"])
