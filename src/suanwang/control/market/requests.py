"""What people ask of the market, and the checks that need nothing but the request.

Owns the shape of a request and its bounds. Who may ask, and what comes of it, is `control.market`'s.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import Event
from suanwang.domain.precision import DeviceKind
from suanwang.domain.site import Site
from suanwang.trading.ledger import MOST_FEN
from suanwang.trading.market.product import CORE, begins, window_of
from suanwang.trading.market.values import Auction, Match, Plan, Way

if TYPE_CHECKING:
    from suanwang.control.market.calling import Indication

KINDS = frozenset(kind.value for kind in DeviceKind)
AHEAD = timedelta(days=366)
NAME = re.compile(r"[a-z0-9][a-z0-9-]{6,62}[a-z0-9]")
ID_ALLOWED = "8 to 64 of a-z, 0-9 and -, such as a UUID"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOffer:
    """What a seller lists. With `reservation`, a right is sold on, and `site` and `device` are the right's."""

    id: str
    site: SiteId | None = None
    device: str | None = None
    count: int
    start: datetime
    end: datetime
    price_fen: int
    plan: Plan = Plan.ON_DEMAND
    least_hours: int = 1
    reservation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a buyer wants. `limit_fen` may be left out for `now` alone; `not_after` refuses a request that arrives late."""

    id: str
    project: ProjectId
    devices: tuple[str, ...]
    places: tuple[str, ...] = ()
    count: int
    start: datetime
    end: datetime
    limit_fen: int | None = None
    divisible: bool = False
    interruptible: bool = False
    way: Way = Way.STANDING
    not_after: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """What an order would get and pay at posted prices now."""

    units: int
    amount_fen: int
    """Commission included."""
    matches: tuple[Match, ...]


class Phase:
    """Of a call: `open`, `frozen`, `called`, `passed` (its window began; none was made)."""

    OPEN, FROZEN, CALLED, PASSED = "open", "frozen", "called", "passed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calling:
    """One window's call. Sealed orders are not shown; while nothing can be taken back, the price it would have is."""

    first: int
    call_at: datetime
    freeze_at: datetime
    phase: str
    auction: Auction | None = None
    indication: Indication | None = None


def capacity_of(site: Site, device: str) -> int:
    """Units of a device that a site declares. Raises `InvalidRequest` where it has none."""
    if device == CORE:
        return site.offering.cores
    found = sum(pool.count for pool in site.offering.devices if pool.model == device)
    if not found:
        have = ", ".join([CORE, *sorted(pool.model for pool in site.offering.devices)])
        raise InvalidRequest(f"{site.id} has no {device[:100]!r}", field="device", allowed=have)
    return found


def kind_of(site: Site, device: str) -> str:
    """The class of a device of the site; none of a core."""
    return next((pool.kind.value for pool in site.offering.devices if pool.model == device), "")


def models_asked(devices: Collection[str]) -> Collection[str] | None:
    """The models to look offers up by; None where a class is among them, whose models nobody knows."""
    return None if KINDS & set(devices) else devices


def projects_of(caller: Principal) -> Sequence[ProjectId] | None:
    return None if caller.role in (Role.OPERATOR, Role.REGULATOR) else caller.projects


def units_of(matches: Sequence[Match]) -> int:
    """Units of a rectangle that its matches come to: those of its first window."""
    first = min((match.first for match in matches), default=0)
    return sum(match.counts[0] for match in matches if match.first == first)


def event_of(
    kind: str,
    now: datetime,
    caller: Principal,
    project: ProjectId | None = None,
    site: SiteId | None = None,
    **data: object,
) -> Event:
    return Event(kind=kind, at=now, project=project, site_id=site, actor=caller.name, data=data)


def check_id(name: str) -> None:
    if NAME.fullmatch(name) is None:
        raise InvalidRequest("this identifier is not possible", field="id", allowed=ID_ALLOWED)


def check_range(field: str, value: int, most: int) -> None:
    if not 0 < value <= most:
        raise InvalidRequest(f"{value} is out of range", field=field, allowed=f"1 to {most}")


def check_ahead(start: datetime, first: int, now: datetime) -> None:
    if first < window_of(now):
        raise InvalidRequest(
            "these hours are past", field="start", allowed=f"{begins(window_of(now)).isoformat()} or later"
        )
    if start > now + AHEAD:
        raise InvalidRequest("these hours are too far ahead", field="start", allowed=f"within {AHEAD.days} days")


def too_much(field: str) -> InvalidRequest:
    return InvalidRequest(f"an order comes to at most {MOST_FEN} fen", field=field, allowed="less")
