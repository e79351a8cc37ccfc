"""Metering is additive: whenever it is called and however often, the same time costs the same to the fen."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories import NOW, job, seconds, task
from tests.unit.control.test_metering import allocation

from suanwang.control.billing.metering import meter
from suanwang.domain.job import BillLine, UsageRecord
from suanwang.domain.site import Price
from suanwang.domain.task import DeviceRequest, Resources

PRICES = st.builds(
    Price,
    core_hour_yuan=st.decimals(0, 100, places=4),
    memory_gb_hour_yuan=st.decimals(0, 1, places=6),
    device_hour_yuan=st.fixed_dictionaries({"chip": st.decimals(0, 1000, places=3)}),
)
RESOURCES = st.builds(
    Resources,
    cores=st.integers(1, 4096),
    memory_gb=st.floats(0.001, 65536),
    devices=st.none() | st.builds(DeviceRequest, count=st.integers(1, 16)),
)


@settings(deadline=None)
@given(
    RESOURCES,
    PRICES,
    st.lists(st.integers(1, 10**10), min_size=1, max_size=8),
    st.sampled_from([1000.0, 60000.0, 5e6]),
    st.integers(1, 64),
)
def test_any_split_of_the_time_bills_the_same(
    resources: Resources, price: Price, cuts_us: list[int], every_s: float, nodes: int
) -> None:
    of, held = job(of=task(resources=resources, nodes=nodes)), allocation(price, device_model="chip")
    instants = sorted(set(cuts_us))
    end = NOW + seconds(0) + (instants[-1]) * seconds(1e-6)

    once = meter(of, held, end, provider="p", every_s=1e9, final=True)

    usage: list[UsageRecord] = []
    lines: list[BillLine] = []
    current, lease = of, held
    for instant in instants:
        found = meter(
            current, lease, NOW + instant * seconds(1e-6), provider="p", every_s=every_s, final=instant == instants[-1]
        )
        current, lease = found.job, found.allocation
        usage += found.usage
        lines += found.bill_lines

    assert current.billed_fen == once.job.billed_fen
    assert current.usage.cost_yuan == once.job.usage.cost_yuan
    assert sum(line.amount_fen for line in lines) == current.billed_fen
    assert sum(line.rated_yuan for line in lines) == current.usage.cost_yuan
    assert (usage[0].from_at, usage[-1].to_at) == (NOW, end)
    assert all(a.to_at == b.from_at for a, b in pairwise(usage))
    assert all(record.from_at < record.to_at for record in usage)
    assert [line.usage_id for line in lines] == [record.id for record in usage]

    # An oracle of its own: quantity × hours × price, rounded once.
    devices = resources.devices.count * nodes if resources.devices else 0
    hourly = (
        resources.cores * nodes * price.core_hour_yuan
        + Decimal(repr(resources.memory_gb * nodes)) * price.memory_gb_hour_yuan
        + devices * price.device_hour_yuan["chip"]
    )
    exact = hourly * Decimal(instants[-1]) / Decimal(3_600_000_000)
    assert abs(current.usage.cost_yuan - exact) <= Decimal("0.5e-8")
    assert Decimal("-0.0001") <= current.billed_fen - 100 * exact < Decimal("1.0001")


@settings(deadline=None)
@given(PRICES, st.integers(1, 10**9))
def test_no_time_is_free_and_no_bill_is_negative(price: Price, run_us: int) -> None:
    found = meter(
        job(of=task(cores=4)), allocation(price), NOW + run_us * seconds(1e-6), provider="p", every_s=60, final=True
    )
    assert all(line.rated_yuan >= 0 for line in found.bill_lines)
    assert sum((record.to_at - record.from_at for record in found.usage), seconds(0)) == run_us * seconds(1e-6)
