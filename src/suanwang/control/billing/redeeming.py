"""The loop's part in vouchers: what they pay of lines that are settled is held first, and what is left of ended ones goes back.

Owns the order. The hold of a line is made once, under a name that follows from the line, and found again by whoever settles
it; so a turn that dies between hold and settlement pays nothing twice, and two replicas agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from suanwang.control.billing.aiding import domestic, left_of, live_for
from suanwang.domain.identity import Project
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.domain.job import Event
from suanwang.domain.site import Site
from suanwang.ports import OpenLine, Store
from suanwang.trading.holding import OUTLASTS, RUNS, following, joined, lessened
from suanwang.trading.ledger import Hold, Phase, Transfer
from suanwang.trading.settlement import Party, Redeemed
from suanwang.trading.vouchers import (
    Use,
    Voucher,
    hold_chain,
    hold_name,
    payable_fen,
    redeemed,
    refusal,
    return_chain,
    void_chain,
)

Shared = tuple[OpenLine, tuple[Party, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What vouchers pay of lines, by usage record; and lines that another replica is about to settle."""

    paid: Mapping[str, Redeemed]
    busy: frozenset[str] = frozenset()


def hold_vouchers(store: Store, lines: Sequence[Shared], now: datetime) -> Held:
    """Hold what vouchers pay of these lines. Accounts of those who are paid are open."""
    projects = {project.id: project for project in store.projects()}
    # Of one that ended, leases still hold what is billed late.
    held_by = live_for(store, {each.line.project for each, _ in lines}, projects, now - OUTLASTS)
    live = {voucher.id: voucher for vouchers in held_by.values() for voucher in vouchers}
    if not live:
        return Held(paid={})
    uses = _uses(store, lines, projects)
    chosen = _bound(store, lines, uses, held_by, now)
    mine = [(each, shared) for each, shared in lines if chosen.get(each.line.job_id) in live]
    known = _known(store, [each.line.usage_id for each, _ in mine])
    left = left_of(store, {live[chosen[each.line.job_id]].account for each, _ in mine})
    legs = dict(store.lent({each.usage.allocation_id for each, _ in mine}))
    paid = {name: redeemed(held) for name, held in known.items() if _lasts(held, now)}
    made: dict[str, Redeemed] = {}
    chains: list[tuple[Transfer, ...]] = []
    for each, shared in mine:
        line, voucher = each.line, live[chosen[each.line.job_id]]
        if line.usage_id in known or refusal(voucher, uses[line.usage_id]) is not None:
            continue
        payable = payable_fen(voucher, each.before_fen, line.amount_fen)
        amount = min(payable, left[voucher.account]) if voucher.live(now) else 0
        left[voucher.account] -= amount
        given, freed = _given(legs, each, voucher, payable - amount)
        if amount + given > 0:
            until = voucher.until_at if voucher.live(now) else voucher.until_at + OUTLASTS
            holding = hold_chain(voucher, line, shared, each.shared_fen, amount + given, until)
            made[line.usage_id] = redeemed(holding)
            chains.append(joined(freed, holding, name=hold_name(line.usage_id)))
    busy: set[str] = set()
    for outcome in store.post(chains, now) if chains else ():
        usage_id = outcome.chain.removeprefix(hold_name(""))
        if outcome.done:
            paid[usage_id] = made[usage_id]
        else:
            # Somebody else held of the voucher meanwhile: the next turn finds what is held and left.
            busy.add(usage_id)
    return Held(paid=paid, busy=frozenset(busy))


def _given(
    legs: dict[AllocationId, Hold], each: OpenLine, voucher: Voucher, missing_fen: int
) -> tuple[int, tuple[Transfer, ...]]:
    """What the line's lease gives of what it holds of the voucher, and how; `legs` follows it."""
    lease = each.usage.allocation_id
    leg = legs.get(lease)
    if leg is None or leg.debit != voucher.account:
        return 0, ()
    # A live lease keeps a fen, by which it is found.
    given = min(missing_fen, leg.amount_fen if each.over else leg.amount_fen - 1)
    if given <= 0:
        return 0, ()
    freed = lessened(leg, given)
    del legs[lease]
    if (after := following(leg, freed)) is not None:
        legs[lease] = after
    return given, freed


def _lasts(held: Sequence[Transfer], now: datetime) -> bool:
    return all(each.timeout_at is not None and now < each.timeout_at for each in held)


def release_unused(store: Store, held: Held, settled: Sequence[str], now: datetime) -> None:
    """Void the holds of lines that somebody else settled without them."""
    passed = [usage_id for usage_id in held.paid if usage_id not in settled]
    if not passed:
        return
    known = _known(store, passed)
    entries = store.chain_entries([f"bill/{usage_id}" for usage_id in passed])
    posted = {entry.transfer.pending_id for entry in entries if entry.transfer.phase is Phase.POST}
    done = {entry.transfer.chain.removeprefix("bill/") for entry in entries}
    chains = [
        void_chain(transfers)
        for usage_id, transfers in known.items()
        if usage_id in done and not any(transfer.id in posted for transfer in transfers)
    ]
    if chains:
        store.post(chains, now)


def close_ended(store: Store, now: datetime, limit: int) -> int:
    """Give what is left of ended vouchers back to their issuers, once none of it is held; returns how many are closed."""
    closed = 0
    for voucher in store.ended_vouchers(now, limit):
        account = store.account(voucher.account)
        if account is None or account.held_fen:
            continue
        if account.balance_fen:
            (outcome,) = store.post([return_chain(voucher, account.balance_fen)], now)
            if not outcome.done:
                continue
        event = Event(kind="voucher.closed", at=now, data={"voucher": voucher.id, "returned_fen": account.balance_fen})
        closed += store.close_voucher(voucher.id, now, (event,))
    return closed


def _uses(store: Store, lines: Sequence[Shared], projects: Mapping[ProjectId, Project]) -> Mapping[str, Use]:
    sites = {site.id: site for site in store.sites()}
    return {each.line.usage_id: _use(each, sites, projects) for each, _ in lines}


def _use(each: OpenLine, sites: Mapping[SiteId, Site], projects: Mapping[ProjectId, Project]) -> Use:
    line, usage = each.line, each.usage
    site, project = sites.get(line.site_id), projects.get(line.project)
    return Use(
        project=line.project,
        organisation="" if project is None else project.organisation,
        provider=line.provider,
        owners=tuple(each.owners),
        region="" if site is None else site.offering.region,
        device=usage.device_model if usage.devices else None,
        domestic=domestic(usage.device_model if usage.devices else None),
        from_at=line.from_at,
        to_at=line.to_at,
    )


def _bound(
    store: Store,
    lines: Sequence[Shared],
    uses: Mapping[str, Use],
    held_by: Mapping[ProjectId, Sequence[Voucher]],
    now: datetime,
) -> Mapping[JobId, str]:
    """Job → its voucher; a job without one gets the first automatic one that may pay one of these lines."""
    jobs = {each.line.job_id for each, _ in lines}
    bound = store.bound_vouchers(jobs)
    every = (voucher for vouchers in held_by.values() for voucher in vouchers)
    left = left_of(store, {voucher.account for voucher in every if voucher.automatic})
    fresh: dict[JobId, str] = {}
    for each, _ in lines:
        job = each.line.job_id
        if job in bound or job in fresh:
            continue
        for voucher in held_by.get(each.line.project, ()):
            may = (
                voucher.automatic
                and voucher.live(now)
                and left[voucher.account] > 0
                and refusal(voucher, uses[each.line.usage_id]) is None
            )
            if may and payable_fen(voucher, each.before_fen, each.line.amount_fen) > 0:
                fresh[job] = voucher.id
                break
    if not fresh:
        return bound
    store.bind_vouchers(fresh, now)
    return store.bound_vouchers(jobs)


def _known(store: Store, usage_ids: Sequence[str]) -> dict[str, list[Transfer]]:
    """Line → the transfers that hold a voucher for it."""
    found: dict[str, list[Transfer]] = {}
    for entry in store.chain_entries([hold_name(usage_id) for usage_id in usage_ids]):
        if entry.transfer.phase is Phase.PENDING and entry.transfer.credit != RUNS:
            found.setdefault(entry.transfer.chain.removeprefix(hold_name("")), []).append(entry.transfer)
    return found
