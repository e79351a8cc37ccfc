"""Agreements: versions and their terms, signatures, the levels reached this month, and the credits of months that are over."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Query, Response

from suanwang.domain.errors import InvalidRequest
from suanwang.trading.agreements import (
    Agreement,
    AgreementState,
    CreditStep,
    Measure,
    Side,
    fingerprint,
    month_text,
)
from suanwang.trading.credits import Reached
from suanwang.web.labels import N_
from suanwang.web.visiting import PageRoute, Visit, Visited

router = APIRouter(route_class=PageRoute)
PAGE, SHOWN = 20, 20
NOTHING = N_("nothing to measure")

STATES: Mapping[str, str] = {
    AgreementState.DRAFT: N_("draft"),
    AgreementState.OFFERED: N_("offered, waits for the other side"),
    AgreementState.SIGNED: N_("signed by both"),
    AgreementState.ENDED: N_("ended"),
    AgreementState.SUPERSEDED: N_("superseded"),
}
SIDES: Mapping[str, str] = {Side.PROJECT: N_("Project"), Side.PROVIDER: N_("Provider")}
MEASURES: Mapping[str, str] = {
    Measure.AVAILABILITY: N_("availability in the month"),
    Measure.PROMISED: N_("jobs with bought room started in time"),
    Measure.START: N_("ready to start, p95"),
    Measure.THROUGHPUT: N_("units done, of those the quotes reckoned with"),
}


@router.get("/agreements")
def show(visit: Visited, cursor: Annotated[str, Query(max_length=300)] = "") -> Response:
    visit.needs_login()
    kept = visit.network.agreements
    try:
        found, after = kept.every(visit.caller, cursor or None, PAGE)
    except (ValueError, LookupError):
        raise InvalidRequest("this page is not one of ours", field="cursor", allowed="follow the link") from None
    credits_, _ = kept.credits(visit.caller, None, SHOWN)
    return visit.page(
        "agreements.html",
        rows=[kept.see(visit.caller, each.id, each.version) for each in found],
        credits=credits_,
        states=STATES,
        sides=SIDES,
        measures=MEASURES,
        names=visit.site_names(),
        month=month_text,
        fingerprint=fingerprint,
        value=lambda level: _value(visit, level),
        step=_step,
        months=_months,
        next=after,
        first=bool(cursor),
        shown=SHOWN,
    )


def _value(visit: Visit, level: Reached) -> str:
    if level.value is None:
        return visit.translate(NOTHING)
    return f"{level.value / 1000:g} s" if level.measure is Measure.START else f"{Decimal(level.value) / 10_000:f} %"


def _step(measure: Measure, step: CreditStep) -> str:
    credit = f"{Decimal(step.credit_bp) / 100:f} %"
    if measure is Measure.START:
        return f"> {step.bound} s → {credit}"
    return f"< {Decimal(step.bound) / 10_000:f} % → {credit}"


def _months(agreement: Agreement) -> str:
    return f"{month_text(agreement.first)} – {month_text(agreement.last)}"
