"""Deposits of sellers, rights that ended early, and the terms of sale by when they came into force."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def _seq() -> sa.Column[int]:
    return sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _hours(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _value() -> sa.Column[object]:
    return sa.Column("value", postgresql.JSON(astext_type=sa.Text()), nullable=False)


def upgrade() -> None:
    op.create_table(
        "market_deposits",
        _text("id"),
        _seq(),
        *(_text("seller"), _hours("until")),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        _value(),
        sa.PrimaryKeyConstraint("id", name="market_deposits_pkey"),
    )
    op.create_index("market_deposits_seq_idx", "market_deposits", ["seq"], unique=True)
    op.create_index("market_deposits_seller_idx", "market_deposits", ["seller", "seq"])
    op.create_index("market_deposits_open_idx", "market_deposits", ["until"], postgresql_where=sa.text("open"))
    op.create_table(
        "market_terminations",
        _text("id"),
        _seq(),
        *(_text("project"), _text("seller"), _hours("first"), _hours("until")),
        _value(),
        sa.PrimaryKeyConstraint("id", name="market_terminations_pkey"),
    )
    op.create_index("market_terminations_seq_idx", "market_terminations", ["seq"], unique=True)
    op.create_index("market_terminations_project_idx", "market_terminations", ["project", "seq"])
    op.create_index("market_terminations_seller_idx", "market_terminations", ["seller", "seq"])
    op.create_index("market_terminations_until_idx", "market_terminations", ["until"])
    op.create_table(
        "market_terms",
        sa.Column("from_at", sa.DateTime(timezone=True), nullable=False),
        _value(),
        sa.PrimaryKeyConstraint("from_at", name="market_terms_pkey"),
    )
    for table in ("market_terminations", "market_terms"):
        op.execute(
            f"CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
