"""A profile from a trace.

Owns the estimators: counts for shares, maximum likelihood for gamma shape and Zipf exponents, expectation-maximisation for
mixtures of log-normals, moments for the beta distribution. No chance is involved: the same trace gives the same profile.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import digamma, zeta

from suanwang.domain.errors import InvalidRequest
from suanwang.twin.profile import HOURS, Knots, Limits, Lognormal, Profile, Size, Zipf
from suanwang.twin.trace import Floats, Ints, Trace

HOUR_MS = 3_600_000
LEAST_JOBS = 50
_OWN_RUNS = 300
"""So many jobs give a size its own mixture; smaller ones share one."""
_POINTS = 24
"""The most common sizes stand for themselves where they have this share of jobs."""
_POINT_SHARE = 0.004
_PARTS = 6
_PRIOR_JOBS = 10
_ROUNDS = 200
_SD_FLOOR = 2e-3
_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
_MONDAY_H = 96
"""1970-01-01 was a Thursday: Monday's first hour comes 96 hours later."""


def fit(trace: Trace, *, name: str | None = None, utc_offset_h: float = 0.0) -> Profile:
    """The profile of a trace of 50 jobs or more. `utc_offset_h` says in whose hours its week is told, where it has dates."""
    if len(trace) < LEAST_JOBS or trace.span_ms <= 0:
        raise InvalidRequest(
            f"{trace.name} has {len(trace)} jobs over {trace.span_ms} ms",
            field="trace",
            allowed=f"{LEAST_JOBS} jobs over time",
        )
    dated = trace.epoch_ms is not None
    origin_h = (trace.epoch_ms or 0) / HOUR_MS + utc_offset_h - _MONDAY_H if dated else 0.0
    grain = _grain(np.diff(trace.submit_ms))
    week = _week(trace.submit_ms, origin_h)
    batch, instants = _batches(trace.submit_ms, grain)
    return Profile(
        name=name or trace.name,
        source=trace.source,
        fitted_jobs=len(trace),
        fitted_days=round(trace.span_ms / HOUR_MS / 24, 3),
        utc_offset_h=utc_offset_h if dated else None,
        jobs_hour=_rounded((len(trace) - 1) / (trace.span_ms / HOUR_MS)),
        week=tuple(round(float(value), 4) for value in week),
        burst=_rounded(_gamma_shape(np.diff(elapsed(instants / HOUR_MS + origin_h, week)))),
        batch=batch,
        arrival_grain_ms=grain,
        run_grain_ms=_grain(trace.run_ms),
        sizes=_sizes(trace),
        limits=_limits(trace),
        groups=_zipf(_ranks(trace.group)),
    )


def elapsed(at_h: Floats, week: Floats) -> Floats:
    """How far the arrival clock has run: the integral of the week's rate until each hour since some Monday."""
    total = np.concatenate(([0.0], np.cumsum(week)))
    whole, part = np.divmod(at_h, HOURS)
    return np.asarray(whole * total[-1] + np.interp(part, np.arange(HOURS + 1), total), np.float64)


def _week(submit_ms: Ints, origin_h: float) -> Floats:
    """Arrivals of each hour of the week, over how often that hour was there.

    Each is drawn to the product of its hour of the day and its day of the week as by ten more jobs.
    """
    at = submit_ms / HOUR_MS + origin_h
    first, last = float(at[0]), float(at[-1])
    if last - first < 48:
        return np.ones(HOURS)
    hours = np.floor(at).astype(np.int64)
    edges = np.arange(np.floor(first), np.floor(last) + 1)
    there = np.clip(np.minimum(edges + 1, last) - np.maximum(edges, first), 0, 1)
    count = np.bincount(hours % HOURS, minlength=HOURS).astype(np.float64).reshape(7, 24)
    exposure = (
        np.bincount(edges.astype(np.int64) % HOURS, weights=there, minlength=HOURS).astype(np.float64).reshape(7, 24)
    )
    mean = len(submit_ms) / (last - first)
    hour = _drawn_to(mean, count.sum(0), exposure.sum(0)) / mean
    if last - first < 2 * HOURS:
        return np.asarray(np.tile(hour, 7) / hour.mean(), np.float64)
    day = _drawn_to(mean, count.sum(1), exposure.sum(1)) / mean
    rate = _drawn_to(mean * np.outer(day, hour), count, exposure).reshape(-1)
    return np.asarray(rate / rate.mean(), np.float64)


def _drawn_to(mean: Floats | float, count: Floats, exposure: Floats) -> Floats:
    """Rates of counts over exposures, as if ten more jobs had come at the mean rate."""
    return (count + _PRIOR_JOBS) / (exposure + _PRIOR_JOBS / mean)


def _batches(submit_ms: Ints, grain: int) -> tuple[Zipf, Floats]:
    """Sizes of batches, and the instants they came at.

    Where the log's clock is coarse against the gaps, jobs of one instant are no batch: they are spread over the grain.
    """
    instants, counts = np.unique(submit_ms, return_counts=True)
    mean_gap = (submit_ms[-1] - submit_ms[0]) / len(submit_ms)
    if grain > 0.05 * mean_gap:
        place = np.arange(len(submit_ms)) - np.repeat(np.cumsum(counts) - counts, counts)
        spread = submit_ms + grain * (place + 0.5) / np.repeat(counts, counts)
        return Zipf(exponent=50.0, most=1), spread
    return _zipf(counts.astype(np.int64)), instants.astype(np.float64)


def _gamma_shape(gaps: Floats) -> float:
    """Maximum likelihood (Choi and Wette 1969): ln k - digamma(k) = ln(mean) - mean(ln)."""
    gaps = gaps[gaps > 0]
    if len(gaps) < 2:
        return 1.0
    excess = float(np.log(gaps.mean()) - np.log(gaps).mean())
    if excess < 1e-3:
        return 500.0
    return float(brentq(lambda k: np.log(k) - digamma(k) - excess, 1e-3, 1e3))


def _zipf(ranks: Ints) -> Zipf:
    """The exponent that makes these ranks likeliest."""
    most = int(ranks.max())
    if most == 1:
        return Zipf(exponent=50.0, most=1)
    log_sum = float(np.log(ranks).mean())
    steps = np.arange(1, min(most, 100_000) + 1, dtype=np.float64)

    def loss(exponent: float) -> float:
        tail = float(zeta(exponent, most + 1)) if most > len(steps) and exponent > 1 else 0.0
        return float(np.log((steps**-exponent).sum() + tail) + exponent * log_sum)

    return Zipf(exponent=_rounded(float(minimize_scalar(loss, bounds=(0.0, 20.0), method="bounded").x)), most=most)


def _ranks(group: Ints) -> Ints:
    """The rank of each job's group by size, the largest first."""
    counts = np.bincount(group)
    rank = np.empty(len(counts), np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(1, len(counts) + 1)
    return rank[group]


def _sizes(trace: Trace) -> tuple[Size, ...]:
    """Common sizes for themselves, the rest by powers of two."""
    pairs, code = np.unique(np.column_stack((trace.cores, trace.devices)), axis=0, return_inverse=True)
    code = code.reshape(-1)
    counts = np.bincount(code)
    common = np.argsort(-counts, kind="stable")[:_POINTS]
    common = common[counts[common] >= max(_POINT_SHARE * len(trace), 2)]
    tier = np.full(len(pairs), -1, np.int64)
    tier[common] = np.arange(len(common))
    power = np.where(pairs > 0, np.floor(np.log2(np.maximum(pairs, 2.0**-20))), -99.0)
    _, by_power = np.unique(power, axis=0, return_inverse=True)
    tier = np.where(tier >= 0, tier, len(common) + by_power.reshape(-1))[code]
    tiers = [np.flatnonzero(tier == value) for value in np.unique(tier)]
    tiers = _merged(tiers, len(trace))
    few = [jobs for jobs in tiers if len(jobs) < _OWN_RUNS]
    pooled = trace.run_ms[np.concatenate(few)] if few else trace.run_ms[:0]
    shared = _mixture(pooled) if few else ()
    made: list[Size] = []
    for jobs in tiers:
        own = len(jobs) >= _OWN_RUNS
        run_ms = trace.run_ms[jobs] if own else pooled
        made.append(
            Size(
                share=round(len(jobs) / len(trace), 7),
                cores=_knots(trace.cores[jobs]),
                devices=_knots(trace.devices[jobs]),
                memory_gb=_knots(trace.memory_gb[jobs]),
                run=_mixture(run_ms) if own else shared,
                least_ms=int(run_ms.min()),
                most_ms=int(run_ms.max()),
            )
        )
    return tuple(sorted(made, key=lambda size: -size.share))


def _merged(tiers: list[Ints], count: int) -> list[Ints]:
    """Without tiers of less than a thousandth: those go together, as there may be very many."""
    large = [jobs for jobs in tiers if len(jobs) >= count / 1000]
    small = [jobs for jobs in tiers if len(jobs) < count / 1000]
    return [*large, np.concatenate(small)] if small else large


def _knots(values: Floats) -> Knots:
    found = [_rounded(float(value)) for value in np.quantile(values, _QUANTILES, method="lower")]
    return (found[0], found[1], found[2], found[3], found[4])


def _mixture(run_ms: Ints) -> tuple[Lognormal, ...]:
    """Log-normals by expectation-maximisation, begun at equal parts of the sorted run times."""
    values, weight = np.unique(np.log(np.maximum(run_ms, 1)), return_counts=True)
    weight = weight / weight.sum()
    parts = min(_PARTS, max(1, len(run_ms) // 25), len(values))
    edges = np.searchsorted(np.cumsum(weight), np.arange(1, parts) / parts)
    pieces = [piece for piece in np.split(np.arange(len(values)), edges) if len(piece)]
    share = np.array([weight[piece].sum() for piece in pieces])
    mean = np.array([np.average(values[piece], weights=weight[piece]) for piece in pieces])
    sd = np.array([max(float(np.std(values[piece])), 0.05) for piece in pieces])
    before = -np.inf
    for _ in range(_ROUNDS):
        log_density = np.log(share) - np.log(sd) - 0.5 * ((values[:, None] - mean) / sd) ** 2
        top = log_density.max(1, keepdims=True)
        likely = np.exp(log_density - top)
        total = likely.sum(1, keepdims=True)
        now = float((weight * (np.log(total) + top)[:, 0]).sum())
        belongs = likely / total * weight[:, None]
        share = np.maximum(belongs.sum(0), 1e-12)
        mean = (belongs * values[:, None]).sum(0) / share
        sd = np.sqrt((belongs * (values[:, None] - mean) ** 2).sum(0) / share).clip(_SD_FLOOR)
        if now - before < 1e-7:
            break
        before = now
    keep = share > 1e-4
    share = share[keep] / share[keep].sum()
    return tuple(
        Lognormal(share=round(float(p), 6), mean=round(float(m), 5), sd=round(float(s), 5))
        for p, m, s in sorted(zip(share, mean[keep], sd[keep], strict=True), key=lambda part: part[1])
    )


def _limits(trace: Trace) -> Limits | None:
    """Beta by moments of run over limit, of the jobs whose limit is longer than their run."""
    said = trace.limit_ms > trace.run_ms
    if said.sum() < LEAST_JOBS:
        return None
    ratio = np.clip(trace.run_ms[said] / trace.limit_ms[said], 1e-6, 1 - 1e-6)
    mean, variance = float(ratio.mean()), max(float(ratio.var()), 1e-6)
    spread = max(mean * (1 - mean) / variance - 1, 1e-3)
    return Limits(
        said=round(float(said.mean()), 6),
        a=_rounded(mean * spread),
        b=_rounded((1 - mean) * spread),
        grain_ms=_grain(trace.limit_ms[said]),
        most_ms=int(trace.limit_ms.max()),
    )


def _grain(values: Ints) -> int:
    """What all of these are multiples of, in ms."""
    return max(1, int(np.gcd.reduce(values))) if len(values) else 1


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
