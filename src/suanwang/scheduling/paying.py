"""What each customer would be billed by the price lists of sites, over the hours ahead, as arrays.

Owns the turn from dated prices to step functions by the half hour, whose mean counts where a price changes within one. What a
run reaches of steps of volume and uses of a plan's hours follows from what its project has used, as if nobody else of the
project used any meanwhile. Bills are rated in exact decimals by `electricity.pricing`, which this agrees with to the last digits
of floats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from suanwang.domain.ids import ProjectId
from suanwang.domain.job import Job
from suanwang.domain.pricing import Customer, DatedPrice
from suanwang.domain.site import DevicePool, Price, Site
from suanwang.domain.tariff import Tariff
from suanwang.electricity.pricing import bound, counts, month_of, reached, volumes
from suanwang.electricity.series import Floats, Ints, Series
from suanwang.electricity.supply import EPOCH, milliseconds
from suanwang.electricity.tariff import STEP_MS, STEPS, price_series
from suanwang.scheduling.ahead import HORIZON_DAYS, Integrals

_REACHED_H = 24.0
"""Longer runs that begin within a week may go on behind the horizon."""
Bools = npt.NDArray[np.bool_]
_BLOCK_STEPS, _LONG_STEPS = 32 * STEPS, (32 + 367) * STEPS


class Listed(NamedTuple):
    """The lists that bind one customer on one device, and the electricity that their formulas follow."""

    dated: tuple[DatedPrice, ...]
    tariff: Tariff | None
    devices: int = 0
    """Of a run whose volume is counted, from `from_at` on; else steps are left out, and plans taken for enough."""
    used_us: int = 0
    """In the month of `from_at`."""
    from_at: datetime | None = None


class Units(NamedTuple):
    """How many cores, GB and devices are paid for."""

    cores: float
    memory_gb: float
    devices: float


def listed_of(price: Price, devices: int = 0, used_us: int = 0, from_at: datetime | None = None) -> Listed | None:
    """None where no list binds. With `devices`, of a run that begins then."""
    if not price.dated:
        return None
    if not devices or not counts(price.dated):
        return Listed(price.dated, price.electricity)
    return Listed(price.dated, price.electricity, devices, used_us, from_at)


def customer(job: Job, payers: Mapping[ProjectId, Customer]) -> Customer:
    """What discounts look at in `job`; `payers` knows its project, where there is more to know than its name."""
    interruptible = job.task.flexibility.may_be_interrupted and job.task.checkpoint is not None
    found = payers.get(job.project)
    return Customer(job.project, "", interruptible) if found is None else replace(found, interruptible=interruptible)


def uncovered(listed: Listed) -> Listed:
    """Without what plans have paid and volume takes off: others of the project may use it first."""
    plain = (
        replace(each, discounts=tuple(one for one in each.discounts if one.below_us is None)) for each in listed.dated
    )
    return Listed(tuple(plain), listed.tariff)


@dataclass(frozen=True, slots=True)
class Course:
    """Rows by the functions of time that they follow; function 0 is nothing at any time."""

    listed: tuple[Integrals, Integrals, Integrals]
    """Yuan an hour of a core, a GB and a device, by function."""
    rises: Floats
    """`[p, 3]`: by how much these may be exceeded behind the horizon."""
    function: Ints
    """`[r]`"""
    posted: Floats
    """`[3, r]`: constant prices of the rows that follow none."""

    def most(self, units: Units, hours: float) -> Floats:
        """`[r]`: the most for so many hours, whenever they begin."""
        found = np.zeros(len(self.function))
        for at, (count, each) in enumerate(zip(units, self.listed, strict=True)):
            found += count * each.most(self.function, hours)
            if hours > _REACHED_H:
                found += count * self.rises[self.function, at] * hours
        return found

    def totals(self, units: Units, index: Ints, steps: int) -> Floats:
        """`[k, s]`: yuan from the beginning of the present half hour until `s` half hours later."""
        of = self.function[index]
        core, gb, device = (each.totals(steps)[of] for each in self.listed)
        return units.cores * core + units.memory_gb * gb + units.devices * device


class Paying:
    """The prices of some rows, for each customer that the lists of their sites tell apart."""

    def __init__(
        self,
        sites: Sequence[Site],
        pools: Sequence[DevicePool | None],
        posted: Floats,
        now: datetime,
        payers: Mapping[ProjectId, Customer],
    ) -> None:
        """`sites[r]`, `pools[r]` and `posted[3, r]` of each row."""
        self._sites, self._pools, self._posted, self._now = sites, pools, posted, now
        self._payers = payers
        discounts = [each for site in sites for version in site.offering.price.lists for each in version.discounts]
        self._projects = {name for each in discounts for name in each.projects}
        self._named = {name for each in discounts for name in each.organisations}
        self._interruptible = any(each.interruptible for each in discounts)
        self._counts = any(each.above_device_hours is not None for each in discounts)
        self._courses: dict[tuple[Customer, int], Course] = {}

    def customer(self, job: Job) -> Customer:
        """`job`'s, as far as it makes a difference to any price."""
        found = customer(job, self._payers)
        return Customer(
            found.project if found.project in self._projects else "",
            found.organisation if found.organisation in self._named else "",
            found.interruptible and self._interruptible,
            found.covers,
            found.used,
        )

    def promised(self, job: Job, devices: int) -> Listed | None:
        """The lists that bind `job` by its quote, wherever it names one site and one model."""
        assert job.terms is not None, "asked of quoted jobs only"
        need, sites = job.task.resources, job.task.constraints.sites
        model = need.devices.models[0] if need.devices and need.devices.models else None
        used_us = customer(job, self._payers).used_us(sites[0], model) if sites else 0
        return listed_of(job.terms.price, devices, used_us, self._now)

    def course(self, payer: Customer, devices: int = 0) -> Course:
        """What `payer` would be billed on each row, of a run that starts now; with its `devices` volume counts."""
        key = payer, devices if self._counts or payer.covers else 0
        found = self._courses.get(key)
        if found is None:
            prices = [
                self._listed(site, pool, payer, key[1]) for site, pool in zip(self._sites, self._pools, strict=True)
            ]
            free = np.array([each is not None for each in prices], np.bool_)
            found = self._courses[key] = course_of(prices, np.where(free, 0.0, self._posted), self._now)
        return found

    def _listed(self, site: Site, pool: DevicePool | None, payer: Customer, devices: int) -> Listed | None:
        if not site.offering.price.lists:
            return None
        model = pool.model if pool else None
        price = bound(site, model, payer, self._now)
        return listed_of(price, devices if pool else 0, payer.used_us(site.id, model), self._now)


def course_of(prices: Sequence[Listed | None], posted: Floats, now: datetime) -> Course:
    """`prices[r]` over the horizon from `now` on."""
    now_ms = milliseconds(now)
    begun_ms = now_ms // STEP_MS * STEP_MS
    numbers: dict[Listed | None, int] = {None: 0}
    function = np.array([numbers.setdefault(each, len(numbers)) for each in prices], np.int64)
    nothing = np.zeros((3, HORIZON_DAYS * STEPS))
    values = np.stack(
        [nothing if each is None else _rates(each, begun_ms, HORIZON_DAYS * STEPS) for each in numbers], axis=1
    )
    core, gb, device = (Integrals(np.ascontiguousarray(each)) for each in values)
    rises = [np.zeros(3) if each is None else _rises(each, begun_ms, HORIZON_DAYS * STEPS) for each in numbers]
    return Course((core, gb, device), np.array(rises), function, posted)


def listed_yuan(
    price: Price, units: Units, from_ms: int, to_ms: int, used_us: Mapping[datetime, int] | None = None
) -> float:
    """What lists ask over [`from_ms`, `to_ms`); 0 where none binds. With `used_us`, by month, of a run of these units."""
    listed = listed_of(price)
    if listed is None or to_ms <= from_ms:
        return 0.0
    devices = int(units.devices)
    if used_us is None or not devices or not counts(price.dated):
        return _listed_yuan(_at_volume(listed, 0), units, from_ms, to_ms)
    begins, ends = (EPOCH + timedelta(milliseconds=at) for at in (from_ms, to_ms))
    return sum(
        _listed_yuan(_at_volume(listed, each.used_us), units, milliseconds(each.from_at), milliseconds(each.to_at))
        for each in volumes(price.dated, begins, ends, devices, used_us)
    )


def _at_volume(listed: Listed, used_us: int) -> Listed:
    """As it is once so much of the month is used."""
    if not counts(listed.dated):
        return listed
    dated = tuple(replace(each, discounts=reached(each.discounts, used_us)) for each in listed.dated)
    return Listed(dated, listed.tariff)


def _listed_yuan(listed: Listed, units: Units, from_ms: int, to_ms: int) -> float:
    block = from_ms // (_BLOCK_STEPS * STEP_MS)
    return sum(
        count * float(each.integral(from_ms, to_ms)) for count, each in zip(units, _series(listed, block), strict=True)
    )


@lru_cache(32)
def _series(listed: Listed, block: int) -> tuple[Series, ...]:
    begun_ms = block * _BLOCK_STEPS * STEP_MS
    return tuple(
        Series(start_ms=begun_ms, step_ms=STEP_MS, values=each) for each in _rates_of(listed, begun_ms, _LONG_STEPS)
    )


@lru_cache(512)
def _rates(listed: Listed, begun_ms: int, steps: int) -> Floats:
    """`[3, s]`: the mean yuan an hour of a core, a GB and a device in each half hour from `begun_ms` on."""
    if listed.devices:
        return _running_rates(listed, begun_ms, steps)
    return _rates_of(_at_volume(listed, 0), begun_ms, steps)


@lru_cache(512)
def _rates_of(listed: Listed, begun_ms: int, steps: int) -> Floats:
    """As `_rates`, with all discounts that the lists hold."""
    grid = begun_ms + np.arange(steps + 1, dtype=np.int64) * STEP_MS
    inside = [milliseconds(at) for at in _changes(listed) if grid[0] < milliseconds(at) < grid[-1]]
    edges = np.union1d(grid, np.array(inside, np.int64))
    kwh, found = _yuan_per_kwh(listed, edges), np.zeros((3, len(edges) - 1))
    for number, each in enumerate(listed.dated):
        begins = each.from_at if number else None
        ends = listed.dated[number + 1].from_at if number + 1 < len(listed.dated) else None
        found += _within(edges, begins, ends) * _asked(each, kwh, edges)
    parts = found * np.diff(edges) / STEP_MS
    return np.add.reduceat(parts, np.searchsorted(edges, grid[:-1]), axis=1)


def _running_rates(listed: Listed, begun_ms: int, steps: int) -> Floats:
    """As `_rates`, of a run that goes on from `listed.from_at`."""
    edges, found = begun_ms + np.arange(steps + 1) * STEP_MS, np.zeros((3, steps))
    assert listed.from_at is not None, "of a run"
    ends_at = EPOCH + timedelta(milliseconds=int(edges[-1]))
    used_us = {month_of(listed.from_at): listed.used_us}
    for each in volumes(listed.dated, listed.from_at, ends_at, listed.devices, used_us):
        # What is before the run is as its beginning.
        begins = edges[0] if each.from_at == listed.from_at else milliseconds(each.from_at)
        inside = np.minimum(edges[1:], milliseconds(each.to_at)) - np.maximum(edges[:-1], begins)
        share = np.maximum(inside, 0.0) / STEP_MS
        found += _rates_of(_at_volume(listed, each.used_us), begun_ms, steps) * share
    return found


def _changes(listed: Listed) -> Iterator[datetime]:
    for each in listed.dated:
        yield each.from_at
        for discount in each.discounts:
            yield from (at for at in (discount.from_at, discount.until) if at is not None)


def _yuan_per_kwh(listed: Listed, edges: Ints) -> Floats:
    """`[s]`; 0 where no formula asks for it."""
    if listed.tariff is None or not any(each.device.factor for each in listed.dated):
        return np.zeros(len(edges) - 1)
    return price_series(listed.tariff, int(edges[0]), int(edges[-1])).at(edges[:-1])


def _asked(each: DatedPrice, kwh: Floats, edges: Ints) -> Floats:
    formula = each.device
    device = float(formula.base_yuan) + float(formula.factor * each.kw) * kwh
    device = np.maximum(device, float(formula.floor_yuan))
    if formula.cap_yuan is not None:
        device = np.minimum(device, float(formula.cap_yuan))
    shared, own, highest = np.ones(len(kwh)), np.ones(len(kwh)), np.ones(len(kwh), np.bool_)
    for discount in sorted(each.discounts, key=lambda one: -(one.above_device_hours or 0)):
        holds = _within(edges, discount.from_at, discount.until)
        if discount.above_device_hours is not None:
            holds, highest = holds & highest, highest & ~holds
        left = 1 - float(discount.percent) / 100 * holds
        own *= left
        if not discount.device_only:
            shared *= left
    return np.stack((float(each.core_hour_yuan) * shared, float(each.memory_gb_hour_yuan) * shared, device * own))


def _within(edges: Ints, begins: datetime | None, ends: datetime | None) -> Bools:
    """`[s]`: steps that lie between two instants, which are edges."""
    found = np.ones(len(edges) - 1, np.bool_)
    if begins is not None:
        found &= edges[:-1] >= milliseconds(begins)
    if ends is not None:
        found &= edges[:-1] < milliseconds(ends)
    return found


def _rises(listed: Listed, begun_ms: int, steps: int) -> Floats:
    """`[3]`: by how much the last day, which repeats behind these steps, may be exceeded there: by versions that come later,
    and where promotions end."""
    edges = begun_ms + np.arange(steps - STEPS, steps + 1, dtype=np.int64) * STEP_MS
    last, found = _rates(listed, begun_ms, steps)[:, -STEPS:], np.zeros(3)
    kwh = _yuan_per_kwh(listed, edges)
    for number, each in enumerate(listed.dated):
        follower = listed.dated[number + 1].from_at if number + 1 < len(listed.dated) else None
        if follower is None or milliseconds(follower) > edges[-1]:
            lasting = tuple(one for one in reached(each.discounts, 0) if one.from_at is None and one.until is None)
            rise = _asked(replace(each, discounts=lasting), kwh, edges) - last
            found = np.maximum(found, rise.max(axis=1))
    return found
