"""Usage as other tools read it: CloudEvents held to their specification's rules, OGF usage records to their structure."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.unit.api.api_world import World
from tests.unit.cli.cli_shell import Shell
from tests.unit.trade.test_focus import MARCH
from tests.unit.trade.test_invoices import invoice, net

from suanwang.trading.ogf_usage import NAMESPACE, duration

__all__ = ["net"]
ATTRIBUTE = re.compile(r"[a-z0-9]{1,20}")
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
# Block → (property, must be there, may be there more than once), in their order.
BLOCKS: Mapping[str, tuple[tuple[str, bool, bool], ...]] = {
    "RecordIdentityBlock": (("RecordId", True, False), ("CreateTime", True, False), ("Site", True, False)),
    "SubjectIdentityBlock": (
        ("GlobalUserId", True, False),
        ("GlobalGroupId", True, False),
        ("GlobalGroupAttribute", False, True),
    ),
    "ComputeUsageBlock": (
        ("CpuDuration", False, False),
        ("WallDuration", True, False),
        ("StartTime", True, False),
        ("EndTime", True, False),
        ("ExecutionHost", False, True),
        ("Processors", True, False),
        ("NodeCount", False, False),
        ("ExitStatus", False, False),
        ("Charge", True, False),
    ),
    "JobUsageBlock": (
        ("GlobalJobId", True, False),
        ("LocalJobId", False, False),
        ("JobName", True, False),
        ("MachineName", True, False),
        ("Status", True, False),
    ),
}
# Types of the properties that 2.0 has from 1.0, as the working group's schema of 1.0 (GFD-R-P.098) declares them:
# https://github.com/OpenGridForum/redmine_dmsf_files, ur/ur_v18726.xsd. Lexical forms are those of W3C XML Schema part 2.
XSD: Mapping[str, str] = {
    "duration": r"-?P(?=.)(\d+Y)?(\d+M)?(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?",
    "dateTime": r"-?\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?",
    "positiveInteger": r"\+?0*[1-9]\d*",
    "float": r"[+-]?(\d+(\.\d*)?|\.\d+)([Ee][+-]?\d+)?",
    "token": r"[^\s]+( [^\s]+)*",
    "string": r"(?s).*",
    "domainNameType": r"([a-zA-Z0-9][a-zA-Z0-9'\-']*[a-zA-Z0-9]\.)*([a-zA-Z0-9][a-zA-Z0-9'\-']*[a-zA-Z0-9])?",
}
TYPES: Mapping[str, str] = {
    "RecordId": "token",
    "CreateTime": "dateTime",
    "CpuDuration": "duration",
    "WallDuration": "duration",
    "StartTime": "dateTime",
    "EndTime": "dateTime",
    "ExecutionHost": "domainNameType",
    "Processors": "positiveInteger",
    "NodeCount": "positiveInteger",
    "Charge": "float",
    "GlobalJobId": "string",
    "LocalJobId": "string",
    "JobName": "string",
    "MachineName": "domainNameType",
    "Status": "token",
}
STATUS = {"aborted", "completed", "failed", "held", "queued", "started", "suspended"}
ATTRIBUTES: Mapping[str, set[str]] = {
    "CpuDuration": {"usageType"},
    "Charge": {"unit"},
    "GlobalGroupAttribute": {"type"},
}
"""All qualified, as the schema's `attributeFormDefault` says."""
UTC_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
DURATION = re.compile(r"PT\d+(\.\d+)?S")


def events(net: World, by: str = "alice", **changes: str) -> list[dict[str, Any]]:
    params = {**MARCH, "format": "cloudevents", **changes}
    reply = net.ask("GET", "/v1/bills/export", by=by, params=params)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/cloudevents-batch+json; charset=utf-8"
    found: list[dict[str, Any]] = reply.json()
    return found


def runs(net: World, by: str = "alice", **changes: str) -> list[ET.Element]:
    reply = net.ask("GET", "/v1/bills/export", by=by, params={**MARCH, "format": "ogf", **changes})
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/xml; charset=utf-8"
    root = ET.fromstring(reply.content)
    assert root.tag == f"{{{NAMESPACE}}}UsageRecords"
    return list(root)


def value(run: ET.Element, name: str) -> str:
    found = run.find(f".//{{{NAMESPACE}}}{name}")
    assert found is not None, name
    assert found.text is not None, name
    return found.text


def test_each_record_is_a_cloudevent_of_its_own(net: World) -> None:
    found = events(net)
    assert len({(each["source"], each["id"]) for each in found}) == len(found) > 0
    for each in found:
        assert all(ATTRIBUTE.fullmatch(name) for name in each)
        assert each["specversion"] == "1.0"
        assert all(isinstance(each[name], str) and each[name] for name in ("id", "source", "type", "subject"))
        assert RFC3339.fullmatch(each["time"])
        assert each["datacontenttype"] == "application/json"
        assert each["data"]["from_at"] < each["data"]["to_at"] == each["time"]
    assert sum(each["data"]["amount_fen"] for each in found) == invoice(net)["amount_fen"]
    assert events(net) == found, "the same record is the same event"


def test_records_of_a_job_or_site_and_of_nobody_else(net: World) -> None:
    everything = events(net, by="rita")
    job = everything[0]["subject"]
    assert {each["subject"] for each in events(net, job=job)} == {job}
    assert events(net, by="guian", site="guian") == everything
    assert events(net, by="bob") == []
    assert events(net, by="wuhu") == []


def test_each_run_is_an_ogf_usage_record(net: World) -> None:
    found = runs(net)
    assert len(found) == 3
    for run in found:
        assert [block.tag.removeprefix(f"{{{NAMESPACE}}}") for block in run] == list(BLOCKS)
        for block in run:
            name = block.tag.removeprefix(f"{{{NAMESPACE}}}")
            there = [part.tag.removeprefix(f"{{{NAMESPACE}}}") for part in block]
            order = [each[0] for each in BLOCKS[name]]
            assert there == sorted(there, key=order.index)
            for part, must, many in BLOCKS[name]:
                assert (1 if must else 0) <= there.count(part) <= (99 if many else 1), part
        for name in ("CreateTime", "StartTime", "EndTime"):
            assert UTC_INSTANT.fullmatch(value(run, name)), name
        assert DURATION.fullmatch(value(run, "WallDuration"))
        assert value(run, "Status") == "completed"
        charge = run.find(f".//{{{NAMESPACE}}}Charge")
        assert charge is not None
        assert charge.attrib == {f"{{{NAMESPACE}}}unit": "CNY"}
        labels = {
            part.get(f"{{{NAMESPACE}}}type"): part.text for part in run.iter(f"{{{NAMESPACE}}}GlobalGroupAttribute")
        }
        assert labels == {"department": "物理系", "organisation": "清华", "team": "等离子体"}
    assert sum(Decimal(value(run, "Charge")) for run in found) * 100 == invoice(net)["amount_fen"]


def test_each_property_has_the_type_that_the_working_groups_schema_gives_it(net: World) -> None:
    spaces = f"{{{NAMESPACE}}}"
    found = runs(net)
    assert found
    for part in (part for run in found for block in run for part in block):
        name = part.tag.removeprefix(spaces)
        assert part.tag.startswith(spaces)
        assert not list(part), "a property is simple"
        if name in TYPES:
            assert re.fullmatch(XSD[TYPES[name]], part.text or ""), f"{name} {part.text!r} is no {TYPES[name]}"
        assert set(part.attrib) <= {spaces + each for each in ATTRIBUTES.get(name, set())}, name
    assert {value(run, "Status") for run in found} <= STATUS


def test_a_run_that_the_time_cuts_is_told_in_parts(net: World) -> None:
    february = {"from_at": "2026-02-01T00:00:00+08:00", "to_at": MARCH["from_at"]}
    (before,), after = runs(net, **february), runs(net)[0]
    (whole,) = runs(net, from_at=february["from_at"], job=value(before, "GlobalJobId"))
    assert value(before, "GlobalJobId") == value(after, "GlobalJobId")
    assert len({value(run, "RecordId") for run in (before, after, whole)}) == 3
    seconds = [float(value(run, "WallDuration")[2:-1]) for run in (before, after, whole)]
    assert seconds[0] + seconds[1] == pytest.approx(seconds[2])
    assert value(before, "EndTime") == value(after, "StartTime")
    assert before.find(f".//{{{NAMESPACE}}}ExitStatus") is None
    assert value(whole, "ExitStatus") == "0"


def test_durations() -> None:
    assert duration(timedelta(seconds=95, milliseconds=500)) == "PT95.5S"
    assert duration(timedelta(hours=2)) == "PT7200S"
    assert duration(timedelta()) == "PT0S"
    assert duration(-timedelta(microseconds=1)) == "-PT0.000001S"


def test_exported_by_the_command_line(
    net: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shell = Shell(net, monkeypatch, capsys, tmp_path)
    times = ("--from", "2026-02-01", "--to", "2026-05-01")
    assert shell("bill", "export", "--format", "cloudevents", *times, "-o", "usage.json").code == 0
    told = json.loads((tmp_path / "usage.json").read_text())
    assert {each["subject"] for each in told} >= {each["subject"] for each in events(net)}
    assert shell("bill", "export", "--format", "ogf", *times, "--site", "guian", "-o", "usage.xml").code == 0
    assert len(ET.parse(tmp_path / "usage.xml").getroot()) == len({each["data"]["allocation"] for each in told})
    kept = (tmp_path / "usage.xml").read_bytes()
    done = shell("bill", "export", "--from", "2026-05-01", "--to", "2026-02-01", "-o", "usage.xml")
    assert done.code != 0
    assert "to_at" in done.err
    assert (tmp_path / "usage.xml").read_bytes() == kept, "an error leaves the file as it was"
