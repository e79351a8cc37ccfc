"""What a play is judged by, and how sure one may be of it.

Owns the measures of one play as plain numbers, and intervals around them: Student's t over seeds. Knows
nothing of policies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from suanwang.electricity.series import HOUR_MS
from suanwang.scheduling.columns import (
    CORES,
    DEVICES,
    ENDED_DONE,
    ENDED_LIMIT,
    ENDED_LOST,
    ENDED_PREEMPTED,
    ENDED_SUSPENDED,
    NEVER_MS,
)
from suanwang.twin.accounting import BYTES_PER_GB, MICRO, NANO, WATT_MS_PER_KWH, Accounts, Totals
from suanwang.twin.engine import LINK, Faults
from suanwang.twin.seating import Seated
from suanwang.twin.timeline import Timeline

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

SLOWDOWN_BOUND_MS = 10_000
"""Runs shorter than this count as this long (Feitelson and Rudolph 1998, *Metrics and benchmarking for parallel job
scheduling*)."""
MICROGRAMS_PER_KG = 1_000 * MICRO
NO_NUMBER = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """One play in numbers; a mean or percentile over no job at all is not a number.

    Completion, waiting and slowdown are over the jobs that came to their end. Waiting is all the time from ready to end
    that is no run, or a run whose work was lost; a run begins with the way of the job's data.
    """

    jobs_count: float
    ended_count: float
    open_count: float
    """Began and have not ended where the play stops."""
    never_started_count: float
    completion_mean_h: float
    completion_p50_h: float
    completion_p95_h: float
    completion_p99_h: float
    waiting_mean_h: float
    waiting_p50_h: float
    waiting_p95_h: float
    waiting_p99_h: float
    slowdown_mean_ratio: float
    """Bounded slowdown: `max(1, completion / max(run, 10 s))`."""
    slowdown_p50_ratio: float
    slowdown_p95_ratio: float
    slowdown_p99_ratio: float
    cores_busy_share: float
    """Of all there are, over the timeline."""
    devices_busy_share: float
    cost_yuan: float
    """What users pay."""
    electricity_yuan: float
    """All electricity, whoever pays it."""
    energy_kwh: float
    carbon_location_kg: float
    carbon_market_kg: float
    peak_kw: float
    """Highest quarter of an hour of the whole network."""
    peak_by_site_kw: float
    """Sum over sites of each one's highest quarter of an hour: what demand charges are paid on."""
    deadlines_missed_count: float
    deadlines_missed_share: float
    """Of the jobs that have one and for which it has passed or that ended."""
    moved_gb: float
    """Over every link of their way once."""
    interruptions_count: float
    """Suspended, lost, or ended for others."""
    preemptions_count: float
    """Of those, ended for jobs of higher priority."""
    lost_core_h: float
    """Work that was done and did not count, because its node or site was lost, or the link that its data came over."""
    lost_device_h: float
    fair_slowdown_jain: float
    """Jain's index over groups of their mean bounded slowdown; 1 is equal, 1/groups is one against all (Jain, Chiu and
    Hawe 1984)."""
    fair_slowdown_spread_ratio: float
    """Largest group's mean over the smallest."""
    fair_dominant_jain: float
    """Jain's index over groups of their dominant share (Ghodsi et al. 2011, *Dominant resource fairness*): the largest
    of its shares of all cores, memory and devices, over the time in which it had jobs that were ready, and over its
    weight."""
    fair_dominant_spread_ratio: float
    fragmentation_share: float = NO_NUMBER
    """See `twin.seating`, beside the engine; not a number where the network does not say its nodes."""
    unseated_starts_count: float = NO_NUMBER
    """Likewise."""

    def as_row(self) -> dict[str, float]:
        return asdict(self)


class PerJob(NamedTuple):
    """`[j]`; only meaningful where `ended`."""

    ended: Bools
    began: Bools
    end_ms: Ints
    """Of its last segment."""
    ran_ms: Ints
    """Of its segments whose work counted."""
    completion_ms: Ints
    waiting_ms: Ints
    slowdown: Floats


def kept_ms(accounts: Accounts, checkpoint_ms: Ints, resume_ms: Ints) -> Ints:
    """`[n]`: how much of each segment's run counted. All of it, except where it was lost: then what reached a checkpoint.

    `checkpoint_ms[j]` is 0 for jobs that begin anew, `resume_ms[j]` is spent by a run that takes up again, as in the engine.
    """
    segments, jobs, rows = accounts.segments, accounts.jobs, accounts.rows
    kept, way_ms = _all_or_nothing(accounts), accounts.way_ms
    unsafe = np.zeros(len(jobs.ready_ms), np.bool_)
    unsafe[segments.job[segments.how == ENDED_LOST]] = True
    index = np.flatnonzero(unsafe[segments.job] & (checkpoint_ms[segments.job] > 0))
    index = index[np.lexsort((segments.start_ms[index], segments.job[index]))]
    done = 0
    for at, n in enumerate(index.tolist()):
        j, r = int(segments.job[n]), int(segments.row[n])
        if at == 0 or segments.job[index[at - 1]] != j:
            done = 0
        spent = int(way_ms[n]) + (int(resume_ms[j]) if done else 0)
        slowness = float(rows.slowness[r])
        did = max(0, int((int(accounts.duration_ms[n]) - spent) / slowness))
        if segments.how[n] == ENDED_LOST:
            every = int(checkpoint_ms[j])
            did = max(0, (done + did) // every * every - done)
            kept[n] = min(int(did * slowness), int(accounts.duration_ms[n]))
        done += did
    return kept


def per_job(accounts: Accounts, kept: Ints | None = None) -> PerJob:
    """Times of each job. `kept[n]`: see `kept_ms`; by default no run that was lost left anything."""
    segments, jobs = accounts.segments, accounts.jobs
    count = len(jobs.ready_ms)
    end = np.full(count, -1, np.int64)
    np.maximum.at(end, segments.job, segments.end_ms)
    ran = np.zeros(count, np.int64)
    np.add.at(ran, segments.job, _all_or_nothing(accounts) if kept is None else kept)
    began, ended = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    began[segments.job] = True
    ended[segments.job[(segments.how == ENDED_DONE) | (segments.how == ENDED_LIMIT)]] = True
    completion = np.where(ended, end - jobs.ready_ms, 0)
    bounded = np.maximum(completion / np.maximum(ran, SLOWDOWN_BOUND_MS), 1.0)
    return PerJob(ended, began, end, ran, completion, completion - ran, bounded)


def link_effects(accounts: Accounts, faults: Faults) -> dict[str, float]:
    """Starts that waited for a link, transfers that one broke, and starts whose data came by way of another site.

    A start waited where it begins at the very instant at which a way opens for its data that had none, of a job that
    was ready before; who waited and then went elsewhere, or found no room when it was mended, is not among them.
    """
    segments, jobs, ways = accounts.segments, accounts.jobs, accounts.ways
    on = np.flatnonzero(segments.way >= 0)
    job, start = segments.job[on], segments.start_ms[on]
    begins = zip(start.tolist(), segments.row[on].tolist(), jobs.place[job].tolist(), strict=True)
    opened = _opened(faults)
    waited = np.array([one in opened for one in begins], np.bool_) & (start > jobs.ready_ms[job])
    under_way = (segments.how[on] == ENDED_LOST) & (segments.end_ms[on] - start < accounts.way_ms[on])
    cut = faults.place == LINK
    cuts = set(zip(faults.at_ms[cut].tolist(), faults.row[cut].tolist(), strict=True))
    broken = sum(
        any((int(segments.end_ms[n]), link) in cuts for link in ways.links[segments.way[n]].tolist())
        for n in on[under_way].tolist()
    )
    return {
        "link_waits_count": float(waited.sum()),
        "transfers_broken_count": float(broken),
        "detours_count": float((ways.hops[segments.way[on]] > 1).sum()),
    }


def _opened(faults: Faults) -> set[tuple[int, int, int]]:
    """(instant, row, place) where a way opens that there was not before."""
    found, closed = set(), set()
    on = faults.place >= 0
    for at_ms, row, place, way in zip(
        *(column[on].tolist() for column in (faults.at_ms, faults.row, faults.place, faults.way)), strict=True
    ):
        if way < 0:
            closed.add((row, place))
        elif (row, place) in closed:
            closed.remove((row, place))
            found.add((at_ms, row, place))
    return found


def measure(
    accounts: Accounts,
    timeline: Timeline,
    *,
    until_ms: int,
    kept: Ints | None = None,
    weight: Floats | None = None,
    seated: Seated | None = None,
) -> Measures:
    """The measures of one play that stopped at `until_ms`; `kept[n]` as in `per_job`. Dominant shares are over
    `weight[group]`, where groups have any."""
    jobs, segments = accounts.jobs, accounts.segments
    each, total = per_job(accounts, kept), accounts.by_row()
    ended = each.ended
    late = jobs.due_ms < np.where(ended, each.end_ms, until_ms)
    dated = (jobs.due_ms < NEVER_MS) & (ended | late)
    missed = int((late & dated).sum())
    wasted = accounts.duration_ms - (_all_or_nothing(accounts) if kept is None else kept)
    lost = np.where(segments.how == ENDED_LOST, wasted, 0) / HOUR_MS
    quarters = timeline.quarter_kw_by_site()
    slowdown, dominant = _fairness(accounts, each, until_ms, weight)
    completion_h, waiting_h = each.completion_ms[ended] / HOUR_MS, each.waiting_ms[ended] / HOUR_MS
    return Measures(
        jobs_count=float(len(ended)),
        ended_count=float(ended.sum()),
        open_count=float((each.began & ~ended).sum()),
        never_started_count=float((~each.began).sum()),
        **_spread("completion", "h", completion_h),
        **_spread("waiting", "h", waiting_h),
        **_spread("slowdown", "ratio", each.slowdown[ended]),
        cores_busy_share=_busy(accounts, timeline, CORES),
        devices_busy_share=_busy(accounts, timeline, DEVICES),
        **_amounts(total),
        peak_kw=float(quarters.sum(axis=0).max(initial=0.0)),
        peak_by_site_kw=float(timeline.peak_kw_by_site().sum()),
        deadlines_missed_count=float(missed),
        deadlines_missed_share=missed / int(dated.sum()) if dated.any() else 0.0,
        interruptions_count=float(np.isin(segments.how, (ENDED_LOST, ENDED_SUSPENDED, ENDED_PREEMPTED)).sum()),
        preemptions_count=float((segments.how == ENDED_PREEMPTED).sum()),
        lost_core_h=float((lost * jobs.need[segments.job, CORES]).sum()),
        lost_device_h=float((lost * jobs.need[segments.job, DEVICES]).sum()),
        fair_slowdown_jain=jain(slowdown),
        fair_slowdown_spread_ratio=spread_ratio(slowdown),
        fair_dominant_jain=jain(dominant),
        fair_dominant_spread_ratio=spread_ratio(dominant),
        fragmentation_share=NO_NUMBER if seated is None else seated.fragmentation_share,
        unseated_starts_count=NO_NUMBER if seated is None else seated.unseated_starts_count,
    )


def jain(values: Floats) -> float:
    """Jain's index, `(Σx)² / (n Σx²)`."""
    squares = float((values**2).sum())
    return float(values.sum()) ** 2 / (len(values) * squares) if squares > 0 else NO_NUMBER


def spread_ratio(values: Floats) -> float:
    """Largest over smallest."""
    return float(values.max() / values.min()) if len(values) and values.min() > 0 else NO_NUMBER


class Interval(NamedTuple):
    """An estimate with its 95 % interval (or what was asked for), and from how many parts it was made."""

    estimate: float
    low: float
    high: float
    parts: int

    @property
    def half(self) -> float:
        return (self.high - self.low) / 2


def over_seeds(values: Sequence[float] | Floats, confidence: float = 0.95) -> Interval:
    """Mean over independent plays with Student's t; needs two or more, else the interval is not a number."""
    from scipy.special import stdtrit

    found = np.asarray(values, np.float64)
    mean, count = float(found.mean()), len(found)
    if count < 2:
        return Interval(mean, NO_NUMBER, NO_NUMBER, count)
    half = float(stdtrit(count - 1, (1 + confidence) / 2)) * float(found.std(ddof=1)) / count**0.5
    return Interval(mean, mean - half, mean + half, count)


def _all_or_nothing(accounts: Accounts) -> Ints:
    return np.where(accounts.segments.how == ENDED_LOST, 0, accounts.duration_ms)


def _spread(name: str, unit: str, values: Floats) -> dict[str, float]:
    if not len(values):
        return {f"{name}_{what}_{unit}": NO_NUMBER for what in ("mean", "p50", "p95", "p99")}
    found = dict(zip(("p50", "p95", "p99"), np.quantile(values, [0.5, 0.95, 0.99]).tolist(), strict=True))
    found["mean"] = float(values.mean())
    return {f"{name}_{what}_{unit}": value for what, value in found.items()}


def _busy(accounts: Accounts, timeline: Timeline, resource: int) -> float:
    capacity = float(accounts.rows.capacity[:, resource].sum())
    return float(timeline.busy[:, resource].sum(axis=0).mean()) / capacity if capacity else 0.0


def _amounts(total: Totals) -> dict[str, float]:
    return {
        "cost_yuan": int(total.cost_nano_yuan.sum()) / NANO,
        "electricity_yuan": int(total.electricity_nano_yuan.sum()) / NANO,
        "energy_kwh": total.energy.total() / (MICRO * WATT_MS_PER_KWH),
        "carbon_location_kg": int(total.location_ug.sum()) / MICROGRAMS_PER_KG,
        "carbon_market_kg": int(total.market_ug.sum()) / MICROGRAMS_PER_KG,
        "moved_gb": int(total.moved_bytes.sum()) / BYTES_PER_GB,
    }


def _fairness(accounts: Accounts, each: PerJob, until_ms: int, weight: Floats | None) -> tuple[Floats, Floats]:
    """By group: mean bounded slowdown, and dominant share while it had jobs that were ready and had not ended."""
    jobs, ended = accounts.jobs, each.ended
    groups = int(jobs.group.max()) + 1 if len(jobs.group) else 0
    count = np.bincount(jobs.group[ended], minlength=groups)
    slowdown = np.bincount(jobs.group[ended], each.slowdown[ended], groups)
    present = _present_ms(jobs.group, jobs.ready_ms, np.where(ended, each.end_ms, until_ms), groups)
    capacity = accounts.rows.capacity.sum(axis=0)
    shares = np.zeros(groups)
    for k, work in enumerate(accounts.work_by_group()):
        if capacity[k] > 0:
            shares = np.maximum(shares, work.floats() / (capacity[k] * np.maximum(present, 1)))
    if weight is not None:
        shares /= weight[:groups]
    return slowdown[count > 0] / count[count > 0], shares[present > 0]


def _present_ms(group: Ints, ready_ms: Ints, end_ms: Ints, groups: int) -> Ints:
    """`[group]`: how long it had at least one job in the network."""
    total = np.zeros(groups, np.int64)
    owner, from_ms, to_ms = presence(group, ready_ms, end_ms)
    np.add.at(total, owner, to_ms - from_ms)
    return total


def presence(group: Ints, ready_ms: Ints, end_ms: Ints) -> tuple[Ints, Ints, Ints]:
    """Group, begin and end of the stretches in which it had at least one job in the network; none overlap within a group."""
    chosen = np.flatnonzero(end_ms > ready_ms)
    if not len(chosen):
        return chosen, chosen, chosen
    ordered = bool((np.diff(ready_ms[chosen]) >= 0).all())
    order = chosen if ordered else chosen[np.argsort(ready_ms[chosen], kind="stable")]
    order = order[np.argsort(group[order].astype(np.min_scalar_type(int(group.max()))), kind="stable")]
    owner, origin = group[order], int(ready_ms[order].min())
    # One span of time after the other, a group each, so that one running maximum serves all of them.
    base = owner * (int(end_ms[order].max()) - origin)
    start, end = base + ready_ms[order] - origin, np.maximum.accumulate(base + end_ms[order] - origin)
    begin = np.maximum(start, np.concatenate(([0], end[:-1])))
    on, shift = end > begin, origin - base
    return owner[on], (begin + shift)[on], (end + shift)[on]
