"""A site that measured less than it declares is only ever placed worse for it, and no site passes behind it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories import NOW, job, pool, site, snapshot, task

from suanwang.domain.ids import SiteId
from suanwang.domain.site import Price, Site
from suanwang.domain.task import DeviceRequest, Objective
from suanwang.scheduling.placing import decide, explain
from suanwang.scheduling.snapshot import Snapshot

MODEL = "nvidia-a100-sxm-80gb"
weights = st.integers(0, 3)


@st.composite
def networks(draw: st.DrawFn) -> list[Site]:
    found = []
    for index in range(draw(st.integers(2, 5))):
        price = Decimal(draw(st.integers(1, 40))) / 10
        found.append(
            site(
                f"s{index}",
                devices=(pool(MODEL, power_w=draw(st.sampled_from([250.0, 400.0, 700.0]))),),
                price=Price(core_hour_yuan=price, device_hour_yuan={MODEL: price * draw(st.integers(1, 9))}),
                carbon_g_per_kwh=float(draw(st.integers(1, 9)) * 100),
            )
        )
    return found


def order(seen: Snapshot, names: list[SiteId]) -> list[int]:
    """Position of each site, best first; those that are out come last."""
    why = explain(seen, seen.jobs[0]).why
    ranked = [rank.site for rank in (why.chosen, *why.others) if rank is not None]
    return [ranked.index(name) if name in ranked else len(names) for name in names]


@settings(max_examples=150, deadline=None)
@given(
    sites=networks(),
    factor=st.floats(1.0, 50.0),
    wanted=st.tuples(weights, weights, weights).filter(any),
    devices=st.booleans(),
    in_time_h=st.none() | st.integers(1, 20),
)
def test_a_slower_site_ranks_no_better(
    sites: list[Site], factor: float, wanted: tuple[int, int, int], devices: bool, in_time_h: int | None
) -> None:
    of = task(
        expected_s=3600,
        time_limit_s=36_000_000,
        devices=DeviceRequest(count=2) if devices else None,
        objective=Objective(price=wanted[0], carbon=wanted[1], finish=wanted[2]),
        deadline_at=None if in_time_h is None else NOW + timedelta(hours=in_time_h),
    )
    names = [each.id for each in sites]
    even = snapshot(sites, [job(of=of)])
    slowed = replace(even, slowness={(names[0], MODEL if devices else None): factor})
    before, after = order(even, names), order(slowed, names)
    assert after[0] >= before[0]
    for name in range(1, len(names)):
        assert before[name] > before[0] or after[name] < after[0] or after[0] == len(names), (
            "who was ahead of it stays so"
        )


@settings(max_examples=50, deadline=None)
@given(sites=networks(), factor=st.floats(1.0, 50.0))
def test_hours_price_and_energy_follow_the_measured_speed(sites: list[Site], factor: float) -> None:
    of = task(expected_s=3600, time_limit_s=36_000_000, devices=DeviceRequest(count=1))
    even = snapshot(sites[:1], [job(of=of)])
    slowed = replace(even, slowness={(sites[0].id, MODEL): factor})
    (plain,) = decide(even).places
    (slow,) = decide(slowed).places
    assert plain.why.chosen is not None
    assert slow.why.chosen is not None
    first, second = plain.why.chosen.figures, slow.why.chosen.figures
    for name in ("price_yuan", "energy_kwh", "carbon_g", "finish_s"):
        one_ms = getattr(first, name) / (1000 * first.finish_s)
        assert abs(getattr(second, name) - factor * getattr(first, name)) <= 1.001 * one_ms, "hours are whole ms"
    assert decide(replace(even, slowness={(sites[0].id, None): factor})).places[0].why == plain.why
