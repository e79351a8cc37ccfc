"""What a play drew, cost and emitted, to the last unit.

Owns the columns of accounts per segment and their sums by job, row, site, group and hour. Every sum of the same play
is the same integer, whichever way it is added up: power counts in whole milliwatts and PUE in thousandths, so energy is a product
of integers; money counts in nano-yuan and carbon in micrograms, rounded once per segment. Knows nothing of how placements came about.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from suanwang.domain.errors import InvalidRequest
from suanwang.electricity.series import HOUR_MS, Series
from suanwang.scheduling.columns import RESOURCES, JobColumns, RowColumns, Segments, Ways, direct

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NANO = 1_000_000_000
MICRO = 1_000_000
MILLI = 1_000
MILLIWATTS_PER_KW = 1_000_000
WATT_MS_PER_KWH = 3_600_000_000
BYTES_PER_GB = 1_000_000_000
MOST = 9.0e18
"""Sums stay below this, or nothing is returned: a little less than 2^63."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Supply:
    """The electricity of one site as it really was, known after the fact.

    Location-based carbon counts the grid's own intensity; market-based carbon counts nothing for the share that
    certificates cover and the residual mix for the rest (GHG Protocol Scope 2 Guidance 2015, chapter 6). Where no
    residual mix is known, the grid's intensity stands for it.
    """

    yuan_per_kwh: Series
    carbon_g_per_kwh: Series
    green_share: float = 0.0
    residual_g_per_kwh: Series | None = None
    relative_pue: Series | None = None
    """PUE of each step over the mean that the rows' power has in it, taken to the thousandth; price and carbon have the
    same steps then."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.green_share <= 1.0:
            raise InvalidRequest(f"a green share of {self.green_share}", field="green_share", allowed="0 to 1")
        if self.relative_pue is None:
            return
        pue = replace(self.relative_pue, values=np.rint(self.relative_pue.values * MILLI) / MILLI)
        object.__setattr__(self, "relative_pue", pue)
        for one in (self.yuan_per_kwh, self.carbon_g_per_kwh, self.residual_g_per_kwh):
            if one and (one.start_ms, one.step_ms, len(one.values)) != (pue.start_ms, pue.step_ms, len(pue.values)):
                raise InvalidRequest("price, carbon and PUE have different steps", field="relative_pue")

    def weighted(self, series: Series) -> Series:
        """Per kWh of the rows' power, whose PUE is the mean."""
        pue = self.relative_pue
        return series if pue is None else replace(series, values=series.values * pue.values)

    def time_milli(self, start_ms: Ints, end_ms: Ints) -> Ints:
        """Thousandths of milliseconds, each weighed with its PUE: a row's power times this is what it draws."""
        pue = self.relative_pue
        if pue is None:
            return MILLI * (end_ms - start_ms)
        # Whole numbers to integrate, or the sums would not be exact.
        milli = replace(pue, values=np.rint(pue.values * MILLI))
        return _whole(milli.integral(start_ms, end_ms) * HOUR_MS)


class Millionths(NamedTuple):
    """Exact amounts, `whole + rest / 1e6` each, with `0 <= rest < 1e6`."""

    whole: Ints
    rest: Ints

    @classmethod
    def of(cls, rate_milli: Ints, time_milli: Ints) -> Millionths:
        """Products of two amounts in thousandths, none of it lost and none of it over 64 bits on the way."""
        units, parts = rate_milli // MILLI, rate_milli % MILLI
        whole, over = time_milli // MILLI, time_milli % MILLI
        rest = MILLI * (units * over + parts * whole) + parts * over
        return cls(units * whole + rest // MICRO, rest % MICRO)

    def sums(self, index: Ints, count: int) -> Millionths:
        """`[index]`: exact sums of the amounts that carry each index."""
        rest = sums(self.rest, index, count)
        return Millionths(sums(self.whole, index, count) + rest // MICRO, rest % MICRO)

    def total(self) -> int:
        """Of all, in millionths."""
        return MICRO * sum(self.whole.ravel().tolist()) + sum(self.rest.ravel().tolist())

    def floats(self) -> Floats:
        return self.whole + self.rest / MICRO


def sums(values: Ints, index: Ints, count: int) -> Ints:
    """`[index]`: integer sums of the values that carry each index; raises InvalidRequest where 64 bits are too few."""
    if len(values) and float(np.abs(values).sum(dtype=np.float64)) > MOST:
        raise InvalidRequest("the amounts of this play are too large to add up exactly", field="segments")
    total = np.zeros(count, np.int64)
    np.add.at(total, index, values)
    return total


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Totals:
    """Sums by job, row, site or group: `[k]`, and `work[k, resource]`."""

    energy: Millionths
    """W·ms"""
    work: tuple[Millionths, ...]
    """Unit·ms of each resource."""
    posted_nano_yuan: Ints
    electricity_nano_yuan: Ints
    passed_on_nano_yuan: Ints
    transfer_nano_yuan: Ints
    location_ug: Ints
    market_ug: Ints
    moved_bytes: Ints

    @property
    def cost_nano_yuan(self) -> Ints:
        """What users pay: the posted price, electricity where it is passed on, and transfers."""
        return self.posted_nano_yuan + self.passed_on_nano_yuan + self.transfer_nano_yuan

    @property
    def energy_kwh(self) -> Floats:
        return self.energy.floats() / WATT_MS_PER_KWH


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Accounts:
    """`[n]`, as the segments stand. A lost or suspended run draws, costs and emits like any other."""

    segments: Segments
    jobs: JobColumns
    rows: RowColumns
    ways: Ways
    supplies: Sequence[Supply]
    duration_ms: Ints
    power_mw: Ints
    """Milliwatts, the mean PUE included."""
    energy: Millionths
    """W·ms"""
    busy_milli: Ints
    """`[n, resource]`: thousandths of units."""
    posted_yuan_hour: Floats
    posted_nano_yuan: Ints
    electricity_nano_yuan: Ints
    """All electricity, whoever pays it."""
    passed_on_nano_yuan: Ints
    """The part of it that users pay beside the posted price."""
    transfer_nano_yuan: Ints
    location_ug: Ints
    market_ug: Ints
    moved_bytes: Ints
    """Over every link of their way once: data that come by way of a third site count twice."""

    @property
    def way_ms(self) -> Ints:
        """`[n]`: how long the job's data take before the segment's work begins."""
        return self.ways.transfer_ms(self.segments.way, self.jobs.data_gb[self.segments.job])

    @property
    def cost_nano_yuan(self) -> Ints:
        return self.posted_nano_yuan + self.passed_on_nano_yuan + self.transfer_nano_yuan

    def by_job(self) -> Totals:
        return self._by(self.segments.job, len(self.jobs.ready_ms))

    def by_row(self) -> Totals:
        return self._by(self.segments.row, len(self.rows.site))

    def by_site(self) -> Totals:
        return self._by(self.rows.site[self.segments.row], len(self.supplies))

    def work_by_group(self) -> tuple[Millionths, ...]:
        return self._work(self.jobs.group[self.segments.job], self._groups)

    @property
    def _groups(self) -> int:
        return int(self.jobs.group.max()) + 1 if len(self.jobs.group) else 0

    def _work(self, index: Ints, count: int) -> tuple[Millionths, ...]:
        return tuple(
            Millionths.of(self.busy_milli[:, k], MILLI * self.duration_ms).sums(index, count) for k in range(RESOURCES)
        )

    def _by(self, index: Ints, count: int) -> Totals:
        return Totals(
            energy=self.energy.sums(index, count),
            work=self._work(index, count),
            **{name: sums(getattr(self, name), index, count) for name in _SUMMED},
        )


_SUMMED = (
    "posted_nano_yuan",
    "electricity_nano_yuan",
    "passed_on_nano_yuan",
    "transfer_nano_yuan",
    "location_ug",
    "market_ug",
    "moved_bytes",
)


def account(
    segments: Segments, jobs: JobColumns, rows: RowColumns, supplies: Sequence[Supply], ways: Ways | None = None
) -> Accounts:
    """What each segment drew, cost and emitted under what prices and carbon really were; `supplies[site]`, and the `ways` of
    the play.

    Raises InvalidRequest where a segment ends before it starts, or a row's site has no supply.
    """
    duration = segments.end_ms - segments.start_ms
    if (duration < 0).any():
        raise InvalidRequest(f"segment {int(np.argmax(duration < 0))} ends before it starts", field="end_ms")
    if len(rows.site) and int(rows.site.max()) >= len(supplies):
        raise InvalidRequest(f"site {int(rows.site.max())} has no prices and carbon", field="supplies")
    need = jobs.need[segments.job]
    power = _whole(np.einsum("nk,nk->n", need, rows.power_w[segments.row]) * MILLI)
    rate = np.einsum("nk,nk->n", need, rows.yuan_hour[segments.row])
    share = rows.electricity_share[segments.row]
    electricity, location, market, time_milli = (np.empty(len(duration), np.int64) for _ in range(4))
    for site, chosen in _by_site(rows.site[segments.row], len(supplies)):
        span = (segments.start_ms[chosen], segments.end_ms[chosen])
        electricity[chosen], location[chosen], market[chosen] = _drawn(power[chosen], *span, supplies[site])
        time_milli[chosen] = supplies[site].time_milli(*span)
    ways = direct(rows) if ways is None else ways
    # Before every start at a row that they have to be brought to.
    data_gb = np.where(segments.way >= 0, jobs.data_gb[segments.job], 0.0)
    fee = ways.yuan_per_gb[segments.way]
    return Accounts(
        segments=segments,
        jobs=jobs,
        rows=rows,
        ways=ways,
        supplies=supplies,
        duration_ms=duration,
        power_mw=power,
        energy=Millionths.of(power, time_milli),
        busy_milli=_whole(need * MILLI),
        posted_yuan_hour=rate,
        posted_nano_yuan=_posted(rate, duration),
        electricity_nano_yuan=electricity,
        passed_on_nano_yuan=_whole(electricity * share),
        transfer_nano_yuan=_whole(data_gb * fee * NANO),
        location_ug=location,
        market_ug=market,
        moved_bytes=_whole(data_gb * BYTES_PER_GB) * ways.hops[segments.way],
    )


def _posted(rate_yuan_hour: Floats, duration_ms: Ints) -> Ints:
    return _whole(rate_yuan_hour * (duration_ms / HOUR_MS) * NANO)


def _drawn(power_mw: Ints, start_ms: Ints, end_ms: Ints, supply: Supply) -> tuple[Ints, Ints, Ints]:
    """Electricity in nano-yuan, location- and market-based carbon in micrograms."""
    power_kw = power_mw / MILLIWATTS_PER_KW
    grid_g = supply.weighted(supply.carbon_g_per_kwh).integral(start_ms, end_ms)
    residual = supply.residual_g_per_kwh
    bought_g = grid_g if residual is None else supply.weighted(residual).integral(start_ms, end_ms)
    return (
        _whole(power_kw * supply.weighted(supply.yuan_per_kwh).integral(start_ms, end_ms) * NANO),
        _whole(power_kw * grid_g * MICRO),
        _whole(power_kw * bought_g * (1.0 - supply.green_share) * MICRO),
    )


def _by_site(site: Ints, count: int) -> Iterator[tuple[int, Ints]]:
    order = np.argsort(site.astype(np.min_scalar_type(count)), kind="stable")
    bounds = np.searchsorted(site[order], np.arange(count + 1))
    for k in range(count):
        if bounds[k] < bounds[k + 1]:
            yield k, order[bounds[k] : bounds[k + 1]]


def _whole(amounts: Floats) -> Ints:
    """To the nearest integer, halves to even; raises InvalidRequest where 64 bits are too few or it is no number."""
    if not (np.abs(amounts) < MOST).all():
        raise InvalidRequest("an amount of this play is too large or no number", field="segments")
    return np.rint(amounts).astype(np.int64)
