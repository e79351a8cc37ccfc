"""Wallets: balances, an account's transfers, and the way from a bill line to the transfers that paid it and the job's events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Query, Response

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import JobId
from suanwang.domain.job import Event
from suanwang.electricity.pricing import units
from suanwang.trading.budgets import Period, Scope, Used
from suanwang.trading.grouping import PaperKind
from suanwang.trading.holding import RUNS
from suanwang.trading.invoicing import ZONE
from suanwang.trading.ledger import NETWORK, AccountId, Entry, Owner, Phase, account_id
from suanwang.trading.market.dealing import MARKET
from suanwang.web.labels import N_
from suanwang.web.pages.disputing import dispute_context
from suanwang.web.pages.job import timeline
from suanwang.web.visiting import PageRoute, Visit, Visited

router = APIRouter(route_class=PageRoute)
PAGE = 50
_MOST_ACCOUNTS = 200
_EVENTS = 500

OWNERS: Mapping[str, str] = {
    Owner.PROJECT: N_("Project"),
    Owner.PROVIDER: N_("Provider"),
    Owner.OPERATOR: N_("Network operator"),
    Owner.OUTSIDE: N_("Outside"),
    Owner.ISSUER: N_("Issuer of vouchers"),
    Owner.VOUCHER: N_("Voucher"),
    Owner.DEPOSIT: N_("Deposit"),
}
CODES: Mapping[str, str] = {
    "lease": N_("Held for a run"),
    "usage": N_("Usage"),
    "commission": N_("Commission"),
    "plan": N_("Month of a plan"),
    "top_up": N_("Top-up"),
    "service_credit": N_("Service credit"),
    "dispute_credit": N_("Given back after a dispute"),
    "expired": N_("Hold released"),
    "order": N_("Order on the market"),
    "sale": N_("Sold on the market"),
    "deposit": N_("Deposit of a sale"),
    "right_cancelled": N_("Right cancelled"),
    "right_reclaimed": N_("Right taken back"),
    "right_defaulted": N_("Right not delivered"),
    "guarantee": N_("Guarantee filled"),
    "copy": N_("Copy bought"),
    "use": N_("Use of a listing"),
    "voucher": N_("Voucher"),
    "budget": N_("Budget for vouchers"),
    "voucher_issued": N_("Voucher issued"),
    "voucher_returned": N_("Left of a voucher that ended"),
}


PHASES: Mapping[str, str] = {
    Phase.PENDING: N_("amount held"),
    Phase.POST: N_("from a hold"),
    Phase.VOID: N_("hold released"),
}


NETWORKS_OWN: Mapping[str, str] = {
    NETWORK: N_("Network operator"),
    MARKET: N_("Market, in trust"),
    RUNS: N_("Held for running jobs"),
}


def account_name(visit: Visit, account: str) -> str:
    """Whose account it is, in the reader's words."""
    if account in NETWORKS_OWN:
        return visit.translate(NETWORKS_OWN[account])
    owner, _, name = account.partition(":")
    return f"{visit.translate(OWNERS.get(owner, owner))} {name}"


SCOPES: Mapping[str, str] = {
    Scope.PERSON: N_("Person"),
    Scope.PROJECT: N_("Project"),
    Scope.ORGANISATION: N_("Organisation"),
}
PERIODS: Mapping[str, str] = {Period.MONTH: N_("this month"), Period.TOTAL: N_("in all")}


@router.get("/wallet")
def show(
    visit: Visited,
    account: Annotated[str, Query(max_length=300)] = "",
    cursor: Annotated[str, Query(max_length=300)] = "",
) -> Response:
    visit.needs_login()
    wallets = visit.network.wallets
    accounts, more = wallets.accounts(visit.caller, None, _MOST_ACCOUNTS)
    chosen = None
    if account or accounts:
        chosen = wallets.account(visit.caller, account or accounts[0].id)
    entries: Sequence[Entry] = ()
    after = None
    if chosen is not None:
        try:
            entries, after = wallets.transfers(visit.caller, chosen.id, cursor or None, PAGE)
        except (ValueError, LookupError):
            raise InvalidRequest("this page is not one of ours", field="cursor", allowed="follow the link") from None
    kept = {} if chosen is None else {"account": chosen.id}
    unsettled, blocked = wallets.unsettled(visit.caller)
    return visit.page(
        "wallet.html",
        accounts=accounts,
        more=more is not None,
        chosen=chosen,
        entries=[_row(visit, entry, chosen.id) for entry in entries] if chosen is not None else [],
        budgets=[_bar(each) for each in visit.network.budgets.every(visit.caller)],
        scopes=_words(visit, SCOPES),
        periods=_words(visit, PERIODS),
        unsettled=unsettled,
        blocked=blocked,
        month=visit.network.clock.now().astimezone(ZONE).strftime("%Y-%m"),
        owners=_words(visit, OWNERS),
        first=f"/wallet?{urlencode(kept)}" if cursor else None,
        next=f"/wallet?{urlencode({**kept, 'cursor': after})}" if after else None,
    )


@router.get("/wallet/lines/{usage_id}")
def line(visit: Visited, usage_id: str) -> Response:
    """One bill line: what was used, who was paid, what became of the job, and what was said against it."""
    visit.needs_login()
    return line_page(visit, usage_id)


def line_page(visit: Visit, usage_id: str, status: int = 200, **answered: object) -> Response:
    """The page of a line; `answered` is what a form of it said and what was wrong with it."""
    found = visit.network.bills.line(visit.caller, usage_id)
    job_id = found.job_id
    entries = visit.network.wallets.settled_by(found)
    names = visit.site_names()
    events: Sequence[Event] = ()
    if visit.caller.may_see(found.project):
        events = visit.network.jobs.events(visit.caller, 0, _EVENTS, job_id=job_id)
    return visit.page(
        "wallet_line.html",
        status,
        **{**dispute_context(visit, found), **answered},
        line=found,
        account_name=lambda account: account_name(visit, account),
        site=names[found.site_id],
        entries=[_received(visit, entry, account_id(Owner.PROJECT, found.project)) for entry in entries],
        moments=timeline(visit, events, names),
        may_see=visit.caller.may_see(found.project),
        steps=() if (built := found.pricing) is None else list(zip((None, *built.taken), units(built), strict=True)),
    )


@router.get("/wallet/bills/{job_id}/bill.json")
def evidence(visit: Visited, job_id: str) -> Response:
    """The job's bill that proves itself, as a file."""
    visit.needs_login()
    return _file("bill.json", visit.network.proofs.evidence(visit.caller, JobId(job_id)))


@router.get("/wallet/papers/{kind}.json")
def paper(visit: Visited, kind: PaperKind, name: Annotated[str, Query(max_length=400)]) -> Response:
    """An invoice, a statement, an account's month and the like with its proofs, as a file."""
    visit.needs_login()
    return _file(f"{kind}.json", visit.network.papers.evidence(visit.caller, kind, name))


def _file(name: str, document: Mapping[str, object]) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return Response(orjson.dumps(document, option=orjson.OPT_INDENT_2), media_type="application/json", headers=headers)


def _bar(used: Used) -> dict[str, object]:
    """A budget's bar: percent of its limit that is spent, and that is held beside that."""
    most = max(used.budget.limit_fen, used.spent_fen + used.held_fen, 1)
    return {
        "budget": used.budget,
        "used": used,
        "spent": 100 * max(used.spent_fen, 0) / most,
        "held": 100 * used.held_fen / most,
    }


def _row(visit: Visit, entry: Entry, account: AccountId) -> dict[str, object]:
    """A transfer as the owner of `account` sees it."""
    transfer = entry.transfer
    paid = transfer.debit == account
    kind, _, name = transfer.chain.partition("/")
    usage_id = name if kind in ("bill", "dispute") else None
    other = transfer.credit if paid else transfer.debit
    return {
        "at": entry.at,
        "what": _words(visit, CODES).get(transfer.code, transfer.code),
        "other": other,
        "other_name": account_name(visit, other),
        "linked": visit.network.wallets.sees(visit.caller, other),
        "amount_fen": -transfer.amount_fen if paid else transfer.amount_fen,
        "usage_id": usage_id,
        "credit": transfer.chain.removeprefix("credit/") if transfer.chain.startswith("credit/") else None,
        "moved": transfer.phase in (Phase.DIRECT, Phase.POST),
        "leaf": entry.leaf,
        "phase": visit.translate(PHASES[transfer.phase]) if transfer.phase in PHASES else "",
    }


def _received(visit: Visit, entry: Entry, payer: AccountId) -> dict[str, object]:
    """A transfer by what the other party got of `payer`, or of the voucher that paid beside him, which is named."""
    moved = entry.transfer
    voucher = next((side for side in (moved.debit, moved.credit) if side.startswith(f"{Owner.VOUCHER}:")), None)
    side = voucher or payer
    got = moved.amount_fen if moved.debit == side else -moved.amount_fen
    named = {} if voucher is None else {"what": account_name(visit, voucher)}
    return {**_row(visit, entry, side), "amount_fen": got, **named}


def _words(visit: Visit, words: Mapping[str, str]) -> dict[str, str]:
    return {name: visit.translate(text) for name, text in words.items()}
