"""Two thousand histories: nothing lost, nothing twice, each interval billed once, and all well after healing."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest

from suanwang.control.billing.metering import Metered, meter
from tests.simulation import world
from tests.simulation.world import Broken, World

SEEDS = int(os.environ.get("SUANWANG_SEEDS", "2000"))
CHUNK = 50


def play(seeds: int) -> None:
    for seed in range(seeds):
        World(seed).run()


@pytest.mark.no_cover  # measuring lines would treble the time of two thousand histories
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_history_loses_doubles_or_overbills(first: int) -> None:
    for seed in range(first, min(first + CHUNK, SEEDS)):
        World(seed).run()


@pytest.mark.no_cover
@pytest.mark.parametrize("first", range(0, SEEDS // 40, CHUNK // 2))
def test_no_history_of_little_money_overdraws_or_keeps_a_hold(first: int) -> None:
    for seed in range(first, min(first + CHUNK // 2, SEEDS // 40)):
        world = World(seed, prepaid=True)
        world.run(rounds=250)
        blocked = [event.data for event in world.store.events(0, 100_000) if event.kind == "ledger.blocked"]
        assert not blocked, f"seed {seed}: a run was paid for by nobody: {blocked}"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_same_seed_same_events(seed: int) -> None:
    assert World(seed).run() == World(seed).run()


def test_other_seed_other_events() -> None:
    assert World(1).run() != World(2).run()


def test_faults_really_happen() -> None:
    crashes = fenced = interrupted = 0
    for seed in range(20):
        played = World(seed)
        played.run()
        crashes += played.crashes
        kinds = [event.kind for event in played.store.events(0, 100_000)]
        fenced += kinds.count("site.lost")
        interrupted += kinds.count("job.interrupted")
    assert crashes > 50
    assert fenced > 5
    assert interrupted > 5


def test_money_really_runs_out() -> None:
    seen: set[object] = set()
    for seed in range(60):
        played = World(seed, prepaid=True)
        played.run(rounds=250)
        seen |= {event.data["then"] for event in played.store.events(0, 100_000, kind="job.unpaid")}
        if seen == {"suspended", "ended"}:
            return
    raise AssertionError(f"of all that may become of a run that nobody pays, only {seen} was seen")


def test_a_hold_that_nobody_releases_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("suanwang.adapters.store.memory.MemoryStore.release_ended", lambda *_: 0)
    with pytest.raises(Broken, match="held by nobody"):
        play(20)


def test_a_network_that_does_not_wait_for_its_leases_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "RULES", replace(world.RULES, fence_margin_s=-24.0))
    # Seen while both run, or in what both were billed.
    with pytest.raises(Broken, match=r"live twice|overlaps"):
        play(60)


def test_an_agent_that_bills_wrongly_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def generous(*args: Any, **kwargs: Any) -> Metered:
        result = meter(*args, **kwargs)
        return replace(result, job=replace(result.job, billed_fen=result.job.billed_fen + len(result.usage)))

    monkeypatch.setattr("suanwang.control.steps.meter", generous)
    with pytest.raises(Broken, match="does not add up"):
        play(20)


@pytest.mark.no_cover
def test_no_history_with_a_voucher_overdraws_pays_twice_or_keeps_a_hold() -> None:
    paid = suspended = 0
    for seed in range(12):
        played = World(seed, prepaid=True, vouched=True)
        played.run(rounds=250, healing=1500)
        events = played.store.events(0, 100_000)
        blocked = [event.data for event in events if event.kind == "ledger.blocked"]
        assert not blocked, f"seed {seed}: a run was paid for by nobody: {blocked}"
        paid += sum(use.amount_fen for use in played.store.voucher_uses(["v"]))
        suspended += sum("voucher:v" in str(event.data["purse"]) for event in events if event.kind == "job.unpaid")
    assert paid > 100
    assert suspended > 0, "some voucher ended or ran out while a run lasted"
