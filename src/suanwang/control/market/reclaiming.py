"""A provider takes capacity back that he put on the market, on sale or sold.

Owns what is taken first, and the notice each right has. Holders are paid in the same deal, or nothing happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from suanwang.control.market.calling import freeze_at
from suanwang.control.market.requests import ID_ALLOWED, check_ahead, check_id, check_range, event_of
from suanwang.control.rules import Rules
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound, Unavailable
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.site import Site
from suanwang.ports import Clock, Deal, Dealt, Store
from suanwang.trading.ledger import NETWORK, Account, AccountId, Owner, Transfer, Verdict, account_id
from suanwang.trading.market.product import MOST_UNITS, begins, window_of, windows_between
from suanwang.trading.market.termination import (
    MOST_DEPOSITS,
    Drawn,
    Means,
    Termination,
    TerminationKind,
    behind,
    chain_of,
    deposit_account,
    drawn,
)
from suanwang.trading.market.terms import Sold
from suanwang.trading.market.values import Offer, Reservation
from suanwang.trading.settlement import WHOLE_BP, opened

_PAGE = 500
_TRIES = 8
_BUSY = "others changed the same rights at the same time: try again"


def balances(store: Store, sold: Sold) -> dict[AccountId, int]:
    """What the deposits behind a right have."""
    names = [deposit_account(name) for name in sold.deposits[:MOST_DEPOSITS]]
    found, _ = store.accounts(names, None, MOST_DEPOSITS) if names else ((), None)
    have = {account.id: account.balance_fen for account in found}
    return {name: have[name] for name in names if name in have}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reclaim:
    """What a provider wants back: so many units of a device of his site, of what is on sale or sold."""

    id: str
    site: SiteId
    device: str
    count: int
    start: datetime
    end: datetime


class Reclaiming:
    """Taking back, and how any right's early end is posted; `Terminations` is the rest."""

    def __init__(self, store: Store, clock: Clock, rules: Rules) -> None:
        self._store = store
        self._clock = clock
        self._rules = rules

    def reclaim(self, caller: Principal, wanted: Reclaim) -> Sequence[Termination]:
        """Take units back: first of what is only on sale, then interruptible rights, then kept ones, those bought last
        first, each with the notice of its terms. Holders get the price back, and of kept rights the compensation. The first
        of the answer is what was only on sale."""
        check_id(wanted.id)
        check_range("count", wanted.count, MOST_UNITS)
        first, windows = windows_between(wanted.start, wanted.end)
        site = self._site(caller, wanted.site)
        for _ in range(_TRIES):
            now = self._clock.now()
            check_ahead(wanted.start, first, now)
            if self._store.termination(f"{wanted.id}.0") is not None:
                return self._known(wanted, first, windows)
            self._check_frozen(first, first + windows, now)
            deal, chains = self._taken(site, wanted, first, windows, now)
            event = event_of(
                "market.reclaimed",
                now,
                caller,
                site=site.id,
                device=wanted.device,
                count=wanted.count,
                start=begins(first).isoformat(),
                hours=windows,
                terminations=[termination.id for termination in deal.terminations],
            )
            told = [
                event_of(
                    "market.right_reclaimed",
                    now,
                    caller,
                    termination.project,
                    termination.site,
                    right=termination.right,
                    termination=termination.id,
                    paid_fen=termination.paid_fen,
                )
                for termination in deal.terminations[1:]
            ]
            dealt = self._end(replace(deal, events=(event, *told)), chains, now)
            if dealt.done:
                return deal.terminations
            due = sum(termination.due_fen for termination in deal.terminations)
            self._check_paid(dealt, deal.terminations[-1], f"holders are owed {due} fen, more than the provider has")
        raise Unavailable(_BUSY)

    def _known(self, wanted: Reclaim, first: int, windows: int) -> Sequence[Termination]:
        found: list[Termination] = []
        while (known := self._store.termination(f"{wanted.id}.{len(found)}")) is not None:
            found.append(known)
        head = found[0]
        if (head.site, head.device, head.first, len(head.counts)) != (wanted.site, wanted.device, first, windows):
            raise Conflict("this identifier was used for another: send a new one", field="id", allowed=ID_ALLOWED)
        return found

    def _taken(
        self, site: Site, wanted: Reclaim, first: int, windows: int, now: datetime
    ) -> tuple[Deal, list[tuple[Transfer, ...]]]:
        _, offers, rights = self._store.listed(site.id, wanted.device, first, first + windows)
        need = [wanted.count] * windows
        changed: dict[str, Offer] = {}
        for offer in sorted(offers, key=lambda each: (-each.price_fen, each.id)):
            if offer.reservation is None:
                _take(need, first, offer, changed)
        seller = account_id(Owner.PROVIDER, site.offering.provider)
        from_offers = tuple(wanted.count - left for left in need)
        head = _offered(wanted, site, seller, first, from_offers, now)
        terminations, chains, less = [head], list[tuple[Transfer, ...]](), list[Reservation]()
        for right in sorted(rights, key=lambda each: (not each.interruptible, -each.at.timestamp(), each.id)):
            ended = self._reclaimed(right, f"{wanted.id}.{len(terminations)}", need, first, offers, changed, now)
            if ended is None:
                continue
            termination, paid, left = ended
            terminations.append(termination)
            chains.append(tuple(chain_of(termination.id, termination.kind, right.project, termination.seller, paid)))
            less.append(left)
        if any(need):
            short = max(need)
            raise Conflict(
                f"only {wanted.count - short} of {wanted.count} units are on sale or sold with that notice in these hours",
                field="count",
                allowed=f"up to {wanted.count - short}, or later hours",
            )
        return Deal(offers=tuple(changed.values()), reservations=tuple(less), terminations=tuple(terminations)), chains

    def _reclaimed(
        self,
        right: Reservation,
        name: str,
        need: list[int],
        first: int,
        offers: Sequence[Offer],
        changed: dict[str, Offer],
        now: datetime,
    ) -> tuple[Termination, Drawn, Reservation] | None:
        sold = right.sold
        begin = max(first, right.first)
        if sold is None or begins(begin) - now < sold.terms.notice(interruptible=right.interruptible):
            return None
        before = list(need)
        held = [0] * len(right.counts)
        for at, units in enumerate(right.counts):
            window = right.first + at - first
            if 0 <= window < len(need):
                held[at] = min(need[window], units)
                need[window] -= held[at]
        for offer in offers:
            if offer.reservation == right.id:
                _take(need, first, offer, changed)
        counts = tuple(was - left for was, left in zip(before, need, strict=True))
        if not any(counts):
            return None
        part = behind(right, counts)
        assert part is not None, "it was looked at a moment ago"
        on_top = 0 if right.interruptible else part.worth_fen * part.terms.compensation_bp // WHOLE_BP
        due = part.worth_fen + on_top
        paid = drawn(due, part.deposit_fen, Means(deposits=balances(self._store, part), seller_fen=due))
        left = replace(
            right,
            counts=tuple(units - less for units, less in zip(right.counts, held, strict=True)),
            taken_back=True,
            revision=right.revision + 1,
        )
        return termination_of(name, TerminationKind.RECLAIMED, right, part, first, counts, due, paid, now), paid, left

    def _check_frozen(self, first: int, until: int, now: datetime) -> None:
        near = window_of(now + timedelta(seconds=self._rules.call_before_s + self._rules.freeze_s))
        for window in range(first, min(until, near + 1)):
            if freeze_at(window, self._rules) <= now < begins(window) and self._store.sealed(window):
                raise Conflict(
                    f"the call of {begins(window):%H:%M} UTC is near: nothing is taken back before it", field="start"
                )

    def _site(self, caller: Principal, site_id: SiteId) -> Site:
        site = self._store.site(site_id)
        if site is None:
            raise NotFound(f"there is no site {site_id[:100]!r}", field="site", allowed="see `site list`")
        mine = caller.role is Role.PROVIDER and caller.provider == site.offering.provider
        if not mine and caller.role is not Role.OPERATOR:
            raise Forbidden(f"{caller.name!r} does not sell for {site.id}", field="token", allowed="its provider")
        return site

    def _end(self, deal: Deal, chains: Sequence[tuple[Transfer, ...]], now: datetime) -> Dealt:
        projects = [
            Account(
                id=account_id(Owner.PROJECT, termination.project),
                owner=Owner.PROJECT,
                name=termination.project,
                floor_fen=-self._rules.project_credit_fen,
            )
            for termination in deal.terminations
            if termination.right is not None
        ]
        accounts = (
            *projects,
            *(opened(each) for each in {termination.seller for termination in deal.terminations}),
            opened(NETWORK),
        )
        made = replace(deal, accounts=accounts, chains=tuple(chain for chain in chains if chain))
        return self._store.deal(made, now)

    def _check_paid(self, dealt: Dealt, termination: Termination, why: str) -> None:
        for outcome in dealt.refused:
            if outcome.verdict is Verdict.SHORT and outcome.account is not None:
                if outcome.account.startswith(f"{Owner.DEPOSIT}:"):
                    return  # Somebody drew on it meanwhile: look again.
                raise Conflict(why, field="right" if termination.kind is TerminationKind.CANCELLED else "count")
            raise InvalidRequest(f"this cannot be paid: {outcome.verdict}", field="right", allowed="later")


def _take(need: list[int], first: int, offer: Offer, changed: dict[str, Offer]) -> None:
    """Take what is needed and an offer has left, window by window."""
    left = list(offer.left)
    for at, units in enumerate(left):
        window = offer.first + at - first
        if 0 <= window < len(need):
            part = min(need[window], units)
            left[at] -= part
            need[window] -= part
    if tuple(left) != offer.left:
        changed[offer.id] = replace(offer, left=tuple(left), revision=offer.revision + 1)


def termination_of(
    name: str,
    kind: TerminationKind,
    right: Reservation,
    sold: Sold,
    first: int,
    counts: tuple[int, ...],
    due_fen: int,
    paid: Drawn,
    now: datetime,
) -> Termination:
    """What is kept of units that `paid` ended."""
    return Termination(
        id=name,
        kind=kind,
        right=right.id,
        project=right.project,
        seller=sold.seller,
        site=right.site,
        device=right.device,
        first=first,
        counts=counts,
        worth_fen=sold.worth_fen,
        due_fen=due_fen,
        deposit_fen=paid.deposit_fen,
        seller_fen=paid.seller_fen,
        network_fen=paid.network_fen,
        pool_fen=paid.pool_fen,
        at=now,
    )


def _offered(
    wanted: Reclaim, site: Site, seller: AccountId, first: int, counts: tuple[int, ...], now: datetime
) -> Termination:
    """What was only on sale: nobody is owed anything for it."""
    return Termination(
        id=f"{wanted.id}.0",
        kind=TerminationKind.RECLAIMED,
        right=None,
        project=ProjectId(""),
        seller=seller,
        site=site.id,
        device=wanted.device,
        first=first,
        counts=counts,
        worth_fen=0,
        due_fen=0,
        deposit_fen=0,
        seller_fen=0,
        network_fen=0,
        pool_fen=0,
        at=now,
    )
