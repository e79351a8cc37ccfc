# ruff: noqa: S608 - statements are put together from column lists of this package; every value is a parameter
"""The market on PostgreSQL.

Owns how a deal is carried out: the windows whose calls it touches are locked first (shared by those who order, alone by who
calls), then rows by identifier, then accounts, then the log's edge, all in one transaction. A deal whose rows moved on, or
whose transfers the ledger does not take, leaves nothing behind. Every value is kept whole as JSON; columns are what
queries go by.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, TypeVar

from psycopg import errors as pg

from suanwang.adapters.store.budgets import borne
from suanwang.adapters.store.codec import Codec, clean
from suanwang.adapters.store.database import Connection, Database
from suanwang.adapters.store.ledger import decide, locked, open_accounts, wake, write_transfers
from suanwang.adapters.store.paging import page_size, position
from suanwang.adapters.store.record import insert_events
from suanwang.adapters.store.tree import append_leaves
from suanwang.domain.errors import Unavailable
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import Event
from suanwang.ports import Deal, Dealt, OfferQuery, TerminationQuery, TradeQuery, Turn
from suanwang.trading.leaves import transfer_leaf
from suanwang.trading.ledger import AccountId, Outcome
from suanwang.trading.market.termination import Deposit, Termination
from suanwang.trading.market.terms import SaleTerms
from suanwang.trading.market.values import Auction, Offer, OfferState, Order, OrderState, Reservation, Trade

OFFER: Codec[Offer] = Codec(Offer)
ORDER: Codec[Order] = Codec(Order)
RESERVATION: Codec[Reservation] = Codec(Reservation)
TRADE: Codec[Trade] = Codec(Trade)
AUCTION: Codec[Auction] = Codec(Auction)
DEPOSIT: Codec[Deposit] = Codec(Deposit)
TERMINATION: Codec[Termination] = Codec(Termination)
TERMS: Codec[SaleTerms] = Codec(SaleTerms)
T = TypeVar("T")
_TRIES = 3
_LOCK = "SELECT pg_advisory_xact_lock{}(hashtextextended('suanwang call ' || %s, 0))"

_LOCK_TURN = "SELECT pg_advisory_xact_lock(hashtextextended('suanwang orders ' || %s, 0))"


class _Overtaken(Exception):
    """Undoes the transaction of a deal whose turn is over."""


class _Refused(Exception):
    """Undoes the transaction of a deal that cannot be done."""

    def __init__(self, outcomes: tuple[Outcome, ...] = ()) -> None:
        super().__init__()
        self.outcomes = outcomes


class MarketStore:
    """The Protocol's market."""

    _database: Database

    def deal(self, deal: Deal, now: datetime) -> Dealt:
        for _ in range(_TRIES):
            try:
                self._database.write(lambda connection: _carry_out(connection, deal, now))
            except _Overtaken:
                return Dealt(done=False, overtaken=True)
            except _Refused as refused:
                return Dealt(done=False, refused=refused.outcomes)
            except pg.UniqueViolation as error:
                if (error.diag.table_name or "").startswith("market_"):
                    return Dealt(done=False)
                continue  # Somebody posted one of its transfers meanwhile: look again.
            return Dealt(done=True)
        raise Unavailable("others post the same transfers: try again")

    def offer(self, offer_id: str) -> Offer | None:
        return self._one("market_offers", OFFER, offer_id)

    def offers(self, query: OfferQuery, cursor: str | None, limit: int) -> tuple[Sequence[Offer], str | None]:
        conditions: list[tuple[str, Any]] = [
            ("site_id = ANY(%s)", None if query.sites is None else [clean(name) for name in query.sites]),
            ("device = ANY(%s)", None if query.devices is None else [clean(name) for name in query.devices]),
            ("seller = ANY(%s)", None if query.sellers is None else [clean(name) for name in query.sellers]),
            ("until > %s", query.first),
            ("first < %s", query.end),
        ]
        return self._page("market_offers", OFFER, conditions, cursor, limit, also="open" if query.open else "true")

    def listed(
        self, site: SiteId, device: str, first: int, end: int
    ) -> tuple[int, Sequence[Offer], Sequence[Reservation]]:
        with self._database.reading() as connection:
            # One statement sees one instant: a unit that moves meanwhile is seen once.
            rows = connection.execute(
                "SELECT 's', revision::text, '' FROM market_stocks WHERE site_id = %(site)s AND device = %(device)s "
                "UNION ALL SELECT 'o', value::text, id FROM market_offers WHERE open AND site_id = %(site)s "
                "AND device = %(device)s AND until > %(first)s AND first < %(end)s "
                "UNION ALL SELECT 'r', value::text, id FROM market_reservations WHERE site_id = %(site)s "
                "AND device = %(device)s AND until > %(first)s AND first < %(end)s ORDER BY 3",
                {"site": clean(site), "device": clean(device), "first": first, "end": end},
            ).fetchall()
        return (
            next((int(row[1]) for row in rows if row[0] == "s"), 0),
            [OFFER.load(row[1]) for row in rows if row[0] == "o"],
            [RESERVATION.load(row[1]) for row in rows if row[0] == "r"],
        )

    def order(self, order_id: str) -> Order | None:
        return self._one("market_orders", ORDER, order_id)

    def orders(
        self, projects: Collection[ProjectId] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Order], str | None]:
        return self._page("market_orders", ORDER, [_of_projects(projects)], cursor, limit)

    def last_order(self, project: ProjectId) -> Turn:
        with self._database.reading() as connection:
            return Turn(project=project, last=_last(connection, project))

    def sealed(self, first: int) -> Sequence[Order]:
        with self._database.reading() as connection:
            rows = connection.execute(
                'SELECT value FROM market_orders WHERE open AND first = %s ORDER BY id COLLATE "C"', (first,)
            ).fetchall()
        return [ORDER.load(row[0]) for row in rows]

    def waiting_orders(self, limit: int) -> Sequence[Order]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT value FROM market_orders WHERE waits_until IS NOT NULL ORDER BY waits_until, seq LIMIT %s",
                (page_size(limit),),
            ).fetchall()
        return [ORDER.load(row[0]) for row in rows]

    def calls_waiting(self, until: int, limit: int) -> Sequence[int]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT DISTINCT first FROM market_orders WHERE open AND first <= %s ORDER BY first LIMIT %s",
                (until, page_size(limit)),
            ).fetchall()
        return [row[0] for row in rows]

    def reservation(self, reservation_id: str) -> Reservation | None:
        return self._one("market_reservations", RESERVATION, reservation_id)

    def reservations(
        self, projects: Collection[ProjectId] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Reservation], str | None]:
        return self._page("market_reservations", RESERVATION, [_of_projects(projects)], cursor, limit)

    def reserved(self, first: int, end: int) -> Sequence[Reservation]:
        with self._database.reading() as connection:
            rows = connection.execute(
                'SELECT value FROM market_reservations WHERE until > %s AND first < %s ORDER BY id COLLATE "C"',
                (first, end),
            ).fetchall()
        found = (RESERVATION.load(row[0]) for row in rows)
        return [right for right in found if right.most(first, end)]

    def trades(self, query: TradeQuery, cursor: str | None, limit: int) -> tuple[Sequence[Trade], str | None]:
        conditions: list[tuple[str, Any]] = [
            _of_projects(query.projects),
            ("seller = ANY(%s)", None if query.sellers is None else list(query.sellers)),
            ("order_id = %s", None if query.order_id is None else clean(query.order_id)),
            ("site_id = %s", None if query.site is None else clean(query.site)),
            ("device = %s", None if query.device is None else clean(query.device)),
        ]
        return self._page("market_trades", TRADE, conditions, cursor, limit)

    def deposits_due(self, until: int, limit: int) -> Sequence[Deposit]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT value FROM market_deposits WHERE open AND until <= %s ORDER BY until, seq LIMIT %s",
                (until, page_size(limit)),
            ).fetchall()
        return [DEPOSIT.load(row[0]) for row in rows]

    def deposits(
        self, sellers: Collection[AccountId] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Deposit], str | None]:
        sold_by = ("seller = ANY(%s)", None if sellers is None else [clean(name) for name in sellers])
        return self._page("market_deposits", DEPOSIT, [sold_by], cursor, limit)

    def termination(self, termination_id: str) -> Termination | None:
        return self._one("market_terminations", TERMINATION, termination_id)

    def terminations(
        self, query: TerminationQuery, cursor: str | None, limit: int
    ) -> tuple[Sequence[Termination], str | None]:
        conditions: list[tuple[str, Any]] = [
            _of_projects(query.projects),
            ("seller = ANY(%s)", None if query.sellers is None else [clean(name) for name in query.sellers]),
            ("until > %s", query.first),
            ("first < %s", query.end),
        ]
        return self._page("market_terminations", TERMINATION, conditions, cursor, limit)

    def debts_due(self, now: datetime, limit: int) -> Sequence[Termination]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT t.value FROM market_debts d JOIN market_terminations t ON t.id = d.termination_id "
                "WHERE d.retry_at <= %s ORDER BY t.seq LIMIT %s",
                (now, page_size(limit)),
            ).fetchall()
        return [TERMINATION.load(row[0]) for row in rows]

    def debts_open(self, terminations: Collection[str]) -> Collection[str]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT termination_id FROM market_debts WHERE termination_id = ANY(%s)",
                ([clean(name) for name in terminations],),
            ).fetchall()
        return {row[0] for row in rows}

    def debt_tried(self, termination_id: str, retry_at: datetime | None) -> None:
        def work(connection: Connection) -> None:
            if retry_at is None:
                connection.execute("DELETE FROM market_debts WHERE termination_id = %s", (clean(termination_id),))
            else:
                connection.execute(
                    "UPDATE market_debts SET retry_at = %s WHERE termination_id = %s",
                    (retry_at, clean(termination_id)),
                )

        self._database.write(work)

    def sale_terms(self) -> Sequence[SaleTerms]:
        with self._database.reading() as connection:
            rows = connection.execute("SELECT value FROM market_terms ORDER BY from_at DESC LIMIT 1000").fetchall()
        return [TERMS.load(row[0]) for row in rows]

    def add_sale_terms(self, terms: SaleTerms, events: Sequence[Event]) -> bool:
        def work(connection: Connection) -> bool:
            added = connection.execute(
                "INSERT INTO market_terms (from_at, value) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (terms.from_at, TERMS.dump(terms)),
            ).rowcount
            if added:
                insert_events(connection, events)
            return bool(added)

        return self._database.write(work)

    def auction(self, first: int) -> Auction | None:
        with self._database.reading() as connection:
            row = connection.execute("SELECT value FROM market_auctions WHERE first = %s", (first,)).fetchone()
        return None if row is None else AUCTION.load(row[0])

    def auctions(self, before: int | None, limit: int) -> Sequence[Auction]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT value FROM market_auctions WHERE %s::bigint IS NULL OR first < %s ORDER BY first DESC LIMIT %s",
                (before, before, page_size(limit)),
            ).fetchall()
        return [AUCTION.load(row[0]) for row in rows]

    def _one(self, table: str, codec: Codec[T], key: str) -> T | None:
        with self._database.reading() as connection:
            row = connection.execute(f"SELECT value FROM {table} WHERE id = %s", (clean(key),)).fetchone()
        return None if row is None else codec.load(row[0])

    def _page(
        self,
        table: str,
        codec: Codec[T],
        conditions: Sequence[tuple[str, Any]],
        cursor: str | None,
        limit: int,
        also: str = "true",
    ) -> tuple[Sequence[T], str | None]:
        """Newest first, where every condition that has a value holds."""
        kept = [(text, value) for text, value in conditions if value is not None]
        if cursor is not None:
            kept.append(("seq < %s", position(cursor)))
        where = " AND ".join([also, *(text for text, _ in kept)])
        size = page_size(limit)
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT seq, value FROM {table} WHERE {where} ORDER BY seq DESC LIMIT %s",
                [*(value for _, value in kept), size + 1],
            ).fetchall()
        return [codec.load(row[1]) for row in rows[:size]], str(rows[size - 1][0]) if len(rows) > size else None


def _of_projects(projects: Collection[ProjectId] | None) -> tuple[str, Any]:
    return "project = ANY(%s)", None if projects is None else [clean(project) for project in projects]


def _carry_out(connection: Connection, deal: Deal, now: datetime) -> None:
    if deal.turn is not None:
        # Held to the end of the transaction, so that of two orders at once the second is decided anew.
        connection.execute(_LOCK_TURN, (clean(deal.turn.project),))
        if _last(connection, deal.turn.project) != deal.turn.last:
            raise _Overtaken
    _lock_calls(connection, deal)
    wake(connection, {transfer.credit for chain in deal.chains for transfer in chain})
    _keep(connection, deal)
    open_accounts(connection, deal.accounts)
    for purse in borne(connection, [] if deal.draw is None else [deal.draw], now):
        if purse:
            raise _Refused((locked(connection, deal.chains[0]).unborne(deal.chains[0], purse),))
    posted = decide(connection, deal.chains, now)
    refused = tuple(outcome for outcome in posted.outcomes if not outcome.done)
    if refused:
        raise _Refused(refused)
    transfers = [transfer for chain in posted.fresh for transfer in chain]
    if transfers:
        first = append_leaves(connection, [transfer_leaf(transfer, now) for transfer in transfers])
        persons = {f"trade/{order.id}": order.owner for order in deal.orders}
        rows = list(zip(transfers, range(first, first + len(transfers)), strict=True))
        write_transfers(connection, rows, now, persons)
    insert_events(connection, deal.events)


def _last(connection: Connection, project: ProjectId) -> int:
    row = connection.execute("SELECT max(seq) FROM market_orders WHERE project = %s", (clean(project),)).fetchone()
    return 0 if row is None or row[0] is None else int(row[0])


def _lock_calls(connection: Connection, deal: Deal) -> None:
    if deal.auction is not None:
        first = deal.auction.first
        connection.execute(_LOCK.format(""), (str(first),))
        row = connection.execute("SELECT count(*) FROM market_orders WHERE open AND first = %s", (first,)).fetchone()
        if row is None or row[0] != len(deal.orders):
            raise _Refused
        return
    for first in sorted({order.first for order in deal.orders if order.state is OrderState.OPEN}):
        connection.execute(_LOCK.format("_shared"), (str(first),))
        if connection.execute("SELECT FROM market_auctions WHERE first = %s", (first,)).fetchone() is not None:
            raise _Refused


def _keep(connection: Connection, deal: Deal) -> None:
    if deal.stock is not None:
        _keep_stock(connection, deal)
    for offer in sorted(deal.offers, key=lambda value: value.id):
        sellable = offer.state is OfferState.OPEN and any(offer.left)
        columns = {
            "seller": offer.seller,
            "site_id": clean(offer.site),
            "device": clean(offer.device),
            "first": offer.first,
            "until": offer.end,
            "open": sellable,
        }
        _put(connection, "market_offers", offer.id, offer.revision, columns, OFFER.dump(offer))
    for order in sorted(deal.orders, key=lambda value: value.id):
        columns = {
            "project": clean(order.project),
            "first": order.first,
            "open": order.state is OrderState.OPEN,
            "waits_until": order.waits_until if order.state is OrderState.WAITING else None,
        }
        _put(connection, "market_orders", order.id, order.revision, columns, ORDER.dump(order))
    for right in sorted(deal.reservations, key=lambda value: value.id):
        columns = {
            "project": clean(right.project),
            "site_id": clean(right.site),
            "device": clean(right.device),
            "first": right.first,
            "until": right.end,
        }
        _put(connection, "market_reservations", right.id, right.revision, columns, RESERVATION.dump(right))
    for trade in deal.trades:
        columns = {
            "order_id": trade.order_id,
            "project": clean(trade.project),
            "seller": trade.seller,
            "site_id": clean(trade.zone.site),
            "device": clean(trade.zone.device),
        }
        _put(connection, "market_trades", trade.id, None, columns, TRADE.dump(trade))
    _keep_ends(connection, deal)
    if deal.auction is not None:
        connection.execute(
            "INSERT INTO market_auctions (first, value) VALUES (%s, %s)",
            (deal.auction.first, AUCTION.dump(deal.auction)),
        )


def _keep_ends(connection: Connection, deal: Deal) -> None:
    for deposit in sorted(deal.deposits, key=lambda value: value.id):
        kept = {"seller": clean(deposit.seller), "until": deposit.until, "open": deposit.open}
        _put(connection, "market_deposits", deposit.id, deposit.revision, kept, DEPOSIT.dump(deposit))
    for termination in deal.terminations:
        columns = {
            "project": clean(termination.project),
            "seller": clean(termination.seller),
            "first": termination.first,
            "until": termination.end,
        }
        _put(connection, "market_terminations", termination.id, None, columns, TERMINATION.dump(termination))
        if termination.unpaid_fen:
            connection.execute(
                "INSERT INTO market_debts (termination_id, retry_at) VALUES (%s, %s)",
                (clean(termination.id), termination.at),
            )


def _keep_stock(connection: Connection, deal: Deal) -> None:
    stock = deal.stock
    assert stock is not None, "asked only where there is one"
    key = (clean(stock.site), clean(stock.device))
    if stock.revision == 1:
        connection.execute("INSERT INTO market_stocks (site_id, device, revision) VALUES (%s, %s, 1)", key)
    elif not connection.execute(
        "UPDATE market_stocks SET revision = %s WHERE site_id = %s AND device = %s AND revision = %s",
        (stock.revision, *key, stock.revision - 1),
    ).rowcount:
        raise _Refused


def _put(
    connection: Connection, table: str, key: str, revision: int | None, columns: dict[str, Any], value: str
) -> None:
    """Insert a new row (revision 0, or None for a table without), or move one on from the revision before."""
    kept = {**columns, "value": value, **({} if revision is None else {"revision": revision})}
    if not revision:
        names, marks = ", ".join(("id", *kept)), ", ".join(["%s"] * (len(kept) + 1))
        connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", (clean(key), *kept.values()))
        return
    sets = ", ".join(f"{name} = %s" for name in kept)
    done = connection.execute(
        f"UPDATE {table} SET {sets} WHERE id = %s AND revision = %s", (*kept.values(), clean(key), revision - 1)
    )
    if not done.rowcount:
        raise _Refused
