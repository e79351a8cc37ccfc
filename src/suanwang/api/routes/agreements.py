"""Routes about agreements: keys of parties, versions, signatures, notice, and service credits."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from suanwang.api.answering import answer
from suanwang.api.asking import Asked, Body, Cursor, Limit, Route, model_of, paged
from suanwang.api.describing import FAULT, takes
from suanwang.client import agreement_models as models
from suanwang.control.contracts.agreements import Seen
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.ports import PartyKey
from suanwang.trading.agreements import (
    Agreement,
    Approval,
    CreditStep,
    Level,
    Measure,
    Side,
    fingerprint,
    month_of,
    month_text,
)
from suanwang.trading.credits import Credit, Reached, credit_chain

router = APIRouter(prefix="/v1/agreements", tags=["agreements"], route_class=Route, responses=FAULT)

Version = Annotated[int, Path(ge=1, le=1_000_000)]
_EXAMPLE = {
    "id": "demo-guian",
    "project": "demo",
    "provider": "guian-cloud",
    "sites": ["guian"],
    "first_month": "2026-03",
    "last_month": "2027-02",
    "levels": [
        {
            "measure": "availability",
            "steps": [{"bound": 999_000, "credit_bp": 1000}, {"bound": 990_000, "credit_bp": 2500}],
        },
        {"measure": "start", "steps": [{"bound": 600, "credit_bp": 500}]},
        {"measure": "promised", "within_s": 60, "steps": [{"bound": 990_000, "credit_bp": 1000}]},
    ],
}
_KEY = "af06a3e3291714e4f356c19c9b15cd1951ec6e6662aa77be07547f289383341d"
_REGISTERED = {
    "party": "project:demo",
    "key": _KEY,
    "signature": "1deb5d01360a49ce8f31ba6fceec87ed6d4e08846667973fee958c75cfbe2948"
    "ebb33415ed1d16694f9ca9391ccc2927b2752087d98b7ba34e8ea4476e412604",
}
_SIGNED = {
    "key": _KEY,
    "signature": "a0845e6e30c1dfa23f3248c117643f435158f731dbb4649e3f70493cb9148ac2"
    "f10d6a8c8f14f5b2f5859953b4e738592fc80e71bbb84bb6e6c500197a01d40d",
}


@router.post(
    "/keys",
    status_code=201,
    response_model=models.PartyKeyView,
    openapi_extra=takes("NewPartyKey", _REGISTERED),
)
def register_key(ask: Asked, body: Body) -> Response:
    """The key that a party signs with from now on. Only the party itself registers it."""
    caller = ask.caller
    asked = model_of(models.NewPartyKey, body)
    made = ask.network.agreements.register_key(caller, asked.party, asked.key, asked.signature)
    return answer(key_row(made), 201)


@router.get("/credits", response_model=models.CreditPage)
def service_credits(ask: Asked, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Months that were measured, with the levels reached and what is owed for those missed; newest first."""
    caller = ask.caller
    found, after = paged(lambda at, most: ask.network.agreements.credits(caller, at, most), cursor, limit)
    return answer({"items": [credit_row(credit, paid=not waits) for credit, waits in found], "next": after})


@router.get("", response_model=models.AgreementPage)
def agreements(ask: Asked, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """Versions of the caller's side, newest first. A draft is shown to its writer alone."""
    caller = ask.caller
    found, after = paged(lambda at, most: ask.network.agreements.every(caller, at, most), cursor, limit)
    return answer({"items": [agreement_row(each) for each in found], "next": after})


@router.post("", status_code=201, response_model=models.SeenAgreement, openapi_extra=takes("NewAgreement", _EXAMPLE))
def draft(ask: Asked, body: Body) -> Response:
    """Write a version of terms. The same terms again change nothing while they are being written."""
    caller = ask.caller
    asked = model_of(models.NewAgreement, body)
    wanted = Agreement(
        id=asked.id,
        version=0,
        project=ProjectId(asked.project),
        provider=asked.provider,
        sites=tuple(SiteId(site) for site in asked.sites),
        first=month_of(asked.first_month, "first_month"),
        last=month_of(asked.last_month, "last_month"),
        levels=tuple(
            Level(
                measure=Measure(level.measure),
                within_s=level.within_s,
                steps=tuple(CreditStep(bound=step.bound, credit_bp=step.credit_bp) for step in level.steps),
            )
            for level in asked.levels
        ),
        notice_months=asked.notice_months,
        text=asked.text,
        approval=None
        if asked.approval is None
        else Approval(
            over_fen=asked.approval.over_fen,
            project=tuple(asked.approval.project),
            provider=tuple(asked.approval.provider),
            within_h=asked.approval.within_h,
        ),
        author=Side.PROJECT,
        drafted_by=caller.name,
        drafted_at=ask.network.clock.now(),
    )
    return answer(seen_row(ask.network.agreements.draft(caller, wanted)), 201)


@router.get("/{agreement_id}", response_model=models.SeenAgreement)
def newest(ask: Asked, agreement_id: str) -> Response:
    """The newest version that the caller may see, with the levels reached this month."""
    return answer(seen_row(ask.network.agreements.see(ask.caller, agreement_id)))


@router.get("/{agreement_id}/{version}", response_model=models.SeenAgreement)
def agreement(ask: Asked, agreement_id: str, version: Version) -> Response:
    """One version, with the levels reached this month."""
    return answer(seen_row(ask.network.agreements.see(ask.caller, agreement_id, version)))


@router.post(
    "/{agreement_id}/{version}/signatures",
    status_code=201,
    response_model=models.SeenAgreement,
    openapi_extra=takes("NewSignature", _SIGNED),
)
def sign(ask: Asked, agreement_id: str, version: Version, body: Body) -> Response:
    """Add the caller's side's signature. The writer's offers the version, the other's brings it into force."""
    caller = ask.caller
    asked = model_of(models.NewSignature, body)
    done = ask.network.agreements.sign(caller, agreement_id, version, asked.key, asked.signature)
    return answer(seen_row(done), 201)


@router.post("/{agreement_id}/{version}/end", response_model=models.SeenAgreement)
def end(ask: Asked, agreement_id: str, version: Version) -> Response:
    """Withdraw or decline what is not signed by both; give notice of what is. Repeating it is harmless."""
    return answer(seen_row(ask.network.agreements.end(ask.caller, agreement_id, version)))


def seen_row(seen: Seen) -> dict[str, Any]:
    return {
        "agreement": agreement_row(seen.agreement),
        "keys": [key_row(key) for key in seen.keys],
        "so_far": None if seen.so_far is None else credit_row(seen.so_far, paid=False, closed=False),
    }


def agreement_row(agreement: Agreement) -> dict[str, Any]:
    return {
        "id": agreement.id,
        "version": agreement.version,
        "project": agreement.project,
        "provider": agreement.provider,
        "sites": agreement.sites,
        "first_month": month_text(agreement.first),
        "last_month": month_text(agreement.last),
        "notice_months": agreement.notice_months,
        "levels": [
            {
                "measure": level.measure,
                "within_s": level.within_s,
                "steps": [{"bound": step.bound, "credit_bp": step.credit_bp} for step in level.steps],
            }
            for level in agreement.levels
        ],
        "text": agreement.text,
        "author": agreement.author,
        "state": agreement.state,
        "drafted_by": agreement.drafted_by,
        "drafted_at": agreement.drafted_at,
        "from_at": agreement.from_at,
        "until_at": agreement.until_at,
        "terms": agreement.terms,
        "digest": agreement.digest,
        "signatures": [
            {
                "side": each.side,
                "key": each.key,
                "fingerprint": fingerprint(each.key),
                "signature": each.signature,
                "by": each.by,
                "at": each.at,
            }
            for each in agreement.signatures
        ],
    }


def key_row(key: PartyKey) -> dict[str, Any]:
    return {"party": key.party, "key": key.key, "fingerprint": fingerprint(key.key), "by": key.by, "at": key.at}


def credit_row(credit: Credit, *, paid: bool, closed: bool = True) -> dict[str, Any]:
    chain = credit_chain(credit) if closed else ()
    return {
        "agreement": credit.agreement,
        "version": credit.version,
        "project": credit.project,
        "provider": credit.provider,
        "month": month_text(credit.month),
        "from_at": credit.from_at,
        "to_at": credit.to_at,
        "levels": [_reached(level) for level in credit.levels],
        "bill_fen": credit.bill_fen,
        "amount_fen": credit.amount_fen,
        "paid": paid,
        "transfer": chain[0].id if chain else None,
    }


def _reached(level: Reached) -> dict[str, Any]:
    return {
        "site": level.site,
        "measure": level.measure,
        "value": level.value,
        "number": level.number,
        "missed": level.missed,
        "misses": [
            {
                "from_at": miss.from_at,
                "to_at": miss.to_at,
                "events": miss.events,
                "job": miss.job,
                "started": miss.started,
            }
            for miss in level.misses
        ],
        "bill_fen": level.bill_fen,
        "credit_bp": level.credit_bp,
        "amount_fen": level.amount_fen,
    }
