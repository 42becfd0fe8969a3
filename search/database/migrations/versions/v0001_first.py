"""The first tables: studies, runs, trials, finals."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "search_studies",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("identity", sa.String, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dataset", sa.String, nullable=False),
        sa.Column("dataset_fingerprint", sa.String, nullable=False),
        sa.Column("backbone", sa.String, nullable=False),
        sa.Column("weights_digest", sa.String, nullable=False),
        sa.Column("architecture", sa.JSON, nullable=False),
        sa.Column("preset", sa.String, nullable=False),
        sa.Column("space", sa.JSON, nullable=False),
        sa.Column("space_digest", sa.String, nullable=False),
        sa.Column("space_size", sa.Integer, nullable=False),
        sa.Column("classes", sa.JSON, nullable=False),
        sa.Column("counts", sa.JSON, nullable=False),
        sa.Column("protocol", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_search_studies"),
        sa.UniqueConstraint("name", name="uq_search_studies_name"),
    )
    op.create_table(
        "search_runs",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("study_id", sa.Integer, nullable=False),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("process_started", sa.Double, nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heartbeat", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended", sa.DateTime(timezone=True)),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("workers", sa.Integer, nullable=False),
        sa.Column("command", sa.String, nullable=False),
        sa.Column("versions", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_search_runs"),
        sa.ForeignKeyConstraint(["study_id"], ["search_studies.id"], name="fk_search_runs_study_id"),
    )
    op.create_index("ix_search_runs_study_id", "search_runs", ["study_id"])
    op.create_table(
        "search_trials",
        sa.Column("study_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("setting", sa.Text, nullable=False),
        sa.Column("validation_correct", sa.Integer),
        sa.Column("validation_total", sa.Integer),
        sa.Column("seconds", sa.JSON, nullable=False),
        sa.Column("passes_made", sa.Integer, nullable=False),
        sa.Column("passes_needed", sa.Integer, nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        sa.Column("finished", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("study_id", "number", name="pk_search_trials"),
        sa.ForeignKeyConstraint(["study_id"], ["search_studies.id"], name="fk_search_trials_study_id"),
        sa.ForeignKeyConstraint(["run_id"], ["search_runs.id"], name="fk_search_trials_run_id"),
    )
    op.create_index("ix_search_trials_run_id", "search_trials", ["run_id"])
    op.create_table(
        "search_finals",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("study_id", sa.Integer, nullable=False),
        sa.Column("setting", sa.Text, nullable=False),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("validation_correct", sa.Integer, nullable=False),
        sa.Column("validation_total", sa.Integer, nullable=False),
        sa.Column("test_correct", sa.Integer, nullable=False),
        sa.Column("test_total", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("passes_made", sa.Integer, nullable=False),
        sa.Column("passes_needed", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_search_finals"),
        sa.ForeignKeyConstraint(["study_id"], ["search_studies.id"], name="fk_search_finals_study_id"),
        sa.UniqueConstraint("study_id", "setting", "seed", name="uq_search_finals_study_id"),
    )
