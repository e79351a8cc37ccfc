"""What an allocation was granted under moves out of its row.

A live allocation's row is written at each renewal and summed at each tick; without the terms and reasons, which never
change, it is a fifth as wide. `granted` shows both together.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "allocation_terms",
        sa.Column("allocation_id", sa.Text(), nullable=False),
        sa.Column("terms", postgresql.JSON(), nullable=False),
        sa.Column("why", postgresql.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("allocation_id", name="allocation_terms_pkey"),
    )
    op.execute("INSERT INTO allocation_terms (allocation_id, terms, why) SELECT id, terms, why FROM allocations")
    op.drop_column("allocations", "terms")
    op.drop_column("allocations", "why")
    op.alter_column("allocations", "progress", nullable=True)
    op.execute(
        "CREATE VIEW granted AS SELECT a.*, t.terms, t.why FROM allocations a "
        "JOIN allocation_terms t ON t.allocation_id = a.id"
    )
