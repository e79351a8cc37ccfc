"""One turn of the control loop: observe → decide → record intent. What a site does about it comes back through `sync`.

Owns the order of the turn. Every part is guarded by revisions, so any number of replicas may turn at once and a turn
that dies anywhere is simply finished by the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from suanwang.control.billing.budgets import used_of
from suanwang.control.billing.holding import keep_holds, money, open_payers, pledged
from suanwang.control.billing.prices import payers
from suanwang.control.billing.settling import settle
from suanwang.control.contracts.crediting import credit_due
from suanwang.control.contracts.listed import settle_uses
from suanwang.control.contracts.plans import fees_due
from suanwang.control.learning import teach
from suanwang.control.leasing import bound_to
from suanwang.control.market.approving import lapse_waiting
from suanwang.control.market.calling import call_due
from suanwang.control.market.defaulting import collect, default_due, moved_on, return_deposits, vacate
from suanwang.control.market.reserving import kept_from, sort_queue
from suanwang.control.rules import Rules
from suanwang.control.sharing import fairness, keep_means
from suanwang.control.standing import slowness
from suanwang.control.steps import fail_unmet, fence, hold, hopeless, lease, let_go, preempt, ready
from suanwang.control.suspending import suspend_due, taking
from suanwang.domain.device import Position
from suanwang.domain.errors import Conflict, InvalidRequest
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import Event, Job, Place, Step, place_of
from suanwang.domain.lifecycle import JobState, SiteState
from suanwang.domain.site import Held, Site
from suanwang.domain.task import Priority
from suanwang.ports import Store
from suanwang.scheduling.placing import decide
from suanwang.scheduling.plan import Plan
from suanwang.scheduling.snapshot import Snapshot
from suanwang.trading.agreements import RIGHT_LAPSED

Decide = Callable[[Snapshot], Plan]
FENCE_LIMIT = 5000
READY_LIMIT = 2000
FRONT_LIMIT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one turn did."""

    leased: int = 0
    stale: int = 0
    """Parts of the plan that no longer fitted; they are decided anew."""
    fenced: int = 0
    readied: int = 0
    failed: int = 0
    waiting: int = 0
    """Jobs that stay in the queue, without those whose hold lasts: they were not looked at."""
    gap: float = 0.0
    """How far the starts of the last plan were from its own bound; see `Plan.gap`."""
    settled: int = 0
    """Bill lines that became transfers."""
    called: int = 0
    """Calls of the market that were made."""
    behind: Place | None = None
    """Where the next turn goes on in a queue longer than one turn; None for its front."""
    suspended: int = 0
    """Runs that sites were asked to end, since their work had better go on at another hour."""
    step: int = 0
    """The step of the prices in which that was asked last."""
    preempted: int = 0
    """Runs whose owners were told that they end for jobs of higher priority."""
    unpaid: int = 0
    """Runs that sites were asked to end, since nobody can pay them any more."""


def tick(
    store: Store,
    rules: Rules,
    places: Mapping[str, Position],
    now: datetime,
    decide_with: Decide = decide,
    behind: Place | None = None,
    step: int = 0,
) -> Turn:
    """One turn at `now`. `places` are the positions that latency circles may name; `behind` and `step` are the last turn's."""
    watch_sites(store, rules, now)
    fenced = fence_overdue(store, rules, now)
    readied, unmet = release(store, now)
    teach(store, now)
    keep_means(store, rules, now)
    placed = place(store, rules, places, now, decide_with, behind)
    suspended, step = suspend_due(store, lambda: snapshot(store, (), places, now), now, step)
    placed = replace(placed, suspended=suspended, step=step)
    settled = settle(store, rules, now)
    unpaid = keep_holds(store, rules, now)
    settle_uses(store, rules.settle_limit, now)
    called = call_due(store, rules, now)
    lapse_waiting(store, now)
    default_due(store, rules, now)
    collect(store, rules, now)
    vacate(store, now)
    return_deposits(store, rules, now)
    credit_due(store, rules, now)
    fees_due(store, rules, now)
    return replace(placed, fenced=fenced, readied=readied, failed=unmet, called=called, settled=settled, unpaid=unpaid)


def watch_sites(store: Store, rules: Rules, now: datetime) -> None:
    """REACHABLE → SUSPECT → LOST by how long a site has been silent."""
    for site in store.sites():
        if site.seen_at is None or site.state is SiteState.LOST:
            continue
        silent_s = (now - site.seen_at).total_seconds()
        state: SiteState = site.state
        if silent_s > rules.lost_after_s:
            state = SiteState.LOST
        elif silent_s > rules.suspect_after_s:
            state = SiteState.SUSPECT
        if state is site.state:
            continue
        moved = replace(site, state=state, state_since=now, revision=site.revision + 1)
        event = Event(kind=f"site.{state}", at=now, site_id=site.id, data={"silent_s": round(silent_s, 1)})
        try:
            store.put_site(moved, (event,), unhold=state is SiteState.LOST)
        except Conflict:
            continue  # It spoke just now, or another replica noted it.


def fence_overdue(store: Store, rules: Rules, now: datetime) -> int:
    """Take back leases whose site was silent past them, and past the margin its guards have to end the run."""
    before = now - timedelta(seconds=rules.fence_margin_s)
    overdue = store.overdue(before, FENCE_LIMIT)
    steps = [
        fence(job, allocation, now, reason=f"lost contact with site {allocation.site_id}")
        for job, allocation in overdue
    ]
    return len(steps) - len(store.apply(steps)) if steps else 0


def release(store: Store, now: datetime) -> tuple[int, int]:
    """Queue the jobs whose needs have succeeded; fail those one of whose needs did not. Returns both counts."""
    steps: list[Step] = []
    for job, needs in store.decided_waiting(READY_LIMIT):
        bad = sorted(name for name, state in needs.items() if state is not JobState.SUCCEEDED)
        if bad:
            steps.append(fail_unmet(job, f"needs {', '.join(bad)}, which ended {needs[bad[0]]}", now))
            continue
        try:
            steps.append(ready(job, bound_to(store, job), now))
        except InvalidRequest as error:
            steps.append(fail_unmet(job, error.message, now))
    refused = store.apply(steps) if steps else frozenset()
    done = [step.job.state for step in steps if step.job.id not in refused]
    return done.count(JobState.QUEUED), done.count(JobState.FAILED)


def snapshot(
    store: Store,
    jobs: Sequence[Job],
    places: Mapping[str, Position],
    now: datetime,
    held: Mapping[SiteId, Held] | None = None,
    *,
    rules: Rules | None = None,
    projects: Collection[ProjectId] = (),
) -> Snapshot:
    """The network as the store has it, or with what these jobs are to see as held; with `rules`, projects beside each other, and
    their money. `projects` are asked about beside those of the jobs."""
    sites = store.sites()
    return Snapshot(
        now=now,
        jobs=jobs,
        sites=sites,
        held=store.held() if held is None else held,
        places=places,
        slowness=slowness(sites),
        endings=store.endings,
        fairness=None if rules is None else fairness(store, rules, {job.project for job in jobs}),
        payers=payers(store, sites, now, {job.project for job in jobs}.union(projects)),
        money=None if rules is None else money(store, rules, jobs, used_of(store, store.budgets(), now), now),
        taking=None if rules is None else taking(store, rules),
    )


def place(
    store: Store,
    rules: Rules,
    places: Mapping[str, Position],
    now: datetime,
    decide_with: Decide = decide,
    behind: Place | None = None,
) -> Turn:
    """Decide about the queue and record the leases; agents fetch them with their next call.

    A queue longer than `plan_limit` is taken in parts, one a turn: jobs that find no room never keep those behind them
    from being looked at. Parts go by priority, then readiness; shares are compared within each. The first jobs of high
    priority are looked at in every turn.
    """
    jobs = store.queued(rules.plan_limit, behind, now)
    if not jobs:
        return Turn()
    following = place_of(jobs[-1]) if len(jobs) == rules.plan_limit else None
    if behind is not None:
        front = (job for job in store.queued(FRONT_LIMIT, None, now) if job.task.priority is Priority.HIGH)
        jobs = [*(job for job in front if place_of(job) <= behind), *jobs]
    queue = sort_queue(store, jobs, now)
    turn = Turn(
        waiting=len(jobs) - len(queue.reserved) - len(queue.others) - len(queue.late) - len(queue.without),
        behind=following,
    )
    if queue.without:
        store.apply([moved_on(store, job, right, now) for job, right in queue.without])
    if queue.late:
        store.apply([fail_unmet(job, RIGHT_LAPSED, now) for job in queue.late])
    if queue.reserved:
        turn = _decided(turn, store, rules, snapshot(store, queue.reserved, places, now, rules=rules), decide_with)
    for group, held in kept_from(store, queue.others, now):
        turn = _decided(turn, store, rules, snapshot(store, group, places, now, held, rules=rules), decide_with)
    return turn


def _decided(turn: Turn, store: Store, rules: Rules, seen: Snapshot, decide_with: Decide) -> Turn:
    """`turn` with what becomes of the jobs of `seen`."""
    plan = decide_with(seen)
    sites: Mapping[str, Site] = {site.id: site for site in seen.sites}
    open_payers(store, rules, plan.places)
    steps = [
        pledged(
            choice,
            lease(
                choice,
                sites[choice.site],
                seen.now + rules.lease,
                seen.now,
                seen.payers,
            ),
            seen.now,
        )
        for choice in plan.places
    ]
    steps += [hopeless(found, seen.now) for found in plan.hopeless]
    steps += [hold(kept, seen.now) for kept in plan.keeps]
    steps += [step for found in plan.preempts for step in preempt(found, seen.now)]
    if over := [job for job in seen.jobs if job.hold is not None and job.hold.until <= seen.now]:
        decided = {step.job.id for step in steps}
        steps += [let_go(job) for job in over if job.id not in decided]
    refused = store.apply(steps) if steps else frozenset()
    return replace(
        turn,
        leased=turn.leased + sum(choice.job.id not in refused for choice in plan.places),
        stale=turn.stale + len(refused),
        waiting=turn.waiting + plan.stays,
        gap=plan.gap if plan.places else turn.gap,
        preempted=turn.preempted + sum(job.id not in refused for found in plan.preempts for job, _ in found.runs),
    )
