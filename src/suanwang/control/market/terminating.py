"""Rights that end early on somebody's wish: their holder cancels, or the provider takes capacity back with notice.

Owns who may do it and when; who pays what is `trading.market.termination`'s. Identifiers are made by whoever asks, as everywhere
on the market. What ends because a site is lost is the loop's: `control.market.defaulting`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from suanwang.control.market.calling import freeze_at, terms_at
from suanwang.control.market.requests import ID_ALLOWED, check_ahead, check_id, check_range, event_of, projects_of
from suanwang.control.market.reserving import in_use
from suanwang.control.rules import Rules
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound, Unavailable
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.site import Site
from suanwang.ports import Clock, Deal, Dealt, Store, TerminationQuery
from suanwang.trading.ledger import MOST_FEN, NETWORK, Account, AccountId, Owner, Transfer, Verdict, account_id
from suanwang.trading.market.product import MOST_UNITS, added, begins, window_of, windows_between
from suanwang.trading.market.termination import (
    GUARANTEE,
    MOST_DEPOSITS,
    Deposit,
    Drawn,
    Means,
    Termination,
    TerminationKind,
    behind,
    chain_of,
    deposit_account,
    drawn,
)
from suanwang.trading.market.terms import SaleTerms, Sold, check_terms
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


class Terminations:
    """Terms of sale, cancelling, taking back, and the operator's guarantee."""

    def __init__(self, store: Store, clock: Clock, rules: Rules) -> None:
        self._store = store
        self._clock = clock
        self._rules = rules

    # terms and the guarantee

    def terms(self, caller: Principal) -> Sequence[SaleTerms]:
        """Those in force now, then those to come and those before, the latest first; everybody may see them."""
        now, kept = self._clock.now(), self._store.sale_terms()
        current = terms_at(self._store, now)
        return [current, *(terms for terms in kept if terms != current)]

    def set_terms(self, caller: Principal, terms: SaleTerms) -> SaleTerms:
        """For what is sold from `from_at` on, now or later. What was sold keeps its terms."""
        caller.must_be(Role.OPERATOR)
        check_terms(terms)
        now = self._clock.now()
        if terms.from_at < now - timedelta(minutes=5):
            raise InvalidRequest("terms do not begin in the past", field="from_at", allowed="now or later")
        if terms.from_at > now + timedelta(days=366):
            raise InvalidRequest("terms begin too far ahead", field="from_at", allowed="within 366 days")
        event = event_of("market.terms", now, caller, from_at=terms.from_at.isoformat())
        if not self._store.add_sale_terms(terms, [event]) and terms not in self._store.sale_terms():
            raise Conflict("other terms begin at this instant", field="from_at", allowed="another instant")
        return terms

    def fund(self, caller: Principal, amount_fen: int, key: str) -> Account:
        """Move what the network earned into its guarantee. The same `key` again changes nothing."""
        caller.must_be(Role.OPERATOR)
        check_range("amount_fen", amount_fen, MOST_FEN)
        now, name = self._clock.now(), f"guarantee/{key}"
        transfer = Transfer(
            id=name, chain=name, debit=NETWORK, credit=GUARANTEE, amount_fen=amount_fen, code="guarantee"
        )
        self._store.open_accounts([opened(NETWORK), opened(GUARANTEE)])
        event = event_of("market.guarantee", now, caller, amount_fen=amount_fen, transfer=name)
        outcome = self._store.post([(transfer,)], now, [event])[0]
        if outcome.verdict is Verdict.SHORT:
            raise Conflict("the network has not earned that much", field="amount_fen", allowed="less")
        if outcome.verdict is Verdict.CONFLICT:
            raise Conflict("this key was used for another amount: send a new one", field="Idempotency-Key")
        if not outcome.done:
            raise InvalidRequest(f"this cannot be posted: {outcome.verdict}", field="amount_fen", allowed="less")
        return self.guarantee(caller)

    def guarantee(self, caller: Principal) -> Account:
        """What it has is everybody's to know: it stands behind their rights."""
        return self._store.account(GUARANTEE) or opened(GUARANTEE)

    def terminations(
        self, caller: Principal, cursor: str | None, limit: int
    ) -> tuple[Sequence[Termination], str | None]:
        """Of the caller's projects, or of what he sold; newest first."""
        if caller.role is Role.PROVIDER:
            query = TerminationQuery(sellers=[account_id(Owner.PROVIDER, caller.provider or "")])
        else:
            query = TerminationQuery(projects=projects_of(caller))
        return self._store.terminations(query, cursor, min(limit, _PAGE))

    def owed(self, found: Sequence[Termination]) -> Collection[str]:
        """Those of these of which something is still unpaid."""
        names = [each.id for each in found if each.unpaid_fen]
        return self._store.debts_open(names) if names else ()

    def deposits(self, caller: Principal, cursor: str | None, limit: int) -> tuple[Sequence[Deposit], str | None]:
        """Of the caller's sales; operator and regulator see all."""
        caller.must_be(Role.PROVIDER, Role.OPERATOR, Role.REGULATOR)
        mine = [account_id(Owner.PROVIDER, caller.provider or "")] if caller.role is Role.PROVIDER else None
        return self._store.deposits(mine, cursor, min(limit, _PAGE))

    # the holder cancels

    def cancel(
        self, caller: Principal, right_id: str, key: str, count: int | None = None, *, trial: bool = False
    ) -> Termination:
        """Give units of a right back, over all its hours that have not begun, for what its terms give back of the price.
        With `trial` only say what that is."""
        check_id(key)
        for _ in range(_TRIES):
            now = self._clock.now()
            right = self._store.reservation(right_id)
            if right is None or not caller.may_change(right.project):
                raise NotFound(
                    f"there is no right {right_id[:100]!r} of yours", field="right", allowed="see `order rights`"
                )
            known = self._store.termination(key)
            if known is not None:
                return _same(known, TerminationKind.CANCELLED, right.id)
            termination, paid, left = self._cancelled(right, key, count, now)
            if trial:
                return termination
            event = event_of(
                "market.right_cancelled",
                now,
                caller,
                right.project,
                right.site,
                right=right.id,
                termination=termination.id,
                paid_fen=termination.paid_fen,
            )
            chain = tuple(chain_of(termination.id, termination.kind, right.project, termination.seller, paid))
            dealt = self._end(Deal(reservations=(left,), terminations=(termination,), events=(event,)), [chain], now)
            if dealt.done:
                return termination
            self._check_paid(dealt, termination, "its seller cannot pay that back now: sell the right on, or try later")
        raise Unavailable(_BUSY)

    def _cancelled(
        self, right: Reservation, key: str, count: int | None, now: datetime
    ) -> tuple[Termination, Drawn, Reservation]:
        if right.sold is None:
            raise Conflict("this right was bought before rights could be cancelled", field="right")
        begin = max(right.first, window_of(now) + 1)
        used = in_use(self._store, right)
        free = [max(units - used, 0) for units in right.counts[begin - right.first :]]
        most = max(free, default=0)
        wanted = most if count is None else count
        if not 0 < wanted <= most:
            raise Conflict(f"{most} units of {right.id} can be given back", field="count", allowed=f"up to {most}")
        # Some of its hours may have fewer units, or none: those that there are go back, from the first of them on.
        ahead = next(at for at, units in enumerate(free) if units)
        first, counts = begin + ahead, tuple(min(wanted, units) for units in free[ahead:])
        bp = right.sold.terms.refund_bp(first, now)
        if bp is None:
            steps = ", ".join(f"{step.hours} h" for step in right.sold.terms.refunds)
            raise Conflict("it is too late to cancel this right", field="right", allowed=f"{steps or 'never'} before")
        sold = behind(right, counts)
        assert sold is not None, "it was looked at a moment ago"
        due = sold.worth_fen * bp // WHOLE_BP
        commission = sold.commission_fen * bp // WHOLE_BP
        means = Means(deposits=balances(self._store, sold), seller_fen=due, network_fen=commission)
        paid = drawn(due, sold.deposit_fen, means)
        termination = _termination(key, TerminationKind.CANCELLED, right, sold, first, counts, due, paid, now)
        left = replace(
            right, counts=added(right.first, right.counts, first, counts, sign=-1), revision=right.revision + 1
        )
        return termination, paid, left

    # the provider takes back

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
        return _termination(name, TerminationKind.RECLAIMED, right, part, first, counts, due, paid, now), paid, left

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


def _termination(
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


def _same(known: Termination, kind: TerminationKind, right: str) -> Termination:
    if (known.kind, known.right) != (kind, right):
        raise Conflict("this identifier was used for another: send a new one", field="id", allowed=ID_ALLOWED)
    return known
