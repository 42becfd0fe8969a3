"""Evaluations of the candidates for the answer on other splits, and the share of the most frequent class."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("search_studies", sa.Column("majority", sa.Double))
    op.create_table(
        "search_reevaluations",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("study_id", sa.Integer, nullable=False),
        sa.Column("setting", sa.Text, nullable=False),
        sa.Column("seed", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("validation_correct", sa.Integer, nullable=False),
        sa.Column("validation_total", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("passes_made", sa.Integer, nullable=False),
        sa.Column("passes_needed", sa.Integer, nullable=False),
        sa.Column("images", sa.LargeBinary, nullable=False),
        sa.Column("image_scores", sa.LargeBinary, nullable=False),
        sa.Column("scores", sa.JSON),
        sa.ForeignKeyConstraint(["study_id"], ["search_studies.id"], name="fk_search_reevaluations_study_id"),
        sa.PrimaryKeyConstraint("id", name="pk_search_reevaluations"),
        sa.UniqueConstraint("study_id", "setting", "seed", name="uq_search_reevaluations_study_id"),
    )
