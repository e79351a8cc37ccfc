"""One play from its conditions to its tables.

Owns what is put together for a play: trace, workload, feeds, rows, outlook, outages, the engine, accounts and measures.
The same play gives the same tables, whoever performs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from suanwang.domain.errors import InvalidRequest
from suanwang.electricity.series import HOUR_MS, Floats
from suanwang.scheduling.columns import CORES, DEVICES, Ints, JobColumns, Outlook, RowColumns, Sharing
from suanwang.scheduling.policies import policy
from suanwang.twin.accounting import MICRO, NANO, Accounts, Supply, account
from suanwang.twin.bound import fluid_bound
from suanwang.twin.engine import Faults, Played, Truth, play
from suanwang.twin.experiment import BOUND, Conditions, Experiment, Play, TraceSource, whole_hour
from suanwang.twin.federation import federation
from suanwang.twin.generator import generate
from suanwang.twin.measures import PerJob, kept_ms, link_effects, measure, per_job
from suanwang.twin.network import Feeds, Network, feeds, outlook, resized, row_pools, rows
from suanwang.twin.outages import cuts, outages, together
from suanwang.twin.profile import read_profile
from suanwang.twin.profile import shipped as profiles
from suanwang.twin.routes import Routes
from suanwang.twin.seating import Seated, seat
from suanwang.twin.shares import Shares, shares
from suanwang.twin.sharing import NOBODY, names_of, order_of, project_of, sharing
from suanwang.twin.timeline import Steps, Timeline, draw
from suanwang.twin.trace import Trace
from suanwang.twin.traces import read_trace
from suanwang.twin.workload import Workload, workload

Bools = npt.NDArray[np.bool_]
PAST_HOURS = 8 * 24
"""Of the feeds before the first job, for forecasts made from the past."""
SETTLE_HOURS = 7 * 24
"""Of feeds and outlooks behind the last job, its wait and its limit; later hours repeat the last day."""
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Tables:
    """What a play leaves behind."""

    result: pa.Table
    """One row."""
    timeline: pa.Table | None = None
    jobs: pa.Table | None = None
    shares: pa.Table | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stage:
    """All that the policies of one case and seed share."""

    network: Network
    workload: Workload
    feeds: Feeds
    rows: RowColumns
    allowed: Bools
    outlook: Outlook
    faults: Faults
    routes: Routes
    truth: Truth
    start_ms: int
    sharing: Sharing | None = None
    projects: tuple[str, ...] = ()

    @property
    def jobs(self) -> JobColumns:
        return self.workload.jobs


def load_trace(source: TraceSource) -> Trace | None:
    """The trace of a file, cut as the source says; None for a generated one, which each seed makes anew.

    Raises `InvalidRequest` where it cannot be read.
    """
    if source.path is None:
        return None
    given: dict[str, Any] = {} if source.zone is None else {"zone": source.zone}
    return _cut(read_trace(source.path, source.format, member=source.member, **given), source)


def drawn_trace(source: TraceSource, seed: int) -> Trace:
    """The trace that a seed gives of a generated one."""
    if source.name in profiles():
        chance = np.random.default_rng([seed, 0])
        return _cut(generate(read_profile(source.name), chance, days=source.hours / 24, load=source.share), source)
    return _cut(federation(seed=seed, hours=source.hours, share=source.share), source)


def perform(experiment: Experiment, trace: Trace | None, one: Play) -> Tables:
    """Play it. Raises `InvalidRequest` where its conditions make no sense."""
    staged = _staged(_Key(experiment, trace), one.conditions, one.seed)
    if one.policy == BOUND:
        return Tables(_bound(staged, one.conditions, one))
    chosen = policy(one.policy)
    played = play(
        staged.jobs, staged.truth, staged.rows, staged.allowed, staged.outlook, chosen,
        faults=staged.faults, ways=staged.routes.ways, sharing=staged.sharing,
    )  # fmt: skip
    given = staged.feeds
    supplies = [
        Supply(yuan_per_kwh=yuan, carbon_g_per_kwh=carbon, green_share=float(green), relative_pue=pue)
        for yuan, carbon, green, pue in zip(
            given.yuan, given.carbon_g, given.green_share, given.relative_pue, strict=True
        )
    ]
    accounts = account(played.segments, staged.jobs, staged.rows, supplies, staged.routes.ways)
    until_ms = int(max(accounts.segments.end_ms.max(initial=staged.start_ms), staged.jobs.ready_ms.max()))
    drawn = draw(accounts, staged.start_ms, until_ms)
    kept = kept_ms(accounts, staged.truth.checkpoint_ms, staged.truth.resume_ms)
    each = per_job(accounts, kept)
    weight = None if staged.sharing is None else staged.sharing.weight
    span = Steps(drawn.from_ms, drawn.step_ms, drawn.power_kw.shape[1])
    row: dict[str, Any] = {
        "play": one.id,
        "experiment": experiment.name,
        **dict(one.case),
        "network": experiment.network.name,
        "policy": chosen.name,
        "order": chosen.order,
        "seed": one.seed,
        **measure(
            accounts, drawn, until_ms=until_ms, kept=kept, weight=weight, seated=_seated(staged, played, span)
        ).as_row(),
        **_by_patience(staged.jobs, each, played),
        **link_effects(accounts, staged.faults),
    }
    return Tables(
        result=pa.Table.from_pylist([row]),
        timeline=_timeline(one, staged, drawn),
        jobs=_jobs(one, staged, accounts, each, played) if experiment.with_jobs else None,
        shares=None if staged.sharing is None else _shares(
            one, staged.projects, shares(accounts, each, staged.sharing, until_ms, span), span
        ),
    )  # fmt: skip


def prepare(experiment: Experiment, trace: Trace | None, one: Play) -> None:
    """Have the engine compiled, where no earlier run on this machine left it: once, before many processes want it."""
    staged = _staged(_Key(experiment, trace), one.conditions, one.seed)
    played = play(
        staged.jobs._replace(**{name: column[:1] for name, column in staged.jobs._asdict().items()}),
        staged.truth._replace(**{name: column[:1] for name, column in staged.truth._asdict().items()}),
        staged.rows,
        staged.allowed,
        staged.outlook,
        policy("joint"),
    )
    _seated(staged, played, Steps(staged.start_ms, HOUR_MS, 1))
    _staged.cache_clear()


@dataclass(frozen=True)
class _Key:
    """An experiment and its trace, told apart by identity: within a process they are always the same two."""

    experiment: Experiment
    trace: Trace | None

    def __hash__(self) -> int:
        return id(self.experiment)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.experiment is other.experiment and self.trace is other.trace


@lru_cache(maxsize=2)
def _staged(key: _Key, conditions: Conditions, seed: int) -> Stage:
    """Policies of one case and seed come one after the other: what they share is made once."""
    experiment = key.experiment
    source = experiment.trace
    trace = key.trace
    if trace is None:
        trace = drawn_trace(source, seed)
    start_ms = experiment.start_ms if experiment.start_ms is not None else _own_start(trace)
    changes, rules = conditions.changes, conditions.rules
    network = resized(experiment.network, changes.capacity)
    made = workload(trace, rules, network, start_ms=start_ms, seed=seed)
    projects, source_job = experiment.projects, made.source_job
    if projects is not None:
        order = order_of(projects, trace, source_job, made.jobs.order)
        group = project_of(projects, trace, source_job)
        made = replace(made, jobs=made.jobs._replace(order=order, group=group))
    jobs = made.jobs
    last_ms = int((jobs.ready_ms + jobs.wait_ms + jobs.limit_ms).max())
    hours = -(-(last_ms - whole_hour(start_ms)) // HOUR_MS) + SETTLE_HOURS
    begin_ms = whole_hour(start_ms) - PAST_HOURS * HOUR_MS
    given = feeds(network, begin_ms, PAST_HOURS + hours, price=changes.price, carbon=changes.carbon)
    with_devices = bool((jobs.need[:, DEVICES] > 0).any())
    plain = bool((jobs.need[:, DEVICES] <= 0).any())
    columns, allowed = rows(network, given.mean_pue, plain=plain, devices=with_devices, near_ms=rules.near_ms)
    chance = np.random.default_rng([seed, 1])
    count = len(made.run_ms)
    cut, found = cuts(
        network, columns.site, start_ms, last_ms, every_days=changes.link_every_days, hours=changes.link_hours,
        chance=np.random.default_rng([seed, 4]),
    )  # fmt: skip
    return Stage(
        network=network,
        workload=made,
        feeds=given,
        rows=columns,
        allowed=allowed,
        outlook=outlook(
            given, whole_hour(start_ms), hours, conditions.foresight, chance, held_ms=int(jobs.wait_ms.max())
        ),
        faults=together(
            outages(
                len(columns.site), start_ms, last_ms, every_days=changes.outage_every_days, hours=changes.outage_hours,
                share=changes.outage_share, chance=np.random.default_rng([seed, 2]),
            ),
            cut,
        ),
        routes=found,
        truth=Truth(
            run_ms=made.run_ms,
            checkpoint_ms=np.full(count, round(changes.checkpoint_minutes * 60_000), np.int64),
            resume_ms=np.full(count, round(changes.resume_seconds * 1000), np.int64),
        ),
        start_ms=whole_hour(start_ms),
        sharing=None if projects is None else sharing(
            projects, trace, source_job, [pool for _, pool in row_pools(network, plain=plain, devices=with_devices)]
        ),
        projects=() if projects is None else (*names_of(projects, trace), NOBODY),
    )  # fmt: skip


def _cut(trace: Trace, source: TraceSource) -> Trace:
    from_ms = round(source.from_day * DAY_MS)
    until_ms = from_ms + round(source.days * DAY_MS) if source.days is not None else 1 << 62
    if from_ms == 0 and source.days is None:
        return trace
    chosen = trace.between(from_ms, until_ms)
    if not len(chosen):
        raise InvalidRequest(f"{trace.name} has no jobs there", field="trace.from_day", allowed="days of the trace")
    epoch = None if chosen.epoch_ms is None else chosen.epoch_ms + from_ms
    return replace(chosen, submit_ms=chosen.submit_ms - from_ms, epoch_ms=epoch)


def _own_start(trace: Trace) -> int:
    if trace.epoch_ms is None:
        raise InvalidRequest(f"{trace.name} does not say when it begins", field="start", allowed="a date")
    return trace.epoch_ms


def _bound(staged: Stage, conditions: Conditions, one: Play) -> pa.Table:
    rules, given = conditions.rules, staged.feeds
    found = fluid_bound(
        staged.jobs,
        staged.workload.run_ms,
        staged.rows,
        staged.allowed,
        given.weighted_yuan,
        given.weighted_carbon_g,
        price_weight=rules.price_weight,
        carbon_weight=rules.carbon_weight,
        moved_ms=staged.routes.ways.longest_ms(staged.jobs.data_gb),
    )
    row = {
        "play": one.id,
        **dict(one.case),
        "seed": one.seed,
        "cost_yuan": found.cost_yuan,
        "electricity_yuan": found.electricity_yuan,
        "carbon_location_kg": found.carbon_g / 1000,
        "weighted": found.weighted,
        "both_cost_yuan": found.both_cost_yuan,
        "both_carbon_location_kg": found.both_carbon_g / 1000,
        "widened_hours": found.widened_hours,
    }
    return pa.Table.from_pylist([row])


def _seated(staged: Stage, played: Played, span: Steps) -> Seated | None:
    with_devices = staged.jobs.need[:, DEVICES] > 0
    pools = row_pools(staged.network, plain=not with_devices.all(), devices=bool(with_devices.any()))
    return seat(played.segments, staged.jobs.need, staged.rows, [pool.node_devices for _, pool in pools], span)


def _by_patience(jobs: JobColumns, each: PerJob, played: Played) -> dict[str, float]:
    """Waiting of jobs that may not be held, and how many began later than they allow, whatever kept them."""
    firm = each.ended & (jobs.wait_ms == 0)
    waited_h = each.waiting_ms[firm] / HOUR_MS
    began = played.first_start_ms >= 0
    late = began & (played.first_start_ms > jobs.ready_ms + jobs.wait_ms)
    return {
        "firm_waiting_mean_h": float(waited_h.mean()) if len(waited_h) else float("nan"),
        "firm_waiting_p95_h": float(np.quantile(waited_h, 0.95)) if len(waited_h) else float("nan"),
        "began_late_count": float(late.sum()),
    }


def _timeline(one: Play, staged: Stage, drawn: Timeline) -> pa.Table:
    """`play, site, hour, busy, kw, queue, price, carbon`; busy counts devices where any job has some, else cores."""
    site, network = drawn.row_site, staged.network
    sites, steps = len(network.sites), drawn.power_kw.shape[1]
    resource = DEVICES if (staged.jobs.need[:, DEVICES] > 0).any() else CORES

    def by_site(values: Floats) -> Floats:
        total = np.zeros((sites, steps))
        np.add.at(total, site, values)
        return total

    edges = drawn.from_ms + HOUR_MS * np.arange(steps)
    truth: Mapping[str, Floats] = {
        "price": np.array([one.at(edges) for one in staged.feeds.yuan]),
        "carbon": np.array([one.at(edges) for one in staged.feeds.carbon_g]),
    }
    columns: Mapping[str, Floats] = {
        "busy": by_site(drawn.busy[:, resource]),
        "kw": by_site(drawn.power_kw),
        "queue": by_site(drawn.queue[:-1]),
        **truth,
    }
    names = pa.array([s.id for s in network.sites])
    return pa.table(
        {
            "play": pa.array([one.id]).take(pa.array(np.zeros(sites * steps, np.int64))),
            "site": names.take(pa.array(np.repeat(np.arange(sites), steps))),
            "hour": pa.array(np.tile(edges, sites)),
            **{name: pa.array(values.ravel()) for name, values in columns.items()},
        }
    )


def _shares(one: Play, projects: tuple[str, ...], found: Shares, span: Steps) -> pa.Table:
    """`play, project, hour, share, entitled` of the projects that had jobs."""
    there = np.flatnonzero((found.entitled > 0).any(axis=1))
    count, edges = len(there), span.from_ms + span.step_ms * np.arange(span.steps)
    return pa.table(
        {
            "play": pa.array([one.id]).take(pa.array(np.zeros(count * span.steps, np.int64))),
            "project": pa.array(projects).take(pa.array(np.repeat(there, span.steps))),
            "hour": pa.array(np.tile(edges, count)),
            "share": pa.array(found.held[there].ravel()),
            "entitled": pa.array(found.entitled[there].ravel()),
        }
    )


def _jobs(one: Play, staged: Stage, accounts: Accounts, each: PerJob, played: Played) -> pa.Table:
    totals, jobs = accounts.by_job(), staged.jobs
    count = len(jobs.ready_ms)
    last, way = np.full(count, -1, np.int64), np.full(count, -1, np.int64)
    last[accounts.segments.job], way[accounts.segments.job] = accounts.segments.row, accounts.segments.way
    names = [site.id for site in staged.network.sites]
    return pa.table(
        {
            "play": pa.array([one.id]).take(pa.array(np.zeros(count, np.int64))),
            "job": pa.array(staged.workload.source_job),
            "group": pa.array(jobs.group),
            "place": pa.array([p.id for p in staged.network.places]).take(pa.array(jobs.place)),
            "site": pa.array(
                [names[staged.rows.site[row]] if row >= 0 else None for row in last.tolist()], pa.string()
            ),
            "data_by_way_of": _said(staged.routes.over, way),
            "data_because": _said(staged.routes.because, way),
            "ready_ms": pa.array(jobs.ready_ms),
            "start_ms": pa.array(played.first_start_ms),
            "end_ms": pa.array(played.end_ms),
            "state": pa.array(played.state),
            "waiting_ms": pa.array(each.waiting_ms),
            "wait_allowed_ms": pa.array(jobs.wait_ms),
            "cost_yuan": pa.array(totals.cost_nano_yuan / NANO),
            "energy_kwh": pa.array(totals.energy_kwh),
            "carbon_location_g": pa.array(totals.location_ug / MICRO),
        }
    )


def _said(words: tuple[str, ...], way: Ints) -> pa.Array:
    """`[j]`: what is said of each way; nothing of data that come straight, or of none."""
    return pa.array([words[at] or None if at >= 0 else None for at in way.tolist()], pa.string())


def capacities(experiment: Experiment, trace: Trace) -> dict[str, float]:
    """What `busy` counts, by site."""
    devices = bool((trace.devices > 0).any())
    found: dict[str, float] = {}
    for at, pool in row_pools(experiment.network, plain=not devices, devices=devices):
        name = experiment.network.sites[at].id
        found[name] = found.get(name, 0.0) + (pool.devices if devices else pool.cores)
    return found
