"""What the API says and takes about agreements, as pydantic models.

Owns these answers' field names. Bounds are millionths of a share or seconds, credits basis points, amounts whole fen.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from suanwang.client.models import Answer, Asked, Page
from suanwang.client.voucher_models import NAME
from suanwang.trading.agreements import (
    MOST_NAMES,
    MOST_SECONDS,
    MOST_SITES,
    MOST_STEPS,
    MOST_TEXT,
    MOST_WITHIN_H,
    WHOLE_PPM,
)
from suanwang.trading.ledger import MOST_FEN
from suanwang.trading.settlement import WHOLE_BP

MONTH = r"^20[0-9]{2}-(0[1-9]|1[0-2])$"
HEX_KEY = r"^[0-9a-f]{64}$"
HEX_SIGNATURE = r"^[0-9a-f]{128}$"
MEASURE = r"^(availability|promised|start|throughput)$"


class NewStep(Asked):
    """Missed below `bound` millionths of a share, or above `bound` seconds, a level costs `credit_bp` of the site's bill."""

    bound: int = Field(ge=1, le=max(WHOLE_PPM, MOST_SECONDS))
    credit_bp: int = Field(ge=1, le=WHOLE_BP)


class NewLevel(Asked):
    """A service level: `availability`, `promised` (within `within_s`), `start` (p95) or `throughput`; the mildest step first."""

    measure: str = Field(pattern=MEASURE)
    within_s: int | None = Field(default=None, ge=1, le=MOST_SECONDS)
    steps: list[NewStep] = Field(min_length=1, max_length=MOST_STEPS)


class NewApproval(Asked):
    """Orders that can come to `over_fen` or more wait for one of each side's people, by the names of their tokens."""

    over_fen: int = Field(ge=0, le=MOST_FEN)
    project: list[str] = Field(default=[], max_length=MOST_NAMES)
    provider: list[str] = Field(default=[], max_length=MOST_NAMES)
    within_h: int = Field(default=24, ge=1, le=MOST_WITHIN_H)


class NewAgreement(Asked):
    """A version of terms. The next version of an agreement carries its `id` again."""

    id: str = Field(pattern=NAME)
    project: str = Field(min_length=1, max_length=63)
    provider: str = Field(min_length=1, max_length=200)
    sites: list[str] = Field(min_length=1, max_length=MOST_SITES)
    first_month: str = Field(pattern=MONTH)
    last_month: str = Field(pattern=MONTH)
    notice_months: int = Field(default=1, ge=0, le=12)
    levels: list[NewLevel] = Field(default=[], max_length=4)
    text: str = Field(default="", max_length=MOST_TEXT)
    approval: NewApproval | None = None


class NewPartyKey(Asked):
    """The Ed25519 key that a party (`project:NAME` or `provider:NAME`) signs with; `signature` is its own, over
    `suanwang party key 1`, the party and the key, each on a line."""

    party: str = Field(min_length=1, max_length=210)
    key: str = Field(pattern=HEX_KEY)
    signature: str = Field(pattern=HEX_SIGNATURE)


class NewSignature(Asked):
    """By the caller's side; what it is over stands at `AgreementView`."""

    key: str = Field(pattern=HEX_KEY)
    signature: str = Field(pattern=HEX_SIGNATURE)


class PartyKeyView(Answer):
    """A party's key; people compare `fingerprint`."""

    party: str
    key: str
    fingerprint: str
    by: str
    at: datetime


class SignatureView(Answer):
    side: str
    key: str
    fingerprint: str
    signature: str
    by: str
    at: datetime


class StepView(Answer):
    bound: int
    credit_bp: int


class LevelView(Answer):
    measure: str
    within_s: int | None
    steps: list[StepView]


class MissView(Answer):
    """An interval without the site or a late start, with the numbers of the events that say so."""

    from_at: datetime
    to_at: datetime
    events: list[int]
    job: str | None
    started: bool


class ReachedView(Answer):
    """A level of one site: `value` in millionths or milliseconds, of `number` starts or milliseconds."""

    site: str
    measure: str
    value: int | None
    number: int
    missed: int
    misses: list[MissView]
    bill_fen: int
    credit_bp: int
    amount_fen: int


class CreditView(Answer):
    """A month of an agreement: what was reached and what the provider owes; `transfer` names how it is paid."""

    agreement: str
    version: int
    project: str
    provider: str
    month: str
    from_at: datetime
    to_at: datetime
    levels: list[ReachedView]
    bill_fen: int
    amount_fen: int
    paid: bool
    transfer: str | None


class CreditPage(Page):
    items: list[CreditView]


class AgreementView(Answer):
    """One version. `terms` is the canonical text, `digest` its SHA-256; who signs, signs `suanwang agreement 1`, id,
    version, digest, party and key, each on a line."""

    id: str
    version: int
    project: str
    provider: str
    sites: list[str]
    first_month: str
    last_month: str
    notice_months: int
    levels: list[LevelView]
    text: str
    author: str
    state: str
    drafted_by: str
    drafted_at: datetime
    from_at: datetime | None
    until_at: datetime | None
    terms: str
    digest: str
    signatures: list[SignatureView]


class AgreementPage(Page):
    items: list[AgreementView]


class SeenAgreement(Answer):
    """A version, the keys its parties have now, and what this month comes to so far."""

    agreement: AgreementView
    keys: list[PartyKeyView]
    so_far: CreditView | None
