"""Selling on the market: providers list capacity of their sites, projects the rights they hold.

Owns that no site lists more than it has, and that a unit is on sale once. What comes of a repeated request and who may ask is
as everywhere on the market.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from suanwang.control.market.calling import call_at, freeze_at
from suanwang.control.market.requests import (
    ID_ALLOWED,
    NewOffer,
    capacity_of,
    check_ahead,
    check_id,
    check_range,
    event_of,
    kind_of,
)
from suanwang.control.market.reserving import in_use
from suanwang.control.rules import Rules
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound, Unavailable
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.site import Site
from suanwang.ports import Clock, Deal, OfferQuery, Stock, Store
from suanwang.trading.ledger import AccountId, Owner, account_id
from suanwang.trading.market.matching import gross_fen
from suanwang.trading.market.product import (
    MOST_PRICE_FEN,
    MOST_UNITS,
    added,
    window_of,
    windows_between,
)
from suanwang.trading.market.values import (
    Offer,
    OfferState,
    Plan,
    Reservation,
)
from suanwang.trading.settlement import opened

_PAGE = 500
_TRIES = 8
_MOST_NAMES = 20
_MOST = 20_000
_BUSY = "others changed the same offers at the same time: try again"


class Selling:
    """The seller's half of `Market`."""

    def __init__(self, store: Store, clock: Clock, rules: Rules) -> None:
        self._store = store
        self._clock = clock
        self.rules = rules

    def gross(self, offer: Offer) -> int:
        """Fen per unit and hour of it, the commission on top."""
        return gross_fen(offer.price_fen, self.rules.commission_bp)

    # offers

    def list_offer(self, caller: Principal, wanted: NewOffer) -> Offer:
        """Put capacity on sale. For providers, of their own sites; for a project's users, of its rights."""
        now = self._clock.now()
        check_id(wanted.id)
        first, windows = windows_between(wanted.start, wanted.end)
        check_range("count", wanted.count, MOST_UNITS)
        check_range("price_fen", wanted.price_fen, MOST_PRICE_FEN // 2)
        check_ahead(wanted.start, first, now)
        check_range("least_hours", wanted.least_hours, windows)
        if wanted.plan not in (Plan.COMMITTED, Plan.SUBSCRIPTION) and wanted.least_hours != 1:
            raise InvalidRequest("only committed use has a least term", field="least_hours", allowed="1")
        if wanted.plan is Plan.LOT and (wanted.count != 1 or wanted.reservation is not None):
            raise InvalidRequest("a standard lot is one unit of a site", field="count", allowed="1, and no right")
        gross_fen(wanted.price_fen, self.rules.commission_bp)
        if wanted.reservation is not None:
            return self._resell(caller, wanted, first, windows, now)
        return self._list(caller, wanted, first, windows, now)

    def _list(self, caller: Principal, wanted: NewOffer, first: int, windows: int, now: datetime) -> Offer:
        site = self._site(caller, wanted.site)
        have = capacity_of(site, wanted.device or "")
        offer = Offer(
            id=wanted.id,
            seller=account_id(Owner.PROVIDER, site.offering.provider),
            site=site.id,
            region=site.offering.region,
            device=wanted.device or "",
            kind=kind_of(site, wanted.device or ""),
            first=first,
            left=(wanted.count,) * windows,
            count=wanted.count,
            price_fen=wanted.price_fen,
            plan=wanted.plan,
            least_windows=wanted.least_hours,
            listed_at=now,
        )
        self._store.open_accounts([opened(offer.seller)])
        for _ in range(_TRIES):
            known = self._known_offer(offer)
            if known is not None:
                return known
            revision, offers, rights = self._store.listed(offer.site, offer.device, first, offer.end)
            most = max(
                sum(e.left[w - e.first] for e in offers if e.first <= w < e.end)
                + sum(e.counts[w - e.first] for e in rights if e.first <= w < e.end)
                for w in range(first, offer.end)
            )
            if most + wanted.count > have:
                raise Conflict(
                    f"{site.id} has {have} of {offer.device}, and {most} of them are listed or sold in these hours",
                    field="count",
                    allowed=f"up to {max(have - most, 0)}",
                )
            deal = Deal(
                offers=(offer,),
                stock=Stock(site=offer.site, device=offer.device, revision=revision + 1),
                events=(event_of("market.offered", now, caller, site=offer.site, offer=offer.id, count=offer.count),),
            )
            if self._store.deal(deal, now).done:
                return offer
        raise Unavailable(_BUSY)

    def _resell(self, caller: Principal, wanted: NewOffer, first: int, windows: int, now: datetime) -> Offer:
        for _ in range(_TRIES):
            right = self.reservation(caller, wanted.reservation or "")
            if not caller.may_change(right.project):
                raise Forbidden("this right is another project's", field="reservation", allowed="a right of yours")
            plan = Plan.INTERRUPTIBLE if right.interruptible else Plan.ON_DEMAND
            site = self._store.site(right.site)
            kind = "" if site is None else kind_of(site, right.device)
            if wanted.plan is not Plan.ON_DEMAND and wanted.plan is not plan:
                raise InvalidRequest("a right is sold on as what it is", field="plan", allowed=plan.value)
            offer = Offer(
                id=wanted.id,
                seller=account_id(Owner.PROJECT, right.project),
                site=right.site,
                region=right.region,
                device=right.device,
                kind=kind,
                first=first,
                left=(wanted.count,) * windows,
                count=wanted.count,
                price_fen=wanted.price_fen,
                plan=plan,
                reservation=right.id,
                sold=None
                if right.sold is None
                else right.sold.part(wanted.count * windows, right.bought * len(right.counts)),
                listed_at=now,
            )
            known = self._known_offer(offer)
            if known is not None:
                return known
            have = right.least(first, offer.end) - in_use(self._store, right)
            if wanted.count > have:
                raise Conflict(
                    f"{max(have, 0)} units of {right.id} are free in these hours",
                    field="count",
                    allowed=f"up to {max(have, 0)}",
                )
            less = replace(
                right,
                counts=added(right.first, right.counts, first, offer.left, sign=-1),
                revision=right.revision + 1,
            )
            event = event_of(
                "market.offered", now, caller, right.project, right.site, offer=offer.id, count=offer.count
            )
            if self._store.deal(Deal(offers=(offer,), reservations=(less,), events=(event,)), now).done:
                return offer
        raise Unavailable(_BUSY)

    def reservation(self, caller: Principal, reservation_id: str) -> Reservation:
        found = self._store.reservation(reservation_id)
        if found is None or not caller.may_see(found.project):
            raise NotFound(
                f"there is no right {reservation_id[:100]!r} of yours",
                field="reservation",
                allowed="see `order rights`",
            )
        return found

    def _known_offer(self, offer: Offer) -> Offer | None:
        known = self._store.offer(offer.id)
        if known is not None and known.asked != offer.asked:
            raise Conflict("this identifier was used for another offer: send a new one", field="id", allowed=ID_ALLOWED)
        return known

    def withdraw(self, caller: Principal, offer_id: str) -> Offer:
        """Take off sale what is not sold of an offer; a right that was sold on gets it back. Repeating it is harmless."""
        for _ in range(_TRIES):
            now = self._clock.now()
            offer = self._store.offer(offer_id)
            if offer is None:
                raise NotFound(f"there is no offer {offer_id[:100]!r}", field="offer", allowed="see `offer list`")
            self._may_sell(caller, offer.seller)
            if offer.state is OfferState.WITHDRAWN:
                return offer
            frozen = next(iter(self._frozen(offer.first, offer.end, now)), None)
            if frozen is not None:
                raise Conflict(
                    f"its call at {call_at(frozen, self.rules):%H:%M} UTC is near: nothing is taken back before it",
                    field="offer",
                )
            changed = replace(
                offer, state=OfferState.WITHDRAWN, left=(0,) * len(offer.left), revision=offer.revision + 1
            )
            rights: tuple[Reservation, ...] = ()
            if offer.reservation is not None:
                right = self._store.reservation(offer.reservation)
                assert right is not None, "rights are never deleted"
                back = added(right.first, right.counts, offer.first, offer.left)
                rights = (replace(right, counts=back, revision=right.revision + 1),)
            event = event_of("market.withdrawn", now, caller, site=offer.site, offer=offer.id)
            if self._store.deal(Deal(offers=(changed,), reservations=rights, events=(event,)), now).done:
                return changed
        raise Unavailable(_BUSY)

    def offers(
        self, caller: Principal, query: OfferQuery, cursor: str | None, limit: int
    ) -> tuple[Sequence[Offer], str | None]:
        """What is on sale, for everybody; newest first."""
        return self._store.offers(query, cursor, min(limit, _PAGE))

    def offer(self, caller: Principal, offer_id: str) -> Offer:
        found = self._store.offer(offer_id)
        if found is None:
            raise NotFound(f"there is no offer {offer_id[:100]!r}", field="offer", allowed="see `offer list`")
        return found

    def depth(
        self, caller: Principal, device: str, window: int, place: str | None = None
    ) -> Sequence[tuple[Offer, int]]:
        """Offers of a device in one window with the units they have left, cheapest first: the supply that stands open."""
        found, _ = self._store.offers(OfferQuery(devices=[device], first=window, end=window + 1), None, _MOST)
        fitting = [
            (offer, offer.left[window - offer.first])
            for offer in found
            if offer.plan is not Plan.LOT
            and offer.left[window - offer.first]
            and place in (None, offer.site, offer.region)
        ]
        return sorted(fitting, key=lambda each: (each[0].price_fen, each[0].id))

    def _frozen(self, first: int, until: int, now: datetime) -> Sequence[int]:
        """Windows of these whose call is near."""
        near = window_of(now + timedelta(seconds=self.rules.call_before_s + self.rules.freeze_s))
        return [
            window
            for window in range(first, min(until, near + 1))
            if freeze_at(window, self.rules) <= now < call_at(window, self.rules)
        ]

    def _site(self, caller: Principal, site_id: SiteId | None) -> Site:
        site = None if site_id is None else self._store.site(site_id)
        if site is None:
            raise NotFound(f"there is no site {(site_id or '')[:100]!r}", field="site", allowed="see `site list`")
        self._may_sell(caller, account_id(Owner.PROVIDER, site.offering.provider))
        return site

    def _may_sell(self, caller: Principal, seller: AccountId) -> None:
        owner, _, name = seller.partition(":")
        mine = (
            caller.role is Role.OPERATOR
            or (owner == Owner.PROVIDER and caller.role is Role.PROVIDER and caller.provider == name)
            or (owner == Owner.PROJECT and caller.may_change(ProjectId(name)))
        )
        if not mine:
            raise Forbidden(
                f"{caller.name!r} does not sell for {seller}", field="token", allowed="its provider or project"
            )
