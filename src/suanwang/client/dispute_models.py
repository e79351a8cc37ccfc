"""What the API says and takes about disputes, as pydantic models.

Owns these answers' field names. Amounts are whole fen.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from suanwang.client.models import Answer, Asked, Page
from suanwang.trading.disputes import MOST_TEXT
from suanwang.trading.ledger import MOST_FEN


class NewDispute(Asked):
    """The bill line that is wrong, by its usage record, and why."""

    usage: str = Field(min_length=1, max_length=200)
    text: str = Field(min_length=1, max_length=MOST_TEXT)


class NewStatement(Asked):
    """What the caller's side says."""

    text: str = Field(min_length=1, max_length=MOST_TEXT)


class NewDecision(Asked):
    """What the operator decides: 0 rejects the dispute, more is given back of the line."""

    credit_fen: int = Field(ge=0, le=MOST_FEN)
    text: str = Field(min_length=1, max_length=MOST_TEXT)


class DisputeStepView(Answer):
    """One step; `side` is null for the operator's, `leaf` is its place in the ledger's log."""

    act: Literal["opened", "stated", "rejected", "credited"]
    side: Literal["project", "provider"] | None
    by: str
    at: datetime
    text: str
    credit_fen: int
    leaf: int | None


class DisputeView(Answer):
    """A dispute about one bill line of `amount_fen`; `credit_fen` was given back."""

    usage: str
    project: str
    provider: str
    job: str
    site: str
    amount_fen: int
    credit_fen: int
    state: Literal["open", "rejected", "credited"]
    steps: list[DisputeStepView]


class DisputePage(Page):
    items: list[DisputeView]
