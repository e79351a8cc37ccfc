"""Metering and rating: time on a site becomes usage records, records become bill lines.

Owns how time is cut into records; the formula from a record to fen is `trading.rating`. Pure: the same allocation and
instant give the same records. Records of one allocation touch and never overlap, because each begins where the last one
ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from suanwang.domain.job import Allocation, BillLine, Job, Usage, UsageRecord
from suanwang.domain.pricing import Pricing
from suanwang.domain.site import Price
from suanwang.domain.tariff import ElectricityRate
from suanwang.electricity.daily import mean_factor
from suanwang.electricity.pricing import ZONE, counts_volume, flat, in_force, month_of, next_change, pricing_at
from suanwang.electricity.supply import milliseconds
from suanwang.trading.rating import billed_fen, electricity_rate, rated_yuan


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    job: Job
    allocation: Allocation
    usage: tuple[UsageRecord, ...] = ()
    bill_lines: tuple[BillLine, ...] = ()


def meter(
    job: Job,
    allocation: Allocation,
    until: datetime,
    *,
    provider: str,
    every_s: float,
    final: bool,
    used_us: Mapping[datetime, int] | None = None,
) -> Metered:
    """Records and bill lines from `allocation.metered_until` (or its start) to `until`.

    Before the end a record is written only for each full `every_s`; at the end the rest is. Nothing before the start.
    `used_us` says what the job's project has used of the device at the site in each month so far, by the month's beginning,
    where steps of volume count it.
    """
    start = allocation.metered_until or allocation.started_at
    if start is None:
        return Metered(job=job, allocation=allocation)
    usage: list[UsageRecord] = []
    lines: list[BillLine] = []
    step = timedelta(seconds=every_s)
    price, used = allocation.price, dict(used_us or {})
    counts = counts_volume(price)
    while until - start >= step or (final and until > start):
        month = month_of(start) if counts else start
        so_far = used.get(month, 0) if counts else None
        end = next_change(price, start, min(start + step, until), _devices(job), so_far)
        record = _record(job, allocation, start, end)
        pricing = pricing_at(price, start, so_far)
        electricity = electricity_rate(price, allocation.power_kw, start)
        posted = flat(price, allocation.device_model, start, so_far)
        rated = rated_yuan(record, posted, allocation.started_at or record.from_at, electricity)
        allocation = replace(
            allocation,
            metered_until=end,
            records=allocation.records + 1,
            usage=added_usage(allocation.usage, record, job, rated),
        )
        total = added_usage(job.usage, record, job, rated)
        billed = billed_fen(total.cost_yuan)
        line = line_of(record, provider, rated, billed - job.billed_fen, electricity, pricing, price)
        lines.append(line)
        job = replace(job, usage=total, billed_fen=billed)
        usage.append(record)
        used[month] = (so_far or 0) + device_us(record)
        start = end
    return Metered(job=job, allocation=allocation, usage=tuple(usage), bill_lines=tuple(lines))


def counted(used_us: Mapping[datetime, int], usage: Sequence[UsageRecord]) -> Mapping[datetime, int]:
    """`used_us` with these records."""
    found = dict(used_us)
    for record in usage:
        month = month_of(record.from_at)
        if month in found:
            found[month] += device_us(record)
    return found


def device_us(record: UsageRecord) -> int:
    """Device microseconds of a record."""
    return record.devices * record.us


def _devices(job: Job) -> int:
    need = job.task.resources
    return need.devices.count * job.task.nodes if need.devices else 0


def _record(job: Job, allocation: Allocation, start: datetime, end: datetime) -> UsageRecord:
    need, nodes = job.task.resources, job.task.nodes
    energy = allocation.power_kw * ((end - start) / timedelta(hours=1))
    factor = mean_factor(allocation.carbon_daily, milliseconds(start), milliseconds(end))
    return UsageRecord(
        id=f"{allocation.id}:{allocation.records + 1}",
        allocation_id=allocation.id,
        job_id=job.id,
        project=job.project,
        site_id=allocation.site_id,
        from_at=start,
        to_at=end,
        cores=need.cores * nodes,
        memory_gb=need.memory_gb * nodes,
        device_model=allocation.device_model,
        devices=_devices(job),
        energy_kwh=energy,
        carbon_g=energy * allocation.carbon_g_per_kwh * factor,
    )


def added_usage(usage: Usage, record: UsageRecord, job: Job, rated: Decimal) -> Usage:
    seconds = record.us / 1_000_000
    return Usage(
        wall_s=usage.wall_s + seconds,
        core_hours=usage.core_hours + record.cores * seconds / 3600,
        device_hours=usage.device_hours + record.devices * seconds / 3600,
        energy_kwh=usage.energy_kwh + record.energy_kwh,
        carbon_g=usage.carbon_g + record.carbon_g,
        cost_yuan=usage.cost_yuan + rated,
    )


def line_of(
    record: UsageRecord,
    provider: str,
    rated: Decimal,
    amount_fen: int,
    electricity: ElectricityRate | None,
    pricing: Pricing | None,
    price: Price,
) -> BillLine:
    """`price` is what bound the run when its lease was granted: the line names its list, with the date from which it holds."""
    parts = [] if record.corrects is None else [f"taken back of {record.corrects}"]
    parts += [f"{record.cores} cores", f"{record.memory_gb:g} GB"]
    if record.devices:
        parts.append(f"{record.devices} × {record.device_model}")
    if electricity is not None:
        parts.append(f"{record.energy_kwh:.4g} kWh × {electricity.yuan_per_kwh:f} yuan ({electricity.tier})")
    if pricing is not None:
        parts.append(_list_name(price, record.from_at))
        parts += [f"{taken.name} −{taken.percent:f} %" for taken in pricing.taken]
    return BillLine(
        usage_id=record.id,
        project=record.project,
        job_id=record.job_id,
        site_id=record.site_id,
        provider=provider,
        from_at=record.from_at,
        to_at=record.to_at,
        description=", ".join(parts),
        rated_yuan=rated,
        amount_fen=amount_fen,
        pricing=pricing,
    )


def _list_name(price: Price, at: datetime) -> str:
    each = in_force(price.dated, at)
    if not each.version:
        return "declared price"
    return f"price list {each.version} of {each.from_at.astimezone(ZONE):%Y-%m-%d}"
