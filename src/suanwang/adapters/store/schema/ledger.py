"""The ledger, its log, and the lines that are settled on it."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSON

from suanwang.adapters.store.schema.base import INSTANT, metadata

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
    Index("ledger_holds_lease_idx", text("split_part(id, '/', 2)"), postgresql_where=text("credit = 'operator:runs'")),
    Index("ledger_holds_debit_idx", "debit", "timeout_at", postgresql_where=text("credit = 'operator:runs'")),
)
"""Pending transfers that are open; kept by the same trigger."""

closing_leases = Table("closing_leases", metadata, Column("allocation_id", Text, primary_key=True))
"""Leases that ended, until what they held is released."""

budgets = Table(
    "budgets",
    metadata,
    Column("scope", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", JSON, nullable=False),
    PrimaryKeyConstraint("scope", "name"),
)

spending = Table(
    "spending",
    metadata,
    Column("month", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    PrimaryKeyConstraint("month", "project", "person"),
    postgresql_with={"fillfactor": "50"},
)
"""Settled bills and what was bought, by who asked for it."""

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

ledger_seals = Table(
    "ledger_seals",
    metadata,
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("leaf", BigInteger, nullable=False),
    PrimaryKeyConstraint("kind", "name", "sha256"),
)
"""Where the log has the hash of a paper, so that it is sealed once."""
