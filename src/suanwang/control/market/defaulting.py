"""The loop's part in rights that are not delivered: found from sites that are lost, never from complaints.

Owns when a right is in default, and the order of what follows: the seller's deposit, what else he has, other hours at the
market where these and the guarantee cover them, else the money back, the guarantee last and limited. All of it is one deal,
guarded by the right's revision: whatever dies or happens twice, it happens once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from suanwang.control.market.calling import being_made, sharing_owners, terms_at
from suanwang.control.market.reclaiming import balances
from suanwang.control.market.reserving import terms_of, units_of
from suanwang.control.rules import Rules
from suanwang.control.steps import freed, suspend
from suanwang.domain.ids import SiteId
from suanwang.domain.job import Event, Hold, Job, Step
from suanwang.domain.lifecycle import JobState, SiteState
from suanwang.domain.site import Site
from suanwang.ports import Deal, OfferQuery, Store, TerminationQuery
from suanwang.scheduling.pausing import Suspend
from suanwang.trading.ledger import NETWORK, Account, Owner, account_id
from suanwang.trading.market.dealing import MARKET, Filled, fill_order, sold
from suanwang.trading.market.matching import gross_fen, take
from suanwang.trading.market.product import MOST_PRICE_FEN, added, begins, window_of
from suanwang.trading.market.termination import (
    GUARANTEE,
    Drawn,
    Means,
    Termination,
    TerminationKind,
    behind,
    chain_of,
    drawn,
    pool_limit,
    rest_of,
    returned,
)
from suanwang.trading.market.terms import Sold
from suanwang.trading.market.values import Match, Offer, Order, Reservation, Way
from suanwang.trading.settlement import WHOLE_BP, opened

_AT_ONCE = 100
_MOST_OFFERS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lost:
    """The hours of a right that will not be delivered, and what may be drawn on for them."""

    right: Reservation
    site: Site
    first: int
    counts: tuple[int, ...]
    sold: Sold
    means: Means


def default_due(store: Store, rules: Rules, now: datetime) -> int:
    """End the rights whose hours have begun at sites that are lost, and make their holders whole; returns how many."""
    since = timedelta(seconds=rules.default_after_s)
    gone = {s.id: s for s in store.sites() if s.state is SiteState.LOST and now - s.state_since >= since}
    if not gone or being_made(store, rules, now):
        # A call's result is found over the offers as they stand: whatever is bought instead is bought after it.
        return 0
    window = window_of(now)
    rights = [right for right in store.reserved(window, window + 1) if right.site in gone and right.sold is not None]
    return sum(_default(store, rules, right, gone[right.site], window, now) for right in rights[:_AT_ONCE])


def _default(store: Store, rules: Rules, right: Reservation, site: Site, window: int, now: datetime) -> bool:
    counts = right.counts[window - right.first :]
    part = behind(right, counts)
    if part is None:
        return False
    seller, pool = store.account(part.seller), store.account(GUARANTEE)
    means = Means(
        deposits=balances(store, part),
        seller_fen=0 if seller is None else seller.available_fen or 0,
        pool_fen=min(pool_limit(part.worth_fen, part), 0 if pool is None else pool.available_fen or 0),
    )
    lost = _Lost(right=right, site=site, first=window, counts=counts, sold=part, means=means)
    bought = _replacement(store, rules, lost, now)
    if bought is not None and _post(store, rules, lost, bought, now):
        return True
    return _post(store, rules, lost, None, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bought:
    filled: Filled
    offers: Mapping[str, Offer]
    paid: Drawn


def _replacement(store: Store, rules: Rules, lost: _Lost, now: datetime) -> _Bought | None:
    """The same units of the same device over the same hours at other sites, where what there is covers their price."""
    right, units = lost.right, set(lost.counts)
    if len(units) != 1:
        return None
    order = Order(
        id=f"{right.id}.{lost.first}",
        project=right.project,
        owner="network",
        devices=(right.device,),
        count=units.pop(),
        first=lost.first,
        windows=len(lost.counts),
        limit_fen=MOST_PRICE_FEN,
        interruptible=right.interruptible,
        way=Way.NOW,
        placed_at=now,
    )
    up = {site.id for site in store.sites() if site.state is SiteState.REACHABLE and site.id != right.site}
    query = OfferQuery(sites=sorted(up), devices=[right.device], first=order.first, end=order.end)
    offers = {offer.id: offer for offer in store.offers(query, None, _MOST_OFFERS)[0]}
    matches, cost = take(order, list(offers.values()), rules.commission_bp)
    if not matches or cost > lost.sold.worth_fen * lost.sold.terms.replace_bp // WHOLE_BP:
        return None
    paid = drawn(cost, lost.sold.deposit_fen, lost.means)
    if paid.paid_fen < cost:
        return None

    def price(match: Match, window: int) -> int:
        return gross_fen(offers[match.ask].price_fen, rules.commission_bp)

    owners = sharing_owners(store, {match.zone.site for match in matches})
    terms = terms_at(store, now)
    filled = fill_order(order, matches, offers, price, rules.commission_bp, now, owners=owners, terms=terms)
    return _Bought(filled=filled, offers=offers, paid=paid) if len(filled.reservations) == 1 else None


def _post(store: Store, rules: Rules, lost: _Lost, bought: _Bought | None, now: datetime) -> bool:
    right = lost.right
    due = lost.sold.worth_fen if bought is None else bought.paid.paid_fen
    paid = drawn(due, lost.sold.deposit_fen, lost.means) if bought is None else bought.paid
    termination = Termination(
        id=f"{right.id}.{right.revision + 1}",
        kind=TerminationKind.DEFAULTED,
        right=right.id,
        project=right.project,
        seller=lost.sold.seller,
        site=right.site,
        device=right.device,
        first=lost.first,
        counts=lost.counts,
        worth_fen=lost.sold.worth_fen,
        due_fen=due,
        deposit_fen=paid.deposit_fen,
        seller_fen=paid.seller_fen,
        network_fen=paid.network_fen,
        pool_fen=paid.pool_fen,
        replacement=None if bought is None else bought.filled.order.id,
        away_at=lost.site.state_since,
        at=now,
    )
    ended = replace(
        right,
        counts=added(right.first, right.counts, lost.first, lost.counts, sign=-1),
        taken_back=True,
        replaced_by=None if bought is None else bought.filled.reservations[0].id,
        revision=right.revision + 1,
    )
    event = Event(
        kind="market.defaulted",
        at=now,
        project=right.project,
        site_id=right.site,
        data={
            "right": right.id,
            "termination": termination.id,
            "due_fen": termination.due_fen,
            "paid_fen": termination.paid_fen,
            "replacement": termination.replacement,
            "away_at": lost.site.state_since.isoformat(),
        },
    )
    chain = tuple(chain_of(termination.id, termination.kind, right.project, termination.seller, paid))
    project = Account(
        id=account_id(Owner.PROJECT, right.project),
        owner=Owner.PROJECT,
        name=right.project,
        floor_fen=-rules.project_credit_fen,
    )
    needed = (project, *(opened(each) for each in (lost.sold.seller, GUARANTEE, MARKET, NETWORK)))
    deal = Deal(
        reservations=(ended,),
        terminations=(termination,),
        chains=(chain,) if chain else (),
        events=(event,),
        accounts=needed,
    )
    if bought is not None:
        filled = bought.filled
        deal = replace(
            deal,
            offers=sold(bought.offers, filled.trades),
            orders=(filled.order,),
            reservations=(ended, *filled.reservations),
            trades=filled.trades,
            # What the holder gets comes first: he pays the other hours with it.
            chains=(*deal.chains, *filled.chains),
            deposits=filled.deposits,
            accounts=(*needed, *filled.accounts),
        )
    return store.deal(deal, now).done


def return_deposits(store: Store, rules: Rules, now: datetime) -> int:
    """Give back what is left of deposits whose hours are over; returns how many."""
    due = store.deposits_due(window_of(now - timedelta(seconds=rules.default_after_s)), _AT_ONCE)
    if not due:
        return 0
    owners = sharing_owners(store, {deposit.site for deposit in due})
    have = {account.id: account for account in store.accounts([each.account for each in due], None, _AT_ONCE)[0]}
    done = 0
    for deposit in due:
        balance = have[deposit.account].balance_fen if deposit.account in have else 0
        chain = tuple(returned(deposit, balance, owners.get(deposit.site)))
        closed = replace(deposit, open=False, revision=deposit.revision + 1)
        needed = (opened(deposit.seller),)
        deal = Deal(deposits=(closed,), chains=(chain,) if chain else (), accounts=needed)
        done += store.deal(deal, now).done
    return done


def collect(store: Store, rules: Rules, now: datetime) -> int:
    """Take what is still owed for hours that were not delivered from sellers who have it by now; returns how many debts."""
    done = 0
    for ended in store.debts_due(now, _AT_ONCE):
        transfer = rest_of(ended)
        event = Event(
            kind="market.debt_paid",
            at=now,
            project=ended.project,
            site_id=ended.site,
            data={"termination": ended.id, "amount_fen": transfer.amount_fen, "transfer": transfer.id},
        )
        paid = store.post([(transfer,)], now, [event])[0].done
        # Refused, it is tried again later; a turn that dies between the two finds it posted.
        store.debt_tried(ended.id, None if paid else now + timedelta(seconds=rules.credit_retry_s))
        done += paid
    return done


def vacate(store: Store, now: datetime) -> int:
    """Ask sites to end, from their checkpoints where they have any, the runs that use units which were taken back from their
    rights; those started last first. Returns how many. Their jobs are queued again and go on elsewhere: `moved_on`."""
    window = window_of(now)
    terminations, _ = store.terminations(TerminationQuery(first=window, end=window + 1), None, 5 * _AT_ONCE)
    names = {
        each.right for each in terminations if each.right is not None and each.kind is not TerminationKind.CANCELLED
    }
    steps: list[Step] = []
    for name in sorted(names):
        right = store.reservation(name)
        if right is None:
            continue
        mine = [
            (job, run)
            for job, run in store.live_at(right.site)
            if job.terms is not None and job.terms.reservation == name
        ]
        over = sum(units_of(job, right.device) for job, _ in mine) - right.most(window, window + 1)
        for job, run in sorted(mine, key=lambda each: (each[1].granted_at, each[1].id), reverse=True):
            if over <= 0:
                break
            over -= units_of(job, right.device)
            chosen = run.why.chosen
            if job.state is JobState.RUNNING and job.hold is None and chosen is not None:
                hold = Hold(expect=chosen, start_at=now, until=now, instead=None)
                steps.append(suspend(Suspend(job=job, allocation=run, hold=hold), now))
    return len(steps) - len(store.apply(steps)) if steps else 0


def moved_on(store: Store, job: Job, right: Reservation, now: datetime) -> Step:
    """A queued job whose right was taken back: it goes on under the right bought in its place where it fits that, else as any
    other job, at posted prices and wherever its task allows."""
    terms = job.terms
    assert terms is not None, "a job under a right has terms"
    other = None if right.replaced_by is None else store.reservation(right.replaced_by)
    site = None if other is None else store.site(other.site)
    if other is not None and site is not None and (not terms.sites or other.site in terms.sites):
        start = max(now, begins(other.first))
        last = start + timedelta(seconds=job.task.resources.time_limit_s)
        units = other.least(window_of(start), window_of(last - timedelta(microseconds=1)) + 1)
        if units_of(job, other.device) <= units and terms.sites is not None:
            under = terms_of(store, other, site, terms.sites, now)
            return freed(job, (other.site,), under, f"right {right.id} was replaced by {other.id}", now)
    sites: tuple[SiteId, ...] = (right.site,) if terms.sites is None else terms.sites
    return freed(job, sites, None, f"right {right.id} was taken back", now)
