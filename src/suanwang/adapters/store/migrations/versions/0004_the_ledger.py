"""The ledger, its log and what is still to be settled.

Owns what the database enforces by itself, whoever writes: balances follow from transfers and from nothing else, no account
falls below its limit, a hold is ended once and by what fits it, and no transfer or leaf is ever changed.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

APPEND_ONLY = ("ledger_transfers", "ledger_log", "ledger_nodes", "ledger_checkpoints", "settled_lines")

OWE = """
CREATE FUNCTION owe_lines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WITH lines AS (
        SELECT usage_id, seq, project, job_id, amount_fen, sum(amount_fen) OVER (PARTITION BY job_id ORDER BY seq) AS running
        FROM fresh
    ), sums AS (
        SELECT job_id, sum(amount_fen)::bigint AS added FROM fresh GROUP BY job_id ORDER BY job_id
    ), totals AS (
        INSERT INTO billed_jobs AS t (job_id, total_fen) SELECT job_id, added FROM sums
        ON CONFLICT (job_id) DO UPDATE SET total_fen = t.total_fen + excluded.total_fen RETURNING t.job_id, t.total_fen
    )
    INSERT INTO unsettled_lines (usage_id, seq, project, before_fen, told)
    SELECT l.usage_id, l.seq, l.project, t.total_fen - s.added + l.running - l.amount_fen, false
    FROM lines l JOIN totals t ON t.job_id = l.job_id JOIN sums s ON s.job_id = l.job_id;
    RETURN NULL;
END
$$
"""

# Subqueries, not joins: a plan for a join may read the whole table, since nothing is known of the size of `fresh`.
APPLY = """
CREATE FUNCTION apply_transfers() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed bigint;
    wanted bigint;
BEGIN
    IF EXISTS (
        SELECT FROM fresh f WHERE f.phase IN ('post', 'void') AND NOT EXISTS (
            SELECT FROM ledger_holds h WHERE h.id = f.pending_id AND h.debit = f.debit AND h.credit = f.credit
            AND (h.amount_fen = f.amount_fen OR (f.phase = 'post' AND h.amount_fen > f.amount_fen))
            AND (f.phase = 'void' OR f.at < h.timeout_at))
    ) THEN
        RAISE EXCEPTION 'a transfer ends no open hold that it fits' USING ERRCODE = 'restrict_violation';
    END IF;
    WITH legs AS (
        SELECT f.debit AS account, CASE WHEN f.phase IN ('direct', 'post') THEN -f.amount_fen ELSE 0 END AS balance,
            CASE WHEN f.phase = 'pending' THEN f.amount_fen WHEN f.phase = 'direct' THEN 0
                ELSE -(SELECT h.amount_fen FROM ledger_holds h WHERE h.id = f.pending_id) END AS held
        FROM fresh f
        UNION ALL
        SELECT f.credit, CASE WHEN f.phase IN ('direct', 'post') THEN f.amount_fen ELSE 0 END, 0 FROM fresh f
    ), sums AS (
        SELECT account, sum(balance)::bigint AS balance, sum(held)::bigint AS held FROM legs GROUP BY account
    ), done AS (
        UPDATE ledger_accounts a SET balance_fen = a.balance_fen + s.balance, held_fen = a.held_fen + s.held
        FROM sums s WHERE a.id = s.account RETURNING a.id
    )
    SELECT (SELECT count(*) FROM done), (SELECT count(*) FROM sums) INTO changed, wanted;
    IF changed <> wanted THEN
        RAISE EXCEPTION 'a transfer names an account that there is not' USING ERRCODE = 'foreign_key_violation';
    END IF;
    DELETE FROM ledger_holds h USING fresh f WHERE f.phase IN ('post', 'void') AND h.id = f.pending_id;
    INSERT INTO ledger_holds (id, debit, credit, amount_fen, timeout_at)
        SELECT id, debit, credit, amount_fen, timeout_at FROM fresh WHERE phase = 'pending';
    RETURN NULL;
END
$$
"""

GUARD_ACCOUNTS = """
CREATE FUNCTION guard_accounts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'accounts are never deleted' USING ERRCODE = 'restrict_violation';
    ELSIF TG_OP = 'INSERT' THEN
        IF NEW.balance_fen <> 0 OR NEW.held_fen <> 0 THEN
            RAISE EXCEPTION 'accounts are opened empty' USING ERRCODE = 'restrict_violation';
        END IF;
    ELSIF NEW.id <> OLD.id OR NEW.currency <> OLD.currency OR (pg_trigger_depth() < 2
            AND (NEW.balance_fen <> OLD.balance_fen OR NEW.held_fen <> OLD.held_fen)) THEN
        RAISE EXCEPTION 'balances follow from transfers alone' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$
"""

GUARD_HOLDS = """
CREATE FUNCTION guard_holds() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'holds follow from transfers alone' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$
"""


def upgrade() -> None:
    _accounts_and_transfers()
    _log()
    _settlement()
    for function in (OWE, APPLY, GUARD_ACCOUNTS, GUARD_HOLDS):
        op.execute(function)
    op.execute(
        "CREATE TRIGGER owe AFTER INSERT ON bill_lines REFERENCING NEW TABLE AS fresh "
        "FOR EACH STATEMENT EXECUTE FUNCTION owe_lines()"
    )
    op.execute(
        "CREATE TRIGGER apply AFTER INSERT ON ledger_transfers REFERENCING NEW TABLE AS fresh "
        "FOR EACH STATEMENT EXECUTE FUNCTION apply_transfers()"
    )
    op.execute(
        "CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON ledger_accounts "
        "FOR EACH ROW EXECUTE FUNCTION guard_accounts()"
    )
    op.execute(
        "CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ledger_holds "
        "FOR EACH STATEMENT EXECUTE FUNCTION guard_holds()"
    )
    op.execute(
        "CREATE TRIGGER refuse_change BEFORE TRUNCATE ON ledger_accounts "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    op.execute("INSERT INTO ledger_tree (id, size, peaks) VALUES (1, 0, '')")
    op.execute(
        "INSERT INTO unsettled_lines (usage_id, seq, project, before_fen, told) SELECT usage_id, seq, project, "
        "sum(amount_fen) OVER (PARTITION BY job_id ORDER BY seq) - amount_fen, false FROM bill_lines"
    )
    op.execute(
        "INSERT INTO billed_jobs (job_id, total_fen) SELECT job_id, sum(amount_fen) FROM bill_lines GROUP BY job_id"
    )


def _accounts_and_transfers() -> None:
    op.create_table(
        "ledger_accounts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("floor_fen", sa.BigInteger(), nullable=True),
        sa.Column("balance_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("held_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("currency = 'CNY'", name="ledger_accounts_currency_check"),
        sa.CheckConstraint("held_fen >= 0", name="ledger_accounts_held_check"),
        sa.CheckConstraint(
            "floor_fen IS NULL OR balance_fen::numeric - held_fen >= floor_fen", name="ledger_accounts_floor_check"
        ),
        sa.PrimaryKeyConstraint("id", name="ledger_accounts_pkey"),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "ledger_transfers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("leaf", sa.BigInteger(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("debit", sa.Text(), nullable=False),
        sa.Column("credit", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("pending_id", sa.Text(), nullable=True),
        sa.Column("timeout_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_fen > 0 AND amount_fen <= 1000000000000000", name="ledger_transfers_amount_check"),
        sa.CheckConstraint("debit <> credit", name="ledger_transfers_two_legs_check"),
        sa.CheckConstraint("phase IN ('direct', 'pending', 'post', 'void')", name="ledger_transfers_phase_check"),
        sa.CheckConstraint(
            "(phase IN ('post', 'void')) = (pending_id IS NOT NULL) AND (phase = 'pending') = (timeout_at IS NOT NULL)",
            name="ledger_transfers_two_phases_check",
        ),
        sa.PrimaryKeyConstraint("id", name="ledger_transfers_pkey"),
    )
    op.create_index("ledger_transfers_chain_idx", "ledger_transfers", ["chain"])
    op.create_index("ledger_transfers_debit_idx", "ledger_transfers", ["debit", "leaf"])
    op.create_index("ledger_transfers_credit_idx", "ledger_transfers", ["credit", "leaf"])
    op.create_index(
        "ledger_transfers_pending_idx",
        "ledger_transfers",
        ["pending_id"],
        unique=True,
        postgresql_where=sa.text("pending_id IS NOT NULL"),
    )
    op.create_table(
        "ledger_holds",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("debit", sa.Text(), nullable=False),
        sa.Column("credit", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("timeout_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="ledger_holds_pkey"),
    )
    op.create_index("ledger_holds_timeout_idx", "ledger_holds", ["timeout_at", "id"])


def _log() -> None:
    op.create_table(
        "ledger_log",
        sa.Column("leaf", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("leaf", name="ledger_log_pkey"),
    )
    op.create_table(
        "ledger_nodes",
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("index", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "index", name="ledger_nodes_pkey"),
    )
    op.create_table(
        "ledger_tree",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("peaks", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("id = 1", name="ledger_tree_one_row_check"),
        sa.PrimaryKeyConstraint("id", name="ledger_tree_pkey"),
        postgresql_with={"fillfactor": "10"},
    )
    op.create_table(
        "ledger_checkpoints",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("size", name="ledger_checkpoints_pkey"),
    )


def _settlement() -> None:
    op.create_table(
        "unsettled_lines",
        sa.Column("usage_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("before_fen", sa.BigInteger(), nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("leaf", sa.BigInteger(), nullable=True),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("usage_id", name="unsettled_lines_pkey"),
    )
    op.create_index("unsettled_lines_due_idx", "unsettled_lines", ["seq"], postgresql_where=sa.text("retry_at IS NULL"))
    op.create_index(
        "unsettled_lines_retry_idx", "unsettled_lines", ["retry_at"], postgresql_where=sa.text("retry_at IS NOT NULL")
    )
    op.create_table(
        "billed_jobs",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("total_fen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="billed_jobs_pkey"),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "settled_lines",
        sa.Column("usage_id", sa.Text(), nullable=False),
        sa.Column("leaf", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("usage_id", name="settled_lines_pkey"),
    )
