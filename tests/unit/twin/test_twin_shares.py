"""Shares of projects over time, where one can reckon them by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tests.engine_worlds import HOUR_MS, plain_jobs, plain_rows
from tests.unit.twin.twin_columns import segments, supply

from suanwang.scheduling.columns import Sharing
from suanwang.twin.accounting import account
from suanwang.twin.measures import per_job
from suanwang.twin.shares import shares
from suanwang.twin.timeline import Steps

H = HOUR_MS


def sharing_of(project: list[int], weight: list[float]) -> Sharing:
    return Sharing(
        project=np.array(project, np.int64), weight=np.array(weight), most=np.full((len(weight), 3), np.inf),
        model=np.array([2], np.int64), half_life_ms=H, mean_every_ms=H, starved_after_ms=H,
    )  # fmt: skip


def test_the_dominant_share_and_what_it_is_weighed_against() -> None:
    """Ten cores, 100 GB and four devices. The first project has five cores for two hours; the second waits an hour, then has
    one core and three devices for half of one; the third never comes."""
    jobs = plain_jobs(
        np.array([0, 0], np.int64), np.array([2 * H, H // 2], np.int64), np.array([[5.0, 10, 0], [1.0, 10, 3]])
    )
    rows = plain_rows(np.array([[10.0, 100.0, 4.0]]))
    accounts = account(segments((0, 0, 0, 2 * H), (1, 0, H, 3 * H // 2)), jobs, rows, [supply([1.0] * 4, [1.0] * 4)])
    found = shares(accounts, per_job(accounts), sharing_of([0, 1], [1.0, 3.0, 1.0]), 3 * H, Steps(0, H, 3))
    assert found.held == pytest.approx(np.array([[0.5, 0.5, 0], [0, 0.375, 0], [0, 0, 0]]))
    # In the second hour the second project is there for half of it.
    assert found.entitled == pytest.approx(np.array([[0.25, 0.4, 0], [0.75, 0.6, 0], [0, 0, 0]]))
