"""New work like old work: a trace drawn from a profile.

Owns the drawing; what the numbers mean stands in `profile`. All chance comes from the generator that is passed in, so a
seed gives the same trace again. What is drawn is a model: nothing of it was measured.
"""

from __future__ import annotations

import numpy as np

from suanwang.domain.errors import InvalidRequest
from suanwang.twin.fitting import HOUR_MS, elapsed
from suanwang.twin.profile import HOURS, Knots, Limits, Profile, Size, Zipf
from suanwang.twin.trace import Floats, Ints, Trace, trace_of

MOST_JOBS = 20_000_000
_HEIGHTS = np.linspace(0, 1, 5)


def generate(
    profile: Profile,
    rng: np.random.Generator,
    *,
    jobs: int | None = None,
    days: float | None = None,
    load: float = 1.0,
    epoch_ms: int | None = None,
    name: str | None = None,
) -> Trace:
    """So many `jobs`, or all that come in so many `days`; with both, so many jobs spread over those days.

    `load` makes them come so many times as fast. Instant 0 is Monday's first hour, or `epoch_ms` where that is given
    (the hours are then those of the profile's own offset from UTC).
    """
    _check(jobs, days, load)
    week = np.array(profile.week)
    start_h = 0.0
    if epoch_ms is not None:
        # 1970-01-01 was a Thursday: Monday's first hour lies 96 hours behind it.
        start_h = (epoch_ms / HOUR_MS + (profile.utc_offset_h or 0.0) - 96) % HOURS
    jobs_hour = profile.jobs_hour * load
    mean_batch = float(_shares(profile.batch) @ np.arange(1, profile.batch.most + 1))
    at_h, size = _arrivals(profile, rng, week, start_h, jobs_hour / mean_batch, jobs, days)
    count = int(size.sum())
    if count > MOST_JOBS:
        raise InvalidRequest(f"{count:,} jobs", field="days", allowed=f"up to {MOST_JOBS:,} jobs")
    if jobs is not None:
        count = jobs
    if not count:
        raise InvalidRequest(f"no job came in {days} days", field="days", allowed="more days, or more load")
    batch = np.repeat(np.arange(len(size)), size)[:count]
    grain = profile.arrival_grain_ms
    submit_ms = (np.floor(at_h * HOUR_MS / grain) * grain).astype(np.int64)[batch]
    kind = rng.choice(len(profile.sizes), len(size), p=_normal([one.share for one in profile.sizes]))[batch]
    group = (rng.choice(profile.groups.most, len(size), p=_shares(profile.groups)))[batch]
    cores, devices, memory_gb, run_ms = _jobs(profile, rng, kind)
    return trace_of(
        name=name or profile.name,
        source=f"drawn from the profile {profile.name}, a model of: {profile.source}",
        submit_ms=submit_ms,
        run_ms=run_ms,
        limit_ms=None if profile.limits is None else _limited(profile.limits, rng, run_ms),
        cores=cores,
        devices=devices,
        memory_gb=memory_gb,
        group=group.astype(np.int64),
        groups=[f"group {number + 1}" for number in range(profile.groups.most)],
        epoch_ms=epoch_ms,
    )


def closeness(one: Trace, other: Trace) -> dict[str, float]:
    """Kolmogorov-Smirnov distances, 0 to 1, of run times, cores, devices, gaps between submissions and device or core
    hours of a job."""
    pairs = {
        "run": (one.run_ms, other.run_ms),
        "cores": (one.cores, other.cores),
        "devices": (one.devices, other.devices),
        "gap": (np.diff(one.submit_ms), np.diff(other.submit_ms)),
        "core_hours": (one.cores * one.run_ms, other.cores * other.run_ms),
        "device_hours": (one.devices * one.run_ms, other.devices * other.run_ms),
    }
    return {key: _distance(np.asarray(a, np.float64), np.asarray(b, np.float64)) for key, (a, b) in pairs.items()}


def _check(jobs: int | None, days: float | None, load: float) -> None:
    if jobs is None and days is None:
        raise InvalidRequest(
            "neither jobs nor days are said", field="jobs", allowed="a number of jobs, of days, or both"
        )
    if jobs is not None and not 1 <= jobs <= MOST_JOBS:
        raise InvalidRequest(f"{jobs} jobs", field="jobs", allowed=f"1 to {MOST_JOBS:,}")
    if days is not None and not 0 < days <= 36_600:
        raise InvalidRequest(f"{days} days", field="days", allowed="more than 0, up to 36,600")
    if not 0 < load <= 1e6:
        raise InvalidRequest(f"a load of {load}", field="load", allowed="more than 0, up to 1,000,000")


def _arrivals(
    profile: Profile,
    rng: np.random.Generator,
    week: Floats,
    start_h: float,
    batches_hour: float,
    jobs: int | None,
    days: float | None,
) -> tuple[Floats, Ints]:
    """Hours after the start, and jobs, of each batch."""
    total = float(week.sum())
    begun = float(elapsed(np.array([start_h]), week)[0])
    span = None if days is None else float(elapsed(np.array([start_h + days * 24]), week)[0]) - begun
    if jobs is None:
        assert span is not None, "checked: days are said"
        if span * batches_hour > MOST_JOBS:
            raise InvalidRequest(
                f"{span * batches_hour:,.0f} batches",
                field="days",
                allowed=f"days or load for up to {MOST_JOBS:,} jobs",
            )
        clock = _renewals(profile.burst, rng, span * batches_hour) / batches_hour
        size = _batch_sizes(profile.batch, rng, len(clock))
    else:
        size = _batch_sizes(profile.batch, rng, jobs)
        size = size[: int(np.searchsorted(np.cumsum(size), jobs)) + 1]
        gaps = rng.gamma(profile.burst, 1 / profile.burst, len(size) + 1)
        clock = np.cumsum(gaps)[:-1] / batches_hour
        if span is not None:
            clock = clock / (gaps.sum() / batches_hour) * span
    whole, part = np.divmod(begun + clock, total)
    knots = np.concatenate(([0.0], np.cumsum(week)))
    at_h = whole * HOURS + np.interp(part, knots, np.arange(HOURS + 1))
    return np.maximum(at_h - start_h, 0.0), size


def _renewals(shape: float, rng: np.random.Generator, span: float) -> Floats:
    """Instants of a renewal process of mean gap 1 until `span`."""
    parts: list[Floats] = []
    last = 0.0
    while last < span:
        gaps = rng.gamma(shape, 1 / shape, int((span - last) * 1.1 + 10 * (1 + (span / shape) ** 0.5)))
        parts.append(last + np.cumsum(gaps))
        last = float(parts[-1][-1])
    made = np.concatenate(parts) if parts else np.zeros(0)
    return made[made < span]


def _batch_sizes(zipf: Zipf, rng: np.random.Generator, count: int) -> Ints:
    if zipf.most == 1:
        return np.ones(count, np.int64)
    return rng.choice(zipf.most, count, p=_shares(zipf)).astype(np.int64) + 1


def _jobs(profile: Profile, rng: np.random.Generator, kind: Ints) -> tuple[Floats, Floats, Floats, Ints]:
    """Cores, devices, GB of memory and run time of each job."""
    cores, devices, memory_gb = (np.zeros(len(kind)) for _ in range(3))
    run_ms = np.zeros(len(kind), np.int64)
    for index, size in enumerate(profile.sizes):
        which = np.flatnonzero(kind == index)
        height = rng.random(len(which))
        cores[which] = _between(size.cores, height)
        devices[which] = _between(size.devices, height)
        memory_gb[which] = _between(size.memory_gb, rng.random(len(which)))
        run_ms[which] = _runs(size, rng, len(which), profile.run_grain_ms)
    return cores, devices, memory_gb, run_ms


def _between(knots: Knots, height: Floats) -> Floats:
    """Quantiles between knots, geometric; whole numbers where all knots above 1 are whole."""
    known = np.array(knots)
    if known[0] == known[-1]:
        return np.full(len(height), known[0])
    geometric = known[0] > 0
    found = np.interp(height, _HEIGHTS, np.log(known) if geometric else known)
    found = np.exp(found) if geometric else found
    return np.asarray(np.rint(found) if (known == np.rint(known)).all() else found, np.float64)


def _runs(size: Size, rng: np.random.Generator, count: int, grain: int) -> Ints:
    """Run times of one size: log-normals cut to the range seen, in whole grains."""
    part = rng.choice(len(size.run), count, p=_normal([one.share for one in size.run]))
    mean, sd = np.array([one.mean for one in size.run])[part], np.array([one.sd for one in size.run])[part]
    drawn = np.rint(np.exp(rng.normal(mean, sd)) / grain) * grain
    return np.asarray(np.clip(drawn, size.least_ms, size.most_ms), np.int64)


def _limited(limits: Limits, rng: np.random.Generator, run_ms: Ints) -> Ints:
    ratio = np.maximum(rng.beta(limits.a, limits.b, len(run_ms)), 1e-6)
    limit = np.minimum(np.ceil(run_ms / ratio / limits.grain_ms) * limits.grain_ms, limits.most_ms)
    said = rng.random(len(run_ms)) < limits.said
    return np.where(said, np.maximum(limit, run_ms), run_ms).astype(np.int64)


def _shares(zipf: Zipf) -> Floats:
    return _normal(np.arange(1, zipf.most + 1, dtype=np.float64) ** -zipf.exponent)


def _normal(weights: list[float] | Floats) -> Floats:
    made = np.asarray(weights, np.float64)
    return np.asarray(made / made.sum(), np.float64)


def _distance(one: Floats, other: Floats) -> float:
    both = np.concatenate((one, other))
    below = (np.searchsorted(np.sort(values), both, side="right") / max(1, len(values)) for values in (one, other))
    first, second = below
    return float(np.abs(first - second).max(initial=0.0))
