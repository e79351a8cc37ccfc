"""Two meters of one run: within the tolerance nothing happens, beyond it the lower is billed, and every record stays."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.contract.store_values import a_job, leasing
from tests.factories import replace
from tests.unit.api.api_world import World, offering, world
from tests.unit.cli.cli_shell import Shell
from tests.unit.trade.test_trading_evidence import changed, places
from tests.unit.trade.test_usage_exports import value
from tests.unit.web.test_web_wallet import page

from suanwang.control.billing.meters import compare
from suanwang.domain.connector import RunState
from suanwang.domain.exchange import Phase, RunReport
from suanwang.domain.ids import JobId, SiteId
from suanwang.domain.site import Price
from suanwang.trading.evidence import verify
from suanwang.trading.proving import Check
from suanwang.web import mount_web

MINUTE = timedelta(minutes=1)


@pytest.fixture
def net() -> Iterator[World]:
    with world() as made:
        made.network.sites.change(made.operator, SiteId("guian"), offering(price=Price(core_hour_yuan=Decimal("7.77"))))
        yield made


def ran(
    net: World,
    *,
    scheduler: tuple[float, float],
    seen: tuple[float, float] | None,
    outcome: RunState = RunState.SUCCEEDED,
) -> JobId:
    """A job whose scheduler says that it ran between these minutes, and whose agent saw it between those."""
    job = net.submit(resources={"cores": 1, "time_limit": "4h"})["id"]
    agent = net.agent()
    agent.tell()
    net.network.turn()
    (lease,) = agent.tell().start
    net.clock.at += 60 * MINUTE
    at = net.clock.at
    began, ended = (at + minutes * MINUTE for minutes in scheduler)
    first, last = (None, None) if seen is None else (at + minutes * MINUTE for minutes in seen)
    common: dict[str, Any] = {"allocation_id": lease.allocation_id, "epoch": lease.epoch, "started_at": began}
    common |= {"seen_from": first}
    if first is not None and last is not None:
        net.clock.at = first
        agent.tell(RunReport(**common, phase=Phase.RUNNING, seen_at=first))
        net.clock.at = last
        agent.tell(RunReport(**common, phase=Phase.RUNNING, seen_at=last))
    net.clock.at = max(ended, last or ended) + MINUTE / 10
    agent.tell(RunReport(**common, phase=Phase.ENDED, ended_at=ended, seen_at=last, outcome=outcome, exit_code=0))
    net.network.turn()
    return JobId(job)


def findings(net: World, by: str = "olga") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = net.ask("GET", "/v1/bills/findings", by=by).json()["items"]
    return found


def usage(net: World, job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = net.ask("GET", f"/v1/jobs/{job}/usage").json()["items"]
    return found


@pytest.mark.parametrize(
    ("scheduler", "seen"),
    [((0, 30), (0.1, 29.9)), ((0, 30), (2.2, 27.8)), ((0, 30), None), ((0, 239), (1.2, 237.9))],
)
def test_within_the_tolerance_the_scheduler_is_billed(
    net: World, scheduler: tuple[float, float], seen: tuple[float, float] | None
) -> None:
    job = ran(net, scheduler=scheduler, seen=seen)
    assert findings(net) == []
    assert net.network.jobs.get(net.operator, job).usage.wall_s == (scheduler[1] - scheduler[0]) * 60


@pytest.mark.parametrize(
    ("scheduler", "seen", "minutes"),
    [
        ((0, 30), (0.1, 20.1), 20),
        ((-30, 20), (0, 20), 20),
        ((0, 10), (0, 20), 10),
        ((0, 239), (0, 200), 200),
        ((0, 5.5), (0.1, 0.2), 0.1),
    ],
)
def test_beyond_it_the_lower_is_billed_and_everybody_concerned_sees_it(
    net: World, scheduler: tuple[float, float], seen: tuple[float, float], minutes: float
) -> None:
    job = ran(net, scheduler=scheduler, seen=seen)
    billed = net.network.jobs.get(net.operator, job)
    assert billed.usage.wall_s == pytest.approx(minutes * 60)
    assert billed.billed_fen == math.ceil(round(minutes / 60 * 777, 4))
    lines = net.ask("GET", "/v1/bills/lines", params={"job": job, "limit": 500}).json()["items"]
    assert sum(line["amount_fen"] for line in lines) == billed.billed_fen
    (finding,) = findings(net)
    assert (finding["scheduler_s"], finding["agent_s"]) == (
        pytest.approx((scheduler[1] - scheduler[0]) * 60),
        pytest.approx((seen[1] - seen[0]) * 60),
    )
    assert finding["tolerance_s"] == 280
    assert [findings(net, by) for by in ("guian", "alice", "rita")] == [[finding]] * 3
    assert [findings(net, by) for by in ("wuhu", "bob")] == [[], []]
    assert net.ask("GET", "/v1/bills/findings", by=None, token=net.agent_token()).status_code == 403
    records = usage(net, job)
    back = [record for record in records if record["corrects"]]
    assert sorted(finding["corrections"]) == sorted(record["id"] for record in back)
    assert {record["corrects"] for record in back} <= {record["id"] for record in records if not record["corrects"]}
    assert all(record["energy_kwh"] < 0 for record in back)
    assert sum(record["energy_kwh"] for record in records) == pytest.approx(billed.usage.energy_kwh)
    assert net.network.wallets.unsettled(net.operator) == (0, 0)
    assert net.network.wallets.account(net.operator, "project:demo").balance_fen == -billed.billed_fen


def test_a_run_that_its_site_failed_or_its_agent_lost_has_one_meter(net: World) -> None:
    ran(net, scheduler=(0, 30), seen=(0, 10), outcome=RunState.SITE_FAILED)
    assert findings(net) == []


def test_a_corrected_bill_proves_itself_and_is_rated_anew(net: World) -> None:
    job = ran(net, scheduler=(0, 30), seen=(0.1, 20.6))
    bill = net.ask("GET", f"/v1/bills/{job}/evidence").json()
    assert verify(bill).failures == ()
    back = [at for at, each in enumerate(bill["usage"]) if "corrects" in each["leaf"]]
    assert back
    for at in back[-1:]:
        for path in places(bill["usage"][at]["leaf"]):
            for forged in changed(bill, ("usage", at, "leaf", *path)):
                assert not verify(forged).holds, path
    stretched = json.loads(json.dumps(bill))
    stretched["usage"][back[-1]]["leaf"]["to_at"] = "2026-03-31T00:00:00.000000+00:00"
    assert {failure.check for failure in verify(stretched).failures} >= {Check.RECORDS, Check.INCLUSION}
    doubled = json.loads(json.dumps(bill))
    doubled["usage"].append(doubled["usage"][-1])
    assert Check.RECORDS in {failure.check for failure in verify(doubled).failures}
    month = net.ask("GET", "/v1/invoices/demo/2026-03").json()
    assert net.ask("GET", "/v1/invoices/demo/2026-03/rerated").json()["identical"]
    assert month["due_fen"] == bill["amount_fen"]
    assert month["lines"][0]["core_hours"] == f"{20.5 / 60:.6f}"


def test_exports_tell_what_was_taken_back(net: World) -> None:
    job = ran(net, scheduler=(0, 30), seen=(0.1, 20.1))
    params = {"from_at": "2026-02-01T00:00:00Z", "to_at": "2026-05-01T00:00:00Z", "job": job}
    events = net.ask("GET", "/v1/bills/export", params={**params, "format": "cloudevents"}).json()
    back = [each for each in events if each["type"] == "suanwang.usage.corrected"]
    assert {each["corrects"] for each in back} <= {each["id"] for each in events if "corrects" not in each}
    amount = sum(each["data"]["amount_fen"] for each in events)
    assert amount == net.network.jobs.get(net.operator, job).billed_fen
    (run,) = ET.fromstring(net.ask("GET", "/v1/bills/export", params={**params, "format": "ogf"}).content)
    assert value(run, "WallDuration") == "PT1200S"
    began, ended = (datetime.fromisoformat(value(run, name)) for name in ("StartTime", "EndTime"))
    assert ended - began == 20 * MINUTE
    rows = net.ask("GET", "/v1/bills/export", params=params).text.splitlines()
    assert sum("Correction" in row for row in rows) == len(back) > 0


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_nothing_is_billed_beyond_the_lower_meter_and_its_tolerance(a: int, b: int, c: int, d: int) -> None:
    step = leasing(a_job())
    assert step.allocation is not None
    at = step.allocation.granted_at
    began, ended = sorted((at + a * MINUTE, at + b * MINUTE))
    first, last = sorted((at + c * MINUTE, at + d * MINUTE))
    before = replace(step.allocation, started_at=began, seen_from=first)
    report = RunReport(
        allocation_id=before.id, epoch=1, phase=Phase.ENDED, ended_at=ended, seen_at=last, outcome=RunState.SUCCEEDED
    )
    found = compare(before, replace(before, ended_at=ended), report, lost_after_s=140)
    scheduler, agent = (ended - began).total_seconds(), (last - first).total_seconds()
    if found is None:
        assert abs(scheduler - agent) <= 280
    else:
        assert (found.until - began).total_seconds() == min(scheduler, agent)


def test_findings_by_the_command_line(
    net: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    job = ran(net, scheduler=(0, 30), seen=(0.1, 20.1))
    done = Shell(net, monkeypatch, capsys, tmp_path)("bill", "findings")
    assert done.code == 0
    for words in (job, "1800", "1200", "280", "-1.30"):
        assert words in done.out


def test_the_bills_page_shows_findings_to_both_sides(net: World) -> None:
    mount_web(net.app, net.network)
    job = ran(net, scheduler=(0, 30), seen=(0.1, 20.1))
    for by, seen in (("alice", True), ("guian", True), ("olga", True), ("bob", False), ("wuhu", False)):
        text = page(net, "/bills", by).text
        assert ("Runs whose two meters differ" in text) is seen, by
        assert (f"/bills?job={job}" in text) is seen
    assert "两套计量" in page(net, "/bills", lang="zh").text
