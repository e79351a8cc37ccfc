"""Papers that the log seals, and usage records that take back a part of an earlier one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ledger_seals",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("leaf", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", "sha256", name="ledger_seals_pkey"),
    )
    op.execute(
        "CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_seals "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.add_column("usage_records", sa.Column("corrects", sa.Text(), nullable=True))
    op.drop_constraint("usage_records_allocation_id_from_at_key", "usage_records")
    op.create_index(
        "usage_records_once_idx",
        "usage_records",
        ["allocation_id", "from_at"],
        unique=True,
        postgresql_where=sa.text("corrects IS NULL"),
    )
    # NULLs are distinct: it holds corrections alone.
    op.create_index("usage_records_corrected_idx", "usage_records", ["corrects", "from_at"], unique=True)
