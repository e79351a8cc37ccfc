"""Offers, orders, trades, rights and auctions, as they are kept.

Owns their fields and what follows from them. Counts per window are tuples that begin at `first`. Capacity is conserved
like money: units move from an offer to a reservation when they are sold, and back when the right is offered again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from suanwang.domain.ids import ProjectId, SiteId
from suanwang.trading.ledger import AccountId
from suanwang.trading.market.product import MOST_PRICE_FEN, Zone, begins
from suanwang.trading.market.terms import Sold


class Plan(StrEnum):
    ON_DEMAND = "on_demand"
    """Any hours of it; sold at its posted price and in calls."""
    COMMITTED = "committed"
    """At least `least_windows` at once; sold at its posted price only."""
    SUBSCRIPTION = "subscription"
    """All its windows at once; sold at its posted price only."""
    LOT = "lot"
    """One unit over all its windows, a standard lot: sold in calls alone, to orders for exactly that lot."""
    INTERRUPTIBLE = "interruptible"
    """As on demand, but the provider may take it back; a zone of its own."""


CALLED_PLANS = frozenset({Plan.ON_DEMAND, Plan.INTERRUPTIBLE})


class OfferState(StrEnum):
    OPEN = "open"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Capacity for sale at a posted price; the seller gets that price whole, the commission comes on top."""

    id: str
    seller: AccountId
    site: SiteId
    region: str
    device: str
    kind: str = ""
    """The device's class: `gpu`, `npu`; none of a core."""
    first: int
    left: tuple[int, ...]
    """Units not sold yet, per window."""
    count: int
    """Units as listed."""
    price_fen: int
    plan: Plan = Plan.ON_DEMAND
    least_windows: int = 1
    reservation: str | None = None
    """The right that is sold on; None for a provider's own capacity."""
    sold: Sold | None = None
    """What stands behind the units of a right that is sold on, all that were listed."""
    state: OfferState = OfferState.OPEN
    listed_at: datetime
    revision: int = 0

    @property
    def end(self) -> int:
        """One past its last window."""
        return self.first + len(self.left)

    @property
    def zone(self) -> Zone:
        return Zone(self.site, self.device, self.plan is Plan.INTERRUPTIBLE)

    @property
    def asked(self) -> tuple[object, ...]:
        """What the seller asked for: equal in a repeated request."""
        return (
            *(self.seller, self.site, self.device, self.first, len(self.left), self.count, self.price_fen, self.plan),
            *(self.least_windows, self.reservation),
        )


class Way(StrEnum):
    NOW = "now"
    """At posted prices, at once, whole (or as much as there is, where divisible)."""
    IOC = "ioc"
    """As `now`, but no unit above the limit; the rest is cancelled."""
    STANDING = "standing"
    """Stays sealed until the call of its first window."""
    LOT = "lot"
    """As `standing`, for exactly one standard lot: cleared by the rule of McAfee."""


class OrderState(StrEnum):
    OPEN = "open"
    FILLED = "filled"
    PARTLY = "partly"
    """Some of a divisible order; the rest was released."""
    UNFILLED = "unfilled"
    CANCELLED = "cancelled"
    LAPSED = "lapsed"
    """Its call was never made, or nobody approved it in time; its hold was released."""
    WAITING = "waiting"
    """For the approval of people that an agreement names; what it can come to is held."""
    DECLINED = "declined"
    """By one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """The word of one side under an agreement: any of `names` may give it."""

    agreement: str
    version: int
    side: str
    """`project` or `provider`."""
    provider: str
    """The agreement's."""
    names: tuple[str, ...]
    by: str | None = None
    """Who gave it."""
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A wish for a rectangle in any of several zones, at most at `limit_fen` per unit and hour, commission included."""

    id: str
    project: ProjectId
    owner: str
    devices: tuple[str, ...]
    """Any of these models or classes."""
    places: tuple[str, ...] = ()
    """Sites or regions, any of these; empty for anywhere."""
    count: int
    first: int
    windows: int
    limit_fen: int
    divisible: bool = False
    interruptible: bool = False
    """Interruptible capacity will do as well."""
    way: Way = Way.STANDING
    state: OrderState = OrderState.OPEN
    placed_at: datetime
    ended_at: datetime | None = None
    filled: int = 0
    """Units."""
    paid_fen: int = 0
    consents: tuple[Consent, ...] = ()
    """What it waits or waited for."""
    waits_until: datetime | None = None
    """When it lapses unless all were given."""
    revision: int = 0

    @property
    def end(self) -> int:
        return self.first + self.windows

    @property
    def stands(self) -> bool:
        """Whether it is for a call."""
        return self.way in (Way.STANDING, Way.LOT)

    @property
    def limit_free(self) -> bool:
        """Whether whoever placed it named no limit."""
        return self.limit_fen == MOST_PRICE_FEN

    @property
    def hold_fen(self) -> int:
        """The most it can come to."""
        return self.limit_fen * self.count * self.windows

    @property
    def asked(self) -> tuple[object, ...]:
        """What the buyer asked for: equal in a repeated request."""
        return (
            *(self.project, self.devices, self.places, self.count, self.first, self.windows, self.limit_fen),
            *(self.divisible, self.interruptible, self.way),
        )

    def accepts(self, offer: Offer) -> bool:
        """Whether units of the offer would do, whatever the price."""
        return (
            (offer.device in self.devices or offer.kind in self.devices)
            and (not self.places or offer.site in self.places or offer.region in self.places)
            and (self.interruptible or offer.plan is not Plan.INTERRUPTIBLE)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What one bid gets of one ask: units per window from `first`."""

    bid: str
    ask: str
    zone: Zone
    first: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A right to capacity at a site, bought by an order; `counts` are the units left of it, per window."""

    id: str
    order_id: str
    project: ProjectId
    site: SiteId
    region: str
    device: str
    interruptible: bool
    first: int
    counts: tuple[int, ...]
    bought: int
    """Units as bought."""
    paid_fen: int
    at: datetime
    sold: Sold | None = None
    """What stands behind all the units that were bought; None for rights of before there were terms."""
    taken_back: bool = False
    """Its provider took units of it back, or did not deliver them."""
    replaced_by: str | None = None
    """The right that was bought in its place."""
    revision: int = 0

    @property
    def end(self) -> int:
        return self.first + len(self.counts)

    def most(self, first: int, end: int) -> int:
        """The most units left of it in any of these windows."""
        return max(self.counts[max(first - self.first, 0) : max(end - self.first, 0)], default=0)

    def least(self, first: int, end: int) -> int:
        """The units left of it in all of these windows; 0 where it does not hold them all."""
        inside = self.first <= first and end <= self.end
        return min(self.counts[first - self.first : end - self.first], default=0) if inside else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """What one order got of one offer. `amount_fen` is what the buyer paid, `commission_fen` the network's part of it."""

    id: str
    order_id: str
    offer_id: str
    project: ProjectId
    seller: AccountId
    zone: Zone
    first: int
    counts: tuple[int, ...]
    amount_fen: int
    commission_fen: int
    leftover: int = 0
    """Of its commission (`trading.leftovers`)."""
    auction: int | None = None
    """The window whose call made it; None at a posted price."""
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """The uniform price of a zone in one window, commission included, and the units that changed hands at it."""

    zone: Zone
    window: int
    price_fen: int
    units: int
    lot_hours: int | None = None
    """Of standard lots that begin in the window: their length. Then the zone names their region, and the price is what
    buyers pay."""
    seller_fen: int | None = None
    """And this, commission included, what sellers get of it; the network has the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Auction:
    """A call that was made, once. `first` is its window: it clears the standing orders that begin there."""

    first: int
    called_at: datetime
    orders: int
    filled: int
    surplus_fen: int
    """What buyers would have paid at most, less what sellers asked at least."""
    bound_fen: int
    """No result whatever could have a greater surplus."""
    prices: tuple[Priced, ...] = ()

    @property
    def begins_at(self) -> datetime:
        return begins(self.first)
