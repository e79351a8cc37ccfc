"""Disputes in memory: the reference for the Protocol, and what the simulation runs on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from suanwang.adapters.store.memory_ledger import MemoryLedger
from suanwang.domain.errors import Conflict
from suanwang.domain.job import Event
from suanwang.trading.disputes import Dispute, credit_name
from suanwang.trading.ledger import AccountId, Chain, Outcome


class MemoryDisputes(MemoryLedger):
    """Implements `ports.Disputes`; `MemoryStore` mixes it in."""

    def __init__(self) -> None:
        super().__init__()
        self._disputes: dict[str, Dispute] = {}

    def change_dispute(
        self, dispute: Dispute, leaf: str, chain: Chain, now: datetime, events: Sequence[Event]
    ) -> Outcome | None:
        with self._lock:
            stored = self._disputes.get(dispute.usage_id)
            if dispute.revision != (0 if stored is None else stored.revision + 1):
                raise Conflict("somebody else said something about this line just now: read it again", field="usage")
            job = self._jobs.get(dispute.job_id)
            if job is not None:
                self._persons[credit_name(dispute.usage_id)] = job.owner
            outcome = self._post(chain, now) if chain else None
            if outcome is not None and not outcome.done:
                return outcome
            self._wake({transfer.credit for transfer in chain})
            number = self._append(leaf)
            steps = (*dispute.steps[:-1], replace(dispute.steps[-1], leaf=number))
            self._disputes[dispute.usage_id] = replace(dispute, steps=steps)
            self.append_events(events)
            return outcome

    def dispute(self, usage_id: str) -> Dispute | None:
        return self._disputes.get(usage_id)

    def dispute_credits(
        self, parties: Collection[AccountId] | None, from_at: datetime, to_at: datetime
    ) -> Sequence[Dispute]:
        with self._lock:
            found = [
                (each.decision.at, each.usage_id, each)
                for each in self._disputes.values()
                if each.decision is not None and each.credit_fen and from_at <= each.decision.at < to_at
            ]
            return [
                each
                for _, _, each in sorted(found, key=lambda row: row[:2])
                if parties is None or each.concerns(parties)
            ]

    def disputes(
        self, parties: Collection[AccountId] | None, undecided: bool, cursor: str | None, limit: int
    ) -> tuple[Sequence[Dispute], str | None]:
        with self._lock:
            every = list(self._disputes.values())
            found = [
                at
                for at in reversed(range(len(every) if cursor is None else int(cursor)))
                if (parties is None or every[at].concerns(parties)) and (not undecided or every[at].decision is None)
            ]
            return [every[at] for at in found[:limit]], str(found[limit - 1]) if len(found) > limit else None
