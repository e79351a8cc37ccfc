"""What the API says and takes about the market, as pydantic models.

Owns these answers' field names. Prices are whole fen per unit and hour, amounts whole fen; windows are hours, given by the
instants between which they lie.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from suanwang.client.models import Answer, Asked, Page
from suanwang.trading.market.product import MOST_PRICE_FEN, MOST_UNITS
from suanwang.trading.market.values import OfferState, OrderState, Plan, Way

_ID = re.compile(r"[a-z0-9][a-z0-9-]{6,62}[a-z0-9]")


def _own_id(value: str) -> str:
    if not _ID.fullmatch(value):
        raise ValueError("8 to 64 of a-z, 0-9 and dashes, with none at either end; such as a UUID")
    return value


Id = Annotated[
    str,
    AfterValidator(_own_id),
    Field(description="Your own, such as a UUID", json_schema_extra={"pattern": f"^{_ID.pattern}$"}),
]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Hour = Annotated[datetime, Field(strict=False, description="On the hour, with its offset")]
Units = Annotated[int, Field(ge=1, le=MOST_UNITS)]


class NewOffer(Asked):
    """Capacity for sale. `id` is the seller's own name for it: the same again changes nothing. With `reservation` a right is
    sold on, whose site and device it has."""

    id: Id
    site: Name | None = None
    device: Name | None = None
    count: Units
    start: Hour
    end: Hour
    price_fen: int = Field(ge=1, le=MOST_PRICE_FEN // 2, description="What the seller gets, per unit and hour")
    plan: Plan = Field(default=Plan.ON_DEMAND, strict=False)
    least_hours: int = Field(default=1, ge=1, le=744)
    reservation: Name | None = None


class NewOrder(Asked):
    """A rectangle of capacity: so many units of any of these devices, at any of these sites or regions, over whole hours."""

    id: Id
    project: str | None = Field(default=None, max_length=63, description="Who pays; by default your first project")
    devices: list[Name] = Field(min_length=1, max_length=20)
    places: list[Name] = Field(default_factory=list, max_length=20)
    count: Units
    start: Hour
    end: Hour
    limit_fen: int | None = Field(
        default=None, ge=1, le=MOST_PRICE_FEN, description="The most per unit and hour, commission included"
    )
    divisible: bool = False
    interruptible: bool = False
    way: Way = Field(default=Way.STANDING, strict=False)
    not_after: datetime | None = Field(default=None, strict=False, description="An order that arrives later is refused")


class OfferView(Answer):
    """`left` are the units not sold yet, one figure for each hour; `buyer_price_fen` has the commission on top."""

    id: str
    seller: str
    site: str
    region: str
    device: str
    start: datetime
    end: datetime
    count: int
    left: list[int]
    price_fen: int
    buyer_price_fen: int
    plan: Plan
    least_hours: int
    reservation: str | None
    state: OfferState
    listed_at: datetime


class OfferPage(Page):
    items: list[OfferView]


class ConsentView(Answer):
    """One side's word under an agreement: any of `names` may give it; `by` is None until one did."""

    agreement: str
    version: int
    side: str
    names: list[str]
    by: str | None
    at: datetime | None


class OrderView(Answer):
    """`limit_fen` is None where it was left out; `held_fen` is what a standing order keeps of its project's account."""

    id: str
    project: str
    owner: str
    devices: list[str]
    places: list[str]
    count: int
    start: datetime
    end: datetime
    limit_fen: int | None
    divisible: bool
    interruptible: bool
    way: Way
    state: OrderState
    placed_at: datetime
    ended_at: datetime | None
    filled: int
    paid_fen: int
    held_fen: int
    call_at: datetime | None
    """When its call is made; None where it waits for none."""
    waits_until: datetime | None = None
    """When it lapses unless it is approved; None where it waits for nobody."""
    consents: list[ConsentView] = []


class OrderPage(Page):
    items: list[OrderView]


class WaitingOrders(Answer):
    """Orders that wait for approval, those that lapse first in front."""

    items: list[OrderView]


class QuotePart(Answer):
    """Of one offer: unit-hours."""

    offer: str
    site: str
    device: str
    interruptible: bool
    unit_hours: int


class OrderQuote(Answer):
    """What an order would get and pay at posted prices now."""

    units: int
    amount_fen: int
    parts: list[QuotePart]


class RightView(Answer):
    """A reservation: `counts` are the units left of it, one figure for each hour; the rest was sold on or is offered."""

    id: str
    order: str
    project: str
    site: str
    region: str
    device: str
    interruptible: bool
    start: datetime
    end: datetime
    counts: list[int]
    bought: int
    paid_fen: int
    at: datetime


class RightPage(Page):
    items: list[RightView]


class TradeView(Answer):
    """What an order got of an offer; `auction` is the window whose call made it, None at a posted price."""

    id: str
    order: str
    offer: str
    project: str
    seller: str
    site: str
    device: str
    interruptible: bool
    start: datetime
    end: datetime
    unit_hours: int
    amount_fen: int
    commission_fen: int
    auction: datetime | None
    at: datetime


class TradePage(Page):
    items: list[TradeView]


class ZonePrice(Answer):
    """The price of one zone in the hour that begins at `start`, commission included, and the units at it. Of standard lots of
    `lot_hours` `site` is their region, the price what buyers pay, and `seller_fen` what sellers get with the commission."""

    site: str
    device: str
    interruptible: bool
    start: datetime
    price_fen: int
    units: int
    lot_hours: int | None = None
    seller_fen: int | None = None


class AuctionView(Answer):
    """A call that was made. `surplus_fen` is what was gained over all limits; no result had more than `bound_fen`."""

    window: datetime
    called_at: datetime
    orders: int
    filled: int
    surplus_fen: int
    bound_fen: int
    prices: list[ZonePrice]


class AuctionPage(Page):
    items: list[AuctionView]


class CallView(Answer):
    """One window's call: `open`, `frozen` (nothing is taken back, `indication` is the price it would have now), `called`, or
    `passed`."""

    window: datetime
    freeze_at: datetime
    call_at: datetime
    phase: str
    indication: list[ZonePrice] | None
    auction: AuctionView | None


class DepthStep(Answer):
    """Units on sale at this price, and with all cheaper ones."""

    offer: str
    site: str
    interruptible: bool
    price_fen: int
    units: int
    total: int


class DepthView(Answer):
    """The supply that stands open for one hour, cheapest first; prices with the commission on top."""

    device: str
    window: datetime
    steps: list[DepthStep]


class PricePoint(Answer):
    """A trade, without its parties."""

    at: datetime
    site: str
    device: str
    interruptible: bool
    start: datetime
    end: datetime
    unit_hours: int
    price_fen: float
    auction: bool


class PriceHistory(Answer):
    items: list[PricePoint]
