"""Seeds and sizes of spaces of 64 bits, which SQLite keeps in any case."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

COLUMNS = (("search_studies", "space_size"), ("search_finals", "seed"), ("search_screenings", "seed"))


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table, column in COLUMNS:
            op.alter_column(table, column, type_=sa.BigInteger)
