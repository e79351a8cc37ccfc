"""What an offer's run would be billed: metered and rated ahead by the lines that bills are made with.

Owns the run that is taken for granted: it begins and ends as the offer says, and nobody else of the project uses of the
month's volume or of a plan's hours until then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from suanwang.control.billing.metering import Metered, device_us, meter
from suanwang.domain.ids import AllocationId, JobId, ProjectId
from suanwang.domain.job import Allocation, AllocationState, BillLine, Job, Span, Why
from suanwang.domain.lifecycle import JobState
from suanwang.domain.quote import Offer, Part
from suanwang.domain.site import Site
from suanwang.domain.task import DeviceRequest, Resources, Task
from suanwang.electricity.pricing import month_of

LONGEST_S = 1e7
"""Of one stretch of one price."""
MOST_H = 14 * 24.0
"""Longer runs whose price follows the hours of electricity keep the price by which they were ranked: it differs from the bill by
the last digits of floats alone, and each hour of a month takes long to rate."""


def foreseen(offer: Offer, site: Site, project: ProjectId, used_us: Mapping[datetime, int]) -> Offer:
    """The offer with its bill; `used_us` is what its project has used of the device in each month, by the month's beginning."""
    price = offer.price
    hourly = price.electricity_passed_on or any(each.device.factor for each in price.dated)
    if hourly and not offer.hours.high <= MOST_H:
        return offer
    job, run = _begun(offer, site, project)
    ends = [offer.start_at + timedelta(hours=hours) for hours in (offer.hours.low, offer.hours.mid, offer.hours.high)]
    yuan: list[float] = []
    lines: list[BillLine] = []
    used = dict(used_us)
    for end in ends:
        found = meter(job, run, end, provider="", every_s=LONGEST_S, final=True, used_us=used)
        job, run, used = found.job, found.allocation, _counted(used, found)
        yuan.append(float(job.usage.cost_yuan))
        lines += found.bill_lines if len(yuan) <= 2 else ()
    return replace(offer, price_yuan=Span(low=yuan[0], mid=yuan[1], high=yuan[2]), parts=tuple(_parts(lines)))


def _counted(used: Mapping[datetime, int], found: Metered) -> dict[datetime, int]:
    after = dict(used)
    for record in found.usage:
        month = month_of(record.from_at)
        after[month] = after.get(month, 0) + device_us(record)
    return after


def _begun(offer: Offer, site: Site, project: ProjectId) -> tuple[Job, Allocation]:
    """The job and its run at their start."""
    declared = site.offering
    pool = next((pool for pool in declared.devices if pool.model == offer.device_model), None)
    watts = offer.cores_per_node * declared.core_power_w
    if pool is not None:
        watts += offer.devices_per_node * pool.power_w
    devices = DeviceRequest(count=offer.devices_per_node) if pool is not None and offer.devices_per_node else None
    resources = Resources(cores=offer.cores_per_node, memory_gb=offer.memory_gb_per_node, devices=devices)
    job = Job(
        id=JobId("j-quote"),
        project=project,
        owner="",
        task=Task(name="quote", run="", nodes=offer.nodes, resources=resources),
        state=JobState.RUNNING,
        submitted_at=offer.start_at,
    )
    run = Allocation(
        id=AllocationId("j-quote-1"),
        job_id=job.id,
        site_id=site.id,
        epoch=1,
        state=AllocationState.RUNNING,
        granted_at=offer.start_at,
        lease_until=offer.finish_at,
        device_model=offer.device_model,
        price=offer.price,
        pue=declared.pue,
        carbon_g_per_kwh=declared.carbon_g_per_kwh,
        power_kw=offer.nodes * watts / 1000 * declared.pue,
        why=Why(chosen=None, decided_at=offer.start_at),
        started_at=offer.start_at,
    )
    return job, run


def _parts(lines: list[BillLine]) -> Iterator[Part]:
    """Lines of one price as one, in the order of their first."""
    groups: dict[str, list[BillLine]] = {}
    for line in lines:
        words = [each for each in line.description.split(", ") if " kWh × " not in each]
        groups.setdefault(", ".join(words), []).append(line)
    for text, each in groups.items():
        hours = sum((line.to_at - line.from_at for line in each), timedelta()) / timedelta(hours=1)
        yuan = sum(line.rated_yuan for line in each)
        yield Part(text=text, from_at=each[0].from_at, hours=hours, yuan=float(yuan))
