"""Offers over sites and chips, ranked.

Owns which counts of which devices are offered, what each comes to, and their order. Estimates come from `measuring`;
prices, PUE and carbon from the sites. Everything about ranking is on arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from suanwang.domain.device import Accelerator
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import SiteId
from suanwang.domain.job import Exclusion, Prediction, Span
from suanwang.domain.quote import Offer
from suanwang.domain.site import DevicePool, Site
from suanwang.domain.task import Objective
from suanwang.measuring.calibration import NOTHING_LEARNT, EfficiencyState
from suanwang.measuring.cores import ProcessorProfile
from suanwang.measuring.estimating import estimate
from suanwang.measuring.interval import Interval
from suanwang.measuring.need import CoreHoursNeed, Need
from suanwang.measuring.outcome import Estimate
from suanwang.measuring.outcome import Site as Grid
from suanwang.measuring.profile import DeviceProfile, profile_of
from suanwang.scheduling.snapshot import Floats, Ints

DOUBLINGS = 6
"""Counts offered of one pool: the least that holds the work, and up to so many times twice as many."""
MEMORY_PER_DEVICE_GB = 8.0
"""Host memory asked beside each device, at most the node's share."""

Start = Callable[[Site, str | None, int, int], datetime]
"""(site, device model, devices in all, cores in all) → when that much is free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Offers best first; a reason for every site that has none."""

    offers: tuple[Offer, ...]
    excluded: tuple[Exclusion, ...]
    assumptions: tuple[str, ...]
    work_pd: float | None


def rank(price: Floats, carbon: Floats, finish: Floats, objective: Objective) -> Ints:
    """Order of offers by the objective: each figure over its best, weighted; equal scores keep their order."""
    return np.argsort(score(price, carbon, finish, objective), kind="stable")


def score(price: Floats, carbon: Floats, finish: Floats, objective: Objective) -> Floats:
    """`score[o]`: 1 where an offer is best in everything that has weight."""
    weights = np.array([objective.price, objective.carbon, objective.finish], np.float64)
    weights /= weights.sum()
    total = np.zeros(len(price), np.float64)
    for weight, figure in zip(weights, (price, carbon, finish), strict=True):
        if weight and len(figure):
            best = float(figure.min())
            total += weight * (figure / best if best > 0 else np.where(figure > 0, 1 + figure, 1.0))
    return total


def offers_for(
    need: Need,
    sites: Sequence[Site],
    catalogue: Mapping[str, Accelerator],
    *,
    now: datetime,
    objective: Objective,
    start: Start,
    efficiencies: EfficiencyState = NOTHING_LEARNT,
    slowness: Mapping[tuple[SiteId, str | None], float] | None = None,
    most: int = 50,
) -> Found:
    """The best `most` offers for `need`. `slowness` stretches hours where a site measured less than it declares."""
    drafts: list[_Draft] = []
    excluded: list[Exclusion] = []
    cache: dict[object, Estimate | InvalidRequest] = {}
    for site in sorted(sites, key=lambda site: site.id):
        found, reason = _at_site(need, site, catalogue, efficiencies, slowness or {}, cache)
        drafts += found
        if not found:
            excluded.append(Exclusion(site=site.id, code="unfit", have=reason))
    offers = _ranked(drafts, now, objective, start, most)
    best = next((draft.estimate for draft in drafts if offers and draft.site.id == offers[0].site), None)
    return Found(
        offers=offers,
        excluded=tuple(excluded),
        assumptions=best.assumptions if best else (),
        work_pd=best.work_pd if best else None,
    )


@dataclass(frozen=True, slots=True)
class _Draft:
    site: Site
    pool: DevicePool | None
    nodes: int
    per_node: int
    cores: int
    memory_gb: float
    estimate: Estimate
    published: Estimate
    hours: Interval


def _at_site(
    need: Need,
    site: Site,
    catalogue: Mapping[str, Accelerator],
    efficiencies: EfficiencyState,
    slowness: Mapping[tuple[SiteId, str | None], float],
    cache: dict[object, Estimate | InvalidRequest],
) -> tuple[list[_Draft], str]:
    if isinstance(need, CoreHoursNeed):
        return _on_cores(need, site, efficiencies, slowness.get((site.id, None), 1.0))
    drafts: list[_Draft] = []
    reason = "it has no accelerator"
    for pool in site.offering.devices:
        known = catalogue.get(pool.model)
        if known is None:
            reason = f"{pool.model} is not in the catalogue"
            continue
        try:
            profile = profile_of(known, per_node=pool.per_node)
        except InvalidRequest as error:
            reason = error.message
            continue
        least = _estimate(need, profile, None, efficiencies, site, cache)
        if isinstance(least, InvalidRequest):
            reason = least.message
            continue
        factor = slowness.get((site.id, pool.model), 1.0)
        for count in _counts(least.cards, pool):
            found = _estimate(need, profile, count, efficiencies, site, cache)
            published = _estimate(need, profile, count, NOTHING_LEARNT, site, cache)
            if isinstance(found, Estimate) and isinstance(published, Estimate):
                drafts.append(_draft(site, pool, count, found, published, factor))
        if not drafts:
            reason = f"needs {least.cards} × {pool.model}, has {pool.count}"
    return drafts, reason


def _estimate(
    need: Need,
    profile: DeviceProfile,
    count: int | None,
    efficiencies: EfficiencyState,
    site: Site,
    cache: dict[object, Estimate | InvalidRequest],
) -> Estimate | InvalidRequest:
    """Estimates differ between sites only by PUE, so equal devices share one per count."""
    key = (profile.name, profile.per_node, count, efficiencies is NOTHING_LEARNT, site.offering.pue)
    if key not in cache:
        try:
            cache[key] = estimate(need, profile, count, efficiencies, site=Grid(pue=site.offering.pue))
        except InvalidRequest as error:
            cache[key] = error
    return cache[key]


def _counts(least: int, pool: DevicePool) -> list[int]:
    counts: list[int] = []
    count = least
    for _ in range(DOUBLINGS + 1):
        whole = count if count <= pool.per_node else -(-count // pool.per_node) * pool.per_node
        if whole > pool.count:
            break
        if whole not in counts:
            counts.append(whole)
        count *= 2
    return counts


def _draft(site: Site, pool: DevicePool, count: int, found: Estimate, published: Estimate, factor: float) -> _Draft:
    offer = site.offering
    per_node = min(count, pool.per_node)
    share = per_node / pool.per_node
    return _Draft(
        site=site,
        pool=pool,
        nodes=-(-count // pool.per_node),
        per_node=per_node,
        cores=max(1, int(offer.cores_per_node * share)),
        memory_gb=min(offer.memory_gb_per_node * share, max(1.0, MEMORY_PER_DEVICE_GB * per_node)),
        estimate=found,
        published=published,
        hours=found.hours.times(factor),
    )


def _on_cores(
    need: CoreHoursNeed, site: Site, efficiencies: EfficiencyState, factor: float
) -> tuple[list[_Draft], str]:
    offer = site.offering
    profile = ProcessorProfile(
        name=cpu_of(site.id), cores=offer.cores_per_node, power_w=offer.core_power_w * offer.cores_per_node or None
    )
    drafts: list[_Draft] = []
    count = 1
    while count <= offer.cores_per_node:
        grid = Grid(pue=offer.pue)
        found = estimate(need, profile, count, efficiencies, site=grid)
        published = estimate(need, profile, count, NOTHING_LEARNT, site=grid)
        drafts.append(
            _Draft(
                site=site,
                pool=None,
                nodes=1,
                per_node=0,
                cores=count,
                memory_gb=min(offer.memory_gb_per_node, 2.0 * count),
                estimate=found,
                published=published,
                hours=found.hours.times(factor),
            )
        )
        count *= 2
    return drafts, ""


def cpu_of(site: SiteId) -> str:
    """The name under which a site's own cores are learnt about."""
    return f"cpu@{site}"


def _hourly(draft: _Draft) -> float:
    price = draft.site.offering.price
    device = float(price.device_hour_yuan.get(draft.pool.model, 0)) if draft.pool else 0.0
    return draft.nodes * (
        draft.cores * float(price.core_hour_yuan)
        + draft.memory_gb * float(price.memory_gb_hour_yuan)
        + draft.per_node * device
    )


def _ranked(
    drafts: Sequence[_Draft], now: datetime, objective: Objective, start: Start, most: int
) -> tuple[Offer, ...]:
    hours = np.array([draft.hours.mid for draft in drafts], np.float64)
    hourly = np.array([_hourly(draft) for draft in drafts], np.float64)
    power = np.array([_power_kw(draft) for draft in drafts], np.float64)
    intensity = np.array([draft.site.offering.carbon_g_per_kwh for draft in drafts], np.float64)
    starts = [start(d.site, d.pool.model if d.pool else None, d.nodes * d.per_node, d.nodes * d.cores) for d in drafts]
    wait = np.array([(at - now).total_seconds() / 3600 for at in starts], np.float64)
    price, carbon, finish = hourly * hours, power * hours * intensity, wait + hours
    order = rank(price, carbon, finish, objective)
    scores = score(price, carbon, finish, objective)
    return tuple(
        _offer(number, drafts[i], starts[i], float(hourly[i]), float(power[i]), float(scores[i]))
        for number, i in enumerate(order[:most], start=1)
    )


def _power_kw(draft: _Draft) -> float:
    """Mean draw at the site's meter: the estimate's energy over its hours, where a source gives the device's power."""
    energy, hours = draft.estimate.energy_kwh, draft.estimate.hours
    if energy is not None:
        return energy.mid / hours.mid
    offer = draft.site.offering
    device_w = draft.pool.power_w if draft.pool else 0.0
    return draft.nodes * (draft.cores * offer.core_power_w + draft.per_node * device_w) / 1000 * offer.pue


def _offer(number: int, draft: _Draft, start_at: datetime, hourly: float, power_kw: float, scored: float) -> Offer:
    hours = span(draft.hours)
    energy = _times(hours, power_kw)
    estimate_ = draft.estimate
    return Offer(
        number=number,
        site=draft.site.id,
        device_model=draft.pool.model if draft.pool else None,
        nodes=draft.nodes,
        devices_per_node=draft.per_node,
        cores_per_node=draft.cores,
        memory_gb_per_node=draft.memory_gb,
        start_at=start_at,
        hours=hours,
        finish_at=start_at + timedelta(hours=hours.mid),
        price_yuan=_times(hours, hourly),
        energy_kwh=energy,
        carbon_g=_times(energy, draft.site.offering.carbon_g_per_kwh),
        score=scored,
        price=draft.site.offering.price,
        prediction=Prediction(
            device=estimate_.device,
            work_class=estimate_.work_class,
            published_hours=draft.published.hours.mid,
            hours=hours,
        ),
    )


def span(interval: Interval) -> Span:
    return Span(low=interval.low, mid=interval.mid, high=interval.high)


def _times(figure: Span, factor: float) -> Span:
    return Span(low=figure.low * factor, mid=figure.mid * factor, high=figure.high * factor)
