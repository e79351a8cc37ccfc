"""Agreements in memory: the reference for the Protocol, and what the simulation runs on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from suanwang.adapters.store.memory_ledger import MemoryLedger
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import BillLine, Event, Job
from suanwang.domain.quote import Taught
from suanwang.ports import PartyKey
from suanwang.trading.agreements import Agreement, AgreementState
from suanwang.trading.credits import ENDING_KINDS, JOB_KINDS, SITE_KINDS, Credit, Facts
from suanwang.trading.ledger import AccountId, Owner, account_id

T = TypeVar("T")
_OPEN = (AgreementState.DRAFT, AgreementState.OFFERED)


class MemoryAgreements(MemoryLedger):
    """Implements `ports.Agreements`; `MemoryStore` mixes it in."""

    _bills: list[BillLine]
    _events: list[Event]
    _jobs: dict[JobId, Job]
    _lessons: dict[JobId, Taught]

    def __init__(self) -> None:
        super().__init__()
        self._agreements: dict[tuple[str, int], Agreement] = {}
        self._credits: dict[str, Credit] = {}
        self._unpaid: dict[str, datetime] = {}
        self._party_keys: dict[AccountId, list[PartyKey]] = defaultdict(list)

    def add_party_key(self, key: PartyKey, events: Sequence[Event]) -> None:
        with self._lock:
            kept = self._party_keys[key.party]
            if not kept or kept[-1].key != key.key:
                kept.append(key)
                self.append_events(events)

    def party_keys(self, parties: Collection[AccountId]) -> Mapping[AccountId, PartyKey]:
        with self._lock:
            return {party: self._party_keys[party][-1] for party in parties if self._party_keys.get(party)}

    def change_agreements(
        self, changed: Sequence[Agreement], events: Sequence[Event], credit: Credit | None = None
    ) -> bool:
        with self._lock:
            trial = dict(self._agreements)
            for agreement in changed:
                name = (agreement.id, agreement.version)
                stored = trial.get(name)
                if agreement.revision != (0 if stored is None else stored.revision + 1):
                    return False
                trial[name] = agreement
            pairs = [(a.project, a.provider, a.state in _OPEN) for a in trial.values() if a.state in _GUARDED]
            if len(set(pairs)) != len(pairs) or (credit is not None and credit.key in self._credits):
                return False
            self._agreements = trial
            if credit is not None:
                self._credits[credit.key] = credit
                if credit.amount_fen:
                    self._unpaid[credit.key] = credit.to_at
            self.append_events(events)
            return True

    def agreement(self, agreement_id: str, version: int) -> Agreement | None:
        return self._agreements.get((agreement_id, version))

    def agreement_versions(self, agreement_id: str) -> Sequence[Agreement]:
        with self._lock:
            return sorted((a for a in self._agreements.values() if a.id == agreement_id), key=lambda a: a.version)

    def agreements_between(self, project: ProjectId, provider: str) -> Sequence[Agreement]:
        with self._lock:
            return [a for a in self._agreements.values() if (a.project, a.provider) == (project, provider)]

    def agreements(
        self, parties: Collection[AccountId] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Agreement], str | None]:
        with self._lock:
            every = list(self._agreements.values())
            return _page(every, lambda a: _concerns(a.project, a.provider, parties), cursor, limit)

    def agreements_due(self, month: int, limit: int) -> Sequence[Agreement]:
        with self._lock:
            found = [a for a in self._agreements.values() if a.due is not None and a.due <= month]
            return sorted(found, key=lambda a: a.due or 0)[:limit]

    def agreement_facts(self, agreement: Agreement, begin: datetime, end: datetime) -> Facts:
        with self._lock:
            before: dict[SiteId, Event] = {}
            within: list[Event] = []
            started = set()
            for event in self._events:
                if event.site_id in agreement.sites and event.kind in SITE_KINDS:
                    if event.at < begin:
                        before[event.site_id] = event
                    elif event.at < end:
                        within.append(event)
                if event.project == agreement.project and event.kind in ENDING_KINDS and begin <= event.at < end:
                    started.add(event.job_id)
            billed: dict[SiteId, int] = defaultdict(int)
            for line in self._bills:
                ours = (line.project, line.provider) == (agreement.project, agreement.provider)
                if ours and line.site_id in agreement.sites and begin <= line.from_at < end:
                    billed[line.site_id] += line.amount_fen
            return Facts(
                site_events=sorted((*before.values(), *within), key=lambda event: event.seq),
                job_events=[event for event in self._events if event.job_id in started and event.kind in JOB_KINDS],
                billed_fen=dict(billed),
            )

    def agreement_lessons(self, agreement: Agreement, begin: datetime, end: datetime) -> Sequence[Taught]:
        with self._lock:
            return [
                self._lessons[name]
                for name in sorted(self._lessons)
                if self._jobs[name].project == agreement.project
                and self._lessons[name].site in agreement.sites
                and begin <= self._lessons[name].at < end
            ]

    def service_credits(
        self, parties: Collection[AccountId] | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[tuple[Credit, bool]], str | None]:
        with self._lock:
            every = [(credit, credit.key in self._unpaid) for credit in self._credits.values()]
            return _page(every, lambda each: _concerns(each[0].project, each[0].provider, parties), cursor, limit)

    def unpaid_credits(self, now: datetime, limit: int) -> Sequence[Credit]:
        with self._lock:
            return [c for c in self._credits.values() if c.key in self._unpaid and self._unpaid[c.key] <= now][:limit]

    def credit_paid(self, key: str, retry_at: datetime | None) -> None:
        with self._lock:
            if retry_at is None:
                self._unpaid.pop(key, None)
            elif key in self._unpaid:
                self._unpaid[key] = retry_at


_GUARDED = (*_OPEN, AgreementState.SIGNED)


def _concerns(project: ProjectId, provider: str, parties: Collection[AccountId] | None) -> bool:
    named = (account_id(Owner.PROJECT, project), account_id(Owner.PROVIDER, provider))
    return parties is None or not set(named).isdisjoint(parties)


def _page(
    every: Sequence[T], wanted: Callable[[T], bool], cursor: str | None, limit: int
) -> tuple[list[T], str | None]:
    before = len(every) if cursor is None else int(cursor)
    found = [at for at in reversed(range(before)) if wanted(every[at])]
    return [every[at] for at in found[:limit]], str(found[limit - 1]) if len(found) > limit else None
