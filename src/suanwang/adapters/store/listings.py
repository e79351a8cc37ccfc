# ruff: noqa: S608 - statements are put together from conditions of this module; every value is a parameter
"""Listings, their copies and uses on PostgreSQL.

Owns their rows, and the transactions in which a copy is paid for and delivered, and the uses of a lease are held and ended.
Rows are locked before accounts, accounts before the log's edge. That a version does not change, that a copy is sold once to
a project, and that a use is noted once are the database's to enforce.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from psycopg import errors as pg

from suanwang.adapters.store.budgets import borne
from suanwang.adapters.store.codec import Codec, clean
from suanwang.adapters.store.database import Connection, Database
from suanwang.adapters.store.file_records import add_file
from suanwang.adapters.store.ledger import decide, locked, wake, write_transfers
from suanwang.adapters.store.paging import page_size, position
from suanwang.adapters.store.record import insert_events
from suanwang.adapters.store.rows import ALLOCATION_READ, allocation_from, listed
from suanwang.adapters.store.tree import append_leaves
from suanwang.domain.errors import Conflict, Unavailable
from suanwang.domain.file import FileRecord
from suanwang.domain.ids import ProjectId
from suanwang.domain.job import Allocation, Event
from suanwang.ports import ListingQuery, Traces
from suanwang.trading.budgets import Draw, asked_for, taken_fen
from suanwang.trading.leaves import transfer_leaf
from suanwang.trading.ledger import Chain, Outcome
from suanwang.trading.listings import Copy, Listing, Use, UseState

LISTING: Codec[Listing] = Codec(Listing, shared=True)
COPY: Codec[Copy] = Codec(Copy, shared=True)
USE: Codec[Use] = Codec(Use)
T = TypeVar("T")
_TRIES = 3
_LISTING = "SELECT value, withdrawn_at FROM listings"


class ListingStore:
    """The Protocol's listings."""

    _database: Database

    def add_listing(self, listing: Listing, events: Sequence[Event]) -> Listing:
        return self._wrote(lambda connection: _add(connection, listing, events))

    def listing(self, listing_id: str, version: str | None = None) -> Listing | None:
        wanted = None if version is None else clean(version)
        with self._database.reading() as connection:
            row = connection.execute(
                f"{_LISTING} WHERE id = %s AND (%s::text IS NULL OR version = %s) "
                "ORDER BY withdrawn_at IS NULL DESC, seq DESC LIMIT 1",
                (clean(listing_id), wanted, wanted),
            ).fetchone()
        return None if row is None else _listing_from(row)

    def listings(self, query: ListingQuery, cursor: str | None, limit: int) -> tuple[Sequence[Listing], str | None]:
        conditions, values = ["true"], list[Any]()
        if query.readers is not None:
            conditions.append("(invited IS NULL OR invited && %s::text[] OR seller = ANY(%s))")
            values += [[clean(name) for name in query.readers], [clean(name) for name in query.own]]
        if query.sellers is not None:
            conditions.append("seller = ANY(%s)")
            values.append([clean(name) for name in query.sellers])
        if query.kinds is not None:
            conditions.append("kind = ANY(%s)")
            values.append([kind.value for kind in query.kinds])
        if query.text:
            conditions.append("position(%s in words) > 0")
            values.append(clean(query.text).lower())
        if query.open:
            conditions.append("withdrawn_at IS NULL")
        return self._newest_first("value, withdrawn_at", "listings", conditions, values, _listing_from, cursor, limit)

    def sold_dataset(self, name: str) -> Listing | None:
        with self._database.reading() as connection:
            row = connection.execute(
                f"{_LISTING} WHERE dataset = %s AND withdrawn_at IS NULL ORDER BY seq LIMIT 1", (clean(name),)
            ).fetchone()
        return None if row is None or not name else _listing_from(row)

    def sold_content(self, sha256: str) -> Listing | None:
        with self._database.reading() as connection:
            row = connection.execute(f"{_LISTING} WHERE sha256 = %s ORDER BY seq LIMIT 1", (clean(sha256),)).fetchone()
        return None if row is None else _listing_from(row)

    def withdraw_listing(self, listing_id: str, version: str | None, at: datetime, events: Sequence[Event]) -> int:
        wanted = None if version is None else clean(version)

        def work(connection: Connection) -> int:
            done = connection.execute(
                "UPDATE listings SET withdrawn_at = %s WHERE (id, version) IN (SELECT id, version FROM listings "
                "WHERE id = %s AND (%s::text IS NULL OR version = %s) AND withdrawn_at IS NULL "
                "ORDER BY seq FOR UPDATE)",
                (at, clean(listing_id), wanted, wanted),
            )
            if done.rowcount:
                insert_events(connection, events)
            return done.rowcount

        return self._database.write(work)

    def sell_copy(
        self, copy: Copy, chain: Chain, record: FileRecord, now: datetime, events: Sequence[Event]
    ) -> Outcome | None:
        return self._wrote(lambda connection: _sell(connection, copy, chain, record, now, events))

    def copy(self, copy_id: str) -> Copy | None:
        with self._database.reading() as connection:
            row = connection.execute("SELECT value FROM listing_copies WHERE id = %s", (clean(copy_id),)).fetchone()
        return None if row is None else COPY.load(row[0])

    def copy_of(self, project: ProjectId, listing_id: str, version: str) -> Copy | None:
        with self._database.reading() as connection:
            return _copy_of(connection, project, listing_id, version)

    def copies(self, traces: Traces, cursor: str | None, limit: int) -> tuple[Sequence[Copy], str | None]:
        conditions, values = _traced(traces)
        return self._newest_first(
            "value", "listing_copies", conditions, values, lambda row: COPY.load(row[0]), cursor, limit
        )

    def hold_uses(self, uses: Sequence[Use], chain: Chain, now: datetime) -> Outcome | None:
        return self._wrote(lambda connection: _hold(connection, uses, chain, now))

    def held_uses(self, limit: int) -> Sequence[tuple[Use, Allocation]]:
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT u.value, {listed(ALLOCATION_READ, 'a.')} FROM listing_uses u "
                "JOIN granted a ON a.id = u.allocation_id WHERE u.held "
                "AND a.state <> 'leased' ORDER BY u.seq LIMIT %s",
                (page_size(limit),),
            ).fetchall()
        return [(USE.load(row[0]), allocation_from(row[1:])) for row in rows]

    def end_uses(
        self, uses: Sequence[Use], state: UseState, chain: Chain, now: datetime, events: Sequence[Event]
    ) -> bool:
        def work(connection: Connection) -> bool:
            held = connection.execute(
                "SELECT listing, version FROM listing_uses WHERE allocation_id = %s AND held ORDER BY seq FOR UPDATE",
                (uses[0].allocation,),
            ).fetchall()
            if {(use.listing, use.version) for use in uses} != {(row[0], row[1]) for row in held}:
                return False
            outcome = _pay(connection, chain, now, uses[0].owner)
            if outcome is not None and not outcome.done:
                return False
            for use in uses:
                value = USE.dump(replace(use, state=state, at=now))
                connection.execute(
                    "UPDATE listing_uses SET held = false, value = %s "
                    "WHERE allocation_id = %s AND listing = %s AND version = %s",
                    (value, use.allocation, use.listing, use.version),
                )
            insert_events(connection, events)
            return True

        return self._wrote(work)

    def uses(self, traces: Traces, cursor: str | None, limit: int) -> tuple[Sequence[Use], str | None]:
        conditions, values = _traced(traces)
        return self._newest_first(
            "value", "listing_uses", conditions, values, lambda row: USE.load(row[0]), cursor, limit
        )

    def _newest_first(
        self,
        columns: str,
        table: str,
        conditions: Sequence[str],
        values: Sequence[Any],
        load: Callable[[Sequence[Any]], T],
        cursor: str | None,
        limit: int,
    ) -> tuple[Sequence[T], str | None]:
        size = page_size(limit)
        before = None if cursor is None else position(cursor)
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT {columns}, seq FROM {table} WHERE {' AND '.join(conditions)} "
                "AND (%s::bigint IS NULL OR seq < %s) ORDER BY seq DESC LIMIT %s",
                [*values, before, before, size + 1],
            ).fetchall()
        return [load(row) for row in rows[:size]], str(rows[size - 1][-1]) if len(rows) > size else None

    def _wrote(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, and again where somebody wrote one of its keys meanwhile: then it is there to be seen."""
        for _ in range(_TRIES):
            try:
                return self._database.write(work)
            except pg.UniqueViolation:
                continue
        raise Unavailable("others do the same just now: try again")


def _listing_from(row: Sequence[Any]) -> Listing:
    value = LISTING.load(row[0])
    return value if row[1] is None else replace(value, withdrawn_at=row[1])


def _add(connection: Connection, listing: Listing, events: Sequence[Event]) -> Listing:
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('suanwang listing ' || %s, 0))", (listing.id,))
    rows = connection.execute(f"{_LISTING} WHERE id = %s", (clean(listing.id),)).fetchall()
    versions = {each.version: each for each in map(_listing_from, rows)}
    known = versions.get(listing.version)
    if known is not None:
        if not listing.same_as(known):
            raise Conflict(
                "this version says something else, and versions do not change", field="version", allowed="a new one"
            )
        return known
    if any(each.seller != listing.seller for each in versions.values()):
        raise Conflict("there is another seller's listing of this name", field="id", allowed="a new name")
    said = "\n".join((listing.id, listing.title_en, listing.title_zh, listing.description)).lower()
    connection.execute(
        "INSERT INTO listings (id, version, seller, kind, dataset, sha256, invited, words, value) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            *(clean(listing.id), clean(listing.version), clean(listing.seller), listing.kind.value),
            clean(listing.dataset) or None,
            listing.sha256 or None,
            None if listing.invited is None else [clean(name) for name in listing.invited],
            clean(said),
            LISTING.dump(listing),
        ),
    )
    insert_events(connection, events)
    return listing


def _copy_of(connection: Connection, project: ProjectId, listing_id: str, version: str) -> Copy | None:
    row = connection.execute(
        "SELECT value FROM listing_copies WHERE project = %s AND listing = %s AND version = %s",
        (clean(project), clean(listing_id), clean(version)),
    ).fetchone()
    return None if row is None else COPY.load(row[0])


def _sell(
    connection: Connection, copy: Copy, chain: Chain, record: FileRecord, now: datetime, events: Sequence[Event]
) -> Outcome | None:
    sold = connection.execute(
        f"{_LISTING} WHERE id = %s AND version = %s FOR SHARE", (clean(copy.listing), clean(copy.version))
    ).fetchone()
    known = connection.execute("SELECT value FROM listing_copies WHERE id = %s", (clean(copy.id),)).fetchone()
    if known is not None:
        if not copy.same_as(COPY.load(known[0])):
            raise Conflict("this identifier was used for another copy: send a new one", field="id")
        return None
    if _copy_of(connection, copy.project, copy.listing, copy.version) is not None:
        raise Conflict(f"{copy.project} has its copy of {copy.listing}@{copy.version}", field="project")
    assert sold is not None, "listings are never deleted"
    if sold[1] is not None:
        raise Conflict(f"{copy.listing}@{copy.version} was withdrawn", field="version", allowed="a version on sale")
    outcome = _pay(connection, chain, now, copy.buyer, copy.project)
    if outcome is not None and not outcome.done:
        return outcome
    connection.execute(
        "INSERT INTO listing_copies (id, listing, version, project, seller, value) VALUES (%s, %s, %s, %s, %s, %s)",
        (
            *(clean(copy.id), clean(copy.listing), clean(copy.version), clean(copy.project), clean(copy.seller)),
            COPY.dump(copy),
        ),
    )
    add_file(connection, record)
    insert_events(connection, events)
    return outcome


def _hold(connection: Connection, uses: Sequence[Use], chain: Chain, now: datetime) -> Outcome | None:
    known = connection.execute(
        "SELECT 1 FROM listing_uses WHERE allocation_id = %s LIMIT 1", (uses[0].allocation,)
    ).fetchone()
    if known is not None:
        return None
    outcome = _pay(connection, chain, now, uses[0].owner, uses[0].project)
    if outcome is not None and not outcome.done:
        return outcome
    for use in uses:
        connection.execute(
            "INSERT INTO listing_uses (allocation_id, listing, version, project, seller, held, value) "
            "VALUES (%s, %s, %s, %s, %s, true, %s)",
            (
                *(use.allocation, clean(use.listing), clean(use.version), clean(use.project), clean(use.seller)),
                USE.dump(use),
            ),
        )
    return outcome


def _pay(
    connection: Connection, chain: Chain, now: datetime, person: str, project: ProjectId | None = None
) -> Outcome | None:
    """Post a chain within the caller's transaction; None where there is nothing to pay. With `project` it is drawn on its
    budgets."""
    if not chain:
        return None
    wake(connection, {transfer.credit for transfer in chain})
    draws = [] if project is None else [Draw(project=project, person=person, amount_fen=taken_fen(chain, project))]
    for purse in borne(connection, draws, now):
        if purse:
            return locked(connection, chain).unborne(chain, purse)
    posted = decide(connection, [chain], now)
    if posted.fresh:
        first = append_leaves(connection, [transfer_leaf(transfer, now) for transfer in chain])
        rows = list(zip(chain, range(first, first + len(chain)), strict=True))
        write_transfers(connection, rows, now, {asked_for(chain[0].chain): person})
    return posted.outcomes[0]


def _traced(traces: Traces) -> tuple[list[str], list[Any]]:
    conditions, values = ["true"], list[Any]()
    if traces.projects is not None or traces.sellers is not None:
        conditions.append("(project = ANY(%s) OR seller = ANY(%s))")
        values += [
            [clean(name) for name in traces.projects or ()],
            [clean(name) for name in traces.sellers or ()],
        ]
    if traces.listing is not None:
        conditions.append("listing = %s")
        values.append(clean(traces.listing))
    return conditions, values
