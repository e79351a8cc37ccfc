"""Listings in memory: the reference for the Protocol, and what the simulation runs on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from suanwang.adapters.store.memory_ledger import MemoryLedger
from suanwang.domain.errors import Conflict
from suanwang.domain.file import FileRecord
from suanwang.domain.ids import AllocationId, ProjectId
from suanwang.domain.job import Allocation, AllocationState, Event
from suanwang.ports import ListingQuery, Traces
from suanwang.trading.budgets import Draw, taken_fen
from suanwang.trading.ledger import AccountId, Chain, Outcome
from suanwang.trading.listings import Copy, Listing, Use, UseState

T = TypeVar("T")


class MemoryListings(MemoryLedger):
    """Implements `ports.Listings`; `MemoryStore` mixes it in."""

    def __init__(self) -> None:
        super().__init__()
        self._listings: dict[tuple[str, str], Listing] = {}
        self._copies: dict[str, Copy] = {}
        self._uses: dict[tuple[AllocationId, str, str], Use] = {}

    @abstractmethod
    def add_file(self, record: FileRecord) -> FileRecord: ...

    def add_listing(self, listing: Listing, events: Sequence[Event]) -> Listing:
        with self._lock:
            known = self._listings.get((listing.id, listing.version))
            if known is None and any(
                each.seller != listing.seller for each in self._listings.values() if each.id == listing.id
            ):
                raise Conflict("there is another seller's listing of this name", field="id", allowed="a new name")
            if known is not None:
                if not listing.same_as(known):
                    raise Conflict(
                        "this version says something else, and versions do not change",
                        field="version",
                        allowed="a new one",
                    )
                return known
            self._listings[listing.id, listing.version] = listing
            self.append_events(events)
            return listing

    def listing(self, listing_id: str, version: str | None = None) -> Listing | None:
        with self._lock:
            if version is not None:
                return self._listings.get((listing_id, version))
            found = [each for each in self._listings.values() if each.id == listing_id]
            on_sale = [each for each in found if each.withdrawn_at is None]
            newest = on_sale or found
            return newest[-1] if newest else None

    def listings(self, query: ListingQuery, cursor: str | None, limit: int) -> tuple[Sequence[Listing], str | None]:
        return self._newest_first(self._listings.values(), lambda each: _matches(each, query), cursor, limit)

    def sold_dataset(self, name: str) -> Listing | None:
        with self._lock:
            sold = (e for e in self._listings.values() if e.dataset and e.dataset == name and e.withdrawn_at is None)
            return next(sold, None)

    def sold_content(self, sha256: str) -> Listing | None:
        with self._lock:
            return next((each for each in self._listings.values() if sha256 and each.sha256 == sha256), None)

    def withdraw_listing(self, listing_id: str, version: str | None, at: datetime, events: Sequence[Event]) -> int:
        with self._lock:
            found = [
                key
                for key, each in self._listings.items()
                if each.id == listing_id and version in (None, each.version) and each.withdrawn_at is None
            ]
            for key in found:
                self._listings[key] = replace(self._listings[key], withdrawn_at=at)
            if found:
                self.append_events(events)
            return len(found)

    def sell_copy(
        self, copy: Copy, chain: Chain, record: FileRecord, now: datetime, events: Sequence[Event]
    ) -> Outcome | None:
        with self._lock:
            known = self._copies.get(copy.id)
            if known is not None:
                if not copy.same_as(known):
                    raise Conflict("this identifier was used for another copy: send a new one", field="id")
                return None
            if self.copy_of(copy.project, copy.listing, copy.version) is not None:
                raise Conflict(f"{copy.project} has its copy of {copy.listing}@{copy.version}", field="project")
            stored = self._listings[copy.listing, copy.version]
            if stored.withdrawn_at is not None:
                raise Conflict(f"{stored.name} was withdrawn", field="version", allowed="a version on sale")
            self._persons[f"copy/{copy.id}"] = copy.buyer
            outcome = self._drawn(chain, copy.project, copy.buyer, now)
            if outcome is not None and not outcome.done:
                return outcome
            self._wake({transfer.credit for transfer in chain})
            self._copies[copy.id] = copy
            self.add_file(record)
            self.append_events(events)
            return outcome

    def _drawn(self, chain: Chain, project: ProjectId, person: str, now: datetime) -> Outcome | None:
        if not chain:
            return None
        draw = Draw(project=project, person=person, amount_fen=taken_fen(chain, project))
        purse = self._passed(draw, now)
        return self._book.unborne(chain, purse) if purse else self._post(chain, now)

    def copy(self, copy_id: str) -> Copy | None:
        return self._copies.get(copy_id)

    def copy_of(self, project: ProjectId, listing_id: str, version: str) -> Copy | None:
        with self._lock:
            wanted = (project, listing_id, version)
            found = (each for each in self._copies.values() if (each.project, each.listing, each.version) == wanted)
            return next(found, None)

    def copies(self, traces: Traces, cursor: str | None, limit: int) -> tuple[Sequence[Copy], str | None]:
        return self._newest_first(self._copies.values(), lambda each: _traced(each, traces), cursor, limit)

    def hold_uses(self, uses: Sequence[Use], chain: Chain, now: datetime) -> Outcome | None:
        with self._lock:
            if any(key[0] == uses[0].allocation for key in self._uses):
                return None
            self._persons[f"use/{uses[0].allocation}"] = uses[0].owner
            outcome = self._drawn(chain, uses[0].project, uses[0].owner, now)
            if outcome is None or outcome.done:
                self._uses.update({(use.allocation, use.listing, use.version): use for use in uses})
            return outcome

    def held_uses(self, limit: int) -> Sequence[tuple[Use, Allocation]]:
        with self._lock:
            held = [use for use in self._uses.values() if use.state is UseState.HELD]
            found = [(use, self._allocations[use.allocation]) for use in held]
            return [pair for pair in found if pair[1].state is not AllocationState.LEASED][:limit]

    def end_uses(
        self, uses: Sequence[Use], state: UseState, chain: Chain, now: datetime, events: Sequence[Event]
    ) -> bool:
        with self._lock:
            keys = [(use.allocation, use.listing, use.version) for use in uses]
            if any(self._uses[key].state is not UseState.HELD for key in keys):
                return False
            if chain and not self._post(chain, now).done:
                return False
            self._wake({transfer.credit for transfer in chain})
            for key in keys:
                self._uses[key] = replace(self._uses[key], state=state, at=now)
            self.append_events(events)
            return True

    def uses(self, traces: Traces, cursor: str | None, limit: int) -> tuple[Sequence[Use], str | None]:
        return self._newest_first(self._uses.values(), lambda each: _traced(each, traces), cursor, limit)

    def _newest_first(
        self, values: Iterable[T], wanted: Callable[[T], bool], cursor: str | None, limit: int
    ) -> tuple[Sequence[T], str | None]:
        with self._lock:
            every = list(enumerate(values))
            before = len(every) if cursor is None else int(cursor)
            found = [(at, each) for at, each in reversed(every[:before]) if wanted(each)]
            return [each for _, each in found[:limit]], str(found[limit - 1][0]) if len(found) > limit else None


def _matches(listing: Listing, query: ListingQuery) -> bool:
    seen = query.readers is None or listing.invited is None or bool(set(listing.invited) & set(query.readers))
    said = "\n".join((listing.id, listing.title_en, listing.title_zh, listing.description)).lower()
    return (
        (seen or listing.seller in query.own)
        and (query.sellers is None or listing.seller in query.sellers)
        and (query.kinds is None or listing.kind in query.kinds)
        and query.text.lower() in said
        and not (query.open and listing.withdrawn_at is not None)
    )


def _traced(found: Copy | Use, traces: Traces) -> bool:
    every = traces.projects is None and traces.sellers is None
    mine: set[ProjectId] = set(traces.projects or ())
    sold: set[AccountId] = set(traces.sellers or ())
    return (every or found.project in mine or found.seller in sold) and traces.listing in (None, found.listing)
