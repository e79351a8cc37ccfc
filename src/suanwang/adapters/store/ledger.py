# ruff: noqa: S608 - statements are put together from column lists of this package; every value is a parameter
"""Accounts, transfers and their log on PostgreSQL.

Owns how a batch of chains is posted: accounts are locked in the order of their identifiers, `trading.ledger.Book` decides,
and what it decided is copied in at once; triggers move the balances and refuse what Python should have refused. The log's
edge is locked last, so leaves are numbered without a gap. Knows nothing of who may ask.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from psycopg import errors as pg

from suanwang.adapters.store.budgets import borne, spend
from suanwang.adapters.store.codec import clean
from suanwang.adapters.store.database import Connection, Database
from suanwang.adapters.store.paging import page_size, position
from suanwang.adapters.store.record import copy_rows, insert_events
from suanwang.adapters.store.tree import append_leaves
from suanwang.domain.errors import Conflict, NotFound, Unavailable
from suanwang.domain.ids import AllocationId
from suanwang.domain.job import Event
from suanwang.ports import Audit
from suanwang.trading.budgets import Draw, asked_for
from suanwang.trading.holding import lease_of
from suanwang.trading.leaves import transfer_leaf
from suanwang.trading.ledger import (
    Account,
    AccountId,
    Book,
    Chain,
    Entry,
    Hold,
    Outcome,
    Owner,
    Phase,
    Transfer,
    Verdict,
    release,
)

_ACCOUNT = "id, owner, name, currency, floor_fen, balance_fen, held_fen"
_TRANSFER = "id, chain, debit, credit, amount_fen, code, phase, pending_id, timeout_at"
_HOLD = "id, debit, credit, amount_fen, timeout_at"
LEASE_HOLDS = "credit = 'operator:runs'"
LEASE = "split_part(id, '/', 2)"
"""Whose hold a row of `LEASE_HOLDS` is, in the words of its index."""
_INSERT = f"COPY ledger_transfers ({_TRANSFER}, leaf, at) FROM STDIN"
_KNOWN = (
    f"SELECT {_TRANSFER} FROM ledger_transfers WHERE id = ANY(%s) "
    f"UNION SELECT {_TRANSFER} FROM ledger_transfers WHERE chain = ANY(%s)"
)
_WRONG = """
WITH legs AS (
    SELECT debit AS account, -amount_fen AS balance FROM ledger_transfers WHERE phase IN ('direct', 'post')
    UNION ALL SELECT credit, amount_fen FROM ledger_transfers WHERE phase IN ('direct', 'post')
), sums AS (SELECT account, sum(balance) AS balance FROM legs GROUP BY account),
held AS (SELECT debit AS account, sum(amount_fen) AS held FROM ledger_holds GROUP BY debit)
SELECT a.id FROM ledger_accounts a LEFT JOIN sums s ON s.account = a.id LEFT JOIN held h ON h.account = a.id
WHERE a.balance_fen <> coalesce(s.balance, 0) OR a.held_fen <> coalesce(h.held, 0) ORDER BY a.id COLLATE "C"
"""
_TOTALS = """
SELECT (SELECT count(*) FROM ledger_accounts), (SELECT count(*) FROM ledger_transfers),
    (SELECT coalesce(sum(balance_fen), 0)::bigint FROM ledger_accounts),
    (SELECT count(*) FROM ledger_transfers t WHERE NOT EXISTS (
        SELECT FROM ledger_log l WHERE l.leaf = t.leaf AND (l.data::json)->>'id' = t.id
        AND (l.data::json)->>'kind' = 'transfer' AND ((l.data::json)->>'amount_fen')::bigint = t.amount_fen
        AND (l.data::json)->>'debit' = t.debit AND (l.data::json)->>'credit' = t.credit))
"""
_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """What a batch came to, before it is written: outcomes, and the transfers of chains posted now, in order."""

    outcomes: tuple[Outcome, ...]
    fresh: tuple[Chain, ...]


def open_accounts(connection: Connection, accounts: Sequence[Account]) -> None:
    """Open those that there are not, within the caller's transaction."""
    rows = sorted({account.id: account for account in accounts}.values(), key=lambda account: account.id)
    if not rows:
        return
    connection.execute(
        "INSERT INTO ledger_accounts (id, owner, name, currency, floor_fen) "
        "SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[]) ON CONFLICT DO NOTHING",
        (
            [clean(row.id) for row in rows],
            [row.owner.value for row in rows],
            [clean(row.name) for row in rows],
            [row.currency for row in rows],
            [row.floor_fen for row in rows],
        ),
    )


def decide(connection: Connection, chains: Sequence[Chain], now: datetime) -> Posted:
    """Lock what the chains touch and decide about each; nothing is written."""
    book = locked(connection, [transfer for chain in chains for transfer in chain])
    outcomes = tuple(book.post(chain, now) for chain in chains)
    fresh = tuple(chain for chain, outcome in zip(chains, outcomes, strict=True) if outcome.verdict is Verdict.POSTED)
    return Posted(outcomes=outcomes, fresh=fresh)


def write_transfers(
    connection: Connection,
    rows: Sequence[tuple[Transfer, int]],
    now: datetime,
    persons: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Copy posted transfers, each with its leaf, within the caller's transaction. `persons`: who asked for what they pay."""
    part: list[tuple[Any, ...]] = []
    holding: set[str] = set()
    for transfer, leaf in rows:
        if transfer.pending_id in holding:
            copy_rows(connection, _INSERT, part)  # The trigger must see the hold before what ends it.
            part, holding = [], set()
        if transfer.phase is Phase.PENDING:
            holding.add(transfer.id)
        part.append((*_transfer_row(transfer), leaf, now))
    if part:
        copy_rows(connection, _INSERT, part)
    spend(connection, (transfer for transfer, _ in rows), persons, now)


def wake(connection: Connection, accounts: Collection[str]) -> None:
    """Try the lines of these projects' accounts again with the next turn. Before accounts are locked, as `settle` does."""
    projects = sorted(name for owner, _, name in (key.partition(":") for key in accounts) if owner == Owner.PROJECT)
    if projects:
        connection.execute(
            "UPDATE unsettled_lines SET retry_at = NULL WHERE usage_id IN (SELECT usage_id FROM unsettled_lines "
            'WHERE retry_at IS NOT NULL AND project = ANY(%s) ORDER BY usage_id COLLATE "C" FOR UPDATE)',
            (projects,),
        )


class LedgerStore:
    """The Protocol's accounts and transfers."""

    _database: Database

    def open_accounts(self, accounts: Sequence[Account]) -> None:
        self._database.write(lambda connection: open_accounts(connection, accounts))

    def account(self, account_id: AccountId) -> Account | None:
        with self._database.reading() as connection:
            row = connection.execute(
                f"SELECT {_ACCOUNT} FROM ledger_accounts WHERE id = %s", (clean(account_id),)
            ).fetchone()
        return None if row is None else _account_from(row)

    def accounts(
        self, only: Collection[AccountId] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Account], str | None]:
        conditions, values = ["true"], list[Any]()
        if only is not None:
            conditions.append("id = ANY(%s)")
            values.append([clean(key) for key in only])
        if cursor is not None:
            conditions.append('id > %s COLLATE "C"')
            values.append(clean(cursor))
        size = page_size(limit)
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT {_ACCOUNT} FROM ledger_accounts WHERE {' AND '.join(conditions)} "
                'ORDER BY id COLLATE "C" LIMIT %s',
                [*values, size + 1],
            ).fetchall()
        return [_account_from(row) for row in rows[:size]], rows[size - 1][0] if len(rows) > size else None

    def set_floor(self, account_id: AccountId, floor_fen: int | None, events: Sequence[Event]) -> Account:
        def work(connection: Connection) -> Account:
            wake(connection, [account_id])
            row = connection.execute(
                f"UPDATE ledger_accounts SET floor_fen = %s WHERE id = %s RETURNING {_ACCOUNT}",
                (floor_fen, clean(account_id)),
            ).fetchone()
            if row is None:
                raise NotFound(f"there is no account {account_id!r}", field="account")
            insert_events(connection, events)
            return _account_from(row)

        try:
            return self._database.write(work, tag=f"limit of {account_id}")
        except pg.CheckViolation:
            raise Conflict("the account is below this limit already: settle it first", field="limit_fen") from None

    def post(
        self, chains: Sequence[Chain], now: datetime, events: Sequence[Event] = (), draw: Draw | None = None
    ) -> Sequence[Outcome]:
        def work(connection: Connection) -> Sequence[Outcome]:
            wake(connection, {transfer.credit for chain in chains for transfer in chain})
            for purse in borne(connection, [] if draw is None else [draw], now):
                if purse:
                    book = locked(connection, [transfer for chain in chains for transfer in chain])
                    return [book.unborne(chain, purse) for chain in chains]
            persons = {} if draw is None else {asked_for(chain[0].chain): draw.person for chain in chains}
            posted = decide(connection, chains, now)
            transfers = [transfer for chain in posted.fresh for transfer in chain]
            if transfers:
                first = append_leaves(connection, [transfer_leaf(transfer, now) for transfer in transfers])
                write_transfers(
                    connection, list(zip(transfers, range(first, first + len(transfers)), strict=True)), now, persons
                )
                insert_events(connection, events)
            return posted.outcomes

        return self._posting(work)

    def _posting(self, work: Callable[[Connection], Sequence[Outcome]]) -> Sequence[Outcome]:
        """Run `work` again where somebody posted one of its identifiers meanwhile, under other accounts' locks."""
        for _ in range(_TRIES):
            try:
                return self._database.write(work)
            except pg.UniqueViolation:
                continue
        raise Unavailable("others post the same transfers: try again")

    def release_expired(self, now: datetime, limit: int) -> int:
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT {_HOLD} FROM ledger_holds WHERE timeout_at <= %s ORDER BY timeout_at, id LIMIT %s",
                (now, page_size(limit)),
            ).fetchall()
        if not rows:
            return 0
        outcomes = self.post([(release(hold_from(row)),) for row in rows], now)
        return sum(outcome.verdict is Verdict.POSTED for outcome in outcomes)

    def entries(self, account_id: AccountId, cursor: str | None, limit: int) -> tuple[Sequence[Entry], str | None]:
        before = None if cursor is None else position(cursor)
        size = page_size(limit)
        side = (
            f"(SELECT {_TRANSFER}, leaf, at FROM ledger_transfers WHERE {{}} = %s "
            "AND (%s::bigint IS NULL OR leaf < %s) ORDER BY leaf DESC LIMIT %s)"
        )
        with self._database.reading() as connection:
            rows = connection.execute(
                f"{side.format('debit')} UNION ALL {side.format('credit')} ORDER BY leaf DESC LIMIT %s",
                [*(clean(account_id), before, before, size + 1) * 2, size + 1],
            ).fetchall()
        return [_entry_from(row) for row in rows[:size]], str(rows[size - 1][-2]) if len(rows) > size else None

    def chain_entries(self, chains: Collection[str]) -> Sequence[Entry]:
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT {_TRANSFER}, leaf, at FROM ledger_transfers WHERE chain = ANY(%s) ORDER BY leaf",
                ([clean(chain) for chain in chains],),
            ).fetchall()
        return [_entry_from(row) for row in rows]

    def entry(self, transfer_id: str) -> Entry | None:
        with self._database.reading() as connection:
            row = connection.execute(
                f"SELECT {_TRANSFER}, leaf, at FROM ledger_transfers WHERE id = %s", (clean(transfer_id),)
            ).fetchone()
        return None if row is None else _entry_from(row)

    def audit(self) -> Audit:
        def work(connection: Connection) -> Audit:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            wrong = connection.execute(_WRONG).fetchall()
            totals = connection.execute(_TOTALS).fetchone()
            assert totals is not None, "sums have a row"
            return Audit(
                accounts=totals[0],
                transfers=totals[1],
                sum_fen=totals[2],
                wrong=tuple(AccountId(row[0]) for row in wrong),
                unlogged=totals[3],
            )

        return self._database.write(work)


def locked(connection: Connection, transfers: Sequence[Transfer], also: Collection[AccountId] = ()) -> Book:
    """What the transfers touch, locked. Read after the locks are held, so nothing of it changes meanwhile."""
    accounts = connection.execute(
        f'SELECT {_ACCOUNT} FROM ledger_accounts WHERE id = ANY(%s) ORDER BY id COLLATE "C" FOR UPDATE',
        (sorted({*also, *(side for transfer in transfers for side in (transfer.debit, transfer.credit))}),),
    ).fetchall()
    names = sorted({transfer.chain for transfer in transfers})
    known = connection.execute(_KNOWN, ([transfer.id for transfer in transfers], names)).fetchall()
    pending = [transfer.pending_id for transfer in transfers if transfer.pending_id is not None]
    holds = (
        connection.execute(f"SELECT {_HOLD} FROM ledger_holds WHERE id = ANY(%s)", (pending,)).fetchall()
        if pending
        else []
    )
    found = [_transfer_from(row) for row in known]
    chains: dict[str, set[str]] = {}
    for transfer in found:
        if transfer.chain in names:
            chains.setdefault(transfer.chain, set()).add(transfer.id)
    return Book(
        accounts={row[0]: _account_from(row) for row in accounts},
        known={transfer.id: transfer for transfer in found},
        chains={name: frozenset(ids) for name, ids in chains.items()},
        holds={row[0]: hold_from(row) for row in holds},
    )


def held_by_leases(connection: Connection, book: Book, leases: Collection[AllocationId]) -> dict[AllocationId, Hold]:
    """What these leases hold, which `book` then knows; their accounts are locked."""
    if not leases:
        return {}
    rows = connection.execute(
        f"SELECT {_HOLD} FROM ledger_holds WHERE {LEASE_HOLDS} AND debit LIKE 'project:%%' AND {LEASE} = ANY(%s)",
        (sorted(leases),),
    ).fetchall()
    found = [hold_from(row) for row in rows]
    book.holds.update({hold.id: hold for hold in found})
    return {lease_of(hold.id): hold for hold in found}


def _account_from(row: Sequence[Any]) -> Account:
    return Account(
        id=AccountId(row[0]),
        owner=Owner(row[1]),
        name=row[2],
        currency=row[3],
        floor_fen=row[4],
        balance_fen=row[5],
        held_fen=row[6],
    )


def _transfer_row(transfer: Transfer) -> tuple[Any, ...]:
    """Values for `_TRANSFER`."""
    return (
        clean(transfer.id),
        clean(transfer.chain),
        transfer.debit,
        transfer.credit,
        transfer.amount_fen,
        transfer.code,
        transfer.phase.value,
        transfer.pending_id,
        transfer.timeout_at,
    )


def _transfer_from(row: Sequence[Any]) -> Transfer:
    return Transfer(
        id=row[0],
        chain=row[1],
        debit=AccountId(row[2]),
        credit=AccountId(row[3]),
        amount_fen=row[4],
        code=row[5],
        phase=Phase(row[6]),
        pending_id=row[7],
        timeout_at=row[8],
    )


def _entry_from(row: Sequence[Any]) -> Entry:
    return Entry(transfer=_transfer_from(row[:9]), leaf=row[9], at=row[10])


def hold_from(row: Sequence[Any]) -> Hold:
    return Hold(id=row[0], debit=AccountId(row[1]), credit=AccountId(row[2]), amount_fen=row[3], timeout_at=row[4])
