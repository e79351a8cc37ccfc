"""The tables, as SQLAlchemy sees them: the one description that migrations are checked against.

Owns names, types, keys and indexes. Values that are only read whole are `json` (kept as written, no second parse),
what a query filters or sums by is a column. Hot tables carry no foreign keys: a lease step would pay a lookup and a row
lock for each, while every identifier in them comes from a row the same transaction has just guarded. Triggers and
functions are in the migrations.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)

INSTANT = DateTime(timezone=True)
LIVE = text("state IN ('leased', 'running')")


def _seq() -> Column[int]:
    return Column("seq", BigInteger, Identity(always=True), nullable=False)


jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    _seq(),
    Column("project", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("array_id", Text),
    Column("array_index", Integer, nullable=False),
    Column("needs", ARRAY(Text), nullable=False),
    Column("submitted_at", INSTANT, nullable=False),
    Column("priority", SmallInteger, nullable=False, server_default=text("1")),
    Column("ready_at", INSTANT),
    Column("started_at", INSTANT),
    Column("ended_at", INSTANT),
    Column("site_id", Text),
    Column("allocation_id", Text),
    Column("attempts", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("exit_code", Integer),
    Column("checkpoint", JSON),
    Column("checkpoint_site", Text),
    Column("held_at", Text),
    Column("avoided", JSON),
    Column("billed_fen", BigInteger, nullable=False),
    Column("usage", JSON),
    Column("why", JSON),
    Column("hold", JSON),
    Column("hold_site", Text),
    Column("hold_until", INSTANT),
    Column("task", JSON, nullable=False),
    Column("terms", JSON),
    Index("jobs_seq_idx", "seq", unique=True),
    Index("jobs_project_idx", "project", "state", "seq"),
    Index("jobs_state_idx", "state", "seq"),
    Index("jobs_owner_idx", "owner", "state", "seq"),
    Index("jobs_name_idx", "name", "state", "seq"),
    Index("jobs_site_idx", "site_id", "state", "seq", postgresql_where=text("site_id IS NOT NULL")),
    Index("jobs_array_idx", "array_id", "seq", postgresql_where=text("array_id IS NOT NULL")),
    Index("jobs_quoted_idx", "seq", postgresql_where=text("terms IS NOT NULL AND state = 'succeeded'")),
    Index(
        "jobs_queued_idx",
        "priority",
        text("coalesce(ready_at, submitted_at)"),
        "id",
        text("coalesce(hold_until, '-infinity')"),
        postgresql_where=text("state = 'queued'"),
    ),
    Index("jobs_hold_site_idx", "hold_site", "id", postgresql_where=text("hold_site IS NOT NULL")),
    postgresql_with={"fillfactor": "85"},
)

job_counts = Table(
    "job_counts",
    metadata,
    Column("project", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("jobs", BigInteger, nullable=False),
    PrimaryKeyConstraint("project", "state"),
)
"""Jobs per project and state, up to the changes that still lie in `job_count_changes`."""

job_count_changes = Table(
    "job_count_changes",
    metadata,
    Column("project", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("change", BigInteger, nullable=False),
)
"""Written by a trigger of `jobs`, appended only, so that no two writers wait for one counter; folded by readers."""

allocations = Table(
    "allocations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job_id", Text, nullable=False),
    Column("site_id", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("lease_until", INSTANT, nullable=False),
    Column("ends_at", INSTANT),
    Column("device_model", Text),
    Column("cores", Integer, nullable=False),
    Column("memory_gb", Double, nullable=False),
    Column("devices", Integer, nullable=False),
    Column("progress", JSON),
    UniqueConstraint("job_id", "epoch"),
    Index("allocations_one_live_idx", "job_id", unique=True, postgresql_where=LIVE),
    Index("allocations_live_site_idx", "site_id", postgresql_where=LIVE),
    # No index on lease_until: without one every renewal is a heap-only update.
    postgresql_with={"fillfactor": "80"},
)
"""`cores`, `memory_gb` and `devices` are sums over the nodes. Kept narrow: it is summed and renewed all the time."""

allocation_terms = Table(
    "allocation_terms",
    metadata,
    Column("allocation_id", Text, primary_key=True),
    Column("terms", JSON, nullable=False),
    Column("why", JSON, nullable=False),
)
"""What never changes of an allocation. The view `granted` shows it with the rest."""

sites = Table(
    "sites",
    metadata,
    Column("id", Text, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("state_since", INSTANT, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("session", BigInteger, nullable=False),
    Column("seen_at", INSTANT),
    Column("clock_offset_s", Double),
    Column("warnings", JSON),
    Column("measured", JSON),
    Column("offering", JSON, nullable=False),
    Column("shortfalls", JSON),
)

samples = Table(
    "samples",
    metadata,
    Column("site_id", Text, nullable=False),
    Column("metric_type", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("statistic", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("value", Double, nullable=False),
    Column("observed_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("site_id", "metric_type", "source", "statistic"),
)

quotes = Table(
    "quotes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("expires_at", INSTANT, nullable=False),
    Column("quote", JSON, nullable=False),
)

lessons = Table(
    "lessons",
    metadata,
    Column("job_id", Text, primary_key=True),
    _seq(),
    Column("lesson", JSON, nullable=False),
    Index("lessons_seq_idx", "seq", unique=True),
)
"""What each finished run taught, once."""

beliefs = Table(
    "beliefs",
    metadata,
    Column("device", Text, nullable=False),
    Column("work_class", Text, nullable=False),
    Column("belief", JSON, nullable=False),
    PrimaryKeyConstraint("device", "work_class"),
)

output_extents = Table(
    "output_extents",
    metadata,
    Column("allocation_id", Text, primary_key=True),
    Column("job_id", Text, nullable=False),
    Column("stdout", BigInteger, nullable=False, server_default=text("0")),
    Column("stderr", BigInteger, nullable=False, server_default=text("0")),
    Column("points", BigInteger, nullable=False, server_default=text("0")),
    Index("output_extents_job_idx", "job_id"),
)
"""How much of each allocation's output is stored; its row lock also orders the writers of one job's output."""

log_chunks = Table(
    "log_chunks",
    metadata,
    _seq(),
    Column("job_id", Text, nullable=False),
    Column("allocation_id", Text, nullable=False),
    Column("stream", Text, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("at", INSTANT, nullable=False),
    Column("text", Text, nullable=False),
    PrimaryKeyConstraint("seq"),
    UniqueConstraint("allocation_id", "stream", "start"),
    Index("log_chunks_job_idx", "job_id", "seq"),
)

points = Table(
    "points",
    metadata,
    _seq(),
    Column("job_id", Text, nullable=False),
    Column("allocation_id", Text, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("step", Double, nullable=False),
    Column("value", Double, nullable=False),
    Column("at", INSTANT, nullable=False),
    PrimaryKeyConstraint("allocation_id", "line", "name"),
    Index("points_job_idx", "job_id", "seq"),
)

events = Table(
    "events",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("at", INSTANT, nullable=False),
    Column("project", Text),
    Column("job_id", Text),
    Column("site_id", Text),
    Column("actor", Text, nullable=False),
    Column("data", JSON),
    Index("events_job_idx", "job_id", "seq", postgresql_where=text("job_id IS NOT NULL")),
    Index("events_project_idx", "project", "seq", postgresql_where=text("project IS NOT NULL")),
    Index("events_site_idx", "site_id", "seq", postgresql_where=text("site_id IS NOT NULL")),
    Index("events_other_idx", "seq", postgresql_where=text("NOT starts_with(kind, 'job.')")),
    Index(
        "events_standing_idx",
        "site_id",
        "seq",
        postgresql_where=text("kind IN ('site.reachable', 'site.suspect', 'site.lost')"),
    ),
    Index("events_start_idx", "project", "at", postgresql_where=text("kind IN ('job.started', 'job.failed')")),
)

event_clock = Table(
    "event_clock",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("shift", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)
"""Added to transaction numbers in `events.seq`, so that history restored into another server stays in front."""

usage_records = Table(
    "usage_records",
    metadata,
    Column("id", Text, primary_key=True),
    Column("allocation_id", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("site_id", Text, nullable=False),
    Column("from_at", INSTANT, nullable=False),
    Column("to_at", INSTANT, nullable=False),
    Column("cores", Integer, nullable=False),
    Column("memory_gb", Double, nullable=False),
    Column("device_model", Text),
    Column("devices", Integer, nullable=False),
    Column("energy_kwh", Double, nullable=False),
    Column("carbon_g", Double, nullable=False),
    UniqueConstraint("allocation_id", "from_at"),
    CheckConstraint("to_at > from_at", name="interval"),
    Index("usage_records_job_idx", "job_id", "from_at"),
)

bill_lines = Table(
    "bill_lines",
    metadata,
    _seq(),
    Column("usage_id", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("site_id", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("from_at", INSTANT, nullable=False),
    Column("to_at", INSTANT, nullable=False),
    Column("description", Text, nullable=False),
    Column("rated_yuan", Numeric, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    Index("bill_lines_seq_idx", "seq", unique=True),
    Index("bill_lines_project_idx", "project", "seq"),
    Index("bill_lines_job_idx", "job_id", "seq"),
    Index("bill_lines_site_idx", "site_id", "seq"),
    Index("bill_lines_provider_idx", "provider", "seq"),
)

files = Table(
    "files",
    metadata,
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("folder", Boolean, nullable=False),
    Column("job_id", Text),
    Column("site_id", Text),
    Column("residency", ARRAY(Text), nullable=False),
    Column("created_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("project", "name", "version"),
    Index("files_content_idx", "sha256", "project"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("principal", JSON, nullable=False),
    Column("created_at", INSTANT, nullable=False),
    Column("expires_at", INSTANT),
    Column("revoked_at", INSTANT),
    Column("note", Text, nullable=False),
    UniqueConstraint("digest"),
)

projects = Table(
    "projects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("title", Text, nullable=False),
    Column("created_at", INSTANT, nullable=False),
    Column("labels", JSON),
)

project_allowances = Table(
    "project_allowances",
    metadata,
    Column("project", Text, primary_key=True),
    Column("value", JSON, nullable=False),
)

project_means = Table(
    "project_means",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("at", INSTANT, nullable=False),
    Column("value", JSON, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)
"""What each project held lately, as of `at`, which guards the row."""

idempotency = Table(
    "idempotency",
    metadata,
    Column("principal", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("job_ids", ARRAY(Text), nullable=False),
    Column("created_at", INSTANT, nullable=False, server_default=text("now()")),
    PrimaryKeyConstraint("principal", "key"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_at", INSTANT),
    PrimaryKeyConstraint("id"),
)
"""A notice is due while `next_at` is NULL or past; told ones are deleted."""

ledger_accounts = Table(
    "ledger_accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("floor_fen", BigInteger),
    Column("balance_fen", BigInteger, nullable=False, server_default=text("0")),
    Column("held_fen", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint("currency = 'CNY'", name="currency"),
    CheckConstraint("held_fen >= 0", name="held"),
    CheckConstraint("floor_fen IS NULL OR balance_fen::numeric - held_fen >= floor_fen", name="floor"),
    postgresql_with={"fillfactor": "50"},
)
"""Balances are kept by a trigger of `ledger_transfers`, and change in no other way."""

ledger_transfers = Table(
    "ledger_transfers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("leaf", BigInteger, nullable=False),
    Column("chain", Text, nullable=False),
    Column("debit", Text, nullable=False),
    Column("credit", Text, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    Column("code", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("pending_id", Text),
    Column("timeout_at", INSTANT),
    Column("at", INSTANT, nullable=False),
    CheckConstraint("amount_fen > 0 AND amount_fen <= 1000000000000000", name="amount"),
    CheckConstraint("debit <> credit", name="two_legs"),
    CheckConstraint("phase IN ('direct', 'pending', 'post', 'void')", name="phase"),
    CheckConstraint(
        "(phase IN ('post', 'void')) = (pending_id IS NOT NULL) AND (phase = 'pending') = (timeout_at IS NOT NULL)",
        name="two_phases",
    ),
    Index("ledger_transfers_chain_idx", "chain"),
    Index("ledger_transfers_debit_idx", "debit", "leaf"),
    Index("ledger_transfers_credit_idx", "credit", "leaf"),
    Index("ledger_transfers_pending_idx", "pending_id", unique=True, postgresql_where=text("pending_id IS NOT NULL")),
)

ledger_holds = Table(
    "ledger_holds",
    metadata,
    Column("id", Text, primary_key=True),
    Column("debit", Text, nullable=False),
    Column("credit", Text, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    Column("timeout_at", INSTANT, nullable=False),
    Index("ledger_holds_timeout_idx", "timeout_at", "id"),
)
"""Pending transfers that are open; kept by the same trigger."""

ledger_log = Table(
    "ledger_log",
    metadata,
    Column("leaf", BigInteger, primary_key=True, autoincrement=False),
    Column("data", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

ledger_nodes = Table(
    "ledger_nodes",
    metadata,
    Column("level", Integer, nullable=False),
    Column("index", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("level", "index"),
)
"""Whole subtrees of 16 leaves and more; smaller ones are hashed again from their leaves."""

ledger_tree = Table(
    "ledger_tree",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("peaks", LargeBinary, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
    postgresql_with={"fillfactor": "10"},
)
"""The log's edge. Its row lock orders those who append."""

ledger_checkpoints = Table(
    "ledger_checkpoints",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", Text, nullable=False),
    Column("at", INSTANT, nullable=False),
    Column("key", Text, nullable=False),
    Column("signature", Text, nullable=False),
)

unsettled_lines = Table(
    "unsettled_lines",
    metadata,
    Column("usage_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("project", Text, nullable=False),
    Column("before_fen", BigInteger, nullable=False),
    Column("retry_at", INSTANT),
    Column("leaf", BigInteger),
    Column("told", Boolean, nullable=False),
    Index("unsettled_lines_due_idx", "seq", postgresql_where=text("retry_at IS NULL")),
    Index("unsettled_lines_retry_idx", "retry_at", postgresql_where=text("retry_at IS NOT NULL")),
)
"""Written by a trigger of `bill_lines`; a row goes when its line is settled."""

billed_jobs = Table(
    "billed_jobs",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("total_fen", BigInteger, nullable=False),
    postgresql_with={"fillfactor": "70"},
)
"""What a job's lines sum to; kept by the same trigger, so that a line knows what came before it."""

settled_lines = Table(
    "settled_lines",
    metadata,
    Column("usage_id", Text, primary_key=True),
    Column("leaf", BigInteger, nullable=False),
    Column("at", INSTANT, nullable=False),
)

market_offers = Table(
    "market_offers",
    metadata,
    Column("id", Text, primary_key=True),
    _seq(),
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
    _seq(),
    Column("project", Text, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("value", JSON, nullable=False),
    Index("market_orders_seq_idx", "seq", unique=True),
    Index("market_orders_project_idx", "project", "seq"),
    Index("market_orders_open_idx", "first", postgresql_where=text("open")),
)

market_reservations = Table(
    "market_reservations",
    metadata,
    Column("id", Text, primary_key=True),
    _seq(),
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
    _seq(),
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

vouchers = Table(
    "vouchers",
    metadata,
    Column("id", Text, primary_key=True),
    _seq(),
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
    _seq(),
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

listing_copies = Table(
    "listing_copies",
    metadata,
    Column("id", Text, primary_key=True),
    _seq(),
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
    _seq(),
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
    _seq(),
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
    _seq(),
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
    _seq(),
    Column("party", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", INSTANT, nullable=False),
    PrimaryKeyConstraint("seq"),
    Index("party_keys_party_idx", "party", "seq"),
)

market_stocks = Table(
    "market_stocks",
    metadata,
    Column("site_id", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    PrimaryKeyConstraint("site_id", "device"),
)
