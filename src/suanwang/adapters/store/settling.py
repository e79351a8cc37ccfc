# ruff: noqa: S608 - statements are put together from column lists of this package; every value is a parameter
"""Bill lines that are to be settled, on PostgreSQL.

Owns the work list, which a trigger of `bill_lines` fills, and the one transaction in which a batch of lines leaves it with
its transfers and leaves. Whatever breaks off leaves every line where it was.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from suanwang.adapters.store.budgets import borne
from suanwang.adapters.store.database import Connection, Database
from suanwang.adapters.store.ledger import held_by_leases, locked, write_transfers
from suanwang.adapters.store.paging import page_size
from suanwang.adapters.store.record import copy_rows, insert_events
from suanwang.adapters.store.rows import (
    BILL_COLUMNS,
    NO_PROGRESS,
    PROGRESS,
    TERMS,
    USAGE_COLUMNS,
    bill_from,
    listed,
    usage_from,
)
from suanwang.adapters.store.tree import append_leaves
from suanwang.domain.ids import ProjectId
from suanwang.ports import Claim, OpenLine
from suanwang.trading.holding import RUNS, pay
from suanwang.trading.leaves import transfer_leaf
from suanwang.trading.ledger import Chain, Outcome, Transfer, Verdict
from suanwang.trading.settlement import chain_name

_DUE = (
    "(SELECT usage_id, 0 AS late, seq, before_fen FROM unsettled_lines WHERE retry_at IS NULL ORDER BY seq LIMIT %s) "
    "UNION ALL (SELECT usage_id, 1, seq, before_fen FROM unsettled_lines WHERE retry_at <= %s ORDER BY retry_at LIMIT %s)"
)
_OPEN_LINES = (
    f"SELECT {listed(BILL_COLUMNS, 'b.')}, {listed(USAGE_COLUMNS, 'u.')}, o.before_fen, t.terms, a.state, j.owner, "
    "a.progress "
    f"FROM (SELECT * FROM ({_DUE}) AS d ORDER BY d.late, d.seq LIMIT %s) AS o "
    "JOIN bill_lines b ON b.usage_id = o.usage_id JOIN usage_records u ON u.id = o.usage_id "
    "JOIN allocation_terms t ON t.allocation_id = u.allocation_id JOIN allocations a ON a.id = u.allocation_id "
    "JOIN jobs j ON j.id = u.job_id "
    "ORDER BY o.late, o.seq"
)


class Settling:
    """The Protocol's settlement."""

    _database: Database

    def open_lines(self, now: datetime, limit: int) -> Sequence[OpenLine]:
        size = page_size(limit)
        with self._database.reading() as connection:
            rows = connection.execute(_OPEN_LINES, (size, now, size, size)).fetchall()
        width, end = len(BILL_COLUMNS), len(BILL_COLUMNS) + len(USAGE_COLUMNS)
        found: list[OpenLine] = []
        for row in rows:
            usage = usage_from(row[width:end])
            progress = NO_PROGRESS if row[-1] is None else PROGRESS.load(row[-1])
            terms = TERMS.load(row[-4])
            found.append(
                OpenLine(
                    line=bill_from(row[:width]),
                    usage=usage,
                    price=terms.price,
                    started_at=progress.started_at or usage.from_at,
                    power_kw=terms.power_kw,
                    before_fen=row[end],
                    owners=terms.owners,
                    over=row[-3] in ("ended", "fenced"),
                    person=row[-2],
                )
            )
        return found

    def settle(self, claims: Sequence[Claim], now: datetime, retry_at: datetime) -> Sequence[Outcome]:
        if not claims:
            return []
        return self._database.write(lambda connection: _settle(connection, claims, now, retry_at))

    def count_open(self, projects: Collection[ProjectId] | None = None) -> tuple[int, int]:
        where, values = ("", ()) if projects is None else (" WHERE project = ANY(%s)", (list(projects),))
        with self._database.reading() as connection:
            row = connection.execute(
                f"SELECT count(*), count(*) FILTER (WHERE told) FROM unsettled_lines{where}", values
            ).fetchone()
        return (0, 0) if row is None else (row[0], row[1])


def _settle(connection: Connection, claims: Sequence[Claim], now: datetime, retry_at: datetime) -> Sequence[Outcome]:
    rows = connection.execute(
        'SELECT usage_id, leaf, told FROM unsettled_lines WHERE usage_id = ANY(%s) ORDER BY usage_id COLLATE "C" FOR UPDATE',
        ([claim.usage_id for claim in claims],),
    ).fetchall()
    waiting = {row[0]: (row[1], row[2]) for row in rows}
    mine = [claim for claim in claims if claim.usage_id in waiting]
    outcomes, posted = _paid(connection, mine, now)
    leaves, transfers, logged = _leaves(mine, posted, {key: leaf for key, (leaf, _) in waiting.items()}, now)
    first = append_leaves(connection, leaves)
    persons = {chain_name(claim.usage_id): claim.person for claim in mine}
    write_transfers(connection, [(transfer, first + at) for transfer, at in transfers], now, persons)
    at_leaf = {key: first + at if fresh else at for key, (at, fresh) in logged.items()}
    settled = [
        (claim.usage_id, at_leaf[claim.usage_id], now)
        for claim, outcome in zip(mine, outcomes, strict=True)
        if outcome.done
    ]
    copy_rows(connection, "COPY settled_lines (usage_id, leaf, at) FROM STDIN", settled)
    connection.execute("DELETE FROM unsettled_lines WHERE usage_id = ANY(%s)", ([row[0] for row in settled],))
    left = [claim for claim, outcome in zip(mine, outcomes, strict=True) if not outcome.done]
    if left:
        connection.execute(
            "UPDATE unsettled_lines AS o SET retry_at = %s, told = true, leaf = u.leaf "
            "FROM unnest(%s::text[], %s::bigint[]) AS u(usage_id, leaf) WHERE o.usage_id = u.usage_id",
            (retry_at, [claim.usage_id for claim in left], [at_leaf[claim.usage_id] for claim in left]),
        )
        insert_events(connection, [claim.blocked for claim in left if not waiting[claim.usage_id][1]])
    return outcomes


def _paid(
    connection: Connection, claims: Sequence[Claim], now: datetime
) -> tuple[list[Outcome], list[tuple[Transfer, ...]]]:
    """What becomes of each claim, and the transfers it posts, of its lease's hold first; nothing is written."""
    leases = {claim.lease for claim in claims if claim.lease is not None and claim.chain}
    passed = borne(connection, [claim.draw for claim in claims], now) if leases else [""] * len(claims)
    book = locked(connection, [transfer for claim in claims for transfer in claim.chain], [RUNS] if leases else ())
    holds = held_by_leases(connection, book, leases)
    outcomes: list[Outcome] = []
    posted: list[tuple[Transfer, ...]] = []
    for claim, purse in zip(claims, passed, strict=True):
        outcome, freed = Outcome(chain=chain_name(claim.usage_id), verdict=Verdict.POSTED), tuple[Transfer, ...]()
        if claim.chain:
            outcome, freed = pay(book, claim.chain, holds, claim.lease, claim.over, now, tight=bool(purse))
        outcomes.append(outcome)
        posted.append((*freed, *(claim.chain if outcome.verdict is Verdict.POSTED else ())))
    return outcomes, posted


def _leaves(
    claims: Sequence[Claim], posted: Sequence[Chain], logged: dict[str, int | None], now: datetime
) -> tuple[list[str], list[tuple[Transfer, int]], dict[str, tuple[int, bool]]]:
    """Texts to append; transfers to write and records, each with its place among them (a record's may be an old leaf)."""
    texts: list[str] = []
    transfers: list[tuple[Transfer, int]] = []
    places: dict[str, tuple[int, bool]] = {}
    for claim, chain in zip(claims, posted, strict=True):
        leaf = logged[claim.usage_id]
        places[claim.usage_id] = (len(texts), True) if leaf is None else (leaf, False)
        if leaf is None:
            texts.append(claim.leaf)
        for transfer in chain:
            transfers.append((transfer, len(texts)))
            texts.append(transfer_leaf(transfer, now))
    return texts, transfers, places
