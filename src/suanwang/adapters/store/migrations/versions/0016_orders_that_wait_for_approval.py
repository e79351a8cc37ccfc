"""Orders that wait for approval, by when they lapse."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("market_orders", sa.Column("waits_until", sa.DateTime(timezone=True)))
    op.create_index(
        "market_orders_waiting_idx",
        "market_orders",
        ["waits_until"],
        postgresql_where=sa.text("waits_until IS NOT NULL"),
    )
