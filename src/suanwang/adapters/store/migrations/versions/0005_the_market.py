"""Offers, orders, rights, trades and calls of the market.

Trades and calls are only ever added to.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

APPEND_ONLY = ("market_trades", "market_auctions")


def _seq() -> sa.Column[int]:
    return sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _hours(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _kept() -> tuple[sa.Column[int], sa.Column[object]]:
    return (
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("value", postgresql.JSON(astext_type=sa.Text()), nullable=False),
    )


def upgrade() -> None:
    op.create_table(
        "market_offers",
        _text("id"),
        _seq(),
        *(_text("seller"), _text("site_id"), _text("device"), _hours("first"), _hours("until")),
        sa.Column("open", sa.Boolean(), nullable=False),
        *_kept(),
        sa.PrimaryKeyConstraint("id", name="market_offers_pkey"),
    )
    op.create_index("market_offers_seq_idx", "market_offers", ["seq"], unique=True)
    op.create_index(
        "market_offers_open_idx",
        "market_offers",
        ["site_id", "device", "until"],
        postgresql_where=sa.text("open"),
    )
    op.create_index("market_offers_until_idx", "market_offers", ["until"], postgresql_where=sa.text("open"))
    op.create_table(
        "market_orders",
        _text("id"),
        _seq(),
        *(_text("project"), _hours("first")),
        sa.Column("open", sa.Boolean(), nullable=False),
        *_kept(),
        sa.PrimaryKeyConstraint("id", name="market_orders_pkey"),
    )
    op.create_index("market_orders_seq_idx", "market_orders", ["seq"], unique=True)
    op.create_index("market_orders_project_idx", "market_orders", ["project", "seq"])
    op.create_index("market_orders_open_idx", "market_orders", ["first"], postgresql_where=sa.text("open"))
    op.create_table(
        "market_reservations",
        _text("id"),
        _seq(),
        *(_text("project"), _text("site_id"), _text("device"), _hours("first"), _hours("until")),
        *_kept(),
        sa.PrimaryKeyConstraint("id", name="market_reservations_pkey"),
    )
    op.create_index("market_reservations_seq_idx", "market_reservations", ["seq"], unique=True)
    op.create_index("market_reservations_project_idx", "market_reservations", ["project", "seq"])
    op.create_index("market_reservations_site_idx", "market_reservations", ["site_id", "device", "until"])
    op.create_index("market_reservations_until_idx", "market_reservations", ["until"])
    op.create_table(
        "market_trades",
        _text("id"),
        _seq(),
        *(_text("order_id"), _text("project"), _text("seller"), _text("site_id"), _text("device")),
        sa.Column("value", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name="market_trades_pkey"),
    )
    op.create_index("market_trades_seq_idx", "market_trades", ["seq"], unique=True)
    op.create_index("market_trades_order_idx", "market_trades", ["order_id"])
    op.create_index("market_trades_project_idx", "market_trades", ["project", "seq"])
    op.create_index("market_trades_seller_idx", "market_trades", ["seller", "seq"])
    op.create_index("market_trades_zone_idx", "market_trades", ["device", "site_id", "seq"])
    op.create_table(
        "market_auctions",
        sa.Column("first", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("value", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("first", name="market_auctions_pkey"),
    )
    op.create_table(
        "market_stocks",
        *(_text("site_id"), _text("device")),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("site_id", "device", name="market_stocks_pkey"),
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
