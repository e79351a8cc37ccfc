"""What leases hold of accounts, budgets, and what was spent of them by month.

Leases that are live now hold nothing; they get a hold with their next one. What was spent until now follows from the lines
that are settled, in the months of the network's zone.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

LEASES = sa.text("credit = 'operator:runs'")


def upgrade() -> None:
    op.create_table(
        "closing_leases",
        sa.Column("allocation_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("allocation_id", name="closing_leases_pkey"),
    )
    op.create_index(
        "ledger_holds_lease_idx", "ledger_holds", [sa.text("split_part(id, '/', 2)")], postgresql_where=LEASES
    )
    op.create_index("ledger_holds_debit_idx", "ledger_holds", ["debit", "timeout_at"], postgresql_where=LEASES)
    op.create_table(
        "budgets",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("scope", "name", name="budgets_pkey"),
    )
    op.create_table(
        "spending",
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("month", "project", "person", name="spending_pkey"),
        postgresql_with={"fillfactor": "50"},
    )
    op.execute(
        "INSERT INTO spending (month, project, person, amount_fen) "
        "SELECT to_char(b.from_at AT TIME ZONE INTERVAL '8 hours', 'YYYY-MM'), b.project, j.owner, sum(b.amount_fen) "
        "FROM settled_lines s JOIN bill_lines b ON b.usage_id = s.usage_id JOIN jobs j ON j.id = b.job_id GROUP BY 1, 2, 3"
    )


def downgrade() -> None:
    op.drop_table("spending")
    op.drop_table("budgets")
    op.drop_index("ledger_holds_debit_idx", table_name="ledger_holds")
    op.drop_index("ledger_holds_lease_idx", table_name="ledger_holds")
    op.drop_table("closing_leases")
