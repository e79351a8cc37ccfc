"""Which hour a queued job is kept for, so that it is not read before; and when runs are over at the latest."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

QUEUED = sa.text("state = 'queued'")
READY = sa.text("coalesce(ready_at, submitted_at)")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("hold", postgresql.JSON(astext_type=sa.Text())))
    op.add_column("jobs", sa.Column("hold_site", sa.Text()))
    op.add_column("jobs", sa.Column("hold_until", sa.TIMESTAMP(timezone=True)))
    op.create_index(
        "jobs_hold_site_idx", "jobs", ["hold_site", "id"], postgresql_where=sa.text("hold_site IS NOT NULL")
    )
    op.drop_index("jobs_queued_idx", table_name="jobs")
    due = sa.text("coalesce(hold_until, '-infinity')")
    op.create_index("jobs_queued_idx", "jobs", [READY, "id", due], postgresql_where=QUEUED)
    # Of allocations that are live now it stays unknown: no room is reckoned with from them.
    op.add_column("allocations", sa.Column("ends_at", sa.TIMESTAMP(timezone=True)))


def downgrade() -> None:
    op.drop_column("allocations", "ends_at")
    op.drop_index("jobs_queued_idx", table_name="jobs")
    op.create_index("jobs_queued_idx", "jobs", [READY, "id"], postgresql_where=QUEUED)
    op.drop_index("jobs_hold_site_idx", table_name="jobs")
    op.drop_column("jobs", "hold_until")
    op.drop_column("jobs", "hold_site")
    op.drop_column("jobs", "hold")
