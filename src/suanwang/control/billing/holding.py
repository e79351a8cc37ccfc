"""The loop's part in money that is in flight: what starts hold, and what becomes of it while runs last.

Owns when a hold is made anew and when a run must stop. A lease holds what its run may come to in `rules.hold_span_s`. Bills
are paid from what its project has left beside that; only where that is used up do they eat into the hold, and only then is
there anything to do: hold again what can be had, and end the run in time where what is held does not last.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from suanwang.control.billing.aiding import aids, left_of
from suanwang.control.billing.budgets import binding, organisations, used_of
from suanwang.control.billing.metering import meter
from suanwang.control.billing.volumes import Volumes
from suanwang.control.rules import Rules
from suanwang.control.steps import stop_unpaid, suspend_unpaid
from suanwang.domain.ids import ProjectId
from suanwang.domain.job import Allocation, Job, Pledge, Step
from suanwang.domain.lifecycle import JobState
from suanwang.ports import HeldLease, Store
from suanwang.scheduling.plan import Place
from suanwang.scheduling.purses import Aid, Money, Purses
from suanwang.trading.budgets import Draw, Scope, Used
from suanwang.trading.holding import AGES, OUTLASTS, RUNS, joined, lent, lent_until, pledge_chain, renewed
from suanwang.trading.ledger import Account, AccountId, Hold, Owner, Transfer, account_id
from suanwang.trading.settlement import opened

LONGEST_S = 1e7
"""Of one stretch of one price that is reckoned ahead."""
LIMIT = 5000
"""Leases looked at in one turn."""
ROUNDED_FEN = 2
"""A hold that is so much short is not: bills and holds are rounded by themselves."""
WORTH = 20
"""A hold that is off by less than this part of it is left as it is."""


def money(store: Store, rules: Rules, jobs: Iterable[Job], budgets: Sequence[Used], now: datetime) -> Money:
    """What starts of these jobs may hold, of accounts, budgets and vouchers. A project that was never billed has the credit
    of a new one."""
    wanted = list(jobs)
    pairs = {(job.project, job.owner) for job in wanted}
    accounts = _accounts(store, rules, {project for project, _ in pairs})
    left: dict[str, int] = {each.budget.purse: each.left_fen for each in budgets}
    left |= {key: fen for key, account in accounts.items() if (fen := account.available_fen) is not None}
    bound = binding(budgets, pairs, organisations(store)) if budgets else {}
    purses = {
        pair: tuple(name for name in (account_id(Owner.PROJECT, pair[0]), *bound.get(pair, ())) if name in left)
        for pair in pairs
    }
    helped = aids(store, wanted, now)
    left |= left_of(store, {AccountId(aid.purse) for found in helped.values() for aid in found})
    return Money(span_s=rules.hold_span_s, left=left, of=purses, aids=helped)


def pledged(place: Place, step: Step, now: datetime) -> Step:
    """The step of a new lease with what it holds."""
    if place.aid is None:
        return replace(step, pledge=Pledge(amount_fen=place.hold_fen, at=now)) if place.hold_fen else step
    until = place.aid.until_at
    pledge = Pledge(
        amount_fen=place.hold_fen,
        at=now,
        voucher=place.aid.voucher,
        voucher_fen=place.aid_fen,
        voucher_until=until,
    )
    return replace(step, pledge=pledge)


def open_payers(store: Store, rules: Rules, places: Iterable[Place]) -> None:
    """The accounts that holds of these starts need."""
    projects = {place.job.project for place in places if place.hold_fen or place.aid_fen}
    if projects:
        store.open_accounts([opened(RUNS), *(_new(rules, project) for project in sorted(projects))])


def keep_holds(store: Store, rules: Rules, now: datetime) -> int:
    """Release what ended leases held, hold again what runs need, stop those that nobody can pay; returns how many stop."""
    store.release_ended(now, LIMIT)
    budgets = used_of(store, store.budgets(), now)
    held = store.leases_held(now + AGES, _tight(store, budgets), LIMIT)
    if not held:
        return 0
    purses = Purses(money(store, rules, [each.job for each in held], budgets, now))
    chains: list[tuple[tuple[Transfer, ...], Draw]] = []
    steps: list[Step] = []
    volumes = {site: Volumes(store, site, now) for site in {each.allocation.site_id for each in held}}
    for each in sorted(held, key=lambda each: (each.allocation.granted_at, each.allocation.id)):
        used_us = volumes[each.allocation.site_id].of(each.job.project, each.allocation)
        kept = _kept(each, purses, rules, now, used_us)
        if not kept.lasts:
            steps += _stop(each, purses, now)
        if chain := _renewed(each, kept, now):
            more = Draw(project=each.job.project, person=each.job.owner, amount_fen=kept.own_fen - each.hold.amount_fen)
            purses.took(each.job, more.amount_fen)
            if kept.aid is not None and each.voucher is not None:
                purses.lent(kept.aid, kept.lent_fen - each.voucher.amount_fen)
            chains.append((chain, more))
    _renew(store, chains, budgets, now)
    return len(steps) - len(store.apply(steps)) if steps else 0


def _renew(
    store: Store, chains: Sequence[tuple[tuple[Transfer, ...], Draw]], budgets: Sequence[Used], now: datetime
) -> None:
    """Make holds anew. One that grows is held to the budgets where it is written: what they bore as they were read, an order
    may have taken since. It then stays as it is until the next turn."""
    growing = [each for each in chains if budgets and each[1].amount_fen > 0]
    others = [chain for chain, more in chains if not budgets or more.amount_fen <= 0]
    if others:
        store.post(others, now)
    for chain, more in growing:
        store.post([chain], now, draw=more)


def hold_bare(store: Store, rules: Rules, now: datetime) -> int:
    """Let runs hold that hold nothing, because nothing limited their project as they began, and that a budget binds now; returns
    how many do. From then on they end in time, as others."""
    budgets = used_of(store, store.budgets(), now)
    if not budgets:
        return 0
    of = organisations(store)
    every = any(each.budget.scope is Scope.PERSON for each in budgets)
    bound = {each.budget.name for each in budgets if each.budget.scope is not Scope.PERSON}
    bare = store.leases_bare([name for name, label in of.items() if every or name in bound or label in bound], LIMIT)
    if not bare:
        return 0
    found = money(store, rules, [job for job, _ in bare], budgets, now)
    purses, held = Purses(found), 0
    names = {each.budget.purse for each in budgets}
    for job, allocation in bare:
        if names.isdisjoint(found.of.get((job.project, job.owner), ())):
            continue
        used_us = Volumes(store, allocation.site_id, now).of(job.project, allocation)
        wanted, least = need_fen(job, allocation, 0, now, rules.hold_span_s, used_us), purses.least(job)
        if wanted <= 0 or least is None:
            continue
        amount = max(1, min(wanted, least[1]))  # By a fen it is found, and ended.
        draw = Draw(project=job.project, person=job.owner, amount_fen=amount) if least[1] >= amount else None
        store.open_accounts([opened(RUNS)])
        (outcome,) = store.post(
            [pledge_chain(job.project, allocation.id, Pledge(amount_fen=amount, at=now))], now, draw=draw
        )
        if outcome.done:
            purses.took(job, amount)
            held += 1
    return held


def _tight(store: Store, budgets: Sequence[Used]) -> Collection[AccountId]:
    """Accounts of projects that may draw on a budget of which less is left than held."""
    tight = [each.budget for each in budgets if each.left_fen < each.held_fen]
    if not tight:
        return ()
    named = {budget.name for budget in tight if budget.scope is not Scope.PERSON}
    every = any(budget.scope is Scope.PERSON for budget in tight)
    return [
        account_id(Owner.PROJECT, project)
        for project, organisation in organisations(store).items()
        if every or project in named or organisation in named
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What a lease is to hold from now on, and whether that is enough for its run to go on."""

    own_fen: int
    aid: Aid | None
    lent_fen: int
    lasts: bool


def _kept(each: HeldLease, purses: Purses, rules: Rules, now: datetime, used_us: Mapping[datetime, int]) -> _Kept:
    """A voucher that ends within the span counts no further than to the time that the network needs to end the run: what it
    would pay after its end is the project's to hold."""
    have, leg = each.hold.amount_fen, 0 if each.voucher is None else each.voucher.amount_fen
    wanted = need_fen(each.job, each.allocation, each.owed_fen, now, rules.hold_span_s, used_us)
    least = need_fen(each.job, each.allocation, each.owed_fen, now, rules.unpaid_lead_s, used_us)
    aid, part = _lent(each, purses, wanted, now + timedelta(seconds=rules.hold_span_s))
    aid_of_least, part_of_least = _lent(each, purses, least, now + timedelta(seconds=rules.unpaid_lead_s))
    aid, lent_fen = aid or aid_of_least, part or part_of_least
    purse = purses.least(each.job)
    own = wanted - part
    can = own if purse is None else min(own, have + purse[1])
    lasts, over = can >= least - part_of_least - ROUNDED_FEN, purse is not None and purse[1] < 0
    if (aid is not None and abs(lent_fen - leg) * WORTH < wanted) or (aid is None and _ends(each.voucher, rules, now)):
        lent_fen = leg
    if have or not lent_fen:
        can = max(can, 1)  # By which the lease is found in the next turn.
    own_fen = can if over or abs(can - have) * WORTH >= wanted or not (have or lent_fen) else have
    return _Kept(own_fen=own_fen, aid=aid, lent_fen=lent_fen, lasts=lasts)


def _ends(leg: Hold | None, rules: Rules, now: datetime) -> bool:
    """Whether the voucher is over, or about to be. What is held of it waits for late lines of the time before."""
    return leg is not None and leg.timeout_at <= now + OUTLASTS + timedelta(seconds=rules.unpaid_lead_s)


def _lent(each: HeldLease, purses: Purses, amount_fen: int, until: datetime) -> tuple[Aid | None, int]:
    """What the voucher that the lease holds of would pay of so much."""
    job, place, leg = each.job, each.allocation, each.voucher
    if leg is None:
        return None, 0
    limit = (place.started_at or place.granted_at) + timedelta(seconds=job.task.resources.time_limit_s)
    found = purses.aid(
        job,
        place.site_id,
        place.device_model,
        amount_fen,
        min(until, limit),
        owed_fen=each.owed_fen,
        kept_fen=leg.amount_fen,
    )
    return found if found is not None and found[0].purse == leg.debit else (None, 0)


def _renewed(each: HeldLease, kept: _Kept, now: datetime) -> tuple[Transfer, ...]:
    """The chain by which both holds of a lease become what they are to be; empty where they are."""
    parts: list[tuple[Transfer, ...]] = []
    if kept.own_fen != each.hold.amount_fen or each.hold.timeout_at <= now + AGES:
        parts.append(renewed(each.hold, kept.own_fen, now))
    if (leg := each.voucher) is not None:
        until = None if kept.aid is None else kept.aid.until_at
        late = until is not None and leg.timeout_at <= now + AGES and lent_until(now, until) > leg.timeout_at
        if kept.lent_fen != leg.amount_fen or late:
            parts.append(lent(leg, kept.lent_fen, now, until))
    return joined(*parts)


def need_fen(
    job: Job, allocation: Allocation, owed_fen: int, now: datetime, span_s: float, used_us: Mapping[datetime, int]
) -> int:
    """What a live lease must hold so that its run is paid for until `span_s` from now, or to its time limit where that is
    sooner; at least 0.

    `owed_fen` is billed and not paid yet. Time that is not metered yet is metered here, by the prices of its hours and
    what its project has used of the month. A fen more, because bills round a running total.
    """
    begun = allocation if allocation.started_at is not None else replace(allocation, started_at=now)
    limit = (begun.started_at or now) + timedelta(seconds=job.task.resources.time_limit_s)
    until = min(now + timedelta(seconds=span_s), limit)
    ahead = meter(job, begun, until, provider="", every_s=LONGEST_S, final=True, used_us=used_us)
    yuan = ahead.job.usage.cost_yuan - job.usage.cost_yuan
    return max(0, owed_fen + (math.ceil(yuan * 100) + 1 if yuan > 0 else 0))


def _stop(each: HeldLease, purses: Purses, now: datetime) -> list[Step]:
    """A run that may be interrupted goes on by itself once there is money; another ends here."""
    job, purse = each.job, purses.least(each.job)
    if job.state is not JobState.RUNNING or job.hold is not None or purse is None:
        return []  # It ends already, or has cost nothing yet.
    empty = purse[0] if each.voucher is None else f"{purse[0]} + {each.voucher.debit}"
    if job.task.flexibility.may_be_interrupted:
        return [suspend_unpaid(job, empty, now)]
    return [stop_unpaid(job, empty, now)]


def _accounts(store: Store, rules: Rules, projects: Iterable[ProjectId]) -> dict[AccountId, Account]:
    wanted = {account_id(Owner.PROJECT, project): _new(rules, project) for project in projects}
    found: Sequence[Account] = store.accounts(sorted(wanted), None, len(wanted))[0] if wanted else ()
    return {**wanted, **{account.id: account for account in found}}


def _new(rules: Rules, project: ProjectId) -> Account:
    return replace(opened(account_id(Owner.PROJECT, project)), floor_fen=-rules.project_credit_fen)
