"""The engine against queues whose answer is known, each within its own interval; `benchmarks.twin` does it at length."""

from __future__ import annotations

import heapq
import math
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.twin.queues import CASES, Case, batch_means, erlang_c, pollaczek_khinchine, starts, waits

from suanwang.domain.errors import InvalidRequest


def test_erlang_c_by_its_sum() -> None:
    for servers, offered in ((1, 0.3), (2, 1.5), (5, 4.2), (40, 33.0)):
        busy = offered**servers / math.factorial(servers) * servers / (servers - offered)
        rest = sum(offered**n / math.factorial(n) for n in range(servers))
        assert erlang_c(servers, offered) == pytest.approx(busy / (rest + busy))


def test_both_forms_agree_on_one_server() -> None:
    for load in (0.1, 0.5, 0.95):
        assert pollaczek_khinchine(load, 2.0) == pytest.approx(erlang_c(1, load) / (1 - load))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_job_starts_when_the_recursion_says(case: Case) -> None:
    """Kiefer and Wolfowitz 1955: a job takes the server that is free first."""
    ready, run, started = starts(case, 5_000, seed=2)
    free = [0] * case.servers
    for arrival, took, start in zip(ready.tolist(), run.tolist(), started.tolist(), strict=True):
        expected = max(arrival, heapq.heappop(free))
        assert start == expected
        heapq.heappush(free, expected + took)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_waits_are_those_of_the_closed_form(case: Case) -> None:
    """99.9 %: of a thousand seeds one would fail, and this one does not change."""
    lighter = replace(case, load=case.load * 0.9)
    found = batch_means(waits(lighter, 150_000, seed=2), confidence=0.999)
    assert found.low <= lighter.wait <= found.high
    assert found.half < 0.3 * lighter.wait, "or the interval says nothing"


def test_an_engine_that_lost_one_of_four_servers_would_be_noticed() -> None:
    whole = replace(CASES[1], load=0.6)
    lame = batch_means(waits(replace(whole, servers=3, load=0.8), 150_000, seed=2), confidence=0.999)
    assert lame.low > 2 * whole.wait


def test_batch_means_cover_the_mean_of_a_process_with_memory() -> None:
    """Nominal 95 %; a plain interval over single values would cover a third."""
    chance = np.random.default_rng(5)
    steps, plays = 4000, 400
    noise, values = chance.normal(size=(steps, plays)), np.zeros((steps, plays))
    for t in range(1, steps):
        values[t] = 0.9 * values[t - 1] + noise[t]
    found = [batch_means(values[:, k], 20) for k in range(plays)]
    covered = np.mean([one.low <= 0 <= one.high for one in found])
    assert 0.9 < covered < 0.98
    with pytest.raises(InvalidRequest, match="9 batches of 5 values"):
        batch_means(np.ones(5), 9)
