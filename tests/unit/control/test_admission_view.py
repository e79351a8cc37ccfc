"""Admission looks at the network a moment ago, and once more before it says no."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.simulation.world import OPERATOR, USER, World

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import SiteId
from suanwang.domain.lifecycle import JobState
from suanwang.domain.task import Constraints, Resources, Task

SMALL = Task(name="small", run=":", resources=Resources(cores=1, memory_gb=1.0))
LARGE = replace(SMALL, name="large", resources=Resources(cores=16, memory_gb=1.0))
THERE = replace(SMALL, name="there", constraints=Constraints(sites=(SiteId("new"),)))


@pytest.fixture
def world() -> World:
    """A network whose sites have four cores a node, asked a moment ago."""
    world = World(seed=1)
    world.faults = False
    world.network.jobs.submit(USER, [SMALL])
    return world


def invite(world: World) -> None:
    offering = replace(world.store.sites()[0].offering, name_zh="新", name_en="New", cores_per_node=32)
    world.network.sites.invite(OPERATOR, "new", offering)


def test_a_site_that_was_invited_just_now_may_be_named(world: World) -> None:
    with pytest.raises(InvalidRequest, match="does not know"):
        world.network.jobs.submit(USER, [THERE])
    world.network.jobs.submit(USER, [SMALL])
    invite(world)
    (job,) = world.network.jobs.submit(USER, [THERE]).jobs
    assert job.state is JobState.QUEUED


def test_nothing_is_refused_for_want_of_a_site_that_was_invited_just_now(world: World) -> None:
    (refused,) = world.network.jobs.submit(USER, [LARGE]).jobs
    assert refused.state is JobState.REFUSED
    world.network.jobs.submit(USER, [SMALL])
    invite(world)
    (job,) = world.network.jobs.submit(USER, [LARGE]).jobs
    assert job.state is JobState.QUEUED
