"""Orders that wait for both sides' word: where an agreement asks for it, named people of project and provider approve first.

Owns which orders those are, who may speak, and what follows: bought or standing once all have approved, given back when one
declines or their time is over. The most it can come to is held on the project's account meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from suanwang.control.market.calling import end, freeze_at
from suanwang.control.market.requests import event_of
from suanwang.control.rules import Rules
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound, Unavailable
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import SiteId
from suanwang.domain.job import Event
from suanwang.ports import Clock, Store
from suanwang.trading.agreements import Agreement, Approval, Side
from suanwang.trading.ledger import Owner, account_id
from suanwang.trading.market.product import HOUR, begins
from suanwang.trading.market.values import Consent, Order, OrderState

if TYPE_CHECKING:
    from suanwang.control.market.ordering import Market

MOST_WAITING = 1_000
COUNTED = timedelta(hours=24)
"""Orders of one project that are placed within so long of each other are looked at as one, as procurement rules against
splitting do."""
_TRIES = 8
_PAGE = 500
_MARGIN = timedelta(minutes=10)
"""Before its hold times out."""
Clause = tuple[Agreement, Approval]


def asking(store: Store, order: Order, now: datetime) -> list[Clause]:
    """The agreements in force that ask for approval of this order: those of its project whose sites may fill it."""
    regions = {site.id: site.offering.region for site in store.sites()}
    found: list[Clause] = []
    cursor: str | None = None
    while True:
        page, cursor = store.agreements([account_id(Owner.PROJECT, order.project)], cursor, 500)
        for agreement in page:
            if agreement.approval is None or agreement.from_at is None or agreement.until_at is None:
                continue
            if _may_fill(agreement, order, regions) and agreement.from_at <= now < agreement.until_at:
                found.append((agreement, agreement.approval))
        if cursor is None:
            return sorted(found, key=lambda each: (each[0].id, each[0].version))


def _may_fill(agreement: Agreement, order: Order, regions: Mapping[SiteId, str]) -> bool:
    return any(not order.places or {site, regions.get(site)} & set(order.places) for site in agreement.sites)


def lately_fen(store: Store, order: Order, clauses: Sequence[Clause]) -> Mapping[str, int]:
    """Agreement → what its project ordered in the last 24 hours at its sites that nobody was asked about under it: what was
    paid, and of orders that stand the most they can come to."""
    regions = {site.id: site.offering.region for site in store.sites()}
    since = order.placed_at - COUNTED
    found = dict.fromkeys((agreement.id for agreement, _ in clauses), 0)
    cursor: str | None = None
    while True:
        page, cursor = store.orders([order.project], cursor, _PAGE)
        for each in page:
            if each.placed_at <= since or each.id == order.id:
                continue
            asked = {consent.agreement for consent in each.consents}
            for agreement, _ in clauses:
                if agreement.id not in asked and _may_fill(agreement, each, regions):
                    found[agreement.id] += each.hold_fen if each.state is OrderState.OPEN else each.paid_fen
        if cursor is None or page[-1].placed_at <= since:
            return found


def waits(
    order: Order, worth_fen: int, clauses: Sequence[Clause], lately: Mapping[str, int], rules: Rules, now: datetime
) -> Order | None:
    """The order as it waits for approval; None where nobody asks for one. `worth_fen` is the most it can come to, to which
    comes what its project ordered `lately`.

    Raises `InvalidRequest` for one without a limit: what is approved is the most it may cost.
    """
    asked = [(agreement, of) for agreement, of in clauses if worth_fen + lately[agreement.id] >= of.over_fen]
    if not asked:
        return None
    if order.limit_free:
        names = ", ".join(agreement.id for agreement, _ in asked)
        most = max(lately[agreement.id] for agreement, _ in asked)
        beside = f", with ¥{most / 100:.2f} ordered in the last 24 hours without one" if most else ""
        raise InvalidRequest(
            f"this order needs approval under {names}{beside}: say the most it may cost",
            field="limit_fen",
            allowed="a limit per unit and hour",
        )
    within = timedelta(hours=min(of.within_h for _, of in asked))
    latest = freeze_at(order.first, rules) if order.stands else begins(order.first) + HOUR - _MARGIN
    consents = tuple(
        Consent(agreement=agreement.id, version=agreement.version, side=side, provider=agreement.provider, names=names)
        for agreement, of in asked
        for side, names in ((Side.PROJECT, of.project), (Side.PROVIDER, of.provider))
        if names
    )
    return replace(order, state=OrderState.WAITING, consents=consents, waits_until=min(now + within, latest))


def lapse_waiting(store: Store, now: datetime) -> int:
    """Give back what nobody decided in time; returns how many orders."""
    done = 0
    for order in store.waiting_orders(MOST_WAITING):
        if order.waits_until is not None and order.waits_until <= now:
            ended = replace(order, state=OrderState.LAPSED, ended_at=now, revision=order.revision + 1)
            data = {"order": order.id, "state": ended.state.value, "units": 0, "paid_fen": 0}
            done += end(store, ended, Event(kind="market.ended", at=now, project=order.project, data=data), now)
    return done


class Approvals:
    """What waits, and saying yes or no to it."""

    def __init__(self, store: Store, clock: Clock, market: Market) -> None:
        self._store = store
        self._clock = clock
        self._market = market

    def waiting(self, caller: Principal) -> Sequence[Order]:
        """Orders that wait for somebody, among them whoever asks or his project; operator and regulator see all."""
        found = self._store.waiting_orders(MOST_WAITING)
        if caller.role in (Role.OPERATOR, Role.REGULATOR):
            return found
        return [order for order in found if caller.may_see(order.project) or _spoken_for(caller, order)]

    def approve(self, caller: Principal, order_id: str) -> Order:
        """One person's yes. The last one that was waited for buys, or lets the order stand. Repeating it is harmless."""
        for _ in range(_TRIES):
            now = self._clock.now()
            order = self._order(caller, order_id)
            mine = _spoken_for(caller, order)
            if not mine:
                raise Forbidden(
                    f"{caller.name!r} is not named to approve this order", field="order", allowed=_names(order)
                )
            if order.state is not OrderState.WAITING:
                if all(order.consents[at].by for at in mine):
                    return order
                raise Conflict(f"the order has ended: {order.state}", field="order")
            if order.waits_until is not None and now >= order.waits_until:
                raise Conflict("the time to approve this order is over", field="order")
            consents = tuple(
                replace(each, by=caller.name, at=now) if at in mine and each.by is None else each
                for at, each in enumerate(order.consents)
            )
            said = replace(order, consents=consents)
            event = event_of("market.approved", now, caller, order.project, order=order.id)
            made = self._market.approved(said, event, now)
            if made is not None:
                return made
        raise Unavailable("others decided about the same order at the same time: try again")

    def decline(self, caller: Principal, order_id: str) -> Order:
        """One person's no: the order ends, and its hold goes back. Repeating it is harmless."""
        for _ in range(_TRIES):
            now = self._clock.now()
            order = self._order(caller, order_id)
            if not _spoken_for(caller, order):
                raise Forbidden(
                    f"{caller.name!r} is not named to approve this order", field="order", allowed=_names(order)
                )
            if order.state is OrderState.DECLINED:
                return order
            if order.state is not OrderState.WAITING:
                raise Conflict(f"the order is {order.state} already", field="order")
            ended = replace(order, state=OrderState.DECLINED, ended_at=now, revision=order.revision + 1)
            if end(self._store, ended, event_of("market.declined", now, caller, order.project, order=order.id), now):
                return ended
        raise Unavailable("others decided about the same order at the same time: try again")

    def _order(self, caller: Principal, order_id: str) -> Order:
        order = self._store.order(order_id)
        if order is None or not (caller.may_see(order.project) or _spoken_for(caller, order)):
            raise NotFound(
                f"there is no order {order_id[:100]!r} that waits for you",
                field="order",
                allowed="see `order approvals`",
            )
        return order


def _spoken_for(caller: Principal, order: Order) -> frozenset[int]:
    """The consents that the caller may give."""
    return frozenset(
        at
        for at, each in enumerate(order.consents)
        if caller.name in each.names
        and (
            (caller.role is Role.USER and order.project in caller.projects)
            if each.side == Side.PROJECT
            else (caller.role is Role.PROVIDER and caller.provider == each.provider)
        )
    )


def _names(order: Order) -> str:
    return ", ".join(sorted({name for each in order.consents for name in each.names})) or "nobody: it needs none"
