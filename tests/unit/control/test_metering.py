"""From seconds to fen: records touch, price follows the lease, and the rounded total is the bill."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from itertools import pairwise

import pytest
from tests.factories import NOW, job, replace, seconds, task

from suanwang.control.billing.metering import Metered, meter
from suanwang.domain.ids import AllocationId, SiteId
from suanwang.domain.job import Allocation, AllocationState, Job, Why
from suanwang.domain.site import Price
from suanwang.domain.task import DeviceRequest, Resources

FREE = Price(core_hour_yuan=Decimal(0))


def allocation(
    price: Price = FREE, *, started_at: datetime | None = NOW, number: int = 1, **changes: object
) -> Allocation:
    made = Allocation(
        id=AllocationId(f"j-1-{number}"),
        job_id=job().id,
        site_id=SiteId("guian"),
        epoch=number,
        state=AllocationState.RUNNING,
        granted_at=NOW,
        lease_until=NOW + seconds(120),
        price=price,
        pue=1.2,
        carbon_g_per_kwh=500.0,
        power_kw=0.5,
        why=Why(chosen=None, decided_at=NOW),
        started_at=started_at,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def metered(of: Job, held: Allocation, until_s: float, *, every_s: float = 60.0, final: bool = False) -> Metered:
    return meter(of, held, NOW + seconds(until_s), provider="guian-dc", every_s=every_s, final=final)


def test_nothing_before_the_start() -> None:
    found = metered(job(), allocation(started_at=None), 3600, final=True)
    assert found.usage == ()
    assert found.bill_lines == ()
    assert found.job == job()


def test_a_running_job_is_metered_in_whole_intervals_only() -> None:
    found = metered(job(), allocation(), 150)
    assert [(r.from_at, r.to_at) for r in found.usage] == [
        (NOW, NOW + seconds(60)),
        (NOW + seconds(60), NOW + seconds(120)),
    ]
    assert found.allocation.metered_until == NOW + seconds(120)
    assert metered(found.job, found.allocation, 150).usage == (), "the rest waits"


def test_the_end_bills_the_rest() -> None:
    found = metered(job(), allocation(), 150, final=True)
    assert found.usage[-1].to_at == NOW + seconds(150)
    assert found.job.usage.wall_s == pytest.approx(150)


def test_an_end_before_the_last_record_takes_nothing_back() -> None:
    found = metered(job(), allocation(), 120)
    again = metered(found.job, found.allocation, 30, final=True)
    assert again.usage == ()
    assert again.job == found.job


def test_records_are_numbered_through_and_touch() -> None:
    first = metered(job(), allocation(), 130)
    second = metered(first.job, first.allocation, 200, final=True)
    records = (*first.usage, *second.usage)
    assert [record.id for record in records] == [f"j-1-1:{n}" for n in range(1, 5)]
    assert all(a.to_at == b.from_at for a, b in pairwise(records))


def test_quantities_count_all_nodes_and_every_device() -> None:
    of = job(
        of=task(nodes=3, resources=Resources(cores=4, memory_gb=2.5, devices=DeviceRequest(count=2), time_limit_s=60))
    )
    held = allocation(
        Price(
            core_hour_yuan=Decimal("0.1"),
            memory_gb_hour_yuan=Decimal("0.02"),
            device_hour_yuan={"ascend910b": Decimal(10)},
        ),
        device_model="ascend910b",
    )
    found = metered(of, held, 3600, every_s=3600, final=True)
    (record,), (line,) = found.usage, found.bill_lines
    assert (record.cores, record.memory_gb, record.devices) == (12, 7.5, 6)
    # By hand: 12 × 0.1 + 7.5 × 0.02 + 6 × 10 = 61.35 yuan an hour.
    assert line.rated_yuan == Decimal("61.35")
    assert line.amount_fen == 6135
    assert line.description == "12 cores, 7.5 GB, 6 × ascend910b"
    assert (found.job.usage.core_hours, found.job.usage.device_hours) == (12.0, 6.0)


def test_energy_and_carbon_follow_from_the_modelled_power() -> None:
    found = metered(job(), allocation(), 7200, every_s=3600, final=True)
    assert found.job.usage.energy_kwh == pytest.approx(1.0)
    assert found.job.usage.carbon_g == pytest.approx(500.0)


def test_the_price_is_the_one_of_the_lease() -> None:
    cheap, dear = Price(core_hour_yuan=Decimal(1)), Price(core_hour_yuan=Decimal(2))
    first = metered(job(), allocation(cheap), 3600, every_s=3600, final=True)
    second = metered(first.job, allocation(dear, number=2), 3600, every_s=3600, final=True)
    assert [line.amount_fen for line in (*first.bill_lines, *second.bill_lines)] == [100, 200]
    assert second.job.billed_fen == 300


def test_a_device_without_a_price_costs_nothing_extra() -> None:
    of = job(of=task(resources=Resources(devices=DeviceRequest(count=1))))
    found = metered(of, allocation(device_model="unlisted"), 3600, every_s=3600, final=True)
    assert found.job.billed_fen == 0


@pytest.mark.parametrize("every_s", [1.0, 7.0, 60.0, 3600.0])
def test_ten_thousand_seconds_cost_the_same_however_they_are_cut(every_s: float) -> None:
    """0.1 yuan per hour is 0.0000277… a second: rounding each second apart would not come to the same."""
    found = metered(job(), allocation(Price(core_hour_yuan=Decimal("0.1"))), 10_000, every_s=every_s, final=True)
    assert found.job.usage.cost_yuan == Decimal("0.27777778")
    assert found.job.billed_fen == 28
    assert sum(line.rated_yuan for line in found.bill_lines) == found.job.usage.cost_yuan
    assert sum(line.amount_fen for line in found.bill_lines) == 28


def test_many_jobs_too_small_for_a_fen_are_not_free() -> None:
    """A begun fen is due: work cut into tiny jobs costs no less than in one. What is exact stays on the line."""
    price = Price(core_hour_yuan=Decimal("0.144"))
    lines = [metered(job(), allocation(price), 100, final=True).bill_lines for _ in range(1000)]
    for of in lines:
        exact = 100 * sum((line.rated_yuan for line in of), Decimal(0))
        assert 0 <= sum(line.amount_fen for line in of) - exact < 1
    assert sum(line.rated_yuan for of in lines for line in of) == Decimal(4)
