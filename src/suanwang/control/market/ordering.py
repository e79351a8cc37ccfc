"""The market as people use it: list capacity, order it, take orders back, sell rights on.

Owns who may do what, when a window takes which kind of order, and what a repeated request means. Identifiers are made by
whoever asks: the same request again is answered as the first time, another under the same identifier is a `Conflict`.
The loop's part is `control.calling`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from suanwang.control.billing.budgets import check_order, passed
from suanwang.control.market.approving import Clause, asking, lately_fen, waits
from suanwang.control.market.calling import being_made, call_at, end, freeze_at, indication, sharing_owners, terms_at
from suanwang.control.market.requests import (
    ID_ALLOWED,
    Calling,
    Phase,
    Priced,
    Wish,
    check_ahead,
    check_id,
    check_range,
    event_of,
    models_asked,
    projects_of,
    too_much,
    units_of,
)
from suanwang.control.market.selling import Selling
from suanwang.control.people import check_project
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound, Unavailable
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import SiteId
from suanwang.domain.job import Event
from suanwang.ports import Deal, Dealt, OfferQuery, TradeQuery, Turn
from suanwang.trading.budgets import Draw
from suanwang.trading.ledger import MOST_FEN, NETWORK, Account, Owner, Verdict, account_id
from suanwang.trading.market.dealing import MARKET, Filled, fill_order, hold, payer, sold
from suanwang.trading.market.matching import gross_fen, take
from suanwang.trading.market.product import (
    HOUR,
    MOST_PRICE_FEN,
    MOST_UNITS,
    begins,
    window_of,
    windows_between,
)
from suanwang.trading.market.values import (
    Auction,
    Match,
    Offer,
    Order,
    OrderState,
    Reservation,
    Trade,
    Way,
)
from suanwang.trading.settlement import opened

_PAGE = 500
_TRIES = 8
_MOST_NAMES = 20
_BUSY = "others changed the same offers at the same time: try again"


class _Overtaken(Exception):
    """What an order was decided by has changed: decide it anew."""


class Market(Selling):
    """What is listed, ordered, held and called. Selling is `market_selling`'s."""

    # orders

    def place(self, caller: Principal, wish: Wish) -> Order:
        """Order capacity. `now` and `ioc` trade at once at posted prices; `standing` holds the most it can come to and
        waits, sealed, for the call of its first window."""
        now = self._clock.now()
        order = self._order(caller, wish, now)
        known = self._known_order(order)
        if known is not None:
            return known
        if wish.not_after is not None and now > wish.not_after:
            raise InvalidRequest("this order arrived after the instant it was good for", field="not_after")
        self._check_window(order, now)
        self._open_accounts(order)
        clauses = asking(self._store, order, now)
        for _ in range(_TRIES):
            try:
                return self._placed(caller, order, clauses, now)
            except _Overtaken:
                continue  # Its project ordered more meanwhile: that counts too.
        raise Unavailable(_BUSY)

    def _placed(self, caller: Principal, order: Order, clauses: Sequence[Clause], now: datetime) -> Order:
        """The order, waiting for approval where an agreement asks for it. Raises `_Overtaken`."""
        if not clauses:
            return self._stand(caller, order, now) if order.stands else self._buy(caller, order, now)
        turn = self._store.last_order(order.project)
        worth = order.hold_fen
        if order.limit_free:
            worth = take(order, self._on_sale(order), self.rules.commission_bp)[1]
        waiting = waits(order, worth, clauses, lately_fen(self._store, order, clauses), self.rules, now)
        if waiting is not None:
            return self._stand(caller, waiting, now)
        if order.stands:
            return self._stand(caller, order, now, turn)
        return self._buy(caller, order, now, turn, worth)

    def approved(self, order: Order, event: Event, now: datetime) -> Order | None:
        """An order that waited, with one more consent: bought or standing where that was the last. None where it moved on
        meanwhile."""
        if any(each.by is None for each in order.consents):
            kept = replace(order, revision=order.revision + 1)
            return kept if self._store.deal(Deal(orders=(kept,), events=(event,)), now).done else None
        if order.stands:
            stands = replace(order, state=OrderState.OPEN, revision=order.revision + 1)
            return stands if self._store.deal(Deal(orders=(stands,), events=(event,)), now).done else None
        if being_made(self._store, self.rules, now):
            raise Unavailable("a call is being made: try again in a moment")
        offers = {offer.id: offer for offer in self._on_sale(order)}
        matches, _ = take(order, list(offers.values()), self.rules.commission_bp)
        filled = self._filled(order, matches, offers, now, held=True)
        bought = self._bought(event, filled, offers)
        return filled.order if self._store.deal(bought, now).done else None

    def _filled(
        self, order: Order, matches: Sequence[Match], offers: Mapping[str, Offer], now: datetime, *, held: bool
    ) -> Filled:
        def price(match: Match, window: int) -> int:
            return gross_fen(offers[match.ask].price_fen, self.rules.commission_bp)

        owners = sharing_owners(self._store, {match.zone.site for match in matches})
        terms = terms_at(self._store, now)
        bp = self.rules.commission_bp
        return fill_order(order, matches, offers, price, bp, now, owners=owners, terms=terms, held=held)

    def quote(self, caller: Principal, wish: Wish) -> Priced:
        """What the order would get and pay at posted prices now; nothing is bought."""
        now = self._clock.now()
        order = self._order(caller, wish, now)
        check_ahead(wish.start, order.first, now)
        matches, paid = take(order, self._on_sale(order), self.rules.commission_bp)
        return Priced(units=units_of(matches), amount_fen=paid, matches=matches)

    def _stand(self, caller: Principal, order: Order, now: datetime, turn: Turn | None = None) -> Order:
        check_order(self._store, order.project, order.owner, order.hold_fen, now)
        event = event_of("market.ordered", now, caller, order.project, order=order.id, hold_fen=order.hold_fen)
        dealt = self._store.deal(
            Deal(
                orders=(order,),
                chains=((hold(order),),),
                draw=_draw(order, order.hold_fen),
                turn=turn,
                events=(event,),
            ),
            now,
        )
        if dealt.done:
            return order
        if dealt.overtaken:
            raise _Overtaken
        self._check_paid(order, order.hold_fen, dealt)
        known = self._known_order(order)
        if known is not None:
            return known
        raise self._called(order.first)

    def _buy(
        self, caller: Principal, order: Order, now: datetime, turn: Turn | None = None, worth_fen: int = MOST_FEN
    ) -> Order:
        """`worth_fen` is what it came to when nobody had to approve it: dearer, that is decided anew."""
        if being_made(self._store, self.rules, now):
            # Its result is found over the offers as they stand; it would never come to an end if they went on moving.
            raise Unavailable("a call is being made: try again in a moment")
        for _ in range(_TRIES):
            offers = {offer.id: offer for offer in self._on_sale(order)}
            matches, paid = take(order, list(offers.values()), self.rules.commission_bp)
            if not matches and order.way is Way.NOW:
                raise Conflict(
                    "no zone has that many units on sale now at this limit",
                    field="count",
                    allowed="fewer units, other hours, a higher limit, or a standing order",
                )
            if paid > MOST_FEN:
                raise too_much("count")
            if paid > worth_fen:
                raise _Overtaken
            if matches:
                check_order(self._store, order.project, order.owner, paid, now)

            filled = self._filled(order, matches, offers, now, held=False)
            event = event_of(
                "market.bought",
                now,
                caller,
                order.project,
                order=order.id,
                units=filled.order.filled,
                paid_fen=filled.order.paid_fen,
            )
            bought = replace(self._bought(event, filled, offers), draw=_draw(order, paid), turn=turn)
            dealt = self._store.deal(bought, now)
            if dealt.done:
                return filled.order
            if dealt.overtaken:
                raise _Overtaken
            self._check_paid(order, paid, dealt)
            known = self._known_order(order)
            if known is not None:
                return known
        raise Unavailable(_BUSY)

    def _bought(self, event: Event, filled: Filled, offers: Mapping[str, Offer]) -> Deal:
        return Deal(
            offers=sold(offers, filled.trades),
            orders=(filled.order,),
            reservations=filled.reservations,
            trades=filled.trades,
            chains=filled.chains,
            deposits=filled.deposits,
            accounts=filled.accounts,
            events=(event,),
        )

    def cancel(self, caller: Principal, order_id: str) -> Order:
        """Take a standing order back and release its hold, until its no-cancel phase. Repeating it is harmless."""
        for _ in range(_TRIES):
            now = self._clock.now()
            order = self.order(caller, order_id)
            if not caller.may_change(order.project):
                raise Forbidden("this order is another project's", field="order", allowed="an order of yours")
            if order.state is OrderState.CANCELLED:
                return order
            if order.state not in (OrderState.OPEN, OrderState.WAITING):
                raise Conflict(f"the order has ended: {order.state}", field="order")
            if order.state is OrderState.OPEN and now >= freeze_at(order.first, self.rules):
                raise Conflict(
                    f"its call at {call_at(order.first, self.rules):%H:%M} UTC is near: nothing is taken back before it",
                    field="order",
                )
            ended = replace(order, state=OrderState.CANCELLED, ended_at=now, revision=order.revision + 1)
            event = event_of("market.cancelled", now, caller, order.project, order=order.id)
            if end(self._store, ended, event, now):
                return ended
        raise Unavailable(_BUSY)

    def order(self, caller: Principal, order_id: str) -> Order:
        found = self._store.order(order_id)
        if found is None or not caller.may_see(found.project):
            raise NotFound(f"there is no order {order_id[:100]!r} of yours", field="order", allowed="see `order list`")
        return found

    def orders(self, caller: Principal, cursor: str | None, limit: int) -> tuple[Sequence[Order], str | None]:
        """Of the caller's projects, newest first; operator and regulator see all."""
        return self._store.orders(projects_of(caller), cursor, min(limit, _PAGE))

    def reservations(
        self, caller: Principal, cursor: str | None, limit: int
    ) -> tuple[Sequence[Reservation], str | None]:
        """Rights of the caller's projects, newest first."""
        return self._store.reservations(projects_of(caller), cursor, min(limit, _PAGE))

    def trades(
        self, caller: Principal, order_id: str | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Trade], str | None]:
        """What the caller bought or, as a provider, sold; newest first."""
        if caller.role is Role.PROVIDER:
            sellers = [account_id(Owner.PROVIDER, caller.provider or "")]
            query = TradeQuery(sellers=sellers, order_id=order_id)
        else:
            query = TradeQuery(projects=projects_of(caller), order_id=order_id)
        return self._store.trades(query, cursor, min(limit, _PAGE))

    # calls and prices

    def calling(self, caller: Principal, start: datetime) -> Calling:
        """The call of the window that begins at `start`."""
        first, _ = windows_between(start, start + HOUR)
        return self._calling(first, self._clock.now())

    def _calling(self, first: int, now: datetime) -> Calling:
        auction = self._store.auction(first)
        made_at, frozen_at = call_at(first, self.rules), freeze_at(first, self.rules)
        if auction is not None:
            phase = Phase.CALLED
        elif now >= begins(first):
            phase = Phase.PASSED
        else:
            phase = Phase.FROZEN if now >= frozen_at else Phase.OPEN
        shown = indication(self._store, self.rules, first) if phase == Phase.FROZEN else None
        return Calling(
            first=first, call_at=made_at, freeze_at=frozen_at, phase=phase, auction=auction, indication=shown
        )

    def auctions(self, caller: Principal, before: datetime | None, limit: int) -> Sequence[Auction]:
        """Calls that were made, latest window first."""
        return self._store.auctions(None if before is None else window_of(before), min(limit, _PAGE))

    def history(self, caller: Principal, device: str, site: SiteId | None, limit: int) -> Sequence[Trade]:
        """Trades of a device, newest first. Prices are public: callers show no parties of it."""
        found, _ = self._store.trades(TradeQuery(device=device, site=site), None, min(limit, _PAGE))
        return found

    # what is asked, made sure of

    def _order(self, caller: Principal, wish: Wish, now: datetime) -> Order:
        check_id(wish.id)
        if not caller.may_change(wish.project):
            raise Forbidden(
                f"{caller.name!r} may not order for project {wish.project[:63]!r}",
                field="project",
                allowed="your project",
            )
        check_project(self._store, wish.project)
        first, windows = windows_between(wish.start, wish.end)
        check_range("count", wish.count, MOST_UNITS)
        for field, names in (("devices", wish.devices), ("places", wish.places)):
            if len(names) > _MOST_NAMES or len(set(names)) != len(names) or any(not 0 < len(n) <= 100 for n in names):
                raise InvalidRequest(
                    f"these {field} are not possible", field=field, allowed=f"up to {_MOST_NAMES} names, each once"
                )
        if not wish.devices:
            raise InvalidRequest(
                "name at least one device", field="devices", allowed="catalogue names, classes such as gpu, or core"
            )
        self._check_places(wish.places)
        if wish.way is Way.LOT:
            self._check_lot(wish)
        if wish.limit_fen is None and wish.way is not Way.NOW:
            raise InvalidRequest("this order needs a limit", field="limit_fen", allowed=f"1 to {MOST_PRICE_FEN}")
        limit = MOST_PRICE_FEN if wish.limit_fen is None else wish.limit_fen
        check_range("limit_fen", limit, MOST_PRICE_FEN)
        order = Order(
            id=wish.id,
            project=wish.project,
            owner=caller.name,
            devices=tuple(sorted(wish.devices)),
            places=tuple(sorted(wish.places)),
            count=wish.count,
            first=first,
            windows=windows,
            limit_fen=limit,
            divisible=wish.divisible,
            interruptible=wish.interruptible,
            way=wish.way,
            placed_at=now,
        )
        if wish.limit_fen is not None and order.hold_fen > MOST_FEN:
            raise too_much("limit_fen")
        return order

    def _check_lot(self, wish: Wish) -> None:
        """A lot is one unit of one device in one region, at whichever site."""
        regions = {site.offering.region for site in self._store.sites()}
        for field, fits, allowed in (
            ("devices", len(wish.devices) == 1, "one device"),
            ("places", len(wish.places) == 1 and wish.places[0] in regions, "one region"),
            ("count", wish.count == 1, "1"),
            ("divisible", not wish.divisible, "no"),
            ("interruptible", not wish.interruptible, "no"),
        ):
            if not fits:
                raise InvalidRequest(
                    "a standard lot is one unit of one device in one region", field=field, allowed=allowed
                )

    def _check_places(self, places: Sequence[str]) -> None:
        if not places:
            return
        sites = self._store.sites()
        known = {site.id for site in sites} | {site.offering.region for site in sites}
        unknown = next((place for place in places if place not in known), None)
        if unknown is not None:
            raise InvalidRequest(
                f"there is no site or region {unknown[:100]!r}", field="places", allowed="see `site list`"
            )

    def _check_window(self, order: Order, now: datetime) -> None:
        check_ahead(begins(order.first), order.first, now)
        if order.stands:
            if now >= call_at(order.first, self.rules):
                raise self._called(order.first)
        elif freeze_at(order.first, self.rules) <= now < begins(order.first) and self._store.sealed(order.first):
            # Whoever bought now would take from under those who may not take back any more.
            raise Conflict(
                f"these hours are called at {call_at(order.first, self.rules):%H:%M} UTC: until then only standing orders",
                field="way",
                allowed="standing, or after the call",
            )

    def _called(self, first: int) -> Conflict:
        return Conflict(
            f"the call of {begins(first):%Y-%m-%d %H:%M} UTC was at {call_at(first, self.rules):%H:%M}",
            field="start",
            allowed="later hours, or buying at posted prices",
        )

    def _check_paid(self, order: Order, amount_fen: int, dealt: Dealt) -> None:
        verdict = dealt.refused[0].verdict if dealt.refused else None
        if verdict is Verdict.BUDGET:
            raise passed(dealt.refused[0].purse, amount_fen)
        if verdict is Verdict.SHORT:
            account = self._store.account(payer(order))
            have = 0 if account is None or account.available_fen is None else account.available_fen
            raise Conflict(
                f"{payer(order)} has {have} fen to spend, and this takes {amount_fen}",
                field="limit_fen",
                allowed="a lower limit, fewer units, or a top-up",
            )
        if verdict not in (None, Verdict.CONFLICT):
            raise InvalidRequest(f"this cannot be paid: {verdict}", field="limit_fen", allowed="less")

    def _known_order(self, order: Order) -> Order | None:
        known = self._store.order(order.id)
        if known is not None and known.asked != order.asked:
            raise Conflict("this identifier was used for another order: send a new one", field="id", allowed=ID_ALLOWED)
        return known

    def _open_accounts(self, order: Order) -> None:
        account = Account(
            id=payer(order), owner=Owner.PROJECT, name=order.project, floor_fen=-self.rules.project_credit_fen
        )
        self._store.open_accounts([account, opened(MARKET), opened(NETWORK)])

    def _on_sale(self, order: Order) -> Sequence[Offer]:
        query = OfferQuery(devices=models_asked(order.devices), first=order.first, end=order.end)
        found, _ = self._store.offers(query, None, 20_000)
        return found


def _draw(order: Order, amount_fen: int) -> Draw:
    return Draw(project=order.project, person=order.owner, amount_fen=amount_fen)
