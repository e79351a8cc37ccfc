"""Listings, their copies and uses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _seq() -> sa.Column[int]:
    return sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False)


def _value() -> sa.Column[str]:
    return sa.Column("value", postgresql.JSON(astext_type=sa.Text()), nullable=False)


def upgrade() -> None:
    op.create_table(
        "listings",
        _text("id"),
        _text("version"),
        _seq(),
        *(_text("seller"), _text("kind"), _text("dataset", nullable=True), _text("sha256", nullable=True)),
        sa.Column("invited", postgresql.ARRAY(sa.Text()), nullable=True),
        _text("words"),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        _value(),
        sa.PrimaryKeyConstraint("id", "version", name="listings_pkey"),
    )
    op.create_index("listings_seq_idx", "listings", ["seq"], unique=True)
    op.create_index("listings_seller_idx", "listings", ["seller", "seq"])
    op.create_index("listings_dataset_idx", "listings", ["dataset"], postgresql_where=sa.text("withdrawn_at IS NULL"))
    op.create_index("listings_content_idx", "listings", ["sha256"])
    op.create_table(
        "listing_copies",
        _text("id"),
        _seq(),
        *(_text("listing"), _text("version"), _text("project"), _text("seller")),
        _value(),
        sa.PrimaryKeyConstraint("id", name="listing_copies_pkey"),
    )
    op.create_index("listing_copies_seq_idx", "listing_copies", ["seq"], unique=True)
    op.create_index("listing_copies_once_idx", "listing_copies", ["project", "listing", "version"], unique=True)
    op.create_index("listing_copies_seller_idx", "listing_copies", ["seller", "seq"])
    op.create_table(
        "listing_uses",
        *(_text("allocation_id"), _text("listing"), _text("version")),
        _seq(),
        *(_text("project"), _text("seller")),
        sa.Column("held", sa.Boolean(), nullable=False),
        _value(),
        sa.PrimaryKeyConstraint("allocation_id", "listing", "version", name="listing_uses_pkey"),
    )
    op.create_index("listing_uses_seq_idx", "listing_uses", ["seq"], unique=True)
    op.create_index("listing_uses_held_idx", "listing_uses", ["seq"], postgresql_where=sa.text("held"))
    op.create_index("listing_uses_project_idx", "listing_uses", ["project", "seq"])
    op.create_index("listing_uses_seller_idx", "listing_uses", ["seller", "seq"])
    op.execute(
        "CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON listing_copies "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    for table in ("listings", "listing_uses"):
        op.execute(
            f"CREATE TRIGGER refuse_change BEFORE DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    op.execute(
        "CREATE TRIGGER keep_version BEFORE UPDATE ON listings FOR EACH ROW WHEN (OLD.withdrawn_at IS NOT NULL "
        "OR OLD.id <> NEW.id OR OLD.version <> NEW.version OR OLD.seller <> NEW.seller OR OLD.kind <> NEW.kind "
        "OR OLD.dataset IS DISTINCT FROM NEW.dataset OR OLD.invited IS DISTINCT FROM NEW.invited "
        "OR OLD.value::text <> NEW.value::text) EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER keep_ended BEFORE UPDATE ON listing_uses FOR EACH ROW WHEN (NOT OLD.held) "
        "EXECUTE FUNCTION refuse_change()"
    )
