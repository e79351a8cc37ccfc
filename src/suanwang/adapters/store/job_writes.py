# ruff: noqa: S608 - statements are put together from column lists of this package; every value is a parameter
"""Changes of jobs and allocations, guarded by revision.

Owns `add_jobs`, `apply` and `renew`: a few statements over all steps of a call, whatever their number. Rows are touched in
the order of their identifiers, so that two callers wait for each other in turn; where PostgreSQL still finds a deadlock
the transaction runs again. Knows nothing of why a job moves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from psycopg import errors as pg

from suanwang.adapters.store.budgets import borne
from suanwang.adapters.store.codec import clean, dump_free
from suanwang.adapters.store.database import Connection, Database
from suanwang.adapters.store.job_reads import fold_counts
from suanwang.adapters.store.ledger import decide, write_transfers
from suanwang.adapters.store.record import copy_rows, insert_events
from suanwang.adapters.store.rows import (
    ALLOCATION_COLUMNS,
    BILL_COLUMNS,
    JOB_CHANGING,
    JOB_COLUMNS,
    TERMS_COLUMNS,
    USAGE_COLUMNS,
    allocation_row,
    bill_row,
    job_changing,
    job_row,
    listed,
    terms_row,
    usage_row,
)
from suanwang.adapters.store.tallies import tally_steps
from suanwang.adapters.store.tree import append_leaves
from suanwang.adapters.store.vouchers import bind, paid_with_others
from suanwang.domain.errors import Conflict
from suanwang.domain.ids import AllocationId, JobId
from suanwang.domain.job import Allocation, AllocationState, Event, Job, Step
from suanwang.ports import Idempotency
from suanwang.trading.budgets import Draw
from suanwang.trading.holding import pledge_chain
from suanwang.trading.leaves import transfer_leaf
from suanwang.trading.ledger import Chain

_FOLD_EVERY = 1024
"""Writes of this process between two foldings of the counters, in case nobody reads them."""

_INSERT_JOBS = f"COPY jobs ({listed(JOB_COLUMNS)}) FROM STDIN"
_INSERT_TERMS = f"COPY allocation_terms ({listed(TERMS_COLUMNS)}) FROM STDIN"
_INSERT_USAGE = f"COPY usage_records ({listed(USAGE_COLUMNS)}) FROM STDIN"
_INSERT_BILLS = f"COPY bill_lines ({listed(BILL_COLUMNS)}) FROM STDIN"
_INSERT_NOTICES = "COPY outbox (payload) FROM STDIN"

_BILLED = 1 + list(JOB_CHANGING).index("billed_fen")
"""Where a step's job values have what it was billed."""

# Arrays go in binary (%b): as text every quote in a JSON would be escaped, ten times as slow.
_UPDATE_JOBS = (
    f"UPDATE jobs AS j SET {', '.join(f'{column} = u.{column}' for column in JOB_CHANGING)} FROM unnest("
    f"%b::text[], {', '.join(f'%b::{kind}[]' for kind in JOB_CHANGING.values())}) "
    f"AS u(id, {', '.join(JOB_CHANGING)}) WHERE j.id = u.id AND j.revision = u.revision - 1 RETURNING j.id"
)

_PUT_ALLOCATIONS = (
    f"INSERT INTO allocations AS a ({listed(ALLOCATION_COLUMNS)}) SELECT * FROM unnest("
    f"{', '.join(f'%b::{kind}[]' for kind in ALLOCATION_COLUMNS.values())}) ON CONFLICT (id) DO UPDATE SET "
    "state = excluded.state, progress = excluded.progress, ends_at = excluded.ends_at, "
    "lease_until = greatest(a.lease_until, excluded.lease_until) "
    "RETURNING a.id, a.xmax = 0"
)


class JobWrites:
    """The Protocol's writing half of the jobs section."""

    _database: Database
    _writes: int = 0

    def add_jobs(
        self, jobs: Sequence[Job], events: Sequence[Event], idempotency: Idempotency | None = None
    ) -> tuple[tuple[JobId, ...], bool]:
        identifiers = tuple(job.id for job in jobs)
        rows = [job_row(job) for job in jobs]

        def work(connection: Connection) -> tuple[tuple[JobId, ...], bool]:
            if idempotency is not None:
                known = _claim(connection, idempotency, identifiers)
                if known is not None:
                    return known, True
            copy_rows(connection, _INSERT_JOBS, rows)
            insert_events(connection, events)
            return identifiers, False

        tag = f"job {identifiers[0]}" if identifiers else "no jobs"
        try:
            answer = self._database.write(work, tag=tag)
        except pg.UniqueViolation as error:
            raise Conflict(f"a job of that identifier exists: {error.diag.message_detail}; mint another") from error
        self._count_write()
        return answer

    def jobs_of_key(self, idempotency: Idempotency) -> tuple[JobId, ...] | None:
        with self._database.reading() as connection:
            return _claimed(connection, idempotency)

    def apply(self, steps: Sequence[Step]) -> frozenset[JobId]:
        if len({step.job.id for step in steps}) != len(steps):
            raise ValueError("two steps of one job in one call")
        if not steps:
            return frozenset()
        ordered = [_prepared(step) for step in sorted(steps, key=lambda step: step.job.id)]
        tag = f"steps of job {ordered[0].step.job.id} and {len(ordered) - 1} more"
        pledges = tuple(_pledge(step) for step in steps if step.pledge is not None)
        try:
            refused = self._database.write(lambda connection: _apply(connection, ordered, pledges), tag=tag)
        except pg.IntegrityError:
            # Some step breaks a key, such as a usage record written before: find which, and let the others through.
            refused = self._database.write(lambda connection: _apply_apart(connection, ordered, pledges), tag=tag)
        self._count_write()
        return refused

    def renew(self, allocation_ids: Sequence[AllocationId], lease_until: datetime) -> frozenset[AllocationId]:
        if not allocation_ids:
            return frozenset()

        def work(connection: Connection) -> frozenset[AllocationId]:
            rows = connection.execute(
                "UPDATE allocations AS a SET lease_until = greatest(a.lease_until, %s) FROM ("
                "SELECT id FROM allocations WHERE id = ANY(%s) AND state IN ('leased', 'running') "
                "ORDER BY id FOR UPDATE) AS live WHERE a.id = live.id RETURNING a.id",
                (lease_until, sorted(set(allocation_ids))),
            ).fetchall()
            return frozenset(AllocationId(row[0]) for row in rows)

        return self._database.write(work)

    def _count_write(self) -> None:
        self._writes += 1
        if self._writes % _FOLD_EVERY == 0:
            self._database.write(fold_counts)


def _claim(connection: Connection, idempotency: Idempotency, job_ids: Sequence[JobId]) -> tuple[JobId, ...] | None:
    """Take the key for these jobs, or return the jobs it stands for. Raises `Conflict` where it is another request's."""
    key = (clean(idempotency.principal), clean(idempotency.key))
    taken = connection.execute(
        "INSERT INTO idempotency (principal, key, digest, job_ids) VALUES (%s, %s, %s, %s) "
        "ON CONFLICT DO NOTHING RETURNING true",
        (*key, idempotency.digest, list(job_ids)),
    ).fetchone()
    if taken is not None:
        return None
    known = _claimed(connection, idempotency)
    assert known is not None, "keys are never deleted while a request is under way"
    return known


def _claimed(connection: Connection, idempotency: Idempotency) -> tuple[JobId, ...] | None:
    """The jobs that the key stands for, None where it is new. Raises `Conflict` where it is another request's."""
    row = connection.execute(
        "SELECT digest, job_ids FROM idempotency WHERE principal = %s AND key = %s",
        (clean(idempotency.principal), clean(idempotency.key)),
    ).fetchone()
    if row is None:
        return None
    if row[0] != idempotency.digest:
        raise Conflict("this Idempotency-Key was used for another request: send a new key", field="Idempotency-Key")
    return tuple(JobId(job_id) for job_id in row[1])


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A step with the values of its rows, made before the transaction so that no lock waits for it."""

    step: Step
    job_values: Sequence[Any]
    allocation_values: Sequence[Any] | None
    terms_values: Sequence[Any] | None
    """Of what is most likely new."""


def _prepared(step: Step) -> _Prepared:
    allocation = step.allocation
    return _Prepared(
        step=step,
        job_values=(step.job.id, *job_changing(step.job)),
        allocation_values=None if allocation is None else allocation_row(allocation, step.job.task),
        terms_values=None
        if allocation is None or allocation.state is not AllocationState.LEASED
        else terms_row(allocation),
    )


Pledges: TypeAlias = Sequence[tuple[JobId, Chain]]


def _pledge(step: Step) -> tuple[JobId, Chain]:
    assert step.pledge is not None, "asked of those alone"
    assert step.allocation is not None, "a new lease alone holds money"
    return step.job.id, pledge_chain(step.job.project, step.allocation.id, step.pledge)


def _apply(
    connection: Connection, steps: Sequence[_Prepared], pledges: Pledges, *, telling: bool = True
) -> frozenset[JobId]:
    """Apply those steps whose guards hold, in the caller's transaction; returns the refused. They come in job order, what
    new leases hold in the order of the plan.

    Without `telling`, events are left to the caller.
    """
    able = _borne(connection, steps, pledges)
    steps, whole = [each for each in steps if each.step.pledge is None or each.step.job.id in able], steps
    fencing = [each.step.allocation for each in steps if _fences(each.step) and each.step.allocation is not None]
    stale = _lock_fences(connection, steps, fencing) if fencing else frozenset()
    tried = _tallied(connection, [each for each in steps if each.step.job.id not in stale])
    applied = _update_jobs(connection, tried) if tried else frozenset()
    done = [each for each in tried if each.step.job.id in applied]
    _put_allocations(connection, done)
    _hold(connection, [able[each.step.job.id] for each in done if each.step.job.id in able], done)
    _close(connection, done)
    if usage := [usage_row(record) for each in done for record in each.step.usage]:
        copy_rows(connection, _INSERT_USAGE, usage)
    if bills := [bill_row(line) for each in done for line in each.step.bill_lines]:
        copy_rows(connection, _INSERT_BILLS, bills)
    if notices := [(dump_free(payload),) for each in done for payload in each.step.notices]:
        copy_rows(connection, _INSERT_NOTICES, notices)
    if telling:
        insert_events(connection, [event for each in done for event in each.step.events])
    return frozenset(each.step.job.id for each in whole if each.step.job.id not in applied)


def _tallied(connection: Connection, steps: Sequence[_Prepared]) -> Sequence[_Prepared]:
    """With the lines of those whose guards hold rounded by their tallies. These are locked after every job."""
    if not any(each.step.bill_lines for each in steps):
        return steps
    rows = connection.execute(
        "SELECT id, revision FROM jobs WHERE id = ANY(%s) ORDER BY id FOR UPDATE",
        ([each.step.job.id for each in steps],),
    ).fetchall()
    stored = {row[0]: row[1] for row in rows}
    fresh = [each for each in steps if stored.get(each.step.job.id) == each.step.job.revision - 1]
    made = {
        step.job.id: step for step in tally_steps(connection, [each.step for each in fresh if each.step.bill_lines])
    }
    return [
        each
        if (step := made.get(each.step.job.id)) is None
        else _Prepared(
            step=step,
            job_values=[*each.job_values[:_BILLED], step.job.billed_fen, *each.job_values[_BILLED + 1 :]],
            allocation_values=each.allocation_values,
            terms_values=each.terms_values,
        )
        for each in steps
    ]


def _borne(connection: Connection, steps: Sequence[_Prepared], pledges: Pledges) -> Mapping[JobId, Chain]:
    """What new leases hold, of the jobs whose budgets, projects and vouchers can bear it; these are locked, budgets first."""
    mine = {each.step.job.id for each in steps} if pledges else frozenset()
    asked = [(job_id, legs) for job_id, legs in pledges if job_id in mine]
    if not asked:
        return {}
    at = next(each.step.allocation.granted_at for each in steps if each.step.pledge and each.step.allocation)
    by = {each.step.job.id: each.step for each in steps}
    draws = [
        Draw(project=by[job_id].job.project, person=by[job_id].job.owner, amount_fen=pledge.amount_fen)
        for job_id, _ in asked
        if (pledge := by[job_id].pledge) is not None
    ]
    asked = [pair for pair, passed in zip(asked, borne(connection, draws, at), strict=True) if not passed]
    vouchers = {job_id: pledge.voucher for job_id, _ in asked if (pledge := by[job_id].pledge) and pledge.voucher}
    elsewhere = paid_with_others(connection, vouchers)
    asked = [(job_id, legs) for job_id, legs in asked if job_id not in elsewhere]
    outcomes = decide(connection, [legs for _, legs in asked], at).outcomes
    return {job_id: legs for (job_id, legs), outcome in zip(asked, outcomes, strict=True) if outcome.done}


def _hold(connection: Connection, holds: Sequence[Chain], done: Sequence[_Prepared]) -> None:
    """Write what new leases hold, and the vouchers that their jobs' bills are paid with from now on."""
    if holds:
        at = next(each.step.allocation.granted_at for each in done if each.step.pledge and each.step.allocation)
        legs = [leg for chain in holds for leg in chain]
        first = append_leaves(connection, [transfer_leaf(leg, at) for leg in legs])
        write_transfers(connection, list(zip(legs, range(first, first + len(legs)), strict=True)), at)
        bind(
            connection,
            {
                each.step.job.id: each.step.pledge.voucher
                for each in done
                if each.step.pledge and each.step.pledge.voucher
            },
            at,
        )


def _close(connection: Connection, done: Sequence[_Prepared]) -> None:
    """Note the leases that ended, so that what they hold is released."""
    over = sorted(
        each.step.allocation.id
        for each in done
        if each.step.allocation is not None
        and each.step.allocation.state in (AllocationState.ENDED, AllocationState.FENCED)
    )
    if over:
        connection.execute(
            "INSERT INTO closing_leases (allocation_id) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING", (over,)
        )


def _apply_apart(connection: Connection, steps: Sequence[_Prepared], pledges: Pledges) -> frozenset[JobId]:
    """Like `_apply`, but a step that breaks a key is refused alone: halves the steps until it stands by itself.

    Events follow at the end, since a transaction numbers them once.
    """
    refused: set[JobId] = set()
    pending = [list(steps)]
    while pending:
        part = pending.pop()
        connection.execute("SAVEPOINT part")
        try:
            refused |= _apply(connection, part, pledges, telling=False)
            connection.execute("RELEASE SAVEPOINT part")
        except pg.IntegrityError:
            connection.execute("ROLLBACK TO SAVEPOINT part")
            if len(part) == 1:
                refused.add(part[0].step.job.id)
            else:
                middle = len(part) // 2
                pending += [part[middle:], part[:middle]]
    insert_events(
        connection, [event for each in steps if each.step.job.id not in refused for event in each.step.events]
    )
    return frozenset(refused)


def _fences(step: Step) -> bool:
    return step.allocation is not None and step.allocation.state is AllocationState.FENCED


def _lock_fences(connection: Connection, steps: Sequence[_Prepared], fencing: Sequence[Allocation]) -> frozenset[JobId]:
    """Lock every job, then the allocations to be fenced; returns jobs whose lease was renewed (or is not there)."""
    connection.execute(
        "SELECT 1 FROM jobs WHERE id = ANY(%s) ORDER BY id FOR UPDATE", ([each.step.job.id for each in steps],)
    )
    rows = connection.execute(
        "SELECT id, lease_until FROM allocations WHERE id = ANY(%s) ORDER BY id FOR UPDATE",
        ([allocation.id for allocation in fencing],),
    ).fetchall()
    stored = {row[0]: row[1] for row in rows}
    return frozenset(allocation.job_id for allocation in fencing if stored.get(allocation.id) != allocation.lease_until)


def _update_jobs(connection: Connection, steps: Sequence[_Prepared]) -> frozenset[JobId]:
    values = [list(column) for column in zip(*(each.job_values for each in steps), strict=True)]
    return frozenset(JobId(row[0]) for row in connection.execute(_UPDATE_JOBS, values))


def _put_allocations(connection: Connection, steps: Sequence[_Prepared]) -> None:
    """Insert or change the steps' allocations; the terms of new ones are written once."""
    rows = [each.allocation_values for each in steps if each.allocation_values is not None]
    if not rows:
        return
    rows.sort(key=lambda row: str(row[0]))
    put = connection.execute(_PUT_ALLOCATIONS, [list(column) for column in zip(*rows, strict=True)]).fetchall()
    fresh = {allocation_id for allocation_id, is_fresh in put if is_fresh}
    terms = [
        each.terms_values or terms_row(each.step.allocation)
        for each in steps
        if each.step.allocation is not None and each.step.allocation.id in fresh
    ]
    if terms:
        copy_rows(connection, _INSERT_TERMS, terms)
