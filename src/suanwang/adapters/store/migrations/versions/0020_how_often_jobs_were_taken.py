"""How often a run of a job was ended for other jobs; of jobs before, nobody counted it apart from pauses for better hours."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("preemptions", sa.Integer(), nullable=False, server_default=sa.text("0")))
