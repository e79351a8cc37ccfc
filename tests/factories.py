"""Small values and a small network for tests: every builder gives something valid, and takes what the test is about.

Owns defaults only. Nothing here is checked or hidden: what comes out is the product's own values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from suanwang.adapters.store.memory import MemoryStore
from suanwang.control.network import Network
from suanwang.control.rules import Rules
from suanwang.control.wording import positions
from suanwang.domain.connector import RunState
from suanwang.domain.errors import NotFound
from suanwang.domain.exchange import Phase, RunReport, SyncReply, SyncRequest
from suanwang.domain.identity import Principal, Project, Role
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import Job
from suanwang.domain.lifecycle import JobState, SiteState
from suanwang.domain.precision import DeviceKind, Precision
from suanwang.domain.site import DevicePool, Held, Offering, Price, Site
from suanwang.domain.task import (
    Circle,
    Constraints,
    DeviceRequest,
    Flexibility,
    Input,
    Objective,
    Resources,
    Task,
)
from suanwang.scheduling.snapshot import Snapshot

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
DEMO = ProjectId("demo")
OTHER = ProjectId("other")
USER = Principal(name="li", role=Role.USER, projects=(DEMO,))
STRANGER = Principal(name="wang", role=Role.USER, projects=(OTHER,))
OPERATOR = Principal(name="operator", role=Role.OPERATOR)
REGULATOR = Principal(name="regulator", role=Role.REGULATOR)
PROVIDER = Principal(name="guian-admin", role=Role.PROVIDER, provider="guian-dc")
OTHER_PROVIDER = Principal(name="wuhu-admin", role=Role.PROVIDER, provider="wuhu-dc")


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def pool(model: str = "nvidia-a100-80gb-pcie", **changes: Any) -> DevicePool:
    """Eight devices of one model, four on each node."""
    values: dict[str, Any] = {
        "kind": DeviceKind.GPU,
        "count": 8,
        "per_node": 4,
        "memory_gb": 80.0,
        "precisions": (Precision.FP16, Precision.BF16),
        "power_w": 300.0,
    }
    return DevicePool(model=model, **(values | changes))


def offering(**changes: Any) -> Offering:
    """Two nodes of 8 cores and 32 GB in Guizhou. A price per device follows from `devices` where none is given."""
    values: dict[str, Any] = {
        "name_zh": "贵安",
        "name_en": "Guian",
        "provider": "guian-dc",
        "region": "guizhou",
        "latitude": 26.4,
        "longitude": 106.6,
        "connector": "slurm",
        "nodes": 2,
        "cores_per_node": 8,
        "memory_gb_per_node": 32.0,
        "pue": 1.2,
        "carbon_g_per_kwh": 500.0,
    }
    values |= changes
    if "price" not in values:
        devices = {device.model: Decimal(10) for device in values.get("devices", ())}
        values["price"] = Price(
            core_hour_yuan=Decimal("0.1"), memory_gb_hour_yuan=Decimal("0.01"), device_hour_yuan=devices
        )
    return Offering(**values)


def site(name: str = "guian", *, state: SiteState = SiteState.REACHABLE, is_open: bool = True, **changes: Any) -> Site:
    """A reachable, open site; other keywords go to its offering, `measured` to the site."""
    measured = changes.pop("measured", None)
    return Site(
        id=SiteId(name),
        offering=offering(**changes),
        state=state,
        state_since=NOW,
        open=is_open,
        session=1,
        seen_at=NOW,
        measured=measured,
    )


def task(name: str = "train", **changes: Any) -> Task:
    """One core, 1 GB, one hour. Fields of `Resources` and `Constraints` may be named directly."""
    resources = {k: changes.pop(k) for k in list(changes) if k in Resources.__dataclass_fields__}
    limits = {k: changes.pop(k) for k in list(changes) if k in Constraints.__dataclass_fields__}
    values: dict[str, Any] = {"run": "python train.py", "resources": Resources(**resources)}
    if limits:
        values["constraints"] = Constraints(**limits)
    return Task(name=name, **(values | changes))


def job(name: str = "j-1", *, of: Task | None = None, **changes: Any) -> Job:
    """A queued job of project demo."""
    values: dict[str, Any] = {
        "project": DEMO,
        "owner": "li",
        "task": of or task(),
        "state": JobState.QUEUED,
        "submitted_at": NOW,
        "ready_at": NOW,
    }
    return Job(id=JobId(name), **(values | changes))


def snapshot(
    sites: Sequence[Site], jobs: Sequence[Job] = (), *, held: Mapping[str, Held] | None = None, now: datetime = NOW
) -> Snapshot:
    of_sites = {SiteId(name): value for name, value in (held or {}).items()}
    return Snapshot(now=now, jobs=jobs, sites=sites, held=of_sites, places=positions())


class SetClock:
    """A clock that stands until a test moves it."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def advance(self, by_s: float) -> datetime:
        self.at += seconds(by_s)
        return self.at


class CountedIdentities:
    def __init__(self) -> None:
        self.n = 0

    def job_id(self) -> JobId:
        self.n += 1
        return JobId(f"j-{self.n:016d}")

    def token(self) -> tuple[str, str]:
        self.n += 1
        return f"t-{self.n}", f"secret-{self.n}"


class MemoryFiles:
    """Contents by hash; an upload is visible once finished."""

    def __init__(self) -> None:
        self.parts: dict[str, bytes] = {}
        self.whole: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        """Publish `data` at once; returns its hash."""
        digest = hashlib.sha256(data).hexdigest()
        self.whole[digest] = data
        return digest

    def received(self, sha256: str) -> int:
        return len(self.whole.get(sha256, self.parts.get(sha256, b"")))

    def append(self, sha256: str, offset: int, data: bytes) -> int:
        have = self.parts.get(sha256, b"")
        assert offset == len(have)
        self.parts[sha256] = have + data
        return offset + len(data)

    def finish(self, sha256: str, size: int) -> None:
        if sha256 not in self.whole:
            data = self.parts.pop(sha256)
            assert hashlib.sha256(data).hexdigest() == sha256
            assert len(data) == size
            self.whole[sha256] = data

    def open(self, sha256: str, start: int = 0) -> Iterator[bytes]:
        if sha256 not in self.whole:
            raise NotFound("no such content", field="sha256")
        return iter((self.whole[sha256][start:],))

    def size(self, sha256: str) -> int | None:
        return len(self.whole[sha256]) if sha256 in self.whole else None


class SmallNetwork:
    """A network over a store in memory, with its clock in the test's hand and projects `demo` and `other`."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.store = MemoryStore()
        self.clock = SetClock()
        self.files = MemoryFiles()
        self.network = Network(
            store=self.store,
            clock=self.clock,
            files=self.files,
            identities=CountedIdentities(),
            places=positions(),
            rules=rules or Rules(),
        )
        for project in (DEMO, OTHER):
            self.store.add_project(Project(id=project, title=project, created_at=NOW), ())

    def join(self, name: str = "guian", **changes: Any) -> Principal:
        """Invite a site, let its agent join and speak once; returns the agent."""
        self.network.sites.invite(OPERATOR, name, offering(**changes))
        agent = Principal(name=f"agent-{name}", role=Role.AGENT, site_id=SiteId(name))
        self.network.sites.join(agent)
        self.sync(agent)
        return agent

    def session(self, agent: Principal) -> int:
        assert agent.site_id is not None
        found = self.store.site(agent.site_id)
        assert found is not None
        return found.session

    def sync(self, agent: Principal, **changes: Any) -> SyncReply:
        """One call of the agent; `session` and `sent_at` are right unless the test says otherwise."""
        values: dict[str, Any] = {"session": self.session(agent), "sent_at": self.clock.now()} | changes
        return self.network.sites.sync(agent, SyncRequest(**values))

    def end(self, agent: Principal, job_id: JobId, begun: datetime) -> SyncReply:
        """The agent says that the job's run, which began then, has succeeded now."""
        lease = self.job(job_id).allocation_id
        assert lease is not None
        now = self.clock.now()
        report = RunReport(
            allocation_id=lease,
            epoch=1,
            phase=Phase.ENDED,
            outcome=RunState.SUCCEEDED,
            started_at=begun,
            seen_at=now,
            ended_at=now,
            exit_code=0,
        )
        return self.sync(agent, runs=(report,))

    def submit(self, *tasks: Task, caller: Principal = USER, **changes: Any) -> tuple[Job, ...]:
        return self.network.jobs.submit(caller, tasks or (task(),), **changes).jobs

    def job(self, job_id: JobId) -> Job:
        found = self.store.job(job_id)
        assert found is not None
        return found

    def kinds(self, job_id: JobId | None = None) -> list[str]:
        """Kinds of events, in order."""
        return [event.kind for event in self.store.events(0, 100_000, job_id=job_id)]


__all__ = [
    "DEMO",
    "NOW",
    "OPERATOR",
    "OTHER",
    "OTHER_PROVIDER",
    "PROVIDER",
    "REGULATOR",
    "STRANGER",
    "USER",
    "Circle",
    "Constraints",
    "CountedIdentities",
    "DeviceRequest",
    "Flexibility",
    "Input",
    "MemoryFiles",
    "Objective",
    "SetClock",
    "SmallNetwork",
    "job",
    "offering",
    "pool",
    "replace",
    "seconds",
    "site",
    "snapshot",
    "task",
]
