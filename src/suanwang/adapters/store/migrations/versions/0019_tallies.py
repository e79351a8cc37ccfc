"""What lines are rounded by: a project's use of one site in one month, no longer each job by itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("owners", sa.Text(), nullable=False),
        sa.Column("rated_yuan", sa.Numeric(), nullable=False),
        sa.PrimaryKeyConstraint("project", "site_id", "month", "owners", name="tallies_pkey"),
        postgresql_with={"fillfactor": "50"},
    )
    # Lines that there are keep what they were rounded by: their job.
    op.add_column("bill_lines", sa.Column("tally_yuan", sa.Numeric()))
