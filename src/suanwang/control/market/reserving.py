"""Rights to capacity in the loop: their jobs start on them, and others are kept off.

Owns both halves. No more jobs start under a right than it has units. All other jobs see the right's units, as far as its own
jobs do not use them, as taken from the moment on that a run of theirs could still be there when it begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from suanwang.control.billing.prices import payers
from suanwang.domain.ids import SiteId
from suanwang.domain.job import Job, Terms
from suanwang.domain.pricing import Customer
from suanwang.domain.site import Held, Site
from suanwang.electricity.pricing import bound
from suanwang.ports import Store
from suanwang.trading.market.product import CORE, begins, window_of
from suanwang.trading.market.values import Reservation
from suanwang.trading.published import prepaid

NONE_HELD = Held()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """The queue by what a turn does with it."""

    reserved: tuple[Job, ...] = ()
    """May start on their rights now."""
    others: tuple[Job, ...] = ()
    late: tuple[Job, ...] = ()
    """Their rights end before they could."""
    without: tuple[tuple[Job, Reservation], ...] = ()
    """Their rights were taken back and have no units for them any more."""


def sort_queue(store: Store, jobs: Sequence[Job], now: datetime) -> Sorted:
    """Jobs under rights apart from the others. No more of them start than their right has units that are not used."""
    others = tuple(job for job in jobs if job.terms is None or job.terms.reservation is None)
    if len(others) == len(jobs):
        return Sorted(others=others)
    free: dict[str, int] = {}
    reserved, late = list[Job](), list[Job]()
    without: list[tuple[Job, Reservation]] = []
    for job in jobs:
        terms = job.terms
        if terms is None or terms.reservation is None:
            continue
        assert terms.not_before is not None, "a right has hours"
        assert terms.until is not None, "a right has hours"
        last = now + timedelta(seconds=job.task.resources.time_limit_s)
        right = store.reservation(terms.reservation)
        if right is not None and right.taken_back and not _suffices(right, job, max(now, terms.not_before)):
            without.append((job, right))
            continue
        if last > terms.until:
            late.append(job)
            continue
        if now < terms.not_before or right is None:
            continue
        left = right.least(window_of(now), window_of(last - timedelta(microseconds=1)) + 1)
        if right.id not in free:
            free[right.id] = -in_use(store, right)
        if units_of(job, right.device) <= free[right.id] + left:
            free[right.id] -= units_of(job, right.device)
            reserved.append(job)
    return Sorted(reserved=tuple(reserved), others=others, late=tuple(late), without=tuple(without))


def _suffices(right: Reservation, job: Job, start: datetime) -> bool:
    """Whether the right has units for the job from `start` on, whoever else uses them."""
    last = start + timedelta(seconds=job.task.resources.time_limit_s)
    return units_of(job, right.device) <= right.least(window_of(start), window_of(last - timedelta(microseconds=1)) + 1)


def units_of(job: Job, device: str) -> int:
    """Units of a right's device that a job uses."""
    need = job.task.resources
    each = need.cores if device == CORE else (need.devices.count if need.devices else 0)
    return each * job.task.nodes


def in_use(store: Store, right: Reservation) -> int:
    """Units that live jobs under the right use now."""
    return sum(
        units_of(job, right.device)
        for job, _ in store.live_at(right.site)
        if job.terms is not None and job.terms.reservation == right.id
    )


def kept_from(
    store: Store, jobs: Sequence[Job], now: datetime
) -> Iterator[tuple[Sequence[Job], Mapping[SiteId, Held]]]:
    """The jobs in groups, those first whose runs would end before the next right begins, each with what it sees as held:
    also what is reserved while a run of it could last. Without rights that is one group, and what is held.

    What is held is read when a group is asked for, so lease the one before first.
    """
    if not jobs:
        return
    longest = max(job.task.resources.time_limit_s for job in jobs)
    first, end = window_of(now), window_of(now + timedelta(seconds=longest)) + 1
    rights = store.reserved(first, end)
    if not rights:
        yield jobs, store.held()
        return
    soon = min((right.first for right in rights if right.first > first), default=end)
    short, long = list[Job](), list[Job]()
    for job in jobs:
        last = now + timedelta(seconds=job.task.resources.time_limit_s)
        (short if last <= begins(soon) else long).append(job)
    for group, until in ((short, soon), (long, end)):
        if group:
            yield group, _with(store, rights, first, until)


def _with(store: Store, rights: Sequence[Reservation], first: int, end: int) -> Mapping[SiteId, Held]:
    """What is held, and of each site's rights the most units at once that their own jobs do not use."""
    found = dict(store.held())
    goods: dict[tuple[SiteId, str], list[Reservation]] = {}
    for right in rights:
        goods.setdefault((right.site, right.device), []).append(right)
    for (site, device), of_site in goods.items():
        most = max(sum(right.most(window, window + 1) for right in of_site) for window in range(first, end))
        names = {right.id for right in of_site}
        used = sum(
            units_of(job, device)
            for job, _ in store.live_at(site)
            if job.terms is not None and job.terms.reservation in names
        )
        units, had = max(0, most - used), found.get(site, NONE_HELD)
        if device == CORE:
            found[site] = replace(had, cores=had.cores + units)
        else:
            found[site] = replace(had, devices={**had.devices, device: had.devices.get(device, 0) + units})
    return found


def terms_of(store: Store, right: Reservation, site: Site, sites: tuple[SiteId, ...] | None, now: datetime) -> Terms:
    """What a job under the right is promised; `sites` are where its task itself may run."""
    known = payers(store, [site], now).get(right.project, Customer(right.project))
    payer = replace(known, covers=())  # A right is paid by itself: it uses up no plan.
    model = None if right.device == CORE else right.device
    return Terms(
        price=prepaid(bound(site, model, payer, now), right.device),
        reservation=right.id,
        not_before=begins(right.first),
        until=begins(right.end),
        sites=sites,
    )
