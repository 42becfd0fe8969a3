"""Adds jobs, workers and tokens, the request that a person has made of a study, and the reason why a run ended."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("search_studies", sa.Column("request", sa.String))
    op.add_column("search_runs", sa.Column("reason", sa.String))
    op.create_table(
        "search_workers",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("process_started", sa.Double, nullable=False),
        sa.Column("started", MOMENT, nullable=False),
        sa.Column("heartbeat", MOMENT, nullable=False),
        sa.Column("ended", MOMENT),
        sa.Column("cores", sa.JSON, nullable=False),
        sa.Column("gpus", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_search_workers"),
    )
    op.create_table(
        "search_jobs",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("request", sa.String),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("started", MOMENT),
        sa.Column("ended", MOMENT),
        sa.Column("worker_id", sa.Integer),
        sa.Column("study", sa.String),
        sa.Column("progress", sa.JSON),
        sa.Column("result", sa.JSON),
        sa.Column("error", sa.String),
        sa.Column("log", sa.Text, nullable=False),
        sa.Column("log_dropped", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(["worker_id"], ["search_workers.id"], name="fk_search_jobs_worker_id"),
        sa.PrimaryKeyConstraint("id", name="pk_search_jobs"),
    )
    op.create_index("ix_search_jobs_state", "search_jobs", ["state"])
    op.create_table(
        "search_tokens",
        sa.Column("name", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("last_used", MOMENT),
        sa.PrimaryKeyConstraint("name", name="pk_search_tokens"),
        sa.UniqueConstraint("digest", name="uq_search_tokens_digest"),
    )
