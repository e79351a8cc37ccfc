"""Offers over sites and chips, ranked.

Owns which counts of which devices are offered, what each comes to, and their order. Estimates come from `measuring`;
prices, PUE and carbon from the sites. Everything about ranking is on arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from suanwang.domain.device import Accelerator
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import SiteId
from suanwang.domain.job import Exclusion, Prediction, Span
from suanwang.domain.lifecycle import SiteState
from suanwang.domain.quote import Offer
from suanwang.domain.site import DevicePool, Price, Site
from suanwang.domain.task import Objective
from suanwang.electricity.daily import mean_factor
from suanwang.electricity.series import HOUR_MS
from suanwang.electricity.supply import drawn_yuan, milliseconds
from suanwang.measuring.calibration import NOTHING_LEARNT, EfficiencyState
from suanwang.measuring.cores import ProcessorProfile
from suanwang.measuring.estimating import estimate
from suanwang.measuring.interval import Interval
from suanwang.measuring.need import CoreHoursNeed, Need
from suanwang.measuring.outcome import Estimate
from suanwang.measuring.outcome import Site as Grid
from suanwang.measuring.profile import DeviceProfile, profile_of
from suanwang.scheduling.paying import Units, listed_yuan
from suanwang.scheduling.snapshot import Floats, Ints

MOST_HOURS = 365 * 24.0
"""A run may be given this long; what takes longer on a count of devices is not offered on it."""
DOUBLINGS = 6
"""Counts offered of one pool: the least that holds the work, and up to so many times twice as many."""
MEMORY_PER_DEVICE_GB = 8.0
"""Host memory asked beside each device, at most the node's share."""
MEMORY_PER_CORE_GB = 2.0

PriceOf = Callable[[Site, str | None], Price]
"""(site, device model) → what the customer would pay there."""
UsedOf = Callable[[Site, str | None], Mapping[datetime, int]]
"""(site, device model) → device microseconds that the customer has used there, by the month's beginning."""
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
    price_of: PriceOf | None = None,
    used_of: UsedOf | None = None,
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
    reckoned = _Reckoned(need, efficiencies, catalogue)
    asked = price_of or _posted
    for site in sorted(sites, key=lambda site: site.id):
        if site.state is not SiteState.REACHABLE or not site.open:
            code = "silent" if site.open else "closed"
            excluded.append(Exclusion(site=site.id, code=code, have=site.state if site.open else ""))
            continue
        found, reasons = _at_site(need, site, reckoned, slowness or {}, asked, models)
        before = len(drafts)
        for draft in found:
            at = start(site, *draft.held)
            if at is not None:
                if used_of is not None and draft.price.dated:
                    draft = draft._replace(used_us=used_of(site, draft.held[0]))
                drafts.append(draft)
                starts.append(at)
        if not found:
            code = "unfit" if reasons else "no_device"
            excluded.append(Exclusion(site=site.id, code=code, have="; ".join(reasons)))
        elif len(drafts) == before:
            excluded.append(Exclusion(site=site.id, code="taken", need=found[0].words))
    offers, order = _ranked(drafts, starts, now, objective, most)
    best = drafts[order[0]].option.estimate if offers else None
    return Found(
        offers=offers,
        excluded=tuple(excluded),
        assumptions=best.assumptions if best else (),
        work_pd=best.work_pd if best else None,
    )


class _Option(NamedTuple):
    """So many devices (cores, without a pool) and what the need takes on them."""

    nodes: int
    per_node: int
    estimate: Estimate
    published_hours: float


class _Draft(NamedTuple):
    """An option at a site; `hours` are the middle ones, stretched by `factor`."""

    site: Site
    price: Price
    pool: DevicePool | None
    option: _Option
    cores: int
    memory_gb: float
    factor: float
    hours: float
    hourly_yuan: float
    power_kw: float
    """Mean draw at the site's meter."""
    billed_kw: float
    """What users pay electricity for, where they pay it beside the price: the rated draw, as for every run."""
    used_us: Mapping[datetime, int] | None = None

    def timed_yuan(self, start_at: datetime, hours: float) -> float:
        """What changes with the hour over so many from `start_at`: electricity beside the price, and what lists ask."""
        begun = milliseconds(start_at)
        ended = begun + round(hours * HOUR_MS)
        nodes, per_node, _, _ = self.option
        paid = Units(nodes * self.cores, nodes * self.memory_gb, nodes * per_node)
        return drawn_yuan(self.price, self.billed_kw, begun, ended) + listed_yuan(
            self.price, paid, begun, ended, self.used_us
        )

    def carbon_g(self, start_at: datetime, hours: float) -> float:
        offer, begun = self.site.offering, milliseconds(start_at)
        factor = mean_factor(offer.carbon_daily, begun, begun + round(hours * HOUR_MS))
        return self.power_kw * hours * offer.carbon_g_per_kwh * factor

    @property
    def held(self) -> tuple[str | None, int, int]:
        """Device model, devices and cores over all nodes."""
        nodes, per_node, _, _ = self.option
        return (self.pool.model, nodes * per_node, nodes * self.cores) if self.pool else (None, 0, nodes * self.cores)

    @property
    def words(self) -> str:
        """What it holds, for reasons."""
        model, devices, cores = self.held
        return f"{devices} × {model}" if model else f"{cores} cores"


class _Reckoned:
    """What one need takes: equal devices share their options, since sites differ by PUE alone, a mere factor."""

    def __init__(self, need: Need, learnt: EfficiencyState, catalogue: Mapping[str, Accelerator]) -> None:
        self._need = need
        self._learnt = learnt
        self._catalogue = catalogue
        self._devices_learnt = {device for device, _ in learnt.beliefs}
        self._least: dict[tuple[str, int], tuple[DeviceProfile, int] | str] = {}
        self._options: dict[tuple[str, int, int], tuple[list[_Option], str]] = {}

    def on(self, pool: DevicePool, room: int) -> tuple[list[_Option], str]:
        """Options on up to `room` devices of `pool`; where there is none, the reason."""
        key = (pool.model, pool.per_node, room)
        if key not in self._options:
            least = self._least_of(pool)
            self._options[key] = ([], least) if isinstance(least, str) else self._made(*least, pool, room)
        return self._options[key]

    def on_cores(self, need: CoreHoursNeed, profile: ProcessorProfile, count: int) -> _Option:
        """Cores are learnt about site by site."""
        published = estimate(need, profile, count, site=_METER)
        found = published
        if profile.name in self._devices_learnt:
            found = estimate(need, profile, count, self._learnt, site=_METER)
        return _Option(1, 0, found, published.hours.mid)

    def _least_of(self, pool: DevicePool) -> tuple[DeviceProfile, int] | str:
        """The device's profile and the fewest that hold the work, or why there are none."""
        key = (pool.model, pool.per_node)
        if key not in self._least:
            known = self._catalogue.get(pool.model)
            if known is None:
                return f"{pool.model} is not in the catalogue"
            try:
                profile = profile_of(known, per_node=pool.per_node)
                self._least[key] = (profile, estimate(self._need, profile, None, self._learnt, site=_METER).cards)
            except InvalidRequest as error:
                self._least[key] = error.message
        return self._least[key]

    def _made(self, profile: DeviceProfile, least: int, pool: DevicePool, room: int) -> tuple[list[_Option], str]:
        counts = _counts(least, pool.per_node, room)
        reason = "" if counts else f"needs {least} × {pool.model}, has {room} for one job"
        options: list[_Option] = []
        for count in counts:
            try:
                found = published = estimate(self._need, profile, count, site=_METER)
                if profile.name in self._devices_learnt:
                    found = estimate(self._need, profile, count, self._learnt, site=_METER)
            except InvalidRequest as error:
                reason = error.message
                continue
            nodes, per_node = -(-count // pool.per_node), min(count, pool.per_node)
            options.append(_Option(nodes, per_node, found, published.hours.mid))
        return options, reason


_METER = Grid(pue=1.0)
"""Energy is reckoned of the machines alone and multiplied by each site's own PUE."""


def _at_site(
    need: Need,
    site: Site,
    reckoned: _Reckoned,
    slowness: Mapping[tuple[SiteId, str | None], float],
    price_of: PriceOf,
    models: Collection[str],
) -> tuple[list[_Draft], list[str]]:
    """Drafts at one site, and per pool that has none the reason."""
    if isinstance(need, CoreHoursNeed):
        return _on_cores(need, site, price_of(site, None), reckoned, slowness.get((site.id, None), 1.0))
    drafts: list[_Draft] = []
    reasons: list[str] = []
    for pool in site.offering.devices:
        if models and pool.model not in models:
            reasons.append(f"{pool.model} is not one of the devices asked for")
            continue
        price = price_of(site, pool.model)
        found, reason = _on_pool(site, price, pool, reckoned, slowness.get((site.id, pool.model), 1.0))
        drafts += found
        if not found:
            reasons.append(reason)
    return drafts, reasons


def _posted(site: Site, device: str | None) -> Price:
    return site.offering.price


def _on_pool(
    site: Site, price: Price, pool: DevicePool, reckoned: _Reckoned, factor: float
) -> tuple[list[_Draft], str]:
    offer = site.offering
    room = min(pool.count, pool.per_node) if offer.connector == "local" else pool.count
    options, reason = reckoned.on(pool, room)
    core_yuan, gb_yuan, device_yuan = _hourly(price, pool.model)
    drafts: list[_Draft] = []
    for option in options:
        nodes, per_node, found, _ = option
        hours = found.hours.mid * factor
        if hours > MOST_HOURS:
            reason = f"would take {hours:.3g} hours on {nodes * per_node} × {pool.model}"
            continue
        share = per_node / pool.per_node
        cores = max(1, int(offer.cores_per_node * share))
        memory_gb = min(offer.memory_gb_per_node * share, max(1.0, MEMORY_PER_DEVICE_GB * per_node))
        billed_kw = power_kw = nodes * (cores * offer.core_power_w + per_node * pool.power_w) / 1000 * offer.pue
        if found.energy_kwh is not None:
            power_kw = found.energy_kwh.mid / found.hours.mid * offer.pue
        hourly = nodes * (cores * core_yuan + memory_gb * gb_yuan + per_node * device_yuan)
        drafts.append(_Draft(site, price, pool, option, cores, memory_gb, factor, hours, hourly, power_kw, billed_kw))
    return drafts, reason


def _counts(least: int, per_node: int, room: int) -> list[int]:
    """`least` and its doublings, in whole nodes beyond one."""
    counts: list[int] = []
    count = least
    for _ in range(DOUBLINGS + 1):
        whole = count if count <= per_node else -(-count // per_node) * per_node
        if whole > room:
            break
        if whole not in counts:
            counts.append(whole)
        count *= 2
    return counts


def _hourly(price: Price, device: str | None) -> tuple[float, float, float]:
    """Yuan of a core, a GB and a device; nothing where lists ask instead, over time."""
    if price.dated:
        return 0.0, 0.0, 0.0
    each = price.device_hour_yuan.get(device, 0) if device is not None else 0
    return float(price.core_hour_yuan), float(price.memory_gb_hour_yuan), float(each)


def _on_cores(
    need: CoreHoursNeed, site: Site, price: Price, reckoned: _Reckoned, factor: float
) -> tuple[list[_Draft], list[str]]:
    offer = site.offering
    core_yuan, gb_yuan, _ = _hourly(price, None)
    power_w = offer.core_power_w * offer.cores_per_node
    profile = ProcessorProfile(name=cpu_of(site.id), cores=offer.cores_per_node, power_w=power_w or None)
    drafts: list[_Draft] = []
    reason = ""
    for count in _core_counts(offer.cores_per_node):
        option = reckoned.on_cores(need, profile, count)
        hours = option.estimate.hours.mid * factor
        if hours > MOST_HOURS:
            reason = f"would take {hours:.3g} hours on {count} cores of one node"
            continue
        memory_gb = min(offer.memory_gb_per_node, MEMORY_PER_CORE_GB * count)
        hourly = count * core_yuan + memory_gb * gb_yuan
        power_kw = count * offer.core_power_w / 1000 * offer.pue
        drafts.append(_Draft(site, price, None, option, count, memory_gb, factor, hours, hourly, power_kw, power_kw))
    return drafts, [reason]


def _core_counts(cores_per_node: int) -> list[int]:
    """Powers of two up to a node, and the whole node."""
    return sorted({cores_per_node, *(2**power for power in range(cores_per_node.bit_length()))})


def cpu_of(site: SiteId) -> str:
    """The name under which a site's own cores are learnt about."""
    return f"cpu@{site}"


def _ranked(
    drafts: Sequence[_Draft], starts: Sequence[datetime], now: datetime, objective: Objective, most: int
) -> tuple[tuple[Offer, ...], Ints]:
    """The best `most` offers, and the order of all drafts."""
    hours = np.array([draft.hours for draft in drafts], np.float64)
    hourly = np.array([draft.hourly_yuan for draft in drafts], np.float64)
    begun = list(zip(drafts, starts, strict=True))
    timed = np.array([draft.timed_yuan(at, draft.hours) for draft, at in begun], np.float64)
    carbon = np.array([draft.carbon_g(at, draft.hours) for draft, at in begun], np.float64)
    wait = np.array([0.0 if at is now else (at - now).total_seconds() / 3600 for at in starts], np.float64)
    scores = score(hourly * hours + timed, carbon, wait + hours, objective)
    order = _order(scores, wait + hours)
    offers = tuple(
        _offer(number, drafts[i], starts[i], float(scores[i])) for number, i in enumerate(order[:most], start=1)
    )
    return offers, order


def _offer(number: int, draft: _Draft, start_at: datetime, scored: float) -> Offer:
    found = draft.option.estimate
    hours = _times(span(found.hours), draft.factor)
    return Offer(
        number=number,
        site=draft.site.id,
        device_model=draft.pool.model if draft.pool else None,
        nodes=draft.option.nodes,
        devices_per_node=draft.option.per_node,
        cores_per_node=draft.cores,
        memory_gb_per_node=draft.memory_gb,
        start_at=start_at,
        hours=hours,
        finish_at=start_at + timedelta(hours=hours.mid),
        price_yuan=_each(hours, lambda long: long * draft.hourly_yuan + draft.timed_yuan(start_at, long)),
        energy_kwh=_times(hours, draft.power_kw),
        carbon_g=_each(hours, lambda long: draft.carbon_g(start_at, long)),
        score=scored,
        price=draft.price,
        prediction=Prediction(
            device=found.device,
            work_class=found.work_class,
            # At the speed the site was measured at, so that what its probe explains is not learnt a second time.
            published_hours=draft.option.published_hours * draft.factor,
            hours=hours,
        ),
    )


def span(interval: Interval) -> Span:
    return Span(low=interval.low, mid=interval.mid, high=interval.high)


def _each(hours: Span, figure: Callable[[float], float]) -> Span:
    return Span(low=figure(hours.low), mid=figure(hours.mid), high=figure(hours.high))


def _times(figure: Span, factor: float) -> Span:
    return Span(low=figure.low * factor, mid=figure.mid * factor, high=figure.high * factor)
