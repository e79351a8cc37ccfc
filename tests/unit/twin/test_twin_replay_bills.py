"""A replay knows what live bills know: lists by their dates, discounts, steps of volume, plans, and vouchers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.browser.world import OPERATOR, PROJECT, START, USER
from tests.browser.world import World as Network

from suanwang.cli.app import app
from suanwang.domain.ids import JobId, SiteId
from suanwang.domain.job import BillLine
from suanwang.domain.lifecycle import ENDED, JobState
from suanwang.domain.pricing import Asked, Discount, Formula, Package, Plan
from suanwang.ports import BillQuery, Charged
from suanwang.trading.invoicing import encoded
from suanwang.trading.vouchers import Voucher
from suanwang.twin.rebilling import documents, invoices
from suanwang.twin.recording import Recording, record
from suanwang.twin.replay import as_recorded, replayed

DAY = timedelta(days=1)
MONTH = "2026-03"
ASCEND = "huawei-ascend-910b"
GUIAN = SiteId("guian")
WORKING = frozenset(JobState) - ENDED
ASKED = Asked(
    core_hour_yuan=Decimal("0.1"),
    device_hour={ASCEND: Formula(base_yuan=Decimal("7.77"))},
    discounts=(
        Discount(name="home", percent=Decimal(3), brands=("Huawei",)),
        Discount(name="ours", percent=Decimal("2.5"), organisations=("Tsinghua",)),
        Discount(name="early", percent=Decimal(7), until=START + timedelta(minutes=95)),
        Discount(name="five", percent=Decimal(10), above_device_hours=5),
        Discount(name="nine", percent=Decimal(20), above_device_hours=9),
    ),
    packages=(Package(name="flat", plan=Plan.SUBSCRIPTION, device=ASCEND, device_hours=2, fee_yuan=Decimal(12)),),
)


def a_job(number: int) -> str:
    return (
        f"name: train-{number}\nrun: x\n"
        f"resources: {{cores: 4, memory: 8GB, devices: {1 + number % 3} x {ASCEND}, time_limit: 4h, expected: 40m}}\n"
    )


def issue(world: Network, name: str, **changes: object) -> None:
    wanted = Voucher(
        **{  # type: ignore[arg-type]
            "id": name,
            "issuer": "成都",
            "title": "",
            "amount_fen": 800,
            "organisations": ("Tsinghua",),
            "share_bp": 3000,
            "from_at": START,
            "until_at": START + 30 * DAY,
            "issued_at": START,
            "issued_by": "",
            **changes,
        }
    )
    world.network.vouchers.issue(OPERATOR, wanted)


@pytest.fixture(scope="module")
def world() -> Network:
    """A morning on one site: two price lists, a plan that is used up, two steps of volume, a discount that ends, and vouchers
    that are used up, one of which is chosen late."""
    net = Network(["guian", "horinger"])
    prices, plans = net.network.prices, net.network.plans
    net.network.people.label_project(OPERATOR, PROJECT, {"organisation": "Tsinghua"})
    net.network.vouchers.fund(OPERATOR, "成都", 1_000_000, "b1")
    prices.publish(OPERATOR, GUIAN, ASKED)
    net.beat(30)
    plans.buy(USER, "mine", PROJECT, GUIAN, "flat")
    issue(net, "auto")
    issue(net, "chosen", automatic=False, share_bp=10_000)
    jobs: list[JobId] = []
    for beat in range(720):
        if beat % 60 == 0 and beat <= 480:
            jobs.append(net.submit(a_job(beat // 60))[0].id)
        if beat == 80:
            prices.publish(
                OPERATOR, GUIAN, replace(ASKED, core_hour_yuan=Decimal("0.19")), net.clock.now() + timedelta(hours=1)
            )
        if beat == 280:
            site = net.network.sites.get(OPERATOR, GUIAN).site.offering
            change = replace(
                site, pue=1.3, price=replace(site.price, memory_gb_hour_yuan=Decimal("0.01"), lists=(), declared=0)
            )
            net.network.sites.change(OPERATOR, GUIAN, change)
        net.beat(30)
        for at, site_ in enumerate(net.sites.values()):
            for run in list(site_.runs.values()):
                number = jobs.index(run.lease.job_id)
                if net.clock.now() - run.started_at >= timedelta(minutes=31 + 17 * (number % 4) + at):
                    net.finish(run.lease.job_id)
        if beat == 340:
            net.network.vouchers.choose(USER, "chosen", jobs[5])
        counts = net.network.jobs.counts(OPERATOR)
        if beat > 500 and not any(counts.get(state) for state in WORKING):
            net.beat(30)
            return net
    raise AssertionError("the jobs came to no end")


@pytest.fixture(scope="module")
def recording(world: Network) -> Recording:
    return record(world.network, OPERATOR, START, START + DAY)


def live_lines(world: Network) -> list[BillLine]:
    lines, _ = world.store.bill_lines(BillQuery(), None, 10_000)
    return sorted(lines, key=lambda line: line.usage_id)


def by_usage(lines: Sequence[BillLine]) -> list[BillLine]:
    return sorted(lines, key=lambda line: line.usage_id)


def test_the_world_has_each_of_them(world: Network) -> None:
    lines = live_lines(world)
    taken = {each.name for line in lines if line.pricing for each in line.pricing.taken}
    assert taken == {"home", "ours", "early", "five", "nine", "flat"}
    assert {line.pricing.version for line in lines if line.pricing} == {1, 2}
    invoice = world.network.invoices.invoice(OPERATOR, PROJECT, MONTH)
    assert invoice["purchased_fen"] == 1200
    assert invoice["voucher_fen"] == 1600, "both are used up"
    assert len(lines) > 30


@pytest.mark.parametrize("play", [as_recorded, replayed])
def test_the_same_policy_gives_the_same_bills_byte_for_byte(world: Network, recording: Recording, play: object) -> None:
    assert callable(play)
    found = invoices(recording, play(recording))
    assert by_usage(found.lines) == live_lines(world)
    usage = {record.id: record for one in recording.jobs for record in world.store.usage_records(one.job.id)}
    assert {each.usage.id: each.usage for each in found.billed} == usage
    real = encoded(world.network.invoices.invoice(OPERATOR, PROJECT, MONTH))
    assert dict(documents(recording, found)) == {f"{PROJECT}-{MONTH}": real}


def test_runs_are_metered_in_time_where_they_are_others(world: Network, recording: Recording) -> None:
    """One job less: steps of volume are reached later, the plan and vouchers last longer, and every bill follows from that."""
    fewer = replace(recording, jobs=recording.jobs[1:], charges=without(recording, recording.jobs[0].job.id))
    found = invoices(fewer, as_recorded(fewer))
    assert recording.jobs[0].job.id not in found.by_job
    used = [line.pricing.used_us for line in found.lines if line.pricing and line.pricing.used_us is not None]
    assert used == sorted(used)
    assert min(used) == 0
    free = [line for line in found.lines if line.pricing and any(each.name == "flat" for each in line.pricing.taken)]
    hours = sum((line.to_at - line.from_at) / timedelta(hours=1) * devices(fewer, line) for line in free)
    assert hours == pytest.approx(2)
    assert found.voucher_fen <= 1600


def test_what_other_jobs_used_counts(recording: Recording) -> None:
    """A job that is not replayed has used the plan's hours and reached a step, as it really did."""
    others = replace(recording, jobs=recording.jobs[1:])
    (first,) = {line.job_id for line in invoices(recording, as_recorded(recording)).lines} - {
        line.job_id for line in invoices(others, as_recorded(others)).lines
    }
    assert first == recording.jobs[0].job.id
    assert by_usage(invoices(others, as_recorded(others)).lines) == by_usage(
        [line for line in invoices(recording, as_recorded(recording)).lines if line.job_id != first]
    )


def test_invoices_are_written_by_the_command_line(
    world: Network, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    @contextmanager
    def opened(_: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(network=world.network)

    monkeypatch.setattr("suanwang.wiring.network.open_network", opened)
    days = ["--from", f"{START:%Y-%m-%d}", "--to", f"{START + 2 * DAY:%Y-%m-%d}"]
    app(["twin", "replay", *days, "--policy", "live", "--invoices", str(tmp_path), "--json"], standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    assert told["policies"]["live"]["voucher_fen"] == 1600
    real = encoded(world.network.invoices.invoice(OPERATOR, PROJECT, MONTH))
    for policy in ("recorded", "live"):
        assert (tmp_path / policy / f"{PROJECT}-{MONTH}.json").read_bytes() == real


def without(recording: Recording, job: JobId) -> tuple[Charged, ...]:
    return tuple(each for each in recording.charges if each.line.job_id != job)


def devices(recording: Recording, line: BillLine) -> int:
    need = next(one.job.task.resources.devices for one in recording.jobs if one.job.id == line.job_id)
    assert need is not None
    return need.count
