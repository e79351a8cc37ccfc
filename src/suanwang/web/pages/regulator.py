"""The regulator's page: vouchers by issuer with their budgets, the record with filters, signed checkpoints held together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Query, Response

from suanwang.client.problems import problem_rows
from suanwang.control.billing.vouchers import Standing
from suanwang.control.overview import Compared
from suanwang.domain.errors import InvalidRequest, NotFound
from suanwang.domain.identity import Role
from suanwang.domain.ids import ProjectId
from suanwang.ports import TrailQuery
from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.ledger import Owner, account_id
from suanwang.trading.proven import read_checkpoint
from suanwang.web.labels import N_, told
from suanwang.web.pages.bills import day_of
from suanwang.web.visiting import Form, PageRoute, Visit, Visited

router = APIRouter(route_class=PageRoute)
TRAIL, CHECKPOINTS, _PAGES, _PAGE = 50, 50, 40, 500
GROUPS: Mapping[str, str] = {
    "": N_("all but jobs"),
    "ledger.": N_("Ledger"),
    "voucher.": N_("Vouchers"),
    "dispute.": N_("Disputes"),
    "market.": N_("Market"),
    "plan.": N_("Plans"),
    "listing.": N_("Shop"),
    "agreement.": N_("Agreements"),
    "site.": N_("Sites"),
    "project.": N_("Projects"),
    "token.": N_("Tokens"),
    "file.": N_("Files"),
    "job.": N_("Jobs"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """An issuer's money: paid in = left in the budget + what its vouchers used, hold and have left."""

    issuer: str
    vouchers: int
    paid_in_fen: int
    issued_fen: int
    used_fen: int
    held_fen: int
    left_fen: int
    returned_fen: int
    budget_fen: int


@router.get("/regulator")
def show(
    visit: Visited,
    kind: Annotated[str, Query(max_length=40)] = "",
    project: Annotated[str, Query(max_length=63)] = "",
    actor: Annotated[str, Query(max_length=200)] = "",
    begin: Annotated[str, Query(alias="from", max_length=10)] = "",
    end: Annotated[str, Query(alias="to", max_length=10)] = "",
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    audit: bool = False,
) -> Response:
    visit.needs_login()
    chosen = {"kind": kind, "project": project, "actor": actor, "from": begin, "to": end}
    return _page(visit, chosen, before, audit=audit)


@router.post("/regulator/compare")
def compare(visit: Visited, form: Form) -> Response:
    """Whether one signed log continues another; the older one may be pasted, as it was kept elsewhere."""
    visit.needs_login()
    visit.caller.must_be(Role.OPERATOR, Role.REGULATOR)
    try:
        compared = visit.network.overview.compared(_older(visit, form), _size(form, "new"))
    except NotFound as error:
        return _page(visit, {}, None, form=form, problems=problem_rows(error))
    except InvalidRequest as error:
        return _page(visit, {}, None, form=form, problems=problem_rows(error))
    return _page(visit, {}, None, form=form, compared=compared)


def _page(
    visit: Visit,
    chosen: Mapping[str, str],
    before: int | None,
    *,
    audit: bool = False,
    form: Mapping[str, str] | None = None,
    problems: Any = (),
    compared: Compared | None = None,
) -> Response:
    visit.caller.must_be(Role.OPERATOR, Role.REGULATOR)
    overview, caller, names = visit.network.overview, visit.caller, visit.site_names()
    events = overview.trail(caller, _asked(visit, chosen), before, TRAIL)
    kept = {name: value for name, value in chosen.items() if value}
    older = {**kept, "before": events[-1].seq} if len(events) == TRAIL else None
    return visit.page(
        "regulator.html",
        422 if problems else 200,
        issuers=_issuers(visit),
        events=[(event, told(event, visit.translate, names)) for event in events],
        groups=GROUPS,
        chosen={"kind": "", "project": "", "actor": "", "from": "", "to": "", **chosen},
        filtered=bool(kept),
        first=f"/regulator?{urlencode(kept)}#record" if before else None,
        next=f"/regulator?{urlencode(older)}#record" if older else None,
        projects=visit.network.people.projects(caller),
        names=names,
        checkpoints=overview.checkpoints(caller, None, CHECKPOINTS),
        compared=compared,
        form=form or {},
        problems=problems,
        audit=visit.network.wallets.audit(caller) if audit else None,
    )


def _asked(visit: Visit, chosen: Mapping[str, str]) -> TrailQuery:
    kind, end = chosen.get("kind", ""), day_of(visit, chosen.get("to", ""), "to")
    if kind not in GROUPS:
        raise InvalidRequest("this is none of the choices", field="kind", allowed=", ".join(filter(None, GROUPS)))
    return TrailQuery(
        kinds=(kind,) if kind else None,
        project=ProjectId(chosen["project"]) if chosen.get("project") else None,
        actor=chosen.get("actor") or None,
        from_at=day_of(visit, chosen.get("from", ""), "from"),
        to_at=None if end is None else end + timedelta(days=1),
    )


def _issuers(visit: Visit) -> list[Issued]:
    standings: dict[str, list[Standing]] = defaultdict(list)
    cursor: str | None = None
    for _ in range(_PAGES):
        found, cursor = visit.network.vouchers.every(visit.caller, cursor, _PAGE)
        for each in found:
            standings[each.voucher.issuer].append(each)
        if cursor is None:
            break
    for event in visit.network.overview.trail(visit.caller, TrailQuery(kinds=("voucher.funded",)), None, _PAGE):
        standings[str(event.data["issuer"])] += []
    return [_issued(visit, issuer, every) for issuer, every in sorted(standings.items())]


def _issued(visit: Visit, issuer: str, every: list[Standing]) -> Issued:
    try:
        budget = visit.network.wallets.account(visit.caller, account_id(Owner.ISSUER, issuer)).balance_fen
    except NotFound:
        budget = 0
    issued, returned = sum(each.voucher.amount_fen for each in every), sum(each.returned_fen for each in every)
    return Issued(
        issuer=issuer,
        vouchers=len(every),
        paid_in_fen=budget + issued - returned,
        issued_fen=issued,
        used_fen=sum(each.used_fen for each in every),
        held_fen=sum(each.held_fen for each in every),
        left_fen=sum(each.left_fen for each in every),
        returned_fen=returned,
        budget_fen=budget,
    )


def _older(visit: Visit, form: Mapping[str, str]) -> Checkpoint:
    pasted = form.get("kept", "").strip()
    if not pasted:
        return visit.network.proofs.checkpoint(_size(form, "old"))
    try:
        return read_checkpoint(orjson.loads(pasted))
    except orjson.JSONDecodeError:
        raise InvalidRequest("this is no JSON", field="kept", allowed="what `wallet checkpoint` wrote") from None


def _size(form: Mapping[str, str], field: str) -> int:
    text = form.get(field, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise InvalidRequest("choose a checkpoint", field=field, allowed="one of the list")
    return int(text)
