"""Runs seated on nodes after the fact: counted by hand, and against what the rows themselves say is free."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.twin.test_twin_network import SMALL

from suanwang.domain.errors import InvalidRequest
from suanwang.scheduling.columns import DEVICES, ENDED_DONE, RESOURCES, RowColumns, Segments
from suanwang.twin.experiment import plays
from suanwang.twin.experimentfile import parse_experiment
from suanwang.twin.networkfile import parse_network
from suanwang.twin.performing import perform
from suanwang.twin.seating import Seated, seat
from suanwang.twin.timeline import Steps

Run = tuple[int, int, float]
"""Start, end, devices."""


def seated(runs: list[Run], *, devices: float, node: int, steps: int = 10, step_ms: int = 10) -> Seated | None:
    start, end, asked = (np.array(column) for column in zip(*runs, strict=True))
    count = len(runs)
    need = np.zeros((count, RESOURCES))
    need[:, DEVICES] = asked
    nothing = np.zeros(count, np.int64)
    capacity = np.array([[64.0, 64.0, devices]])
    one, none = np.ones(1), np.zeros((1, 1))
    rows = RowColumns(
        nothing[:1],
        capacity,
        capacity,
        capacity,
        one,
        one,
        delay_ms=none,
        transfer_ms_per_gb=none,
        transfer_yuan_per_gb=none,
    )
    segments = Segments(np.arange(count), nothing, start, end, nothing + ENDED_DONE, nothing)
    return seat(segments, need, rows, [node], Steps(0, step_ms, steps))


def test_what_is_free_on_two_nodes_serves_no_run_of_a_whole_one() -> None:
    """Three of four on each node are taken by runs that stay; the fourths are free and no run of two can have them."""
    found = seated([(0, 100, 3), (0, 100, 3), (50, 60, 2)], devices=8, node=4, steps=4)
    assert found is not None
    # Of the kinds, three ask for 3 or 2 whole devices: all that is free is a fragment until the third run comes.
    assert found.fragmentation_share == 1
    assert found.unseated_starts_count == 1, "the row has two free devices, no node has"


def test_best_fit_keeps_a_node_whole() -> None:
    found = seated([(0, 100, 1), (1, 100, 3), (2, 100, 4)], devices=8, node=4, steps=9)
    assert found is not None
    assert found.unseated_starts_count == 0
    assert np.isnan(found.fragmentation_share), "nothing is free"


def test_a_run_wider_than_a_node_takes_whole_nodes_and_the_rest_on_one_more() -> None:
    full = seated([(0, 95, 2), (0, 95, 6)], devices=8, node=4, steps=9)
    assert full is not None
    assert full.unseated_starts_count == 0
    late = seated([(0, 95, 1), (0, 95, 4), (1, 95, 4), (2, 95, 6)], devices=16, node=4, steps=9)
    assert late is not None
    assert late.unseated_starts_count == 0, "four on the last node, two beside the one"
    split = seated([(0, 95, 3), (0, 95, 3), (2, 95, 5)], devices=12, node=4, steps=9)
    assert split is not None
    assert split.unseated_starts_count == 0
    short = seated([(0, 95, 3), (0, 95, 3), (2, 95, 6)], devices=12, node=4, steps=9)
    assert short is not None
    assert short.unseated_starts_count == 1, "six are free, four and one and one"


def test_parts_share_a_device_and_leave_others_whole() -> None:
    found = seated([(0, 95, 0.5), (0, 95, 0.5), (1, 95, 1)], devices=2, node=1, steps=9)
    assert found is not None
    assert found.unseated_starts_count == 0
    tight = seated([(0, 95, 0.6), (0, 95, 0.6), (1, 95, 0.8)], devices=2, node=2, steps=9)
    assert tight is not None
    assert tight.unseated_starts_count == 1
    assert tight.fragmentation_share == pytest.approx(1), "0.4 twice, and nobody asks for less than 0.6"


def test_an_end_gives_back_what_a_start_at_that_instant_needs() -> None:
    found = seated([(0, 50, 4), (50, 100, 4)], devices=4, node=4)
    assert found is not None
    assert found.unseated_starts_count == 0


def test_without_nodes_or_devices_there_is_no_such_measure() -> None:
    assert seated([(0, 50, 4)], devices=4, node=0) is None
    assert seated([(0, 50, 0)], devices=4, node=4) is None


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whole_devices_are_all_held_once_whatever_the_nodes(data: st.DataObject) -> None:
    """What is free by nodes is what is free by rows: runs are drawn so that the row always has room."""
    node, nodes = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    capacity = node * nodes
    runs: list[Run] = []
    for start in range(0, 60, 3):
        busy = sum(int(n) for begun, end, n in runs if begun <= start < end)
        if capacity > busy:
            length = data.draw(st.integers(1, 40))
            runs.append((start, start + length, float(data.draw(st.integers(1, capacity - busy)))))
    found = seated(runs, devices=capacity, node=node, steps=100, step_ms=1)
    again = seated(runs, devices=capacity, node=capacity, steps=100, step_ms=1)
    assert found is not None
    assert again is not None
    assert again.unseated_starts_count == 0, "one node that has everything has room wherever its row has"
    assert 0 <= found.unseated_starts_count <= len(runs)
    assert 0 <= found.fragmentation_share <= 1
    if node == 1:
        assert found == Seated(0.0, 0.0), "nodes of one device are never fragments to whole ones"


def test_a_file_says_nodes_that_divide_the_devices() -> None:
    said = SMALL.replace("devices: 4,", "devices: 4, node_devices: 2,")
    assert parse_network(said, filename="small.yaml").sites[0].pools[1].node_devices == 2
    with pytest.raises(InvalidRequest, match="whole nodes of 3") as caught:
        parse_network(said.replace("node_devices: 2", "node_devices: 3"), filename="small.yaml")
    assert caught.value.field == "sites[0].pools[1].node_devices"
    with pytest.raises(InvalidRequest):
        parse_network(SMALL.replace("cores: 10,", "cores: 10, node_devices: 8,"), filename="small.yaml")


@pytest.mark.parametrize(("generated", "said"), [("philly", True), ("federation-week", False)])
def test_a_play_says_it_where_jobs_ask_for_devices(generated: str, said: bool) -> None:
    trace = f"trace: {{generated: {generated}, hours: 6, share: 0.05}}"
    text = f"experiment: e\nstart: 2026-07-06\n{trace}\npolicies: [nearest]\nbaseline: nearest\nseeds: 1\n"
    experiment = parse_experiment(text, filename="e.yaml", folder=Path())
    one = next(one for one in plays(experiment) if one.policy == "nearest")
    row = perform(experiment, None, one).result.to_pylist()[0]
    assert (row["unseated_starts_count"] >= 0) == said
    assert (0 <= row["fragmentation_share"] <= 1) == said
