"""Masks of correct images of trials and finals, null in older rows, and pictures of some images."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("search_trials", sa.Column("answers", sa.LargeBinary))
    op.add_column("search_finals", sa.Column("test_answers", sa.LargeBinary))
    op.create_table(
        "search_pictures",
        sa.Column("study_id", sa.Integer, nullable=False),
        sa.Column("image", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer),
        sa.Column("label", sa.Integer, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("jpeg", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["search_studies.id"], name="fk_search_pictures_study_id"),
        sa.PrimaryKeyConstraint("study_id", "image", name="pk_search_pictures"),
    )
