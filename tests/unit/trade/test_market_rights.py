"""Rights to capacity in use: their jobs run on them at no further price, others are kept off, and nothing runs past them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.unit.api.api_world import NOW, Agent, World, offering, world

from suanwang.client import Client
from suanwang.client.market import new_order
from suanwang.domain.errors import Conflict, InvalidRequest, NotFound
from suanwang.domain.ids import JobId, SiteId
from suanwang.domain.lifecycle import JobState
from suanwang.domain.precision import DeviceKind
from suanwang.domain.site import DevicePool, Price
from suanwang.domain.task import DeviceRequest
from suanwang.trading.evidence import verify
from suanwang.trading.market.product import HOUR
from suanwang.trading.market.values import Way

MODEL = "nvidia-a100-sxm-80gb"


@pytest.fixture
def net() -> Iterator[World]:
    with world() as made:
        yield made


def client(net: World, by: str = "alice") -> Client:
    return Client("http://network", f"secret-of-{by}", transport=net.transport)


def a_right(net: World, count: int = 6, hours: int = 2, ahead: int = 0) -> str:
    """alice's right to cores of 贵安, which has 8."""
    start = NOW + ahead * HOUR
    client(net, "guian").list_offer(
        site="guian", device="core", count=count, start=start, end=start + hours * HOUR, price_fen=98
    )
    order = new_order(devices=["core"], count=count, start=start, end=start + hours * HOUR, way=Way.NOW)
    client(net).place_order(order)
    return next(client(net).rights()).id


def a_task(name: str, cores: int, limit: str = "30m") -> str:
    return f"name: {name}\nrun: 'true'\nresources: {{cores: {cores}, memory: 1GB, time_limit: {limit}}}\n"


def submit(net: World, name: str, cores: int, right: str | None = None, limit: str = "30m") -> str:
    return client(net).submit(a_task(name, cores, limit), reservation=right).jobs[0].id


def turned(net: World, *jobs: str) -> list[JobState]:
    net.network.turn()
    return [client(net).job(job).state for job in jobs]


@pytest.fixture
def agent(net: World) -> Agent:
    made = net.agent()
    made.tell()
    return made


def test_a_job_runs_on_its_right_and_others_do_not(net: World, agent: Agent) -> None:
    right = a_right(net)
    other, small = submit(net, "other", 4), submit(net, "small", 2)
    mine = submit(net, "mine", 6, right)
    assert turned(net, other, small, mine) == [JobState.QUEUED, JobState.LEASED, JobState.LEASED]
    agent.run_all()
    net.network.turn()
    lines = net.ask("GET", "/v1/bills/lines", params={"job": mine}).json()["items"]
    assert lines
    assert all(line["amount_fen"] == 0 for line in lines), "its cores were paid when the right was bought"
    finding = verify(net.ask("GET", f"/v1/bills/{mine}/evidence").json())
    assert (finding.failures, finding.priced) == ((), len(lines)), (
        "its price follows from what was declared, less its cores"
    )
    net.clock.at = NOW + 2 * HOUR
    agent.tell()
    assert turned(net, other) == [JobState.LEASED], "the right's hours are over"


def test_no_more_jobs_start_than_the_right_has_units(net: World, agent: Agent) -> None:
    right = a_right(net, count=5)
    jobs = [submit(net, f"job-{number}", 2, right) for number in range(3)]
    states = turned(net, *jobs)
    assert sorted(states) == [JobState.LEASED, JobState.LEASED, JobState.QUEUED]
    assert turned(net, *jobs) == states
    agent.run_all()
    assert turned(net, *jobs).count(JobState.SUCCEEDED) == 2


def test_a_right_ahead_keeps_off_only_what_would_still_run(net: World, agent: Agent) -> None:
    right = a_right(net, count=8, ahead=1)
    short, long = submit(net, "short", 4, limit="30m"), submit(net, "long", 4, limit="2h")
    early = submit(net, "early", 8, right)
    assert turned(net, short, long, early) == [JobState.LEASED, JobState.QUEUED, JobState.QUEUED]
    agent.run_all()
    net.clock.at = NOW + HOUR
    agent.tell()
    assert turned(net, long, early) == [JobState.QUEUED, JobState.LEASED]


def test_what_does_not_fit_a_right_is_said(net: World, agent: Agent) -> None:
    right = a_right(net)
    with pytest.raises(Conflict, match="7200 s of the right are left"):
        submit(net, "long", 1, right, limit="3h")
    with pytest.raises(Conflict, match="needs 7 units, the right has 6"):
        submit(net, "wide", 7, right)
    with pytest.raises(NotFound):
        client(net, "bob").submit(a_task("foreign", 1), reservation=right)
    devices = "name: x\nrun: 'true'\nresources: {cores: 1, devices: 2 x npu, time_limit: 30m}\n"
    with pytest.raises(InvalidRequest, match="cores alone"):
        client(net).submit(devices, reservation=right)
    with pytest.raises(InvalidRequest, match="a right is for one"):
        client(net).submit(f"{a_task('one', 1)}---\n{a_task('two', 1)}", reservation=right)
    with pytest.raises(InvalidRequest, match="quote or a right"):
        client(net).submit(a_task("both", 1), reservation=right, quote="q-1")


def test_a_right_to_devices_is_for_tasks_that_take_them(net: World) -> None:
    pool = DevicePool(model=MODEL, kind=DeviceKind.GPU, count=8, per_node=8, memory_gb=80.0)
    price = Price(core_hour_yuan=Decimal("0.1"), device_hour_yuan={MODEL: Decimal(10)})
    net.network.sites.change(net.operator, SiteId("guian"), offering(devices=(pool,), price=price))
    client(net, "guian").list_offer(site="guian", device=MODEL, count=4, start=NOW, end=NOW + HOUR, price_fen=900)
    client(net).place_order(new_order(devices=[MODEL], count=4, start=NOW, end=NOW + HOUR, way=Way.NOW))
    right = next(client(net).rights()).id
    task = "name: train\nrun: 'true'\nresources: {cores: 1, memory: 1GB, devices: %s, time_limit: 30m}\n"
    job = net.network.jobs.get(net.operator, JobId(client(net).submit(task % "3 x gpu", reservation=right).jobs[0].id))
    assert job.terms is not None
    paid = replace(price, device_hour_yuan={MODEL: Decimal(0)}, declared=2, prepaid=MODEL)
    assert job.terms.price == paid
    assert job.task.constraints.sites == ("guian",)
    assert job.task.resources.devices == DeviceRequest(count=3, models=(MODEL,))
    with pytest.raises(Conflict, match="needs 5 units, the right has 4"):
        client(net).submit(task % "5 x gpu", reservation=right)
    with pytest.raises(InvalidRequest, match=f"the right is to {MODEL}"):
        client(net).submit(task % "1 x npu", reservation=right)
    with pytest.raises(InvalidRequest, match=f"the right is to {MODEL}"):
        submit(net, "none", 1, right)


def test_a_job_that_comes_too_late_for_its_right_fails(net: World, agent: Agent) -> None:
    right = a_right(net, count=4)
    first, second = (submit(net, name, 4, right, limit="90m") for name in ("first", "second"))
    assert sorted(turned(net, first, second)) == [JobState.LEASED, JobState.QUEUED]
    waiting = next(job for job in (first, second) if client(net).job(job).state is JobState.QUEUED)
    net.clock.at = NOW + timedelta(minutes=31)
    agent.tell()
    assert turned(net, waiting) == [JobState.FAILED]
    assert "right to capacity ends" in client(net).job(waiting).reason


def test_units_in_use_are_not_sold_on(net: World, agent: Agent) -> None:
    right = a_right(net)
    submit(net, "mine", 4, right)
    net.network.turn()
    resale: dict[str, Any] = {"reservation": right, "start": NOW, "end": NOW + 2 * HOUR, "price_fen": 200}
    with pytest.raises(Conflict, match="2 units"):
        client(net).list_offer(count=3, **resale)
    assert client(net).list_offer(count=2, **resale).count == 2
