"""What is still owed for hours that were not delivered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "market_debts",
        sa.Column("termination_id", sa.Text(), nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("termination_id", name="market_debts_pkey"),
    )
    op.create_index("market_debts_retry_idx", "market_debts", ["retry_at"])
