"""A week of a federation on the national network, put together as the twin does it.

Owns the conditions that the chapters about it share. The log is the LHC Computing Grid's where `--data` has it, else the
week that the product generates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from suanwang.electricity.series import HOUR_MS
from suanwang.scheduling.columns import JobColumns, Outlook, RowColumns
from suanwang.scheduling.policies import policy
from suanwang.twin.accounting import Accounts, Supply, account
from suanwang.twin.engine import Played, Truth, play
from suanwang.twin.federation import federation
from suanwang.twin.measures import Measures, measure, per_job
from suanwang.twin.network import Bools, Feeds, Foresight, Network, feeds, outlook, rows
from suanwang.twin.networkfile import read_network
from suanwang.twin.timeline import draw
from suanwang.twin.trace import Trace
from suanwang.twin.traces import read_trace
from suanwang.twin.workload import Rules, workload

START_MS = int(datetime(2026, 7, 5, 16, tzinfo=UTC).timestamp() * 1000)
"""Midnight of 6 July 2026 in China."""
DAY_MS = 24 * HOUR_MS
BEHIND_HOURS = 7 * 24
LOG = "workloads/pwa-LCG-2005-1.swf.gz"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Week:
    """Everything the policies are given, and what is true."""

    jobs: JobColumns
    truth: Truth
    rows: RowColumns
    allowed: Bools
    outlook: Outlook
    feeds: Feeds

    @property
    def supplies(self) -> list[Supply]:
        given = self.feeds
        return [
            Supply(yuan_per_kwh=yuan, carbon_g_per_kwh=carbon, green_share=float(green), relative_pue=pue)
            for yuan, carbon, green, pue in zip(
                given.yuan, given.carbon_g, given.green_share, given.relative_pue, strict=True
            )
        ]

    def weighing(self, price: float, carbon: float, finish: float = 0.0) -> Week:
        """The same week, every job with these weights."""
        weight = np.tile([price, carbon, finish], (len(self.jobs.ready_ms), 1)).astype(np.float64)
        return replace(self, jobs=self.jobs._replace(weight=weight))

    def played(self, name: str) -> Played:
        return play(self.jobs, self.truth, self.rows, self.allowed, self.outlook, policy(name))

    def accounted(self, played: Played) -> tuple[Accounts, Measures, float]:
        """Accounts, measures, and the 95 % point of hours waited by jobs that may not wait."""
        accounts = account(played.segments, self.jobs, self.rows, self.supplies)
        until_ms = int(max(accounts.segments.end_ms.max(), self.jobs.ready_ms.max()))
        found = measure(accounts, draw(accounts, START_MS, until_ms), until_ms=until_ms)
        each = per_job(accounts)
        firm = each.ended & (self.jobs.wait_ms == 0)
        return accounts, found, float(np.quantile(each.waiting_ms[firm], 0.95)) / HOUR_MS


def log(data: Path | None, days: float = 7.0) -> Trace:
    """The federation's log where it is there, its first days; else generated ones."""
    path = data / LOG if data else None
    if path is None or not path.exists():
        return federation(seed=0, hours=round(days * 24))
    return read_trace(path, "swf").between(0, round(days * DAY_MS))


def week(trace: Trace, rules: Rules, foresight: Foresight, seed: int = 0, network: Network | None = None) -> Week:
    network = network or read_network("national")
    made = workload(trace, rules, network, start_ms=START_MS, seed=seed)
    jobs, count = made.jobs, len(made.run_ms)
    last_ms = int((jobs.ready_ms + jobs.wait_ms + jobs.limit_ms).max())
    hours = -(-(last_ms - START_MS) // HOUR_MS) + BEHIND_HOURS
    given = feeds(network, START_MS, hours)
    columns, allowed = rows(network, given.mean_pue, near_ms=rules.near_ms)
    nothing = np.zeros(count, np.int64)
    return Week(
        jobs=jobs,
        truth=Truth(run_ms=made.run_ms, checkpoint_ms=nothing, resume_ms=nothing),
        rows=columns,
        allowed=allowed,
        outlook=outlook(given, START_MS, hours, foresight, np.random.default_rng([seed, 1])),
        feeds=given,
    )
