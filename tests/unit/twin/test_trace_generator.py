"""Work drawn from profiles: as close to its origin as the distances say, the same for the same seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from suanwang.domain.errors import InvalidRequest
from suanwang.twin.fitting import elapsed, fit
from suanwang.twin.generator import closeness, generate
from suanwang.twin.profile import Limits, Profile, Zipf, read_profile, shipped, write_profile
from suanwang.twin.trace import Trace, trace_of
from suanwang.twin.traces import read_trace

DATA = Path(__file__).parents[2] / "data" / "traces"
H = 3_600_000


def sample(name: str) -> Trace:
    return read_trace(DATA / name)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("gaia-pai_1k.csv.gz", {"run": 0.06, "cores": 0.04, "gap": 0.10, "core_hours": 0.06}),
        ("gaia-mustang-2000.csv.gz", {"run": 0.08, "cores": 0.06, "gap": 0.20, "core_hours": 0.10}),
        ("azure-llm-600.csv", {"run": 0.08, "devices": 0.12, "gap": 0.06, "device_hours": 0.14}),
    ],
)
def test_what_is_drawn_is_close_to_what_was_fitted(name: str, most: dict[str, float]) -> None:
    trace = sample(name)
    drawn = generate(fit(trace), np.random.default_rng(1), jobs=20_000)
    found = closeness(trace, drawn)
    assert {key: found[key] for key, bound in most.items() if found[key] > bound} == {}
    assert drawn.run_ms.mean() == pytest.approx(trace.run_ms.mean(), rel=0.1)
    assert 20_000 / drawn.span_ms == pytest.approx(len(trace) / trace.span_ms, rel=0.1)


def test_distances_are_those_of_scipy() -> None:
    one, other = sample("gaia-pai_1k.csv.gz"), sample("gaia-mustang-2000.csv.gz")
    assert closeness(one, other)["run"] == pytest.approx(stats.ks_2samp(one.run_ms, other.run_ms).statistic)
    assert closeness(one, one)["gap"] == 0


def known(rng: np.random.Generator, count: int = 20_000) -> Trace:
    """Four weeks of work whose parameters are known: gamma gaps of shape 0.5, nights at a quarter, batches, two run
    times, limits, Zipf groups."""
    week = np.tile(np.where((np.arange(24) >= 8) & (np.arange(24) < 20), 1.6, 0.4), 7)
    clock = np.cumsum(rng.gamma(0.5, 2.0, count))
    total = np.concatenate(([0.0], np.cumsum(week)))
    clock *= 4 * total[-1] / clock[-1]
    at_h = clock // total[-1] * 168 + np.interp(clock % total[-1], total, np.arange(169))
    run = np.exp(np.where(rng.random(count) < 0.7, rng.normal(11, 0.5, count), rng.normal(15, 0.3, count)))
    return trace_of(
        name="known",
        source="made up",
        submit_ms=np.rint(at_h * H).astype(np.int64),
        run_ms=np.rint(run).astype(np.int64),
        limit_ms=np.rint(run / rng.beta(2, 3, count)).astype(np.int64),
        cores=rng.choice([1.0, 4.0, 32.0], count, p=[0.5, 0.3, 0.2]),
        group=rng.choice(50, count, p=(w := np.arange(1, 51) ** -1.2) / w.sum()),
        groups=[f"g{k}" for k in range(50)],
        epoch_ms=4 * 24 * H,
    )


def test_parameters_that_are_known_are_found_again() -> None:
    profile = fit(known(np.random.default_rng(5)))
    assert profile.burst == pytest.approx(0.5, rel=0.05)
    assert profile.groups.exponent == pytest.approx(1.2, abs=0.05)
    assert profile.limits is not None
    assert (profile.limits.a, profile.limits.b) == pytest.approx((2, 3), rel=0.1)
    day = np.array(profile.week).reshape(7, 24).mean(0)
    assert day[8:20].mean() / np.delete(day, range(8, 20)).mean() == pytest.approx(4, rel=0.1)
    assert profile.jobs_hour == pytest.approx(20_000 / (4 * 168), rel=0.01)
    assert [size.cores[0] for size in profile.sizes] == [1, 4, 32]
    assert [size.share for size in profile.sizes] == pytest.approx([0.5, 0.3, 0.2], abs=0.02)
    short = sum(part.share for part in profile.sizes[0].run if part.mean < 13)
    assert short == pytest.approx(0.7, abs=0.02)


def test_the_week_starts_on_monday_where_a_trace_has_dates() -> None:
    trace = known(np.random.default_rng(5), 4_000)
    drawn = generate(fit(trace), np.random.default_rng(2), days=14, epoch_ms=1_704_067_200_000)
    hour = (drawn.submit_ms // H) % 24
    busy = ((hour >= 8) & (hour < 20)).mean()
    assert drawn.epoch_ms == 1_704_067_200_000, "Monday, 1 January 2024"
    assert busy == pytest.approx(0.8, abs=0.05)
    late = generate(fit(trace), np.random.default_rng(2), days=14, epoch_ms=1_704_067_200_000 + 12 * H)
    hour = (late.submit_ms // H + 12) % 24
    assert ((hour >= 8) & (hour < 20)).mean() == pytest.approx(0.8, abs=0.05)


def test_the_clock_of_arrivals_is_the_integral_of_the_week() -> None:
    week = np.arange(168) / 83.5
    assert elapsed(np.array([0.0, 1.0, 2.5, 168.0, 336.0, -168.0]), week) == pytest.approx(
        [0, 0, 2 / 83.5, 168, 336, -168]
    )


@pytest.mark.parametrize("name", shipped())
def test_shipped_profiles_draw_at_their_own_rate(name: str) -> None:
    profile = read_profile(name)
    assert ("MIT" in profile.source) or ("CC-BY" in profile.source)
    drawn = generate(profile, np.random.default_rng(3), jobs=30_000)
    assert len(drawn) == 30_000
    assert 30_000 / (drawn.span_ms / H) == pytest.approx(profile.jobs_hour, rel=0.1)
    assert drawn.cores.max() + drawn.devices.max() > 0


def test_a_seed_draws_the_same_again_and_another_does_not() -> None:
    profile = read_profile("pai")
    one, same, other = (generate(profile, np.random.default_rng(seed), jobs=500) for seed in (7, 7, 8))
    assert one.digest == same.digest != other.digest


def test_jobs_days_and_load() -> None:
    profile = read_profile("philly")
    rng = np.random.default_rng
    week, double = generate(profile, rng(1), days=28), generate(profile, rng(1), days=28, load=2)
    assert week.submit_ms[-1] < 28 * 24 * H
    assert len(double) == pytest.approx(2 * len(week), rel=0.1)
    both = generate(profile, rng(1), jobs=1_000, days=7)
    assert len(both) == 1_000
    assert 6 * 24 * H < both.submit_ms[-1] < 7 * 24 * H
    assert generate(profile, rng(1), jobs=1).submit_ms.tolist() != []
    for wrong in ({}, {"jobs": 0}, {"days": -1}, {"jobs": 5, "load": 0}, {"days": 36_000, "load": 1e5}):
        with pytest.raises(InvalidRequest):
            generate(profile, rng(1), **wrong)


def test_batches_come_together_and_limits_hold() -> None:
    profile = replace(
        read_profile("mustang"),
        batch=Zipf(exponent=2.0, most=20),
        limits=Limits(said=1.0, a=2.0, b=2.0, grain_ms=60_000, most_ms=10**9),
    )
    drawn = generate(profile, np.random.default_rng(1), jobs=20_000)
    mean = (1 / np.arange(1, 21)).sum() / (1 / np.arange(1, 21) ** 2).sum()
    assert (np.diff(drawn.submit_ms) == 0).mean() == pytest.approx(1 - 1 / mean, abs=0.04), (
        "all of a batch but its first"
    )
    assert (drawn.limit_ms >= drawn.run_ms).all()
    assert (drawn.limit_ms % 60_000 == 0).mean() > 0.99


def test_a_trace_too_short_is_not_fitted() -> None:
    with pytest.raises(InvalidRequest):
        fit(sample("federation.swf"))
    with pytest.raises(InvalidRequest):
        fit(sample("gaia-pai_1k.csv.gz").head(60).at_load(1e12))


def test_a_profile_is_written_and_read_back(tmp_path: Path) -> None:
    profile = fit(known(np.random.default_rng(5), 3_000))
    write_profile(profile, tmp_path / "p.yaml")
    assert read_profile(tmp_path / "p.yaml") == profile


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("burst:", "bursts:", "bursts"),
        ("burst: ", "burst: -", "burst"),
        ("burst: ", "burst: .nan #", "burst"),
        ("jobs_hour: ", "jobs_hour: x", "jobs_hour"),
        ("- share: 0.", "- share: 0.00", "sizes"),
        ("week: [", "week: [99, ", "week"),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused(tmp_path: Path, old: str, new: str, field: str) -> None:
    path = tmp_path / "p.yaml"
    write_profile(read_profile("philly"), path)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InvalidRequest) as caught:
        read_profile(path)
    found = [problem.field for problem in getattr(caught.value, "problems", ())] or [caught.value.field]
    assert field in found, found


def test_an_unknown_profile_names_those_there_are() -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_profile("nothing")
    assert "philly" in str(caught.value.allowed)
    assert isinstance(read_profile("pai"), Profile)
