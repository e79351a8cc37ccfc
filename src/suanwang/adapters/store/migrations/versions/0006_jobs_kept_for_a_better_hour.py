"""Which hour a queued job is kept for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("hold", postgresql.JSON(astext_type=sa.Text())))


def downgrade() -> None:
    op.drop_column("jobs", "hold")
