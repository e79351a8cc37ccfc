"""The market in memory: the reference for the Protocol, and what the simulation runs on.

Owns the same guards that PostgreSQL enforces with keys, revisions and locks. The memory store's lock stands for
transactions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from suanwang.adapters.store.memory_ledger import MemoryLedger
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import Event
from suanwang.ports import Deal, Dealt, OfferQuery, TerminationQuery, TradeQuery, Turn
from suanwang.trading.ledger import Account, AccountId, Book, Outcome
from suanwang.trading.market.termination import Deposit, Termination
from suanwang.trading.market.terms import SaleTerms
from suanwang.trading.market.values import Auction, Offer, OfferState, Order, OrderState, Reservation, Trade

T = TypeVar("T")


class MemoryMarket(MemoryLedger):
    """Implements `ports.Market`; `MemoryStore` mixes it in."""

    def __init__(self) -> None:
        super().__init__()
        self._offers: dict[str, Offer] = {}
        self._orders: dict[str, Order] = {}
        self._rights: dict[str, Reservation] = {}
        self._trades: dict[str, Trade] = {}
        self._auctions: dict[int, Auction] = {}
        self._stocks: dict[tuple[SiteId, str], int] = {}
        self._deposits: dict[str, Deposit] = {}
        self._terminations: dict[str, Termination] = {}
        self._terms: dict[datetime, SaleTerms] = {}
        self._debts: dict[str, datetime] = {}

    def deal(self, deal: Deal, now: datetime) -> Dealt:
        with self._lock:
            if deal.turn is not None and self.last_order(deal.turn.project) != deal.turn:
                return Dealt(done=False, overtaken=True)
            if not self._fits(deal):
                return Dealt(done=False)
            purse = "" if deal.draw is None else self._passed(deal.draw, now)
            if purse:
                return Dealt(done=False, refused=(self._book.unborne(deal.chains[0], purse),))
            refused = self._tried(deal, now)
            if refused:
                return Dealt(done=False, refused=refused)
            self.open_accounts(deal.accounts)
            self._persons.update({f"trade/{order.id}": order.owner for order in deal.orders})
            for chain in deal.chains:
                self._post(chain, now)
                self._wake({transfer.credit for transfer in chain})
            self._offers.update({offer.id: offer for offer in deal.offers})
            self._orders.update({order.id: order for order in deal.orders})
            self._rights.update({right.id: right for right in deal.reservations})
            self._trades.update({trade.id: trade for trade in deal.trades})
            self._deposits.update({deposit.id: deposit for deposit in deal.deposits})
            self._terminations.update({termination.id: termination for termination in deal.terminations})
            self._debts.update({each.id: each.at for each in deal.terminations if each.unpaid_fen})
            if deal.auction is not None:
                self._auctions[deal.auction.first] = deal.auction
            if deal.stock is not None:
                self._stocks[deal.stock.site, deal.stock.device] = deal.stock.revision
            self.append_events(deal.events)
            return Dealt(done=True)

    def _fits(self, deal: Deal) -> bool:
        if deal.auction is not None:
            first = deal.auction.first
            if first in self._auctions or {order.id for order in self.sealed(first)} != {o.id for o in deal.orders}:
                return False
        elif any(order.state is OrderState.OPEN and order.first in self._auctions for order in deal.orders):
            return False
        stock = deal.stock
        if stock is not None and self._stocks.get((stock.site, stock.device), 0) != stock.revision - 1:
            return False
        return (
            _follows(self._offers, deal.offers)
            and _follows(self._orders, deal.orders)
            and _follows(self._rights, deal.reservations)
            and _follows(self._deposits, deal.deposits)
            and all(termination.id not in self._terminations for termination in deal.terminations)
            and all(trade.id not in self._trades for trade in deal.trades)
        )

    def _tried(self, deal: Deal, now: datetime) -> tuple[Outcome, ...]:
        """The chains that the ledger would not take, tried on what they touch of it."""
        transfers = [transfer for chain in deal.chains for transfer in chain]
        book, names = self._book, {transfer.chain for transfer in transfers}
        accounts = {side for transfer in transfers for side in (transfer.debit, transfer.credit)}
        pending = {transfer.pending_id for transfer in transfers if transfer.pending_id is not None}
        new: dict[AccountId, Account] = {account.id: account for account in deal.accounts}
        trial = Book(
            accounts=new | {key: book.accounts[key] for key in accounts if key in book.accounts},
            known={t.id: book.known[t.id] for t in transfers if t.id in book.known},
            chains={name: book.chains[name] for name in names if name in book.chains},
            holds={key: book.holds[key] for key in pending if key in book.holds},
        )
        outcomes = [trial.post(chain, now) for chain in deal.chains]
        return tuple(outcome for outcome in outcomes if not outcome.done)

    def offer(self, offer_id: str) -> Offer | None:
        return self._offers.get(offer_id)

    def offers(self, query: OfferQuery, cursor: str | None, limit: int) -> tuple[Sequence[Offer], str | None]:
        def wanted(offer: Offer) -> bool:
            return (
                (query.sites is None or offer.site in query.sites)
                and (query.devices is None or offer.device in query.devices)
                and (query.sellers is None or offer.seller in query.sellers)
                and (query.first is None or offer.end > query.first)
                and (query.end is None or offer.first < query.end)
                and (not query.open or _sellable(offer))
            )

        with self._lock:
            return _page(self._offers.values(), wanted, cursor, limit)

    def listed(
        self, site: SiteId, device: str, first: int, end: int
    ) -> tuple[int, Sequence[Offer], Sequence[Reservation]]:
        with self._lock:
            offers = [
                each
                for each in self._offers.values()
                if (each.site, each.device) == (site, device)
                and _sellable(each)
                and each.end > first
                and each.first < end
            ]
            rights = [
                each
                for each in self._rights.values()
                if (each.site, each.device) == (site, device) and each.end > first and each.first < end
            ]
            return (
                self._stocks.get((site, device), 0),
                sorted(offers, key=lambda each: each.id),
                sorted(rights, key=lambda each: each.id),
            )

    def order(self, order_id: str) -> Order | None:
        return self._orders.get(order_id)

    def orders(
        self, projects: Collection[ProjectId] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Order], str | None]:
        with self._lock:
            return _page(
                self._orders.values(), lambda each: projects is None or each.project in projects, cursor, limit
            )

    def last_order(self, project: ProjectId) -> Turn:
        with self._lock:
            return Turn(project=project, last=sum(order.project == project for order in self._orders.values()))

    def sealed(self, first: int) -> Sequence[Order]:
        with self._lock:
            found = [each for each in self._orders.values() if each.first == first and each.state is OrderState.OPEN]
            return sorted(found, key=lambda each: each.id)

    def waiting_orders(self, limit: int) -> Sequence[Order]:
        with self._lock:
            found = [
                (e.waits_until, e) for e in self._orders.values() if e.state is OrderState.WAITING and e.waits_until
            ]
            return [order for _, order in sorted(found, key=lambda each: each[0])[:limit]]

    def calls_waiting(self, until: int, limit: int) -> Sequence[int]:
        with self._lock:
            found = {e.first for e in self._orders.values() if e.state is OrderState.OPEN and e.first <= until}
            return sorted(found)[:limit]

    def reservation(self, reservation_id: str) -> Reservation | None:
        return self._rights.get(reservation_id)

    def reservations(
        self, projects: Collection[ProjectId] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Reservation], str | None]:
        with self._lock:
            return _page(
                self._rights.values(), lambda each: projects is None or each.project in projects, cursor, limit
            )

    def reserved(self, first: int, end: int) -> Sequence[Reservation]:
        with self._lock:
            return sorted((e for e in self._rights.values() if e.most(first, end)), key=lambda each: each.id)

    def trades(self, query: TradeQuery, cursor: str | None, limit: int) -> tuple[Sequence[Trade], str | None]:
        def wanted(trade: Trade) -> bool:
            return (
                (query.projects is None or trade.project in query.projects)
                and (query.sellers is None or trade.seller in query.sellers)
                and (query.order_id is None or trade.order_id == query.order_id)
                and (query.site is None or trade.zone.site == query.site)
                and (query.device is None or trade.zone.device == query.device)
            )

        with self._lock:
            return _page(self._trades.values(), wanted, cursor, limit)

    def deposits_due(self, until: int, limit: int) -> Sequence[Deposit]:
        with self._lock:
            found = [each for each in self._deposits.values() if each.open and each.until <= until]
            return sorted(found, key=lambda each: each.until)[:limit]

    def deposits(
        self, sellers: Collection[AccountId] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Deposit], str | None]:
        with self._lock:
            every = self._deposits.values()
            return _page(every, lambda each: sellers is None or each.seller in sellers, cursor, limit)

    def termination(self, termination_id: str) -> Termination | None:
        return self._terminations.get(termination_id)

    def terminations(
        self, query: TerminationQuery, cursor: str | None, limit: int
    ) -> tuple[Sequence[Termination], str | None]:
        def wanted(termination: Termination) -> bool:
            return (
                (query.projects is None or termination.project in query.projects)
                and (query.sellers is None or termination.seller in query.sellers)
                and (query.first is None or termination.end > query.first)
                and (query.end is None or termination.first < query.end)
            )

        with self._lock:
            return _page(self._terminations.values(), wanted, cursor, limit)

    def debts_due(self, now: datetime, limit: int) -> Sequence[Termination]:
        with self._lock:
            due = [each for name, each in self._terminations.items() if self._debts.get(name, now) <= now]
            return [each for each in due if each.id in self._debts][:limit]

    def debts_open(self, terminations: Collection[str]) -> Collection[str]:
        with self._lock:
            return set(terminations) & self._debts.keys()

    def debt_tried(self, termination_id: str, retry_at: datetime | None) -> None:
        with self._lock:
            if retry_at is None:
                self._debts.pop(termination_id, None)
            elif termination_id in self._debts:
                self._debts[termination_id] = retry_at

    def sale_terms(self) -> Sequence[SaleTerms]:
        with self._lock:
            return [self._terms[at] for at in sorted(self._terms, reverse=True)]

    def add_sale_terms(self, terms: SaleTerms, events: Sequence[Event]) -> bool:
        with self._lock:
            if terms.from_at in self._terms:
                return False
            self._terms[terms.from_at] = terms
            self.append_events(events)
            return True

    def auction(self, first: int) -> Auction | None:
        return self._auctions.get(first)

    def auctions(self, before: int | None, limit: int) -> Sequence[Auction]:
        with self._lock:
            found = sorted((key for key in self._auctions if before is None or key < before), reverse=True)
            return [self._auctions[key] for key in found[:limit]]


def _sellable(offer: Offer) -> bool:
    return offer.state is OfferState.OPEN and any(offer.left)


K = TypeVar("K", Offer, Order, Reservation, Deposit)


def _follows(stored: Mapping[str, K], changed: Sequence[K]) -> bool:
    """Whether each is new, or one revision on from what is stored."""
    return all(
        each.id not in stored
        if each.revision == 0
        else each.id in stored and stored[each.id].revision == each.revision - 1
        for each in changed
    )


def _page(
    values: Iterable[T], wanted: Callable[[T], bool], cursor: str | None, limit: int
) -> tuple[Sequence[T], str | None]:
    """Newest first. Rows are never deleted, so a place in the order of arrival is a cursor."""
    every = list(values)
    end, found = int(cursor) if cursor else len(every), list[T]()
    for index in range(end - 1, -1, -1):
        if wanted(every[index]):
            if len(found) == limit:
                return found, str(index + 1)
            found.append(every[index])
    return found, None
