"""Offers, orders, trades and rights, as a store keeps them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import (
    Event,
)
from suanwang.trading.budgets import Draw
from suanwang.trading.ledger import Account, AccountId, Chain, Outcome
from suanwang.trading.market.termination import Deposit, Termination
from suanwang.trading.market.terms import SaleTerms
from suanwang.trading.market.values import Auction, Offer, Order, Reservation, Trade


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """Guards how much of a device a site has put on the market: whoever lists more of it moves `revision` on by one."""

    site: SiteId
    device: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a project's latest order was as somebody counted what it had ordered: opaque, from `last_order`."""

    project: ProjectId
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """One change of the market: all of it happens, or nothing does.

    Offers, orders, reservations and deposits carry revision 0 where they are new, else the stored one plus 1. With `auction`, the
    orders are all those that stood sealed for it.
    """

    offers: tuple[Offer, ...] = ()
    orders: tuple[Order, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    trades: tuple[Trade, ...] = ()
    auction: Auction | None = None
    stock: Stock | None = None
    """Its `revision` is the stored one plus 1; of a stock that nobody listed from yet 1."""
    deposits: tuple[Deposit, ...] = ()
    terminations: tuple[Termination, ...] = ()
    """What is unpaid of them is owed from then on."""
    accounts: tuple[Account, ...] = ()
    """Opened with it, those that there are not."""
    chains: tuple[Chain, ...] = ()
    draw: Draw | None = None
    """What an order newly takes or holds, which budgets must bear."""
    turn: Turn | None = None
    """Its order was decided after what its project had ordered by then: refused where more came since."""
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt:
    """Whether a deal was done; where not, `refused` are the chains that the ledger did not take, none where something of it
    has moved on: read again, decide again."""

    done: bool
    refused: tuple[Outcome, ...] = ()
    overtaken: bool = False
    """Whether its turn was over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferQuery:
    """None means no restriction. An offer counts where its windows overlap `first` to `end`."""

    sites: Collection[SiteId] | None = None
    devices: Collection[str] | None = None
    sellers: Collection[AccountId] | None = None
    first: int | None = None
    end: int | None = None
    open: bool = True
    """Without those that were withdrawn or sold out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeQuery:
    projects: Collection[ProjectId] | None = None
    sellers: Collection[AccountId] | None = None
    order_id: str | None = None
    site: SiteId | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminationQuery:
    """None means no restriction. An termination counts where its windows overlap `first` to `end`."""

    projects: Collection[ProjectId] | None = None
    sellers: Collection[AccountId] | None = None
    first: int | None = None
    end: int | None = None


class Market(Protocol):
    """Offers, orders, trades, rights and calls. Every method is one transaction."""

    def deal(self, deal: Deal, now: datetime) -> Dealt:
        """Carry it out wholly or not at all. A new open order whose call was made already, and a call without one of its
        orders or made before, are refused as moved on."""

    def offer(self, offer_id: str) -> Offer | None: ...

    def offers(self, query: OfferQuery, cursor: str | None, limit: int) -> tuple[Sequence[Offer], str | None]:
        """Newest first."""

    def listed(
        self, site: SiteId, device: str, first: int, end: int
    ) -> tuple[int, Sequence[Offer], Sequence[Reservation]]:
        """The stock's revision (0 for none), and the open offers and reservations of it that overlap these windows, as of
        one instant."""

    def order(self, order_id: str) -> Order | None: ...

    def orders(
        self, projects: Collection[ProjectId] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Order], str | None]:
        """Newest first."""

    def last_order(self, project: ProjectId) -> Turn: ...

    def sealed(self, first: int) -> Sequence[Order]:
        """Orders that stand open for the call of this window, by identifier."""

    def waiting_orders(self, limit: int) -> Sequence[Order]:
        """Orders that wait for approval, those that lapse first in front."""

    def calls_waiting(self, until: int, limit: int) -> Sequence[int]:
        """Windows up to `until` for which an order stands open, ascending."""

    def reservation(self, reservation_id: str) -> Reservation | None: ...

    def reservations(
        self, projects: Collection[ProjectId] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Reservation], str | None]:
        """Newest first."""

    def reserved(self, first: int, end: int) -> Sequence[Reservation]:
        """Rights that have units left in any of these windows, by identifier."""

    def trades(self, query: TradeQuery, cursor: str | None, limit: int) -> tuple[Sequence[Trade], str | None]:
        """Newest first."""

    def deposits_due(self, until: int, limit: int) -> Sequence[Deposit]:
        """Open deposits that stand for windows before `until` alone, oldest first."""

    def deposits(
        self, sellers: Collection[AccountId] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Deposit], str | None]:
        """Newest first."""

    def termination(self, termination_id: str) -> Termination | None: ...

    def terminations(
        self, query: TerminationQuery, cursor: str | None, limit: int
    ) -> tuple[Sequence[Termination], str | None]:
        """Rights that ended early, newest first."""

    def debts_due(self, now: datetime, limit: int) -> Sequence[Termination]:
        """Terminations of which something is still owed, to be tried now; the oldest first."""

    def debts_open(self, terminations: Collection[str]) -> Collection[str]:
        """Those of these of which something is still owed."""

    def debt_tried(self, termination_id: str, retry_at: datetime | None) -> None:
        """It was paid, or with `retry_at` it could not be and waits until then."""

    def sale_terms(self) -> Sequence[SaleTerms]:
        """All that were ever set, the latest `from_at` first."""

    def add_sale_terms(self, terms: SaleTerms, events: Sequence[Event]) -> bool:
        """Keep terms; False where there are others from the same instant."""

    def auction(self, first: int) -> Auction | None: ...

    def auctions(self, before: int | None, limit: int) -> Sequence[Auction]:
        """Calls that were made, latest window first, those before window `before`."""
