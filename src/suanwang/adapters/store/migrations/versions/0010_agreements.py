"""Agreements, the keys that parties sign them with, service credits, and the indexes these are found by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

APPEND_ONLY = (
    "CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {} "
    "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
)


def _seq() -> sa.Column[int]:
    return sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False)


def upgrade() -> None:
    op.create_table(
        "agreements",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        _seq(),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due", sa.Integer()),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("value", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", "version", name="agreements_pkey"),
    )
    pair = ["project", "provider"]
    op.create_index("agreements_seq_idx", "agreements", ["seq"], unique=True)
    op.create_index("agreements_project_idx", "agreements", ["project", "seq"])
    op.create_index("agreements_provider_idx", "agreements", ["provider", "seq"])
    op.create_index("agreements_due_idx", "agreements", ["due"], postgresql_where=sa.text("due IS NOT NULL"))
    signed, being_written = sa.text("state = 'signed'"), sa.text("state IN ('draft', 'offered')")
    op.create_index("agreements_one_signed_idx", "agreements", pair, unique=True, postgresql_where=signed)
    op.create_index("agreements_one_open_idx", "agreements", pair, unique=True, postgresql_where=being_written)
    op.create_table(
        "agreement_credits",
        sa.Column("key", sa.Text(), nullable=False),
        _seq(),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("key", name="agreement_credits_pkey"),
    )
    op.create_index("agreement_credits_seq_idx", "agreement_credits", ["seq"], unique=True)
    op.create_index("agreement_credits_project_idx", "agreement_credits", ["project", "seq"])
    op.create_index("agreement_credits_provider_idx", "agreement_credits", ["provider", "seq"])
    op.create_table(
        "unpaid_credits",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="unpaid_credits_pkey"),
    )
    op.create_index("unpaid_credits_retry_idx", "unpaid_credits", ["retry_at"])
    op.create_table(
        "party_keys",
        _seq(),
        sa.Column("party", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="party_keys_pkey"),
    )
    op.create_index("party_keys_party_idx", "party_keys", ["party", "seq"])
    for table in ("agreement_credits", "party_keys"):
        op.execute(APPEND_ONLY.format(table))
    op.create_index(
        "events_standing_idx",
        "events",
        ["site_id", "seq"],
        postgresql_where=sa.text("kind IN ('site.reachable', 'site.suspect', 'site.lost')"),
    )
    op.create_index(
        "events_start_idx",
        "events",
        ["project", "at"],
        postgresql_where=sa.text("kind IN ('job.started', 'job.failed')"),
    )
