"""Routes about the ledger: accounts, transfers, checkpoints, proofs, and bills as evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from suanwang.api import answering
from suanwang.api.answering import answer
from suanwang.api.asking import LARGEST_NUMBER, Asked, Body, Cursor, Limit, Route, model_of, paged
from suanwang.api.describing import FAULT, takes
from suanwang.client import ledger_models
from suanwang.control.billing.traces import Trace
from suanwang.control.overview import MOST_MONTHS
from suanwang.domain.ids import JobId, ProjectId
from suanwang.ports import Flow
from suanwang.trading.budgets import Used
from suanwang.trading.grouping import PaperKind
from suanwang.trading.ledger import Account, Entry
from suanwang.trading.proven import checkpoint_document

router = APIRouter(prefix="/v1", tags=["ledger"], route_class=Route, responses=FAULT)

Name = Annotated[str, Query(min_length=1, max_length=300, description="An account, such as `project:demo`")]
Since = Annotated[
    int | None, Query(ge=0, le=LARGEST_NUMBER, description="Also prove that the log continues that of this size")
]
Size = Annotated[int | None, Query(ge=0, le=LARGEST_NUMBER, description="Of a checkpoint made earlier")]


@router.get("/ledger/accounts", response_model=ledger_models.AccountPage)
def accounts(ask: Asked, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Accounts the caller may see: a project's users its own, a provider his, operator and regulator all."""
    caller = ask.caller
    found, after = paged(lambda at, most: ask.network.wallets.accounts(caller, at, most), cursor, limit)
    unsettled, blocked = ask.network.wallets.unsettled(caller)
    items = [_account(account) for account in found]
    return answer({"items": items, "next": after, "unsettled_lines": unsettled, "blocked_lines": blocked})


@router.get("/ledger/account", response_model=ledger_models.AccountView)
def account(ask: Asked, account: Name) -> Response:
    """One account."""
    return answer(_account(ask.network.wallets.account(ask.caller, account)))


@router.get("/ledger/transfers", response_model=ledger_models.TransferPage)
def transfers(ask: Asked, account: Name, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Transfers of one account, newest first."""
    caller = ask.caller
    found, after = paged(lambda at, most: ask.network.wallets.transfers(caller, account, at, most), cursor, limit)
    return answer({"items": [_transfer(entry) for entry in found], "next": after})


@router.get("/ledger/flows", response_model=ledger_models.FlowList)
def flows(
    ask: Asked,
    account: Name,
    months: Annotated[int, Query(ge=1, le=MOST_MONTHS, description="This month and those before it")] = 12,
) -> Response:
    """What one account got, less what it gave, by month, purpose, project and provider; holds are no flow."""
    found = ask.network.overview.flows(ask.caller, account, months)
    return answer({"items": [_flow(flow) for flow in found]})


@router.get("/ledger/checkpoints", response_model=ledger_models.CheckpointList)
def checkpoints(
    ask: Asked,
    limit: Limit = 100,
    before: Annotated[int | None, Query(ge=1, le=LARGEST_NUMBER, description="Only those of fewer leaves")] = None,
) -> Response:
    """The checkpoints that were signed, largest first."""
    found = ask.network.overview.checkpoints(ask.caller, before, limit)
    return answer({"items": [checkpoint_document(each) for each in found]})


@router.post(
    "/ledger/top-ups",
    status_code=201,
    response_model=ledger_models.AccountView,
    openapi_extra=takes("NewTopUp", {"id": "bank-2026-03-01-17", "project": "demo", "amount_fen": 100000}),
)
def top_up(ask: Asked, body: Body) -> Response:
    """Put money on a project's account. Sending the same `id` again changes nothing. For operators."""
    caller = ask.caller
    asked = model_of(ledger_models.NewTopUp, body)
    done = ask.network.wallets.top_up(caller, ProjectId(asked.project), asked.amount_fen, asked.id)
    return answer(_account(done), 201)


@router.put(
    "/ledger/limits",
    response_model=ledger_models.AccountView,
    openapi_extra=takes("NewLimit", {"project": "demo", "limit_fen": 0}),
)
def set_limit(ask: Asked, body: Body) -> Response:
    """How far a project may owe; 0 makes it prepaid, null lets it pay by invoice later. For operators."""
    caller = ask.caller
    asked = model_of(ledger_models.NewLimit, body)
    return answer(_account(ask.network.wallets.set_limit(caller, ProjectId(asked.project), asked.limit_fen)))


@router.get("/ledger/budgets", response_model=ledger_models.SpendingBudgets)
def budgets(ask: Asked) -> Response:
    """Budgets that bind the caller, with what is spent, held and left of each; all for operator and regulator."""
    return answer({"items": [_budget(each) for each in ask.network.budgets.every(ask.caller)]})


@router.put(
    "/ledger/budgets",
    response_model=ledger_models.SpendingBudgets,
    openapi_extra=takes(
        "NewSpendingBudget", {"scope": "person", "name": "alice", "limit_fen": 500000, "period": "month"}
    ),
)
def set_budget(ask: Asked, body: Body) -> Response:
    """How much a person, a project or an organisation may spend, in a month or in all; null takes it away. For operators."""
    asked = model_of(ledger_models.NewSpendingBudget, body)
    if asked.limit_fen is None:
        ask.network.budgets.drop(ask.caller, asked.scope, asked.name)
    else:
        ask.network.budgets.put(ask.caller, asked.scope, asked.name, asked.limit_fen, asked.period)
    return budgets(ask)


@router.get("/ledger/checkpoint", response_model=ledger_models.CheckpointView)
def checkpoint(ask: Asked, size: Size = None) -> Response:
    """The log's size and root, signed: now, or as it was signed at `size`. Keep one, to check later that nothing changed."""
    _known(ask)
    return answer(checkpoint_document(ask.network.proofs.checkpoint(size)))


@router.get("/ledger/proof", response_model=ledger_models.InclusionView)
def proof(
    ask: Asked, index: Annotated[int, Query(ge=0, le=LARGEST_NUMBER, description="The leaf")], size: Size = None
) -> Response:
    """What proves that a leaf is in the log."""
    _known(ask)
    made, steps = ask.network.proofs.inclusion(index, size)
    return answer({"index": index, "proof": _hex(steps), "checkpoint": checkpoint_document(made)})


@router.get("/ledger/consistency", response_model=ledger_models.ConsistencyView)
def consistency(
    ask: Asked,
    from_size: Annotated[int, Query(ge=0, le=LARGEST_NUMBER, description="Size of the older log")],
    size: Size = None,
) -> Response:
    """What proves that the log continues an older one."""
    _known(ask)
    made, steps = ask.network.proofs.consistency(from_size, size)
    return answer({"from_size": from_size, "proof": _hex(steps), "checkpoint": checkpoint_document(made)})


@router.get("/ledger/audit", response_model=ledger_models.AuditView)
def audit(ask: Asked) -> Response:
    """The whole ledger against its own transfers. For operators and regulators."""
    found = ask.network.wallets.audit(ask.caller)
    return answer(
        {
            "whole": not (found.sum_fen or found.wrong or found.unlogged),
            "accounts": found.accounts,
            "transfers": found.transfers,
            "sum_fen": found.sum_fen,
            "wrong": list(found.wrong),
            "unlogged": found.unlogged,
        }
    )


@router.get("/evidence/{kind}", response_model=ledger_models.PaperDocument)
def paper(
    ask: Asked,
    kind: PaperKind,
    name: Annotated[str, Query(min_length=1, max_length=400, description="As this kind is named, `demo/2026-03` say")],
    since: Since = None,
) -> Response:
    """A paper that proves itself: an invoice, a statement, an order, a voucher, a service credit, or an account's time.

    What it says is sealed in the log when it is first asked for. `suanwang verify` checks it without the network.
    """
    return answer(ask.network.papers.evidence(ask.caller, kind, name, since))


@router.get("/bills/{job_id}/evidence", response_model=ledger_models.BillDocument, tags=["bills"])
def evidence(
    ask: Asked,
    job_id: str,
    since: Since = None,
) -> Response:
    """A job's bill that proves itself: `suanwang verify` checks it without the network."""
    return answer(ask.network.proofs.evidence(ask.caller, JobId(job_id), since))


@router.get("/trace", response_model=ledger_models.TraceView)
def trace(
    ask: Asked,
    of: Annotated[
        str,
        Query(
            min_length=1, max_length=400, description="A job, a usage record (`JOB-1:3`) or a transfer (`JOB-1:3/0`)"
        ),
    ],
) -> Response:
    """From a job's first event to the last fen: events, usage records, bill lines, transfers, accounts; and from a transfer back."""
    return answer(_traced(ask.network.traces.trace(ask.caller, of)))


def _traced(value: Trace) -> dict[str, Any]:
    job, origin = value.job, value.origin
    return {
        "job": None if job is None else job.id,
        "project": None if job is None else job.project,
        "owner": None if job is None else job.owner,
        "name": None if job is None else job.task.name,
        "state": None if job is None else job.state,
        "origin": None
        if origin is None
        else {"transfer": _transfer(origin.entry), "of": origin.kind, "name": origin.name, "usage": origin.usage_id},
        "events": [answering.event(event) for event in value.events],
        "records": [
            {
                "usage": answering.usage_record(each.charged.usage),
                "line": answering.bill_line(each.charged.line),
                "settled": each.charged.settled,
                "transfers": [_transfer(entry) for entry in each.entries],
            }
            for each in value.records
        ],
        "uses": [_transfer(entry) for entry in value.uses],
        "accounts": [{"account": name, "change_fen": fen} for name, fen in value.changes.items()],
        "billed_fen": sum(each.charged.line.amount_fen for each in value.records),
    }


def _known(ask: Asked) -> None:
    """Raises `Unauthorized` for a stranger; whoever is known may have hashes."""
    assert ask.caller.name


def _hex(steps: Sequence[bytes]) -> list[str]:
    return [step.hex() for step in steps]


def _budget(used: Used) -> dict[str, Any]:
    budget = used.budget
    return {
        "scope": budget.scope,
        "name": budget.name,
        "period": budget.period,
        "limit_fen": budget.limit_fen,
        "spent_fen": used.spent_fen,
        "held_fen": used.held_fen,
        "left_fen": used.left_fen,
        "set_by": budget.set_by,
        "set_at": budget.set_at,
    }


def _account(value: Account) -> dict[str, Any]:
    return {
        "id": value.id,
        "owner": value.owner,
        "name": value.name,
        "currency": value.currency,
        "balance_fen": value.balance_fen,
        "held_fen": value.held_fen,
        "limit_fen": None if value.floor_fen is None else -value.floor_fen,
        "available_fen": value.available_fen,
    }


def _flow(value: Flow) -> dict[str, Any]:
    return {
        "month": value.month,
        "code": value.code,
        "project": value.project,
        "provider": value.provider,
        "amount_fen": value.amount_fen,
        "transfers": value.transfers,
    }


def _transfer(value: Entry) -> dict[str, Any]:
    transfer = value.transfer
    return {
        "id": transfer.id,
        "chain": transfer.chain,
        "phase": transfer.phase,
        "debit": transfer.debit,
        "credit": transfer.credit,
        "amount_fen": transfer.amount_fen,
        "code": transfer.code,
        "pending_id": transfer.pending_id,
        "timeout_at": transfer.timeout_at,
        "at": value.at,
        "leaf": value.leaf,
    }
