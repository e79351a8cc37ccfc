"""Two meters of one run: what the site's scheduler says of its time, and what the site's agent saw with its own clock.

Owns the tolerance, the rule, and how time is taken back: where the two differ by more than the tolerance the lower is billed,
and an event says so. Records are never changed: what was metered beyond the lower is taken back by records that name those
which had it. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from suanwang.control.billing.metering import added_usage, line_of
from suanwang.domain.connector import RunState
from suanwang.domain.exchange import RunReport
from suanwang.domain.job import Allocation, BillLine, Event, Job, Step, UsageRecord
from suanwang.electricity.pricing import flat
from suanwang.trading.rating import billed_fen, electricity_rate, rated_yuan, used_us

TOLERANCE_SHARE = 0.01
"""Of the scheduler's time; at least twice the time after which a silent site has lost its runs, so that an agent that was away
for less, as a run began and again as it ended, is never held to a difference."""
DIFFERS = "meter.differs"
Written = tuple[UsageRecord, BillLine]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Seconds of a run by both meters, which differ by more than the tolerance; `until`: what is billed ends there."""

    scheduler_s: float
    agent_s: float
    tolerance_s: float
    until: datetime


def compare(allocation: Allocation, ended: Allocation, report: RunReport, lost_after_s: float) -> Difference | None:
    """How far the meters of a run that ended are apart; None within the tolerance, or where only one of them knows.

    `allocation` is as it was before its end. The agent's time is from where it first saw the run to where it last did; an
    agent that started again and never saw it since does not know.
    """
    began, seen_from, seen_until = ended.started_at, ended.seen_from, report.seen_at
    if began is None or seen_from is None or seen_until is None or report.ended_at is None:
        return None
    if report.outcome is RunState.SITE_FAILED:
        return None
    seen_until = max(seen_until, allocation.metered_until or seen_until)
    scheduler_s = max(0.0, (report.ended_at - began).total_seconds())
    agent_s = max(0.0, (seen_until - seen_from).total_seconds())
    tolerance_s = max(2 * lost_after_s, TOLERANCE_SHARE * scheduler_s)
    if abs(scheduler_s - agent_s) <= tolerance_s:
        return None
    until = began + timedelta(seconds=min(scheduler_s, agent_s))
    return Difference(scheduler_s=scheduler_s, agent_s=agent_s, tolerance_s=tolerance_s, until=until)


def corrected(step: Step, found: Difference, written: Sequence[Written], now: datetime) -> Step:
    """The step of a run's end with what was metered beyond the lower meter taken back. `written` are the run's earlier
    records with their lines, oldest first."""
    job, allocation = step.job, step.allocation
    assert allocation is not None, "a run ended"
    usage, lines = list[UsageRecord](), list[BillLine]()
    for record, line in (*written, *zip(step.usage, step.bill_lines, strict=True)):
        if record.corrects is None and record.to_at > found.until:
            job, allocation, taken, back = _taken_back(job, allocation, record, line, max(record.from_at, found.until))
            usage.append(taken)
            lines.append(back)
    event = Event(
        kind=DIFFERS,
        at=now,
        project=job.project,
        job_id=job.id,
        site_id=allocation.site_id,
        data={
            "allocation": allocation.id,
            "scheduler_s": round(found.scheduler_s, 3),
            "agent_s": round(found.agent_s, 3),
            "tolerance_s": round(found.tolerance_s, 3),
            "corrections": [record.id for record in usage],
            "amount_fen": sum(line.amount_fen for line in lines),
        },
    )
    return replace(
        step,
        job=job,
        allocation=allocation,
        events=(*step.events, event),
        usage=(*step.usage, *usage),
        bill_lines=(*step.bill_lines, *lines),
    )


def _taken_back(
    job: Job, allocation: Allocation, of: UsageRecord, line: BillLine, since: datetime
) -> tuple[Job, Allocation, UsageRecord, BillLine]:
    """A record that takes back `of` from `since` on, rated as that was."""
    part = (of.to_at - since) / (of.to_at - of.from_at)
    record = replace(
        of,
        id=f"{allocation.id}:{allocation.records + 1}",
        from_at=since,
        energy_kwh=-of.energy_kwh * part,
        carbon_g=-of.carbon_g * part,
        corrects=of.id,
    )
    electricity = electricity_rate(allocation.price, allocation.power_kw, of.from_at)
    posted = flat(allocation.price, allocation.device_model, of.from_at, used_us(line))
    rated = rated_yuan(record, posted, allocation.started_at or of.from_at, electricity)
    allocation = replace(
        allocation,
        metered_until=min(allocation.metered_until or since, since),
        records=allocation.records + 1,
        usage=added_usage(allocation.usage, record, job, rated),
    )
    total = added_usage(job.usage, record, job, rated)
    billed = billed_fen(total.cost_yuan)
    made = line_of(record, line.provider, rated, billed - job.billed_fen, electricity, line.pricing, allocation.price)
    return replace(job, usage=total, billed_fen=billed), allocation, record, made
