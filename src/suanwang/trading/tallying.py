"""Tallies: what a project's use of one site in one month was rated at so far, by which its lines are rounded.

Owns the rule. A line gets what the tally's rounded total grows by, and its parts what the split of that total grows by. So
a month's work is billed and shared as one total, to the fen, however it is cut into jobs and lines; a line of a job may be
a fen more or less than it would be alone. Each line says what its tally came to before it: amount and parts follow
from the line itself. Pure; a store keeps the totals and lets one writer at a time go on from each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import BillLine, Event, Step
from suanwang.trading.budgets import month_name
from suanwang.trading.rating import billed_fen

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Tally:
    """What is rounded together: it is paid by one, and shared by the same."""

    project: ProjectId
    site: SiteId
    month: str
    """Of the record's beginning, UTC+8, as for invoices."""
    owners: str
    """Who shared what the run earned, as its lease was granted."""


def tally_of(line: BillLine, owners: Mapping[str, str]) -> Tally:
    return tally(line.project, line.site_id, line.from_at, owners)


def tally(project: ProjectId, site: SiteId, at: datetime, owners: Mapping[str, str]) -> Tally:
    shares = ",".join(f"{name}={share}" for name, share in sorted(owners.items()))
    return Tally(project=project, site=site, month=month_name(at), owners=shares)


def grown_fen(before_yuan: Decimal, rated_yuan: Decimal) -> int:
    """What a line comes to whose tally was rated at `before_yuan` until then."""
    return billed_fen(before_yuan + rated_yuan) - billed_fen(before_yuan)


def shared_fen(line: BillLine, job_fen: int) -> int:
    """From where the parts of a line count: what its tally had been billed before it. `job_fen`: what its job had been, from
    which parts counted before there were tallies."""
    return job_fen if line.tally_yuan is None else billed_fen(line.tally_yuan)


def wanted(steps: Iterable[Step]) -> Sequence[Tally]:
    """The tallies of the steps' lines, in the order in which they are to be locked."""
    return sorted({tally_of(line, _owners(step)) for step in steps for line in step.bill_lines})


def tallied(step: Step, totals: dict[Tally, Decimal]) -> Step:
    """The step with its lines rounded by their tallies; `totals` in yuan, which grow by them."""
    if not step.bill_lines:
        return step
    lines: list[BillLine] = []
    for line in step.bill_lines:
        key = tally_of(line, _owners(step))
        before = totals.get(key, ZERO)
        totals[key] = before + line.rated_yuan
        lines.append(replace(line, amount_fen=grown_fen(before, line.rated_yuan), tally_yuan=before))
    together = sum(line.amount_fen for line in lines)
    alone = sum(line.amount_fen for line in step.bill_lines)
    amounts = {line.usage_id: line.amount_fen for line in lines}
    return replace(
        step,
        job=replace(step.job, billed_fen=step.job.billed_fen - alone + together),
        bill_lines=tuple(lines),
        events=tuple(_told(event, amounts) for event in step.events),
    )


def reckoned(lines: Iterable[tuple[BillLine, Mapping[str, str]]]) -> list[BillLine]:
    """Lines of whole tallies, in the order they were written in, with their owners: rounded anew, from nothing else."""
    totals: dict[Tally, Decimal] = defaultdict(Decimal)
    made: list[BillLine] = []
    for line, owners in lines:
        key = tally_of(line, owners)
        before = totals[key]
        totals[key] = before + line.rated_yuan
        made.append(replace(line, amount_fen=grown_fen(before, line.rated_yuan), tally_yuan=before))
    return made


def _told(event: Event, amounts: Mapping[str, int]) -> Event:
    """Of corrections that the event tells of, what they come to."""
    match event.data:
        case {"corrections": [*names]}:
            return replace(event, data={**event.data, "amount_fen": sum(amounts[str(name)] for name in names)})
        case _:
            return event


def _owners(step: Step) -> Mapping[str, str]:
    assert step.allocation is not None, "what is billed ran under a lease"
    return step.allocation.owners
