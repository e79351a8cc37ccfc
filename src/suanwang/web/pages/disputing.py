"""A line's dispute as its page shows it: what was said, what was decided, what moved, and what the reader may do about it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.identity import Role
from suanwang.domain.job import BillLine
from suanwang.trading.disputes import Act
from suanwang.web.labels import N_
from suanwang.web.visiting import Visit

STATES: Mapping[str, str] = {"open": N_("open"), "rejected": N_("rejected"), "credited": N_("credited")}
ACTS: Mapping[str, str] = {
    Act.OPENED: N_("disputed the line"),
    Act.STATED: N_("said"),
    Act.REJECTED: N_("rejected the dispute"),
    Act.CREDITED: N_("gave back"),
}
SIDES: Mapping[str | None, str] = {"project": N_("Payer"), "provider": N_("Provider"), None: N_("Operator")}


def dispute_context(visit: Visit, line: BillLine) -> dict[str, Any]:
    """What `dispute.html` needs for the line."""
    disputes, caller = visit.network.disputes, visit.caller
    found = disputes.find(caller, line.usage_id)
    party, undecided = disputes.party(caller, line), found is not None and found.decision is None
    return {
        "dispute": found,
        "credited": visit.network.wallets.given_back(line) if found is not None and found.credit_fen else (),
        "acts": ACTS,
        "sides": SIDES,
        "may_open": found is None and party and disputes.until(line),
        "too_late": found is None and party and line.amount_fen > 0 and not disputes.until(line),
        "may_say": undecided and party,
        "may_decide": undecided and caller.role is Role.OPERATOR,
        "days": visit.network.rules.dispute_days,
        "problems": (),
        "said": {},
    }


def fen_of(form: Mapping[str, str], field: str, *, most_fen: int) -> int:
    """An amount of yuan in a form, as fen up to `most_fen`. Raises `InvalidRequest`."""
    try:
        amount = Decimal(form.get(field, "").strip()) * 100
        fen = int(amount) if abs(amount) < 10**15 else -1
    except (ArithmeticError, ValueError):
        fen, amount = -1, Decimal(0)
    if fen != amount or not 0 < fen <= most_fen:
        raise InvalidRequest("an amount in yuan is needed here", field=field, allowed=f"0.01 to {most_fen / 100:.2f}")
    return fen
