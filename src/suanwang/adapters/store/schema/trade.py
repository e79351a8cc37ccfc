"""The market, vouchers, listings, agreements and disputes."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON

from suanwang.adapters.store.schema.base import INSTANT, metadata, seq

market_offers = Table(
    "market_offers",
    metadata,
    Column("id", Text, primary_key=True),
    seq(),
    Column("seller", Text, nullable=False),
    Column("site_id", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("value", JSON, nullable=False),
    Index("market_offers_seq_idx", "seq", unique=True),
    Index("market_offers_open_idx", "site_id", "device", "until", postgresql_where=text("open")),
    Index("market_offers_until_idx", "until", postgresql_where=text("open")),
)
"""`open` while something of it may be sold; `first` and `until` are hours since 1970, `until` one past the last."""

market_orders = Table(
    "market_orders",
    metadata,
    Column("id", Text, primary_key=True),
    seq(),
    Column("project", Text, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("value", JSON, nullable=False),
    Column("waits_until", INSTANT),
    Index("market_orders_waiting_idx", "waits_until", postgresql_where=text("waits_until IS NOT NULL")),
    Index("market_orders_seq_idx", "seq", unique=True),
    Index("market_orders_project_idx", "project", "seq"),
    Index("market_orders_open_idx", "first", postgresql_where=text("open")),
)

market_reservations = Table(
    "market_reservations",
    metadata,
    Column("id", Text, primary_key=True),
    seq(),
    Column("project", Text, nullable=False),
    Column("site_id", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("value", JSON, nullable=False),
    Index("market_reservations_seq_idx", "seq", unique=True),
    Index("market_reservations_project_idx", "project", "seq"),
    Index("market_reservations_site_idx", "site_id", "device", "until"),
    Index("market_reservations_until_idx", "until"),
)

market_trades = Table(
    "market_trades",
    metadata,
    Column("id", Text, primary_key=True),
    seq(),
    Column("order_id", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("seller", Text, nullable=False),
    Column("site_id", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("value", JSON, nullable=False),
    Index("market_trades_seq_idx", "seq", unique=True),
    Index("market_trades_order_idx", "order_id"),
    Index("market_trades_project_idx", "project", "seq"),
    Index("market_trades_seller_idx", "seller", "seq"),
    Index("market_trades_zone_idx", "device", "site_id", "seq"),
)

market_auctions = Table(
    "market_auctions",
    metadata,
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("value", JSON, nullable=False),
)
"""Calls that were made: at most one for a window."""

market_deposits = Table(
    "market_deposits",
    metadata,
    Column("id", Text, primary_key=True),
    seq(),
    Column("seller", Text, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("value", JSON, nullable=False),
    Index("market_deposits_seq_idx", "seq", unique=True),
    Index("market_deposits_seller_idx", "seller", "seq"),
    Index("market_deposits_open_idx", "until", postgresql_where=text("open")),
)

market_terminations = Table(
    "market_terminations",
    metadata,
    Column("id", Text, primary_key=True),
    seq(),
    Column("project", Text, nullable=False),
    Column("seller", Text, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("value", JSON, nullable=False),
    Index("market_terminations_seq_idx", "seq", unique=True),
    Index("market_terminations_project_idx", "project", "seq"),
    Index("market_terminations_seller_idx", "seller", "seq"),
    Index("market_terminations_until_idx", "until"),
)
"""Rights that ended early; append-only."""

market_debts = Table(
    "market_debts",
    metadata,
    Column("termination_id", Text, primary_key=True),
    Column("retry_at", INSTANT, nullable=False),
    Index("market_debts_retry_idx", "retry_at"),
)
"""Terminations that are not paid whole; a row goes when it is."""

market_terms = Table(
    "market_terms",
    metadata,
    Column("from_at", INSTANT, primary_key=True),
    Column("value", JSON, nullable=False),
)
"""Terms of sale by when they came into force; append-only."""

vouchers = Table(
    "vouchers",
    metadata,
    Column("id", Text, primary_key=True),
    seq(),
    Column("holders", ARRAY(Text), nullable=False),
    Column("until_at", INSTANT, nullable=False),
    Column("closed", Boolean, nullable=False),
    Column("value", JSON, nullable=False),
    Index("vouchers_seq_idx", "seq", unique=True),
    Index("vouchers_holders_idx", "holders", postgresql_using="gin"),
    Index("vouchers_open_idx", "until_at", postgresql_where=text("NOT closed")),
)

voucher_jobs = Table(
    "voucher_jobs",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("voucher_id", Text, nullable=False),
    Column("at", INSTANT, nullable=False),
)
"""At most one voucher for the bill of a job, for good."""

listings = Table(
    "listings",
    metadata,
    Column("id", Text, nullable=False),
    Column("version", Text, nullable=False),
    seq(),
    Column("seller", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("dataset", Text),
    Column("sha256", Text),
    Column("invited", ARRAY(Text)),
    Column("words", Text, nullable=False),
    Column("withdrawn_at", INSTANT),
    Column("value", JSON, nullable=False),
    PrimaryKeyConstraint("id", "version"),
    Index("listings_seq_idx", "seq", unique=True),
    Index("listings_seller_idx", "seller", "seq"),
    Index("listings_content_idx", "sha256"),
    Index("listings_dataset_idx", "dataset", postgresql_where=text("withdrawn_at IS NULL")),
)
"""Versions of things on sale; nothing of a row changes but `withdrawn_at`, once. `words` is what is searched."""

plan_months = Table(
    "plan_months",
    metadata,
    Column("project", Text, nullable=False),
    Column("site_id", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("from_at", INSTANT, nullable=False),
    Column("to_at", INSTANT, nullable=False),
    Column("plan", Text, nullable=False),
    Column("paid", Boolean, nullable=False, server_default=text("false")),
    Column("retry_at", INSTANT, nullable=False),
    Column("value", JSON, nullable=False),
    PrimaryKeyConstraint("project", "site_id", "device", "from_at"),
    Index("plan_months_end_idx", "to_at"),
    Index("plan_months_due_idx", "retry_at", postgresql_where=text("NOT paid")),
)
"""Never taken back: a commitment is due whether it is used or not."""

listing_copies = Table(
    "listing_copies",
    metadata,
    Column("id", Text, primary_key=True),
    seq(),
    Column("listing", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("seller", Text, nullable=False),
    Column("value", JSON, nullable=False),
    Index("listing_copies_seq_idx", "seq", unique=True),
    Index("listing_copies_once_idx", "project", "listing", "version", unique=True),
    Index("listing_copies_seller_idx", "seller", "seq"),
)

listing_uses = Table(
    "listing_uses",
    metadata,
    Column("allocation_id", Text, nullable=False),
    Column("listing", Text, nullable=False),
    Column("version", Text, nullable=False),
    seq(),
    Column("project", Text, nullable=False),
    Column("seller", Text, nullable=False),
    Column("held", Boolean, nullable=False),
    Column("value", JSON, nullable=False),
    PrimaryKeyConstraint("allocation_id", "listing", "version"),
    Index("listing_uses_seq_idx", "seq", unique=True),
    Index("listing_uses_held_idx", "seq", postgresql_where=text("held")),
    Index("listing_uses_project_idx", "project", "seq"),
    Index("listing_uses_seller_idx", "seller", "seq"),
)
"""`held` while the price waits for the job to start."""

agreements = Table(
    "agreements",
    metadata,
    Column("id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    seq(),
    Column("project", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("due", Integer),
    Column("revision", Integer, nullable=False),
    Column("value", JSON, nullable=False),
    PrimaryKeyConstraint("id", "version"),
    Index("agreements_seq_idx", "seq", unique=True),
    Index("agreements_project_idx", "project", "seq"),
    Index("agreements_provider_idx", "provider", "seq"),
    Index("agreements_due_idx", "due", postgresql_where=text("due IS NOT NULL")),
    Index("agreements_one_signed_idx", "project", "provider", unique=True, postgresql_where=text("state = 'signed'")),
    Index(
        "agreements_one_open_idx",
        "project",
        "provider",
        unique=True,
        postgresql_where=text("state IN ('draft', 'offered')"),
    ),
)
"""Between two parties at most one version is signed, and at most one is being written."""

agreement_credits = Table(
    "agreement_credits",
    metadata,
    Column("key", Text, primary_key=True),
    seq(),
    Column("project", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("value", JSON, nullable=False),
    Index("agreement_credits_seq_idx", "seq", unique=True),
    Index("agreement_credits_project_idx", "project", "seq"),
    Index("agreement_credits_provider_idx", "provider", "seq"),
)
"""One for each month of an agreement; append-only."""

unpaid_credits = Table(
    "unpaid_credits",
    metadata,
    Column("key", Text, primary_key=True),
    Column("retry_at", INSTANT, nullable=False),
    Index("unpaid_credits_retry_idx", "retry_at"),
)
"""A row goes when its credit is paid."""

party_keys = Table(
    "party_keys",
    metadata,
    seq(),
    Column("party", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", INSTANT, nullable=False),
    PrimaryKeyConstraint("seq"),
    Index("party_keys_party_idx", "party", "seq"),
)

disputes = Table(
    "disputes",
    metadata,
    Column("usage_id", Text, primary_key=True),
    seq(),
    Column("project", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("undecided", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("value", JSON, nullable=False),
    Index("disputes_seq_idx", "seq", unique=True),
    Index("disputes_project_idx", "project", "seq"),
    Index("disputes_provider_idx", "provider", "seq"),
    Index("disputes_open_idx", "seq", postgresql_where=text("undecided")),
)
"""A row is never removed, and never changed once it is decided."""

market_stocks = Table(
    "market_stocks",
    metadata,
    Column("site_id", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    PrimaryKeyConstraint("site_id", "device"),
)
