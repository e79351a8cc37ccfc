"""Listings as inputs of tasks: which version a job reads, what its lease costs, and when that is paid.

Owns the order in money. Version and price are fixed when a job is submitted. The price is held before a site is told of the
lease, posted once the job has started there, released where it never did; a job that starts anew elsewhere pays once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from suanwang.control.rules import Rules
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.file import FileRecord
from suanwang.domain.ids import AllocationId, ProjectId
from suanwang.domain.job import Allocation, Event, Job
from suanwang.domain.task import Input, Task
from suanwang.ports import Store
from suanwang.trading.ledger import NETWORK, AccountId, Owner, Phase, Verdict, account_id
from suanwang.trading.listings import (
    MOST_INPUTS,
    SOURCE,
    Charge,
    Listing,
    Use,
    UseState,
    end_chain,
    hold_chain,
    left_of,
    reference,
)
from suanwang.trading.settlement import opened

_DATASET = "dataset:"


def agreed(store: Store, task: Task, project: ProjectId) -> Task:
    """`task` with the version of each listing it reads. Raises `InvalidRequest` for what the project may not read."""
    if not any(wanted.source.startswith((SOURCE, _DATASET)) for wanted in task.inputs):
        return task
    inputs = tuple(_agreed(store, wanted, project) for wanted in task.inputs)
    if len({wanted.source for wanted in inputs if wanted.source.startswith(SOURCE)}) > MOST_INPUTS:
        raise InvalidRequest("a task reads too many listings", field="inputs", allowed=f"at most {MOST_INPUTS}")
    return replace(task, inputs=inputs)


def _agreed(store: Store, wanted: Input, project: ProjectId) -> Input:
    if wanted.source.startswith(_DATASET):
        sold = store.sold_dataset(wanted.source.removeprefix(_DATASET))
        if sold is not None:
            raise InvalidRequest(
                f"{wanted.source} is for sale: read it as a listing", field="inputs", allowed=sold.source
            )
    if not wanted.source.startswith(SOURCE):
        return wanted
    listing = _found(store, wanted.source)
    if listing is None or not listing.open_to(project):
        raise InvalidRequest(
            f"there is no {wanted.source[:120]} that project {project} may read",
            field="inputs",
            allowed="see `suanwang listing list`",
        )
    if listing.charge is Charge.COPY:
        _check_copy(store, listing, project)
    elif listing.withdrawn_at is not None:
        raise InvalidRequest(f"{listing.name} was withdrawn", field="inputs", allowed="a version on sale")
    return replace(wanted, source=listing.source)


def _check_copy(store: Store, listing: Listing, project: ProjectId) -> None:
    mine = listing.seller == account_id(Owner.PROJECT, project)
    if not mine and store.copy_of(project, listing.id, listing.version) is None:
        raise InvalidRequest(
            f"{listing.name} is sold by the copy, and project {project} has none",
            field="inputs",
            allowed=f"first `suanwang listing buy {listing.name}`",
        )


def _found(store: Store, source: str) -> Listing | None:
    name, version = reference(source)
    return store.listing(name, version)


def listed_of(store: Store, job: Job) -> list[tuple[Listing, str]]:
    """(listing, path) of each input that is one. Raises `InvalidRequest` naming one that is not there."""
    found: list[tuple[Listing, str]] = []
    for wanted in job.task.inputs:
        if wanted.source.startswith(SOURCE):
            listing = _found(store, wanted.source)
            if listing is None:
                raise InvalidRequest(f"there is no {wanted.source[:120]}", field="inputs", allowed="a listing on sale")
            found.append((listing, wanted.path))
    return found


def delivered(listing: Listing) -> FileRecord | None:
    """The file that a job gets; None for a data set that stays at its site."""
    if listing.content is None:
        return None
    project = ProjectId(listing.seller.partition(":")[2])
    name, at = listing.file_name, listing.listed_at
    return FileRecord(project=project, name=name, version=1, content=listing.content, created_at=at)


def hold_uses(store: Store, rules: Rules, job: Job, allocation: Allocation, now: datetime) -> None:
    """Hold what the listings that this lease reads cost. Raises `InvalidRequest` where the project cannot pay."""
    if job.started_at is not None or not job.task.inputs:
        return  # It pays when it starts first, and not again.
    listings = {listing.name: listing for listing, _ in listed_of(store, job)}
    if not listings:
        return
    uses = tuple(_use(rules, job, allocation, listing, now) for listing in listings.values())
    chain = hold_chain(uses, rules.commission_bp, allocation.granted_at)
    if chain:
        payer = replace(opened(account_id(Owner.PROJECT, job.project)), floor_fen=-rules.project_credit_fen)
        store.open_accounts([payer, *(opened(seller) for seller in _sellers(uses))])
    outcome = store.hold_uses(uses, chain, now)
    if outcome is not None and not outcome.done:
        why = "cannot pay" if outcome.verdict is Verdict.SHORT else f"cannot pay ({outcome.purse or outcome.verdict})"
        raise InvalidRequest(
            f"project {job.project} {why} ¥{sum(use.price_fen for use in uses) / 100:.2f} for {', '.join(listings)}",
            field="inputs",
            allowed="money on its account, see `suanwang wallet`",
        )


def _sellers(uses: Sequence[Use]) -> list[AccountId]:
    return sorted({use.seller for use in uses} | {NETWORK})


def _use(rules: Rules, job: Job, allocation: Allocation, listing: Listing, now: datetime) -> Use:
    free = listing.charge is Charge.COPY or listing.seller == account_id(Owner.PROJECT, job.project)
    price_fen = 0 if free else listing.price_fen
    return Use(
        allocation=allocation.id,
        job=job.id,
        project=job.project,
        owner=job.owner,
        site=allocation.site_id,
        listing=listing.id,
        version=listing.version,
        sha256=listing.sha256,
        seller=listing.seller,
        price_fen=price_fen,
        leftover=left_of(price_fen, rules.commission_bp),
        at=now,
    )


def settle_uses(store: Store, limit: int, now: datetime) -> int:
    """Pay the uses whose jobs have started, release those whose leases ended without; returns how many leases."""
    leases: dict[AllocationId, tuple[Allocation, list[Use]]] = {}
    for use, allocation in store.held_uses(limit):
        leases.setdefault(use.allocation, (allocation, []))[1].append(use)
    if not leases:
        return 0
    held = store.chain_entries([f"use/{name}" for name in leases])
    done = 0
    for name, (allocation, uses) in leases.items():
        started = allocation.started_at is not None
        transfers = [entry.transfer for entry in held if entry.transfer.chain == f"use/{name}"]
        chain = end_chain(transfers, Phase.POST if started else Phase.VOID)
        events = [_told(use, now) for use in uses] if started else []
        state = UseState.PAID if started else UseState.RELEASED
        done += store.end_uses(uses, state, chain, now, events)
    return done


def _told(use: Use, now: datetime) -> Event:
    return Event(
        kind="listing.used",
        at=now,
        project=use.project,
        job_id=use.job,
        site_id=use.site,
        actor=use.owner,
        data={
            "listing": use.listing,
            "version": use.version,
            "sha256": use.sha256,
            "seller": use.seller,
            "price_fen": use.price_fen,
        },
    )
