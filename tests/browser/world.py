"""A small network for the pages: the real use cases over a store in memory, and sites that speak as agents do.

Owns the sites' side of the conversation: each `beat` is one turn of the control loop and one `sync` of every site. Time
is the test's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from suanwang.adapters.store.memory import MemoryStore
from suanwang.control.network import Network
from suanwang.control.rules import Rules
from suanwang.control.wording import positions
from suanwang.domain.connector import RunState
from suanwang.domain.errors import NotFound
from suanwang.domain.exchange import CurvePoint, Lease, LogPiece, OutputFile, Phase, RunReport, SiteReport, SyncRequest
from suanwang.domain.file import Content
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.domain.job import Job
from suanwang.domain.precision import DeviceKind, Precision
from suanwang.domain.sample import Sample, Source
from suanwang.domain.site import DevicePool, Offering, Price
from suanwang.ports import Signer
from suanwang.taskfile import read_tasks

START = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
OPERATOR = Principal(name="operator", role=Role.OPERATOR)
PROJECT, OTHER = ProjectId("digits"), ProjectId("weather")
USER = Principal(name="lin", role=Role.USER, projects=(PROJECT,))
STRANGER = Principal(name="mo", role=Role.USER, projects=(OTHER,))
RULES = Rules(lease_ttl_s=60, fence_margin_s=10, suspect_after_s=45, meter_every_s=60)


class TestClock:
    """Moves when told to."""

    __test__ = False

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at


class Counted:
    """Identifiers in order."""

    def __init__(self) -> None:
        self.n = 0

    def job_id(self) -> JobId:
        self.n += 1
        return JobId(f"j-{self.n:016d}")

    def token(self) -> tuple[str, str]:
        self.n += 1
        return f"t-{self.n}", f"secret-{self.n:040d}"


class FilesInMemory:
    """Whole contents only."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, data: bytes) -> Content:
        digest = hashlib.sha256(data).hexdigest()
        self.kept[digest] = data
        return Content(sha256=digest, size=len(data))

    def received(self, sha256: str) -> int:
        return len(self.kept.get(sha256, b""))

    def append(self, sha256: str, offset: int, data: bytes) -> int:
        self.kept[sha256] = self.kept.get(sha256, b"")[:offset] + data
        return len(self.kept[sha256])

    def finish(self, sha256: str, size: int) -> None:
        return None

    def open(self, sha256: str, start: int = 0) -> Iterator[bytes]:
        if sha256 not in self.kept:
            raise NotFound("no such content")
        return iter((self.kept[sha256][start:],))

    def size(self, sha256: str) -> int | None:
        return len(self.kept[sha256]) if sha256 in self.kept else None


@dataclass
class Run:
    """One lease at its site, as its agent knows it."""

    lease: Lease
    started_at: datetime
    text: str = ""
    points: list[CurvePoint] = field(default_factory=list)
    checkpoint: Content | None = None
    outcome: RunState | None = None
    exit_code: int | None = None
    outputs: tuple[OutputFile, ...] = ()
    told_text: int = 0
    told_points: int = 0


@dataclass
class SimulatedSite:
    id: SiteId
    agent: Principal
    session: int
    offering: Offering
    runs: dict[AllocationId, Run] = field(default_factory=dict)
    cut: bool = False
    busy_cores: int = 0
    busy_devices: Mapping[str, int] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()
    warnings: tuple[str, ...] = ()


def pool(model: str, kind: DeviceKind, count: int, per_node: int, memory_gb: float, power_w: float) -> DevicePool:
    return DevicePool(
        model=model,
        kind=kind,
        count=count,
        per_node=per_node,
        memory_gb=memory_gb,
        power_w=power_w,
        precisions=(Precision.FP16, Precision.BF16, Precision.INT8),
    )


def offering(
    names: tuple[str, str],
    provider: str,
    region: str,
    at: tuple[float, float],
    nodes: int,
    carbon: float,
    core_yuan: str,
    pue: float = 1.2,
    devices: Sequence[tuple[DevicePool, str]] = (),
) -> Offering:
    return Offering(
        name_zh=names[0],
        name_en=names[1],
        provider=provider,
        region=region,
        latitude=at[0],
        longitude=at[1],
        connector="slurm",
        nodes=nodes,
        cores_per_node=16,
        memory_gb_per_node=64,
        devices=tuple(device for device, _ in devices),
        price=Price(
            core_hour_yuan=Decimal(core_yuan),
            device_hour_yuan={device.model: Decimal(price) for device, price in devices},
        ),
        pue=pue,
        carbon_g_per_kwh=carbon,
        declares={"compute.matmul.fp32": 1.1},
    )


A100 = pool("nvidia-a100-sxm-80gb", DeviceKind.GPU, 16, 4, 80, 400)
ASCEND = pool("huawei-ascend-910b", DeviceKind.NPU, 32, 8, 64, 400)
SITES: Mapping[str, Offering] = {
    "guian": offering(
        ("贵安", "Gui'an"), "贵安云谷", "guizhou", (26.40, 106.63), 8, 412, "0.08", 1.12, [(ASCEND, "9.50")]
    ),
    "horinger": offering(
        ("和林格尔", "Horinger"), "青城算力", "inner-mongolia", (40.38, 111.82), 6, 681, "0.06", 1.15, [(A100, "14.00")]
    ),
    "wuhu": offering(("芜湖", "Wuhu"), "江淮计算", "yangtze-delta", (31.35, 118.43), 4, 568, "0.14", 1.25),
    "qingyang": offering(("庆阳", "Qingyang"), "陇东数据", "gansu", (35.73, 107.64), 5, 296, "0.09", 1.18),
    "shaoguan": offering(("韶关", "Shaoguan"), "岭南智算", "greater-bay-area", (24.80, 113.60), 3, 441, "0.16", 1.28),
    "shanghai": offering(("上海", "Shanghai"), "江淮计算", "yangtze-delta", (31.23, 121.47), 2, 538, "0.22", 1.30),
}


class World:
    """The network and its sites."""

    def __init__(self, sites: Sequence[str] = tuple(SITES), *, signer: Signer | None = None) -> None:
        self.clock = TestClock()
        self.store = MemoryStore()
        self.files = FilesInMemory()
        self.network = Network(
            store=self.store,
            clock=self.clock,
            files=self.files,
            identities=Counted(),
            places=positions(),
            rules=RULES,
            signer=signer,
        )
        people = self.network.people
        people.create_project(OPERATOR, PROJECT, "Digits 数字识别")
        people.create_project(OPERATOR, OTHER, "Weather")
        self.operator_token = people.create_token(OPERATOR, OPERATOR)[1]
        self.user_token = people.create_token(OPERATOR, USER)[1]
        self.stranger_token = people.create_token(OPERATOR, STRANGER)[1]
        self.sites: dict[SiteId, SimulatedSite] = {}
        for name in sites:
            self.add_site(name, SITES[name])

    def add_site(self, name: str, offer: Offering, *, join: bool = True) -> SiteId:
        site, _ = self.network.sites.invite(OPERATOR, name, offer)
        if join:
            agent = Principal(name=f"agent-{name}", role=Role.AGENT, site_id=site.id)
            session = self.network.sites.join(agent).reply.session
            self.sites[site.id] = SimulatedSite(id=site.id, agent=agent, session=session, offering=offer)
            self.sync(self.sites[site.id])
        return site.id

    def submit(self, text: str, who: Principal = USER) -> tuple[Job, ...]:
        return self.network.jobs.submit(who, read_tasks(text).tasks).jobs

    def job(self, job_id: JobId) -> Job:
        return self.network.jobs.get(OPERATOR, job_id)

    def beat(self, seconds: float = 2, times: int = 1) -> None:
        """Time passes; the loop turns, and every site that is not cut off speaks twice, as it does about a new lease."""
        for _ in range(times):
            self.clock.at += timedelta(seconds=seconds)
            self.network.turn()
            for site in self.sites.values():
                if not site.cut:
                    self.sync(site)
                    self.sync(site)

    def sync(self, site: SimulatedSite) -> None:
        """One call of a site's agent."""
        now = self.clock.now()
        offer = site.offering
        reply = self.network.sites.sync(
            site.agent,
            SyncRequest(
                session=site.session,
                sent_at=now,
                runs=tuple(self._report(run) for run in site.runs.values()),
                site=SiteReport(
                    cores=offer.cores,
                    memory_gb=offer.memory_gb,
                    devices={device.model: device.count for device in offer.devices},
                    foreign_cores=site.busy_cores,
                    foreign_devices=site.busy_devices,
                ),
                samples=site.samples,
                warnings=site.warnings,
            ),
        )
        for done in (*reply.ended, *reply.fenced):
            site.runs.pop(done, None)
        for lease in reply.start:
            site.runs[lease.allocation_id] = Run(lease=lease, started_at=now, checkpoint=lease.checkpoint)

    def _report(self, run: Run) -> RunReport:
        lease, now = run.lease, self.clock.now()
        text, points = run.text[run.told_text :], run.points[run.told_points :]
        offset = len(run.text[: run.told_text].encode())
        run.told_text, run.told_points = len(run.text), len(run.points)
        return RunReport(
            allocation_id=lease.allocation_id,
            epoch=lease.epoch,
            phase=Phase.ENDED if run.outcome else Phase.RUNNING,
            native_id=str(4000 + int(lease.job_id[-4:])),
            started_at=run.started_at,
            seen_at=now,
            ended_at=now if run.outcome else None,
            outcome=run.outcome,
            exit_code=run.exit_code,
            nodes=("node-3",),
            logs=(LogPiece(stream="stdout", offset=offset, text=text, size=len(text.encode())),) if text else (),
            points=tuple(points),
            checkpoint=run.checkpoint,
            outputs=run.outputs,
        )

    def run_of(self, job_id: JobId) -> Run:
        """The run of a job at whichever site holds it."""
        return next(run for site in self.sites.values() for run in site.runs.values() if run.lease.job_id == job_id)

    def say(self, job_id: JobId, text: str) -> None:
        self.run_of(job_id).text += text

    def plot(self, job_id: JobId, step: float, **figures: float) -> None:
        run = self.run_of(job_id)
        line = run.points[-1].line + 1 if run.points else 1
        run.points += [CurvePoint(line=line, name=name, step=step, value=value) for name, value in figures.items()]

    def save(self, job_id: JobId, data: bytes = b"checkpoint") -> None:
        self.run_of(job_id).checkpoint = self.files.put(data)

    def finish(self, job_id: JobId, outcome: RunState = RunState.SUCCEEDED, exit_code: int = 0) -> None:
        """The run ends at its next report; promised outputs are written."""
        run = self.run_of(job_id)
        run.outcome, run.exit_code = outcome, exit_code
        run.outputs = tuple(
            OutputFile(name=name, content=self.files.put(f"{name} of {job_id}".encode()))
            for name, _ in run.lease.outputs
        )

    def lose(self, site_id: str) -> None:
        """A site falls silent until it is lost; the others go on."""
        self.sites[SiteId(site_id)].cut = True
        self.beat(15, times=7)


TRAINING = """
name: train-digits
run: python train.py
checkpoint: ckpt/
outputs: {model: out/model.npz}
resources: {cores: 4, memory: 8GB, time_limit: 1h, expected: 20m}
objective: greenest
"""


def busy(world: World) -> dict[str, JobId]:
    """A network at work: a training that moved, an array, a workflow, refused and failed jobs, others' work."""
    at = world.sites
    if SiteId("horinger") in at:
        at[SiteId("horinger")].busy_cores = 40
        at[SiteId("horinger")].busy_devices = {A100.model: 11}
    if SiteId("guian") in at:
        at[SiteId("guian")].busy_devices = {ASCEND.model: 14}
    if SiteId("wuhu") in at:
        at[SiteId("wuhu")].busy_cores = 38
    now = world.clock.now()
    figure = Sample(
        metric_type="compute.matmul.fp32",
        unit="TFLOPS",
        value=0.812,
        source=Source.MEASURED,
        statistic="median",
        observed_at=now,
    )
    at[SiteId("guian")].samples = (
        figure,
        replace(figure, metric_type="memory.bandwidth", unit="GB/s", value=61.8),
        replace(figure, metric_type="device.0.matmul.fp16", value=287.0),
        replace(figure, metric_type="disk.write", unit="MB/s", value=940.0),
    )
    at[SiteId("guian")].warnings = ("its clock is off by 41 s; times are corrected",)
    (train,) = world.submit(TRAINING)
    world.beat()
    first = world.job(train.id).site_id
    assert first is not None
    for epoch in range(1, 9):
        world.say(train.id, f"epoch {epoch}: loss {2.3 / epoch:.3f}\n")
        world.plot(train.id, epoch, loss=2.3 / epoch, accuracy=1 - 0.9 / epoch)
        if epoch in (4, 7):
            world.save(train.id, f"epoch {epoch}".encode())
        world.beat(30)
    world.lose(first)
    world.sites[first].cut = False
    world.beat()
    for epoch in range(8, 13):
        world.say(train.id, f"epoch {epoch}: loss {2.3 / epoch:.3f}\n")
        world.plot(train.id, epoch, loss=2.3 / epoch, accuracy=1 - 0.9 / epoch)
        world.beat(30)
    sweep = world.submit(
        "name: sweep\nrun: python fit.py $SUANWANG_ARRAY_INDEX\ncount: 8\nresources: {cores: 8, memory: 16GB, expected: 30m}\n"
        "objective: balanced\n"
    )
    prepare, total = world.submit(
        "name: prepare\nrun: ./prepare\noutputs: {table: out/table.csv}\nresources: {cores: 2}\n"
        "---\nname: total\nneeds: prepare\ninputs: {table.csv: prepare/table}\nrun: ./total\n"
    )
    world.beat()
    world.finish(prepare.id)
    (failing,) = world.submit("name: broken\nrun: exit 3\nresources: {cores: 1}\n")
    (tune,) = world.submit(
        "name: finetune\nrun: ./tune\nresources: {cores: 8, memory: 32GB, devices: {count: 4, min_memory: 64GB}}\n"
    )
    (stays,) = world.submit(
        "name: local-records\nrun: ./count\nconstraints: {residency: wuhu}\nresources: {cores: 4}\n"
    )
    (near,) = world.submit("name: near-shanghai\nrun: ./serve\nconstraints: {circle: within 5 ms of 上海}\n")
    (refused,) = world.submit("name: too-large\nrun: ./x\nresources: {cores: 512}\n")
    (foreign,) = world.submit("name: secret-forecast\nrun: ./forecast\nresources: {cores: 4}\n", STRANGER)
    world.beat(20, times=3)
    world.say(failing.id, "Traceback (most recent call last):\nValueError: no data\n")
    world.finish(failing.id, RunState.FAILED, 3)
    world.beat(20, times=3)
    return {
        "train": train.id,
        "sweep": sweep[0].id,
        "prepare": prepare.id,
        "total": total.id,
        "broken": failing.id,
        "tune": tune.id,
        "stays": stays.id,
        "near": near.id,
        "refused": refused.id,
        "foreign": foreign.id,
    }
