"""The loop's part in agreements: months that are over are measured, and what is owed for missed levels is paid.

Owns the order and the bounds of it. A month is measured once, guarded by its agreement's revision, and paid by one transfer
that is named by agreement, version and month: whatever dies or happens twice, it is paid once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from suanwang.control.rules import Rules
from suanwang.domain.ids import JobId
from suanwang.domain.job import Event
from suanwang.measuring.workclass import WorkClass
from suanwang.ports import Store
from suanwang.trading.agreements import Agreement, Measure, credited, month_number, month_text
from suanwang.trading.credits import Credit, Facts, Promise, Work, credit_chain, credit_of
from suanwang.trading.ledger import Account, Owner, account_id
from suanwang.trading.settlement import opened

_AT_ONCE = 100
_JOBS = 1000
_HOUR_MS = 3_600_000


def credit_due(store: Store, rules: Rules, now: datetime) -> int:
    """Measure the months that are over, pay what is owed; returns how many credits were paid. Nothing due costs two
    look-ups."""
    over = month_number(now - timedelta(seconds=rules.credit_grace_s)) - 1
    for agreement in store.agreements_due(over, _AT_ONCE):
        _measure(store, agreement, now)
    return sum(_pay(store, rules, credit, now) for credit in store.unpaid_credits(now, _AT_ONCE))


def facts_of(store: Store, agreement: Agreement, begin: datetime, end: datetime) -> Facts:
    """What was written down of a period, with what was promised to the jobs of it."""
    facts = store.agreement_facts(agreement, begin, end)
    if any(level.measure is Measure.THROUGHPUT for level in agreement.levels):
        facts = replace(facts, works=works_of(store, agreement, begin, end))
    if all(level.measure is not Measure.PROMISED for level in agreement.levels):
        return facts
    names = sorted({event.job_id for event in facts.job_events if event.job_id is not None})
    promises: dict[JobId, Promise] = {}
    for at in range(0, len(names), _JOBS):
        for job in store.jobs_by_id(names[at : at + _JOBS]).values():
            terms, sites = job.terms, job.task.constraints.sites
            if terms is not None and terms.reservation and terms.not_before is not None and sites:
                promises[job.id] = Promise(site=sites[0], not_before=terms.not_before)
    return replace(facts, promises=promises)


def works_of(store: Store, agreement: Agreement, begin: datetime, end: datetime) -> Sequence[Work]:
    """The agreement's quoted runs on accelerators that ended within a period, weighed by the units of their cards. Runs that
    were interrupted tell nothing about speed, and of processors there is no unit."""
    # Imported here: most months have no such level, and the catalogue is read for it.
    from suanwang import catalog
    from suanwang.measuring.profile import profile_of
    from suanwang.measuring.units import unit_of

    lessons = [each for each in store.agreement_lessons(agreement, begin, end) if not each.interrupted]
    jobs = store.jobs_by_id([each.job_id for each in lessons])
    known = catalog.accelerators()
    found: list[Work] = []
    for lesson in lessons:
        said, need = lesson.prediction, jobs[lesson.job_id].task
        devices = need.resources.devices
        if devices is None or said.device not in known:
            continue
        unit = unit_of(profile_of(known[said.device]), WorkClass(said.work_class))
        weight = 0 if unit is None else round(1000 * unit.mid * devices.count * need.nodes)
        if weight:
            found.append(
                Work(
                    job=lesson.job_id,
                    site=lesson.site,
                    ended_at=lesson.at,
                    weight=weight,
                    quoted_ms=max(1, round(said.hours.mid * _HOUR_MS)),
                    measured_ms=max(1, round(lesson.measured_hours * _HOUR_MS)),
                )
            )
    return found


def _measure(store: Store, agreement: Agreement, now: datetime) -> None:
    month = agreement.due
    period = None if month is None else agreement.period(month)
    if month is None or period is None:
        return
    credit = credit_of(agreement, month, facts_of(store, agreement, *period))
    event = Event(
        kind="agreement.measured",
        at=now,
        project=agreement.project,
        data={
            "agreement": agreement.id,
            "version": agreement.version,
            "month": month_text(month),
            "amount_fen": 0 if credit is None else credit.amount_fen,
        },
    )
    # Refused where another replica measured it first.
    store.change_agreements([credited(agreement)], [event], credit)


def _pay(store: Store, rules: Rules, credit: Credit, now: datetime) -> bool:
    chain = credit_chain(credit)
    project = Account(
        id=account_id(Owner.PROJECT, credit.project),
        owner=Owner.PROJECT,
        name=credit.project,
        floor_fen=-rules.project_credit_fen,
    )
    store.open_accounts([project, opened(chain[0].debit)])
    event = Event(
        kind="agreement.credited",
        at=now,
        project=credit.project,
        data={"credit": credit.key, "amount_fen": credit.amount_fen, "transfer": chain[0].id},
    )
    done = store.post([chain], now, [event])[0].done
    store.credit_paid(credit.key, None if done else now + timedelta(seconds=rules.credit_retry_s))
    return done
