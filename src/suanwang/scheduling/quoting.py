"""Offers over sites and chips, ranked.

Owns which counts of which devices are offered, what each comes to, and their order. Estimates come from `measuring`;
prices, PUE and carbon from the sites. Everything about ranking is on arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from suanwang.domain.device import Accelerator
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import SiteId
from suanwang.domain.job import Exclusion, Prediction, Span
from suanwang.domain.lifecycle import SiteState
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

MOST_HOURS = 365 * 24.0
"""A run may be given this long; what takes longer on a count of devices is not offered on it."""
DOUBLINGS = 6
"""Counts offered of one pool: the least that holds the work, and up to so many times twice as many."""
MEMORY_PER_DEVICE_GB = 8.0
"""Host memory asked beside each device, at most the node's share."""
MEMORY_PER_CORE_GB = 2.0

Start = Callable[[Site, str | None, int, int], datetime | None]
"""(site, device model, devices in all, cores in all) → when that much is free, None where nobody can tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Offers best first; a reason for every site that has none."""

    offers: tuple[Offer, ...]
    excluded: tuple[Exclusion, ...]
    assumptions: tuple[str, ...]
    work_pd: float | None


def rank(price: Floats, carbon: Floats, finish: Floats, objective: Objective) -> Ints:
    """Order of offers by the objective: each figure over its best, weighted; of equal scores the earlier finish first.

    Raises `InvalidRequest` as `score` does.
    """
    return _order(score(price, carbon, finish, objective), finish)


def _order(scores: Floats, finish: Floats) -> Ints:
    """Scores that differ by less than a billionth are equal: they come of the same price, summed in another order."""
    return np.lexsort((finish, np.round(scores, 9)))


def score(price: Floats, carbon: Floats, finish: Floats, objective: Objective) -> Floats:
    """`score[o]`: 1 where an offer is best in everything that has weight.

    Raises `InvalidRequest` for weights that order nothing: negative, not finite, or all zero.
    """
    weights = np.array([objective.price, objective.carbon, objective.finish], np.float64)
    if not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() == 0:
        allowed = "weights from 0, at least one above 0"
        raise InvalidRequest("these weights order nothing", field="objective", allowed=allowed)
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
    models: Collection[str] = (),
    most: int = 50,
) -> Found:
    """The best `most` offers for `need`, and why each other site has none; closed and silent ones are told as such.

    `slowness` stretches hours where a site measured less than it declares; `models` are the only devices wanted, where
    any are named.
    """
    drafts: list[_Draft] = []
    starts: list[datetime] = []
    excluded: list[Exclusion] = []
    reckoned = _Reckoned(need, efficiencies)
    for site in sorted(sites, key=lambda site: site.id):
        if site.state is not SiteState.REACHABLE or not site.open:
            code = "silent" if site.open else "closed"
            excluded.append(Exclusion(site=site.id, code=code, have=site.state if site.open else ""))
            continue
        found, reasons = _at_site(need, site, catalogue, reckoned, slowness or {}, models)
        timed = [(draft, at) for draft in found if (at := start(site, *draft.held)) is not None]
        drafts += [draft for draft, _ in timed]
        starts += [at for _, at in timed]
        if not found:
            code = "unfit" if reasons else "no_device"
            excluded.append(Exclusion(site=site.id, code=code, have="; ".join(reasons)))
        elif not timed:
            excluded.append(Exclusion(site=site.id, code="taken", need=found[0].words))
    offers, order = _ranked(drafts, starts, now, objective, most)
    best = drafts[order[0]].estimate if offers else None
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
    published_hours: float
    hours: Interval
    hourly_yuan: float
    power_kw: float
    """Mean draw at the site's meter."""

    @property
    def held(self) -> tuple[str | None, int, int]:
        """Device model, devices and cores over all nodes."""
        return self.pool.model if self.pool else None, self.nodes * self.per_node, self.nodes * self.cores

    @property
    def words(self) -> str:
        """What it holds, for reasons."""
        model, devices, cores = self.held
        return f"{devices} × {model}" if model else f"{cores} cores"


class _Reckoned:
    """Estimates of one need: equal devices share one per count, since sites differ by PUE alone, a mere factor."""

    def __init__(self, need: Need, learnt: EfficiencyState) -> None:
        self._need = need
        self._learnt = learnt
        self._devices_learnt = {device for device, _ in learnt.beliefs}
        self._kept: dict[tuple[str, int, int | None, bool], Estimate | InvalidRequest] = {}

    def learnt(self, profile: DeviceProfile, count: int | None) -> Estimate | InvalidRequest:
        """With what finished runs have taught."""
        return self._estimate(profile, count, published=profile.name not in self._devices_learnt)

    def published(self, profile: DeviceProfile, count: int) -> Estimate | InvalidRequest:
        """By the published rule alone."""
        return self._estimate(profile, count, published=True)

    def on_cores(self, need: CoreHoursNeed, profile: ProcessorProfile, count: int) -> tuple[Estimate, Estimate]:
        """The same two for cores, which are learnt about site by site."""
        published = estimate(need, profile, count, site=_METER)
        if profile.name not in self._devices_learnt:
            return published, published
        return estimate(need, profile, count, self._learnt, site=_METER), published

    def _estimate(self, profile: DeviceProfile, count: int | None, *, published: bool) -> Estimate | InvalidRequest:
        key = (profile.name, profile.per_node, count, published)
        if key not in self._kept:
            state = NOTHING_LEARNT if published else self._learnt
            try:
                self._kept[key] = estimate(self._need, profile, count, state, site=_METER)
            except InvalidRequest as error:
                self._kept[key] = error
        return self._kept[key]


_METER = Grid(pue=1.0)
"""Energy is reckoned of the machines alone and multiplied by each site's own PUE."""


def _at_site(
    need: Need,
    site: Site,
    catalogue: Mapping[str, Accelerator],
    reckoned: _Reckoned,
    slowness: Mapping[tuple[SiteId, str | None], float],
    models: Collection[str],
) -> tuple[list[_Draft], list[str]]:
    """Drafts at one site, and per pool that has none the reason."""
    if isinstance(need, CoreHoursNeed):
        return _on_cores(need, site, reckoned, slowness.get((site.id, None), 1.0))
    drafts: list[_Draft] = []
    reasons: list[str] = []
    for pool in site.offering.devices:
        known = catalogue.get(pool.model)
        if models and pool.model not in models:
            reasons.append(f"{pool.model} is not one of the devices asked for")
            continue
        if known is None:
            reasons.append(f"{pool.model} is not in the catalogue")
            continue
        try:
            profile = profile_of(known, per_node=pool.per_node)
        except InvalidRequest as error:
            reasons.append(error.message)
            continue
        found, reason = _on_pool(site, pool, profile, reckoned, slowness.get((site.id, pool.model), 1.0))
        drafts += found
        if not found:
            reasons.append(reason)
    return drafts, reasons


def _on_pool(
    site: Site, pool: DevicePool, profile: DeviceProfile, reckoned: _Reckoned, factor: float
) -> tuple[list[_Draft], str]:
    least = reckoned.learnt(profile, None)
    if isinstance(least, InvalidRequest):
        return [], least.message
    counts = _counts(least.cards, pool, single_node=site.offering.connector == "local")
    if not counts:
        most = min(pool.count, pool.per_node) if site.offering.connector == "local" else pool.count
        return [], f"needs {least.cards} × {pool.model}, has {most} for one job"
    drafts: list[_Draft] = []
    reason = ""
    for count in counts:
        found, published = reckoned.learnt(profile, count), reckoned.published(profile, count)
        if isinstance(found, InvalidRequest):
            reason = found.message
        elif isinstance(published, InvalidRequest):
            reason = published.message
        elif found.hours.mid * factor > MOST_HOURS:
            reason = f"would take {found.hours.mid * factor:.3g} hours on {count} × {pool.model}"
        else:
            drafts.append(_on_devices(site, pool, count, found, published.hours.mid, factor))
    return drafts, reason


def _counts(least: int, pool: DevicePool, *, single_node: bool) -> list[int]:
    """`least` and its doublings, in whole nodes beyond one."""
    room = min(pool.count, pool.per_node) if single_node else pool.count
    counts: list[int] = []
    count = least
    for _ in range(DOUBLINGS + 1):
        whole = count if count <= pool.per_node else -(-count // pool.per_node) * pool.per_node
        if whole > room:
            break
        if whole not in counts:
            counts.append(whole)
        count *= 2
    return counts


def _on_devices(
    site: Site, pool: DevicePool, count: int, found: Estimate, published_hours: float, factor: float
) -> _Draft:
    offer = site.offering
    nodes, per_node = -(-count // pool.per_node), min(count, pool.per_node)
    share = per_node / pool.per_node
    cores = max(1, int(offer.cores_per_node * share))
    memory_gb = min(offer.memory_gb_per_node * share, max(1.0, MEMORY_PER_DEVICE_GB * per_node))
    if found.energy_kwh is not None:
        power_kw = found.energy_kwh.mid / found.hours.mid * offer.pue
    else:
        power_kw = nodes * (cores * offer.core_power_w + per_node * pool.power_w) / 1000 * offer.pue
    return _Draft(
        site=site,
        pool=pool,
        nodes=nodes,
        per_node=per_node,
        cores=cores,
        memory_gb=memory_gb,
        estimate=found,
        # At the speed the site was measured at, so that what its probe explains is not learnt a second time.
        published_hours=published_hours * factor,
        hours=found.hours.times(factor),
        hourly_yuan=nodes * _hourly_yuan(site, pool, cores, memory_gb, per_node),
        power_kw=power_kw,
    )


def _on_cores(need: CoreHoursNeed, site: Site, reckoned: _Reckoned, factor: float) -> tuple[list[_Draft], list[str]]:
    offer = site.offering
    power_w = offer.core_power_w * offer.cores_per_node
    profile = ProcessorProfile(name=cpu_of(site.id), cores=offer.cores_per_node, power_w=power_w or None)
    drafts: list[_Draft] = []
    reason = ""
    for count in _core_counts(offer.cores_per_node):
        found, published = reckoned.on_cores(need, profile, count)
        if found.hours.mid * factor > MOST_HOURS:
            reason = f"would take {found.hours.mid * factor:.3g} hours on {count} cores of one node"
            continue
        memory_gb = min(offer.memory_gb_per_node, MEMORY_PER_CORE_GB * count)
        drafts.append(
            _Draft(
                site=site,
                pool=None,
                nodes=1,
                per_node=0,
                cores=count,
                memory_gb=memory_gb,
                estimate=found,
                published_hours=published.hours.mid * factor,
                hours=found.hours.times(factor),
                hourly_yuan=_hourly_yuan(site, None, count, memory_gb, 0),
                power_kw=count * offer.core_power_w / 1000 * offer.pue,
            )
        )
    return drafts, [reason]


def _core_counts(cores_per_node: int) -> list[int]:
    """Powers of two up to a node, and the whole node."""
    return sorted({cores_per_node, *(2**power for power in range(cores_per_node.bit_length()))})


def cpu_of(site: SiteId) -> str:
    """The name under which a site's own cores are learnt about."""
    return f"cpu@{site}"


def _hourly_yuan(site: Site, pool: DevicePool | None, cores: int, memory_gb: float, devices: int) -> float:
    """Yuan an hour of one node's share."""
    price = site.offering.price
    device = float(price.device_hour_yuan.get(pool.model, 0)) if pool else 0.0
    return cores * float(price.core_hour_yuan) + memory_gb * float(price.memory_gb_hour_yuan) + devices * device


def _ranked(
    drafts: Sequence[_Draft], starts: Sequence[datetime], now: datetime, objective: Objective, most: int
) -> tuple[tuple[Offer, ...], Ints]:
    """The best `most` offers, and the order of all drafts."""
    hours = np.array([draft.hours.mid for draft in drafts], np.float64)
    hourly = np.array([draft.hourly_yuan for draft in drafts], np.float64)
    intensity = np.array([draft.power_kw * draft.site.offering.carbon_g_per_kwh for draft in drafts], np.float64)
    wait = np.array([0.0 if at is now else (at - now).total_seconds() / 3600 for at in starts], np.float64)
    scores = score(hourly * hours, intensity * hours, wait + hours, objective)
    order = _order(scores, wait + hours)
    offers = tuple(
        _offer(number, drafts[i], starts[i], float(scores[i])) for number, i in enumerate(order[:most], start=1)
    )
    return offers, order


def _offer(number: int, draft: _Draft, start_at: datetime, scored: float) -> Offer:
    hours = span(draft.hours)
    energy = _times(hours, draft.power_kw)
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
        price_yuan=_times(hours, draft.hourly_yuan),
        energy_kwh=energy,
        carbon_g=_times(energy, draft.site.offering.carbon_g_per_kwh),
        score=scored,
        price=draft.site.offering.price,
        prediction=Prediction(
            device=draft.estimate.device,
            work_class=draft.estimate.work_class,
            published_hours=draft.published_hours,
            hours=hours,
        ),
    )


def span(interval: Interval) -> Span:
    return Span(low=interval.low, mid=interval.mid, high=interval.high)


def _times(figure: Span, factor: float) -> Span:
    return Span(low=figure.low * factor, mid=figure.mid * factor, high=figure.high * factor)
