"""The loop's part in money: bill lines become transfers, and holds whose time is over are released.

Owns the order and the bounds of it. Every transfer's identifier follows from the usage record it settles, so a turn that
dies anywhere, or that two replicas make at once, settles nothing twice.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from suanwang.control.billing.redeeming import close_ended, hold_vouchers, release_unused
from suanwang.control.rules import Rules
from suanwang.domain.job import Event
from suanwang.electricity.pricing import flat
from suanwang.ports import Claim, OpenLine, Store
from suanwang.trading import plainform
from suanwang.trading.leaves import usage_leaf
from suanwang.trading.ledger import Account, AccountId, Owner
from suanwang.trading.owning import weights
from suanwang.trading.published import bound_of
from suanwang.trading.rating import electricity_rate, used_us
from suanwang.trading.settlement import Party, Redeemed, accounts_of, chain_name, chain_of, parties


def settle(store: Store, rules: Rules, now: datetime) -> int:
    """Settle the lines that are due, at most `rules.settle_limit`; returns how many are settled.

    A line that its project cannot pay stays open. It is told once, and tried again when its account changes or after
    `rules.settle_retry_s`.
    """
    store.release_expired(now, rules.settle_limit)
    close_ended(store, now, rules.settle_limit)
    lines = store.open_lines(now, rules.settle_limit)
    if not lines:
        return 0
    split = [(each, _shared(each, rules)) for each in lines]
    holding = _open_accounts(store, rules, split)
    held = hold_vouchers(store, split, now)
    claims = [
        _claim(each, shared, now, held.paid.get(each.line.usage_id), holds=each.line.project in holding)
        for each, shared in split
        if each.line.usage_id not in held.busy
    ]
    outcomes = store.settle(claims, now, now + timedelta(seconds=rules.settle_retry_s))
    release_unused(store, held, [outcome.chain.removeprefix(chain_name("")) for outcome in outcomes], now)
    return sum(outcome.done for outcome in outcomes)


def _shared(each: OpenLine, rules: Rules) -> tuple[Party, ...]:
    return parties(each.line.provider, rules.commission_bp, weights(each.owners) if each.owners else None)


def _open_accounts(store: Store, rules: Rules, lines: list[tuple[OpenLine, tuple[Party, ...]]]) -> set[str]:
    """Open the accounts that the lines need; returns the projects that hold anything now."""
    wanted: dict[AccountId, Account] = {}
    seen: set[tuple[str, tuple[Party, ...]]] = set()
    for each, shared in lines:
        pair = (each.line.project, shared)
        if pair not in seen:
            seen.add(pair)
            wanted.update({account.id: account for account in accounts_of(each.line, shared, rules.project_credit_fen)})
    there, _ = store.accounts(list(wanted), None, len(wanted))
    missing = wanted.keys() - {account.id for account in there}
    if missing:
        store.open_accounts([wanted[account] for account in sorted(missing)])
    return {account.name for account in there if account.owner is Owner.PROJECT and account.held_fen}


def _claim(each: OpenLine, shared: tuple[Party, ...], now: datetime, voucher: Redeemed | None, *, holds: bool) -> Claim:
    line, bound = each.line, bound_of(each.price)
    return Claim(
        usage_id=line.usage_id,
        leaf=usage_leaf(
            each.usage,
            line,
            flat(each.price, each.usage.device_model, each.usage.from_at, used_us(line)),
            each.started_at,
            shared,
            each.shared_fen,
            electricity_rate(each.price, each.power_kw, each.usage.from_at),
            None if bound is None else plainform.shown(bound),
        ),
        chain=chain_of(line, shared, each.shared_fen, voucher),
        blocked=Event(
            kind="ledger.blocked",
            at=now,
            project=line.project,
            job_id=line.job_id,
            site_id=line.site_id,
            data={"usage_id": line.usage_id, "amount_fen": line.amount_fen},
        ),
        lease=each.usage.allocation_id if holds else None,
        over=each.over,
        person=each.person,
    )
