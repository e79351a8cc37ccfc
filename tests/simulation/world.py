"""A whole network in one process, under a seed: the production loop and the production agents, with everything that can
go wrong between them.

Owns the faults and the invariants. What runs here is `control.tick`, `control.sync` and `sensing.agent`, unchanged.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any, TypeVar

from suanwang.adapters.store.memory import MemoryStore
from suanwang.control.billing.budgets import used_of
from suanwang.control.network import Network
from suanwang.control.rules import Rules
from suanwang.domain.connector import RunOrder
from suanwang.domain.errors import Conflict, OutcomeUnknown, Unavailable
from suanwang.domain.exchange import CurvePoint, JoinReply, Lease, LogPiece, OutputFile, SyncReply, SyncRequest
from suanwang.domain.file import Content
from suanwang.domain.identity import Principal, Project, Role
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.domain.lifecycle import ENDED, JobState
from suanwang.domain.site import Offering, Price
from suanwang.domain.tariff import Period, Tariff, Tier
from suanwang.domain.task import Flexibility, Output, Resources, Task
from suanwang.electricity.supply import milliseconds
from suanwang.electricity.tariff import next_change_ms
from suanwang.ports import Extent
from suanwang.sensing.agent import Agent, Kept
from suanwang.sensing.connectors.fake import Behaviour, FakeConnector
from suanwang.trading.budgets import Period as BudgetPeriod
from suanwang.trading.budgets import Scope
from suanwang.trading.holding import RUNS, lease_of
from suanwang.trading.ledger import Owner, account_id
from suanwang.trading.settlement import chain_name
from suanwang.trading.vouchers import Voucher

T = TypeVar("T")
EPOCH = datetime(2026, 1, 1, 0, 28, tzinfo=UTC)
HALVES = Tariff(
    flat_yuan_per_kwh=Decimal(40),
    periods=(
        Period(
            tier=Tier.PEAK,
            hours=tuple((hour * 60, hour * 60 + 30) for hour in range(24)),
            multiplier=Decimal("1.5"),
        ),
    ),
)
"""Changes every half hour, the first time two minutes after the beginning; so dear that it shows in fen."""
RULES = Rules(
    lease_ttl_s=30,
    fence_margin_s=8,
    suspect_after_s=10,
    poll_s=2,
    meter_every_s=20,
    plan_limit=50,
    hold_span_s=100,
)
PROJECT = ProjectId("demo")
USER = Principal(name="user", role=Role.USER, projects=(PROJECT,))
OPERATOR = Principal(name="operator", role=Role.OPERATOR)


class Crash(BaseException):
    """The process dies here. No production code catches it."""


class VirtualClock:
    def __init__(self) -> None:
        self.at = EPOCH

    def now(self) -> datetime:
        return self.at


class SkewedClock:
    def __init__(self, clock: VirtualClock, skew: timedelta) -> None:
        self._clock = clock
        self._skew = skew

    def now(self) -> datetime:
        return self._clock.now() + self._skew


class CountedIdentities:
    def __init__(self) -> None:
        self.n = 0

    def job_id(self) -> JobId:
        self.n += 1
        return JobId(f"j-{self.n:016d}")

    def token(self) -> tuple[str, str]:
        self.n += 1
        return f"t-{self.n}", f"secret-{self.n}"


class Crashing:
    """Passes calls on, and now and then dies just before or just after one."""

    def __init__(self, inner: Any, dice: Callable[[], bool]) -> None:
        self._inner = inner
        self._dice = dice

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            if self._dice():
                raise Crash(f"before {name}")
            result = value(*args, **kwargs)
            if self._dice():
                raise Crash(f"after {name}")
            return result

        return call


class NoFiles:
    """The simulation moves no bytes."""

    def received(self, sha256: str) -> int:
        return 0

    def append(self, sha256: str, offset: int, data: bytes) -> int:
        return offset + len(data)

    def finish(self, sha256: str, size: int) -> None:
        return None

    def open(self, sha256: str, start: int = 0) -> Iterator[bytes]:
        return iter(())

    def size(self, sha256: str) -> int | None:
        return None


class MemorySpool:
    def __init__(self) -> None:
        self.records: dict[AllocationId, Kept] = {}

    def all(self) -> Sequence[Kept]:
        return list(self.records.values())

    def save(self, kept: Kept) -> None:
        self.records[kept.id] = kept

    def remove(self, allocation_id: AllocationId) -> None:
        self.records.pop(allocation_id, None)


class MemoryWorkshop:
    """Folders of a simulated site: leases' deadlines survive the agent, as files do."""

    def __init__(self, log: str = "hello\n") -> None:
        self.deadlines: dict[str, datetime] = {}
        self.log = log

    def prepare(self, lease: Lease) -> RunOrder:
        path = PurePath("/nowhere")
        return RunOrder(
            tag=lease.allocation_id,
            name=lease.name,
            script=lease.run,
            work_dir=path,
            stdout_path=path,
            stderr_path=path,
            exit_path=path,
            lease_path=path,
            env={},
            cores=lease.cores,
            memory_gb=lease.memory_gb,
            time_limit_s=lease.time_limit_s,
        )

    def extend(self, lease: Lease, until: datetime) -> None:
        self.deadlines[lease.allocation_id] = until

    def tell(self, lease: Lease) -> None:
        """Nobody hears it here."""

    def until(self, lease: Lease) -> datetime | None:
        return self.deadlines.get(lease.allocation_id)

    def read(self, lease: Lease, extent: Extent) -> tuple[tuple[LogPiece, ...], tuple[CurvePoint, ...]]:
        text = self.log[extent.stdout :]
        if not text:
            return (), ()
        return (LogPiece(stream="stdout", offset=extent.stdout, text=text, size=len(text)),), ()

    def checkpoint(self, lease: Lease) -> Content | None:
        return None

    def collect(self, lease: Lease) -> tuple[OutputFile, ...]:
        content = Content(sha256=hashlib.sha256(lease.allocation_id.encode()).hexdigest(), size=1)
        return tuple(OutputFile(name=name, content=content) for name, _ in lease.outputs)

    def clear(self, lease: Lease) -> None:
        self.deadlines.pop(lease.allocation_id, None)


class Inline:
    """Background work that is done at once."""

    def __init__(self) -> None:
        self.done: dict[str, tuple[object, Exception | None]] = {}

    def busy(self, key: str) -> bool:
        return key in self.done

    def start(self, key: str, work: Callable[[], object]) -> None:
        try:
            self.done[key] = (work(), None)
        except Exception as error:
            self.done[key] = (None, error)

    def take(self, key: str) -> tuple[object, Exception | None] | None:
        return self.done.pop(key, None)


class Line:
    """One agent's line to the network: loses requests and replies, repeats them, and delivers old copies late."""

    def __init__(self, world: World, site: SimulatedSite) -> None:
        self.world = world
        self.site = site
        self.old: list[SyncRequest] = []

    def join(self) -> JoinReply:
        if self.site.cut:
            raise Unavailable("no line")
        return self.world.serve(lambda network: network.sites.join(self.site.agent_principal).reply)

    def sync(self, request: SyncRequest) -> SyncReply:
        world = self.world
        if self.site.cut or world.chance(0.04):
            raise Unavailable("not sent")
        if self.old and world.chance(0.05):
            late = world.random.choice(self.old)
            with suppress(Conflict, OutcomeUnknown):
                world.serve(lambda network: network.sites.sync(self.site.agent_principal, late))
        self.old = [*self.old[-3:], request]
        reply = world.serve(lambda network: network.sites.sync(self.site.agent_principal, request))
        if world.chance(0.05):
            reply = world.serve(lambda network: network.sites.sync(self.site.agent_principal, request))
        if world.chance(0.05):
            raise OutcomeUnknown("no answer", tag="sync")
        return reply

    def received(self, sha256: str) -> int:
        return 0

    def append(self, sha256: str, offset: int, data: bytes) -> int:
        return offset + len(data)

    def finish(self, sha256: str, size: int) -> None:
        return None

    def read(self, sha256: str, start: int) -> Iterator[bytes]:
        return iter(())


@dataclass
class SimulatedSite:
    """What stays at a site whatever becomes of its agent: the scheduler, the disk, the lease guards."""

    id: SiteId
    clock: SkewedClock
    connector: FakeConnector
    agent_principal: Principal
    spool: MemorySpool = field(default_factory=MemorySpool)
    workshop: MemoryWorkshop = field(default_factory=MemoryWorkshop)
    agent: Agent | None = None
    down_until: datetime | None = None
    cut: bool = False
    cut_until: datetime | None = None


class Broken(AssertionError):
    """An invariant does not hold; the message names the seed."""


class World:
    """`World(seed).run()` plays one history and returns the hash of its events. Raises `Broken`."""

    def __init__(
        self, seed: int, *, sites: int = 3, jobs: int = 7, prepaid: bool = False, vouched: bool = False
    ) -> None:
        """`prepaid`: the project may not owe, has little, and is given more now and then; the user has a budget; every other
        task may be interrupted. `vouched`: beside that it has a voucher, which may end before the jobs do."""
        self.seed = seed
        self.prepaid = prepaid
        self.random = random.Random(seed)
        self.clock = VirtualClock()
        self.faults = True
        self.store = MemoryStore()
        self.identities = CountedIdentities()
        self.crashes = 0
        self.network = self._network()
        self.store.add_project(Project(id=PROJECT, title="demo", created_at=EPOCH), ())
        self.sites = [self._site(index) for index in range(sites)]
        self.submitted: list[JobId] = []
        self.cancelled: set[JobId] = set()
        self.durations: dict[str, float] = {}
        self.to_submit = jobs
        self.given = 0
        if prepaid:
            self._repeat(lambda network: network.wallets.set_limit(OPERATOR, PROJECT, 0))
            self._give(self.random.choice([15, 30, 60]))
            self._allow(self.random.choice([40, 80, 10_000]))
        if vouched:
            self._vouch()

    def _vouch(self) -> None:
        """At most once: its names make repeating it harmless."""
        voucher = Voucher(
            id="v",
            issuer="issuer",
            title="",
            amount_fen=self.random.choice([3, 20, 60, 10_000]),
            projects=(PROJECT,),
            from_at=EPOCH,
            until_at=self.clock.now() + timedelta(seconds=self.random.choice([60, 200, 500, 10_000])),
            share_bp=self.random.choice([3000, 7000, 10_000]),
            cap_fen=self.random.choice([None, None, 10]),
            issued_at=EPOCH,
            issued_by="olga",
        )
        self._repeat(lambda network: network.vouchers.fund(OPERATOR, "issuer", 10_000, "budget"))
        self._repeat(lambda network: network.vouchers.issue(OPERATOR, voucher))

    def _give(self, amount_fen: int) -> None:
        self.given += 1
        key = f"bank-{self.given}"
        self._repeat(lambda network: network.wallets.top_up(OPERATOR, PROJECT, amount_fen, key))

    def _allow(self, limit_fen: int) -> None:
        scope, name, period = Scope.PERSON, USER.name, BudgetPeriod.TOTAL
        self._repeat(lambda network: network.budgets.put(OPERATOR, scope, name, limit_fen, period))

    def _repeat(self, call: Callable[[Network], object]) -> None:
        """As its caller's client does, until there is an answer."""
        for _ in range(50):
            with suppress(OutcomeUnknown):
                self.serve(call)
                return

    def chance(self, p: float) -> bool:
        return self.faults and self.random.random() < p

    def _network(self) -> Network:
        store: Any = Crashing(self.store, lambda: self.chance(0.004))
        return Network(
            store=store, clock=self.clock, files=NoFiles(), identities=self.identities, places={}, rules=RULES
        )

    def _site(self, index: int) -> SimulatedSite:
        site_id = SiteId(f"s{index}")
        offering = Offering(
            name_zh=site_id,
            name_en=site_id,
            provider=f"p{index}",
            region="r",
            latitude=30.0 + index,
            longitude=110.0,
            connector="fake",
            nodes=2,
            cores_per_node=4,
            memory_gb_per_node=16.0,
            price=Price(
                core_hour_yuan=Decimal("0.137") + index, electricity=HALVES, electricity_passed_on=index % 2 == 0
            ),
            pue=1.2,
            carbon_g_per_kwh=500.0,
            core_power_w=800.0,
        )
        clean = Network(
            store=self.store, clock=self.clock, files=NoFiles(), identities=self.identities, places={}, rules=RULES
        )
        clean.sites.invite(OPERATOR, site_id, offering)
        # The site's scheduler and its agent read the same clock, which may be wrong.
        clock = SkewedClock(self.clock, timedelta(seconds=self.random.choice([0, 0, 3, -3, 400, -400])))
        return SimulatedSite(
            id=site_id,
            clock=clock,
            connector=FakeConnector(clock=clock, behaviour=self._behave, nodes=2, cores=4, memory_gb=16.0),
            agent_principal=Principal(name=f"agent-{site_id}", role=Role.AGENT, site_id=site_id),
        )

    def _behave(self, order: RunOrder) -> Behaviour:
        return Behaviour(duration_s=float(order.script))

    def serve(self, call: Callable[[Network], T]) -> T:
        """One request to the control plane, which may die in it; the caller then has no answer."""
        try:
            return call(self.network)
        except Crash as crash:
            self.crashes += 1
            self.network = self._network()
            raise OutcomeUnknown("the control plane died", tag="serve") from crash

    # play

    def run(self, *, rounds: int = 90, healing: int = 400) -> str:
        for _ in range(rounds):
            self.round()
        self.heal()
        for _ in range(healing):
            self.round()
            if self.over():
                break
        self.check_end()
        return self.digest()

    def heal(self) -> None:
        self.faults = False
        self.network = self._network()
        if self.prepaid:
            self._give(1_000_000)
            self._allow(10_000_000)
        for site in self.sites:
            site.cut, site.cut_until, site.down_until, site.connector.faults.down = False, None, None, False

    def round(self) -> None:
        self.clock.at += timedelta(seconds=self.random.choice([1, 2, 2, 3]))
        self._guards()
        self._trouble()
        if self.to_submit and self.random.random() < 0.5:
            self._submit()
        if self.prepaid and self.chance(0.04):
            self._give(self.random.choice([5, 10, 15]))
        if self.submitted and self.chance(0.01):
            self._cancel(self.random.choice(self.submitted))
        with suppress(OutcomeUnknown):
            self.serve(lambda network: network.turn())
            self.check_budgets()
        for site in self.sites:
            self._step(site)
            self.check()

    def _guards(self) -> None:
        """What the script around every run does by itself: end the run once its lease is over."""
        for site in self.sites:
            down, site.connector.faults.down = site.connector.faults.down, False
            for tag in site.connector.running():
                until = site.workshop.deadlines.get(tag)
                if until is not None and site.clock.now() > until:
                    site.connector.fail_site(tag, reason="lease over")
            site.connector.faults.down = down

    def _trouble(self) -> None:
        now = self.clock.now()
        for site in self.sites:
            if site.down_until is not None and now >= site.down_until:
                site.down_until = None
            if site.cut_until is not None and now >= site.cut_until:
                site.cut, site.cut_until = False, None
            if site.connector.faults.down and not self.chance(0.8):
                site.connector.faults.down = False
            if not self.faults:
                continue
            if self.chance(0.01):
                site.agent, site.down_until = None, now + timedelta(seconds=self.random.randint(1, 90))
            if self.chance(0.01):
                site.cut, site.cut_until = True, now + timedelta(seconds=self.random.randint(1, 90))
            if self.chance(0.01):
                site.connector.faults.down = True
            if self.chance(0.02):
                site.connector.faults.lost_submits += 1
            if self.chance(0.02):
                site.connector.faults.refused_submits += 1
            running = [] if site.connector.faults.down else list(site.connector.running())
            if running and self.chance(0.01):
                site.connector.fail_site(self.random.choice(running))

    def _step(self, site: SimulatedSite) -> None:
        if site.down_until is not None:
            return
        try:
            if site.agent is None:
                site.agent = self._agent(site)
                site.agent.start()
            site.agent.step()
        except (Crash, Conflict, Unavailable, OutcomeUnknown) as error:
            if isinstance(error, Crash):
                self.crashes += 1
            site.agent = None  # The process ends; the next round starts another.

    def _agent(self, site: SimulatedSite) -> Agent:
        def dice() -> bool:
            return self.chance(0.003)

        connector: Any = Crashing(site.connector, dice)
        spool: Any = Crashing(site.spool, dice)
        workshop: Any = Crashing(site.workshop, dice)
        return Agent(
            link=Line(self, site),
            connector=connector,
            spool=spool,
            workshop=workshop,
            background=Inline(),
            clock=site.clock,
        )

    def _submit(self) -> None:
        self.to_submit -= 1
        needs = (self.random.choice(self.submitted),) if self.submitted and self.random.random() < 0.25 else ()
        duration = self.random.choice([1, 5, 15, 40, 70]) * (5 if self.prepaid else 1)
        task = Task(
            name=f"task-{self.to_submit}",
            run=str(duration),
            resources=Resources(cores=self.random.choice([1, 2, 4]), memory_gb=1.0, time_limit_s=600),
            outputs=(Output(name="result", path="result"),) if self.random.random() < 0.3 else (),
            needs=needs,
            max_attempts=1000,
            flexibility=Flexibility(may_be_interrupted=self.prepaid and self.to_submit % 2 == 0),
        )
        task = self._shaped(task)
        key = f"k-{self.to_submit}"
        for _ in range(50):
            try:
                done = self.serve(lambda network: network.jobs.submit(USER, [task], key=key, digest="d"))
            except OutcomeUnknown:
                continue  # The user's client repeats it with the same key.
            except Exception as error:
                if "can never succeed" in str(error):
                    return
                if "has ¥0.00 left" in str(error):
                    self.to_submit += 1  # Tried again later.
                    return
                raise
            self.submitted.extend(job.id for job in done.jobs)
            return
        raise Broken(f"seed {self.seed}: could not submit")

    def _shaped(self, task: Task) -> Task:
        """For worlds whose jobs are of another kind."""
        return task

    def _cancel(self, job_id: JobId) -> None:
        with suppress(OutcomeUnknown):
            self.serve(lambda network: network.jobs.cancel(USER, job_id))
        job = self.store.job(job_id)
        assert job is not None
        if job.state in (JobState.CANCELLING, JobState.CANCELLED):
            self.cancelled.add(job_id)

    # check

    def check(self) -> None:
        """What must hold at every instant."""
        live: Counter[str] = Counter()
        for site in self.sites:
            down, site.connector.faults.down = site.connector.faults.down, False
            cores = 0
            for tag in site.connector.running():
                job_id = tag.rsplit("-", 1)[0]
                live[job_id] += 1
                job = self.store.job(JobId(job_id))
                if job is None:
                    raise Broken(f"seed {self.seed}: {tag} runs for no job")
                cores += job.task.resources.cores
            site.connector.faults.down = down
        doubled = [job for job, n in live.items() if n > 1]
        if doubled:
            raise Broken(f"seed {self.seed}: {doubled} live twice at {self.clock.now()}")
        for site_id, held in self.store.held().items():
            if held.cores > 8:
                raise Broken(f"seed {self.seed}: {site_id} was promised {held.cores} of 8 cores")
        self.check_holds()

    def check_budgets(self) -> None:
        """After a turn no more is spent and held than a budget allows, but for the fen by which leases are found."""
        for each in used_of(self.store, self.store.budgets(), self.clock.now()):
            if each.left_fen < -len(self.store._live):
                raise Broken(f"seed {self.seed}: {each} is passed")

    def check_holds(self) -> None:
        """Each live lease holds once, and nobody else; no account is overdrawn, what it holds counted as spent."""
        book = self.store._book
        legs = Counter((lease_of(hold.id), hold.debit) for hold in book.holds.values() if hold.credit == RUNS)
        held = {lease for lease, _ in legs}
        live, closing = set(self.store._live), self.store._closing
        if max(legs.values(), default=0) > 1 or not live <= held <= live | closing:
            raise Broken(f"seed {self.seed}: holds of {held}, live {live}, closing {closing}")
        for account in book.accounts.values():
            if account.available_fen is not None and account.available_fen < 0:
                raise Broken(f"seed {self.seed}: {account} is overdrawn")
            if account.held_fen != sum(hold.amount_fen for hold in book.holds.values() if hold.debit == account.id):
                raise Broken(f"seed {self.seed}: {account} does not hold what its holds come to")

    def over(self) -> bool:
        jobs = [self.store.job(job_id) for job_id in self.submitted]
        idle = all(not site.spool.records for site in self.sites)
        return self.to_submit == 0 and idle and all(job is not None and job.state in ENDED for job in jobs)

    def check_end(self) -> None:
        """What must hold once all is healed."""
        if not self.over():
            open_ = [
                (j.id, j.state, j.reason) for i in self.submitted if (j := self.store.job(i)) and j.state not in ENDED
            ]
            kept = [(site.id, list(site.spool.records.values())) for site in self.sites if site.spool.records]
            raise Broken(f"seed {self.seed}: not over after healing: {open_} {kept}")
        for job_id in self.submitted:
            job = self.store.job(job_id)
            assert job is not None
            needs = [self.store.job(need) for need in job.needs]
            unmet = any(need is not None and need.state is not JobState.SUCCEEDED for need in needs)
            expected = {JobState.SUCCEEDED}
            unpaid = self.prepaid and "is used up" in job.reason and not job.task.flexibility.may_be_interrupted
            if job_id in self.cancelled or unpaid:
                expected.add(JobState.CANCELLED)
            if unmet:
                expected = {JobState.FAILED, JobState.CANCELLED}
            if job.state not in expected:
                raise Broken(f"seed {self.seed}: {job_id} ended {job.state}: {job.reason}")
            self._check_money(job_id)
            if job.state is JobState.SUCCEEDED:
                self._check_outputs(job_id)
        self._check_ledger()

    def _check_ledger(self) -> None:
        """Every line was settled once, the ledger sums to zero, and each party has what the bills say."""
        self.serve(lambda network: network.turn())  # Settles what was billed since the last one.
        audit, due = self.store.audit(), self.store.count_open()
        if (audit.sum_fen, audit.wrong, audit.unlogged, due) != (0, (), 0, (0, 0)):
            raise Broken(f"seed {self.seed}: the ledger is not whole: {audit}, open {due}")
        bills = {line.usage_id: line.amount_fen for line in self.store._bills}
        paid: Counter[str] = Counter()
        for entry in self.store.chain_entries([chain_name(usage_id) for usage_id in bills]):
            paid[entry.transfer.chain.removeprefix(chain_name(""))] += entry.transfer.amount_fen
        if self.store._book.holds or self.store._closing:
            raise Broken(f"seed {self.seed}: {self.store._book.holds} are held by nobody")
        moved = Counter(entry.transfer.code for entry in self.store._entries.values())
        given = sum(e.transfer.amount_fen for e in self.store._entries.values() if e.transfer.code == "top_up")
        owed = self.store.account(account_id(Owner.PROJECT, PROJECT))
        spent = 0 if owed is None else given - owed.balance_fen
        lines_moved = moved["usage"] + moved["commission"]
        given_by_vouchers = sum(use.amount_fen for use in self.store.voucher_uses(["v"]))
        if +paid != +Counter(bills) or spent + given_by_vouchers != sum(bills.values()) or lines_moved > 2 * len(bills):
            raise Broken(f"seed {self.seed}: the ledger has {spent} fen of {sum(bills.values())} billed")

    def _check_money(self, job_id: JobId) -> None:
        job = self.store.job(job_id)
        assert job is not None
        records = self.store.usage_records(job_id)
        for earlier, later in itertools.pairwise(records):
            if later.from_at < earlier.to_at:
                raise Broken(f"seed {self.seed}: {later.id} overlaps {earlier.id}")
        lines = [line for line in self.store._bills if line.job_id == job_id]
        if sum((line.rated_yuan for line in lines), Decimal(0)) != job.usage.cost_yuan:
            raise Broken(f"seed {self.seed}: the lines of {job_id} do not sum to its cost")
        for record in records:
            at, until = milliseconds(record.from_at), milliseconds(record.to_at)
            if int(record.site_id[1:]) % 2 == 0 and next_change_ms(HALVES, at, until) < until:
                raise Broken(f"seed {self.seed}: {record.id} has two prices of electricity")
        if len(lines) != len(records) or sum(line.amount_fen for line in lines) != job.billed_fen:
            raise Broken(f"seed {self.seed}: the bill of {job_id} does not add up")
        if job.state is JobState.SUCCEEDED:
            last = self.store.allocations(job_id)[-1]
            used = (last.ended_at - last.started_at).total_seconds() if last.ended_at and last.started_at else 0.0
            billed = sum((r.to_at - r.from_at).total_seconds() for r in records if r.allocation_id == last.id)
            if abs(used - billed) > 1e-6 or used + 1e-6 < float(job.task.run):
                raise Broken(f"seed {self.seed}: {job_id} ran {used} s, billed {billed} s, work is {job.task.run} s")

    def _check_outputs(self, job_id: JobId) -> None:
        job = self.store.job(job_id)
        assert job is not None
        for output in job.task.outputs:
            if self.store.file(PROJECT, f"{job_id}/{output.name}") is None:
                raise Broken(f"seed {self.seed}: output {output.name} of {job_id} is missing")
        chunks = self.store.logs(job_id, 0, 100)
        final = [chunk.text for _, chunk in chunks if chunk.allocation_id == self.store.allocations(job_id)[-1].id]
        if "".join(final) != "hello\n":
            raise Broken(f"seed {self.seed}: the log of {job_id} is {final!r}")

    def digest(self) -> str:
        whole = hashlib.sha256()
        for event in self.store.events(0, 1_000_000):
            whole.update(repr(replace(event, data=dict(sorted(event.data.items())))).encode())
        return whole.hexdigest()
