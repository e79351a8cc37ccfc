"""Fragments of devices against the definition, written out plainly."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.twin.fragmentation import fragmented_share

from suanwang.domain.errors import InvalidRequest
from suanwang.twin.fragmentation import Nodes, Workload, workload

ANY = (1 << 62) - 1


def nodes(*found: tuple[int, list[int], int]) -> Nodes:
    cores, devices, model = zip(*found, strict=True)
    return Nodes(np.array(cores), np.array(devices), np.array(model))


def by_definition(state: Nodes, tasks: Workload) -> float:
    lost = 0.0
    for cores, devices, model in zip(*(column.tolist() for column in state), strict=True):
        for need, count, part, models, share in zip(*(column.tolist() for column in tasks), strict=True):
            able = [left for left in devices if left >= part]
            runs = count > 0 and need <= cores and models & model and len(able) >= count
            lost += share * (sum(left for left in devices if left < part) if runs else sum(devices))
    return lost / float(state.devices_milli.sum())


def test_half_a_device_is_lost_on_those_who_want_a_whole() -> None:
    tasks = workload(np.array([1000]), np.array([1]), np.array([1000]), np.array([ANY]))
    assert fragmented_share(nodes((8000, [500, 1000], 1)), tasks) == pytest.approx(1 / 3)
    assert fragmented_share(nodes((8000, [500, 500], 1)), tasks) == 1
    assert fragmented_share(nodes((500, [1000, 1000], 1)), tasks) == 1, "no cores left for it"
    assert fragmented_share(nodes((8000, [1000, 1000], 2)), tasks._replace(models=np.array([5]))) == 1, "another model"
    assert fragmented_share(nodes((8000, [0, 0], 1)), tasks) == 0, "nothing is free"


def test_expectation_over_the_workload() -> None:
    """Three tasks of a whole device, one of cores alone: that one can use no device at all."""
    tasks = workload(np.array([1000] * 4), np.array([1, 1, 1, 0]), np.array([1000, 1000, 1000, 0]), np.full(4, ANY))
    assert fragmented_share(nodes((8000, [1000, 0], 1)), tasks) == pytest.approx(0.25)


def test_equals_the_definition_on_any_cluster() -> None:
    chance = np.random.default_rng(8)
    for _ in range(50):
        state = Nodes(
            chance.integers(0, 9, 12) * 1000,
            chance.choice([0, 0, 250, 500, 700, 1000, 1000], (12, 8)),
            1 << chance.integers(0, 3, 12),
        )
        devices = chance.choice([0, 1, 1, 2, 8], 30)
        part = np.where(devices == 1, chance.choice([250, 400, 1000], 30), np.where(devices > 0, 1000, 0))
        tasks = workload(chance.integers(1, 9, 30) * 1000, devices, part, chance.choice([ANY, 1, 6], 30))
        assert fragmented_share(state, tasks) == pytest.approx(by_definition(state, tasks))


def test_rare_kinds_may_be_left_out() -> None:
    cores = np.array([1] * 90 + [2] * 9 + [3])
    one = np.ones_like(cores)
    kinds = workload(cores, one, 1000 * one, one, popular=0.95)
    assert kinds.cores_milli.tolist() == [1, 2]
    assert kinds.share.tolist() == pytest.approx([90 / 99, 9 / 99])
    with pytest.raises(InvalidRequest, match="needs tasks"):
        workload(cores[:0], cores[:0], cores[:0], cores[:0])
