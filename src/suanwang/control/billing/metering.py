"""Metering and rating: time on a site becomes usage records, records become bill lines.

Owns how time is cut into records; the formula from a record to fen is `trading.rating`. Pure: the same allocation and
instant give the same records. Records of one allocation touch and never overlap, because each begins where the last one
ended.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from suanwang.domain.job import Allocation, BillLine, Job, Usage, UsageRecord
from suanwang.domain.site import Price
from suanwang.domain.tariff import ElectricityRate
from suanwang.electricity.daily import mean_factor
from suanwang.electricity.supply import EPOCH, milliseconds, passed_on
from suanwang.electricity.tariff import next_change_ms
from suanwang.trading.rating import billed_fen, electricity_rate, rated_yuan


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    job: Job
    allocation: Allocation
    usage: tuple[UsageRecord, ...] = ()
    bill_lines: tuple[BillLine, ...] = ()


def meter(job: Job, allocation: Allocation, until: datetime, *, provider: str, every_s: float, final: bool) -> Metered:
    """Records and bill lines from `allocation.metered_until` (or its start) to `until`.

    Before the end a record is written only for each full `every_s`; at the end the rest is. Nothing before the start.
    """
    start = allocation.metered_until or allocation.started_at
    if start is None:
        return Metered(job=job, allocation=allocation)
    usage: list[UsageRecord] = []
    lines: list[BillLine] = []
    step = timedelta(seconds=every_s)
    while until - start >= step or (final and until > start):
        end = _one_price(allocation.price, start, min(start + step, until))
        record = _record(job, allocation, start, end)
        electricity = electricity_rate(allocation.price, allocation.power_kw, start)
        rated = rated_yuan(record, allocation.price, allocation.started_at or record.from_at, electricity)
        allocation = replace(
            allocation,
            metered_until=end,
            records=allocation.records + 1,
            usage=_add(allocation.usage, record, job, rated),
        )
        total = _add(job.usage, record, job, rated)
        billed = billed_fen(total.cost_yuan)
        lines.append(_line(record, provider, rated, billed - job.billed_fen, electricity))
        job = replace(job, usage=total, billed_fen=billed)
        usage.append(record)
        start = end
    return Metered(job=job, allocation=allocation, usage=tuple(usage), bill_lines=tuple(lines))


def _one_price(price: Price, start: datetime, end: datetime) -> datetime:
    """`end`, or the instant before it at which the price of electricity that the user pays changes."""
    tariff = passed_on(price)
    if tariff is None:
        return end
    # A millisecond more, because a report may end within one.
    changes = EPOCH + timedelta(milliseconds=next_change_ms(tariff, milliseconds(start), milliseconds(end) + 1))
    return changes if start < changes < end else end


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
        devices=need.devices.count * nodes if need.devices else 0,
        energy_kwh=energy,
        carbon_g=energy * allocation.carbon_g_per_kwh * factor,
    )


def _add(usage: Usage, record: UsageRecord, job: Job, rated: Decimal) -> Usage:
    seconds = (record.to_at - record.from_at) / timedelta(seconds=1)
    return Usage(
        wall_s=usage.wall_s + seconds,
        core_hours=usage.core_hours + record.cores * seconds / 3600,
        device_hours=usage.device_hours + record.devices * seconds / 3600,
        energy_kwh=usage.energy_kwh + record.energy_kwh,
        carbon_g=usage.carbon_g + record.carbon_g,
        cost_yuan=usage.cost_yuan + rated,
    )


def _line(
    record: UsageRecord, provider: str, rated: Decimal, amount_fen: int, electricity: ElectricityRate | None
) -> BillLine:
    parts = [f"{record.cores} cores", f"{record.memory_gb:g} GB"]
    if record.devices:
        parts.append(f"{record.devices} × {record.device_model}")
    if electricity is not None:
        parts.append(f"{record.energy_kwh:.4g} kWh × {electricity.yuan_per_kwh:f} yuan ({electricity.tier})")
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
    )
