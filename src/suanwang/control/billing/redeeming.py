"""The loop's part in vouchers: what they pay of lines that are settled is held first, and what is left of ended ones goes back.

Owns the order. The hold of a line is made once, under a name that follows from the line, and found again by whoever settles
it; so a turn that dies between hold and settlement pays nothing twice, and two replicas agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from suanwang import catalog
from suanwang.domain.identity import Project
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import Event
from suanwang.domain.site import Site
from suanwang.ports import OpenLine, Store
from suanwang.trading.ledger import AccountId, Phase, Transfer, Verdict
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
    names = {each.line.project for each, _ in lines}
    holders = {f"project:{name}" for name in names}
    holders |= {f"organisation:{projects[name].organisation}" for name in names if name in projects}
    live = {voucher.id: voucher for voucher in store.live_vouchers(holders, now)}
    if not live:
        return Held(paid={})
    uses = _uses(store, lines, projects)
    chosen = _bound(store, lines, uses, live, now)
    mine = [(each, shared) for each, shared in lines if chosen.get(each.line.job_id) in live]
    known = _known(store, [each.line.usage_id for each, _ in mine])
    left = _left(store, {live[chosen[each.line.job_id]] for each, _ in mine})
    paid = {name: redeemed(held) for name, held in known.items() if live_hold(held, live, now)}
    chains: list[tuple[Transfer, ...]] = []
    for each, shared in mine:
        line, voucher = each.line, live[chosen[each.line.job_id]]
        if line.usage_id in known or refusal(voucher, uses[line.usage_id]) is not None:
            continue
        amount = min(payable_fen(voucher, each.before_fen, line.amount_fen), left[voucher.id])
        if amount > 0:
            left[voucher.id] -= amount
            chains.append(tuple(hold_chain(voucher, line, shared, each.shared_fen, amount)))
    busy: set[str] = set()
    for chain, outcome in zip(chains, store.post(chains, now) if chains else (), strict=True):
        usage_id = outcome.chain.removeprefix(hold_name(""))
        if outcome.done:
            paid[usage_id] = redeemed(chain)
        elif outcome.verdict is Verdict.CONFLICT:
            busy.add(usage_id)  # Held with another amount meanwhile: the next turn finds it.
    return Held(paid=paid, busy=frozenset(busy))


def live_hold(held: Sequence[Transfer], live: Mapping[str, Voucher], now: datetime) -> bool:
    voucher = live.get(held[0].debit.partition(":")[2])
    return voucher is not None and voucher.live(now)


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
        domestic=bool(usage.devices and usage.device_model) and _domestic(usage.device_model or ""),
        from_at=line.from_at,
        to_at=line.to_at,
    )


def _domestic(device: str) -> bool:
    found = catalog.accelerators().get(device)
    return found is not None and found.domestic


def _bound(
    store: Store, lines: Sequence[Shared], uses: Mapping[str, Use], live: Mapping[str, Voucher], now: datetime
) -> Mapping[JobId, str]:
    """Job → its voucher; a job without one gets the first automatic one that may pay one of these lines."""
    jobs = {each.line.job_id for each, _ in lines}
    bound = store.bound_vouchers(jobs)
    left = _left(store, {voucher for voucher in live.values() if voucher.automatic})
    fresh: dict[JobId, str] = {}
    for each, _ in lines:
        job = each.line.job_id
        if job in bound or job in fresh:
            continue
        for voucher in live.values():
            may = voucher.automatic and left[voucher.id] > 0 and refusal(voucher, uses[each.line.usage_id]) is None
            if may and payable_fen(voucher, each.before_fen, each.line.amount_fen) > 0:
                fresh[job] = voucher.id
                break
    if not fresh:
        return bound
    store.bind_vouchers(fresh, now)
    return store.bound_vouchers(jobs)


def _left(store: Store, vouchers: set[Voucher]) -> dict[str, int]:
    names: dict[AccountId, str] = {voucher.account: voucher.id for voucher in vouchers}
    found, _ = store.accounts(sorted(names), None, len(names)) if names else ((), None)
    return {**dict.fromkeys(names.values(), 0), **{names[a.id]: a.available_fen or 0 for a in found}}


def _known(store: Store, usage_ids: Sequence[str]) -> dict[str, list[Transfer]]:
    """Line → the transfers that hold a voucher for it."""
    found: dict[str, list[Transfer]] = {}
    for entry in store.chain_entries([hold_name(usage_id) for usage_id in usage_ids]):
        found.setdefault(entry.transfer.chain.removeprefix(hold_name("")), []).append(entry.transfer)
    return found
