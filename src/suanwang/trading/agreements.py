"""Agreements between a project and a provider: what they may say, their states, and what both sign.

Owns terms, months, and the text that signatures are over. Whoever reads that text can check both signatures alone. What a
month under an agreement comes to is `trading.credits`'.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from types import MappingProxyType

from suanwang.domain.errors import Conflict, InvalidRequest
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.trading.leaves import canonical
from suanwang.trading.ledger import MOST_FEN, AccountId, Owner, account_id
from suanwang.trading.settlement import WHOLE_BP

ZONE = timezone(timedelta(hours=8))
"""Months are China's, whose clocks never change."""
WHOLE_PPM = 1_000_000
MOST_SITES = 100
MOST_STEPS = 10
MOST_TEXT = 20_000
MOST_MONTHS = 120
MOST_SECONDS = 31 * 86400
MOST_NAMES = 20
MOST_WITHIN_H = 744
RIGHT_LAPSED = "its right to capacity ends before it could"
"""Why a job fails that could not start within the hours it had bought."""
_MONTH = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])")
_KEY = re.compile(r"[0-9a-f]{64}")
_SIGNATURE = re.compile(r"[0-9a-f]{128}")


class AgreementState(StrEnum):
    DRAFT = "draft"
    """Seen by whoever wrote it."""
    OFFERED = "offered"
    """Signed by its writer."""
    SIGNED = "signed"
    """Signed by both."""
    ENDED = "ended"
    """Withdrawn, declined, given notice of, or over."""
    SUPERSEDED = "superseded"
    """A later version was signed."""


class AgreementMove(StrEnum):
    OFFER = "offer"
    SIGN = "sign"
    END = "end"
    SUPERSEDE = "supersede"


S, M = AgreementState, AgreementMove
AGREEMENT_MOVES: Mapping[tuple[AgreementState, AgreementMove], AgreementState] = MappingProxyType(
    {
        (S.DRAFT, M.OFFER): S.OFFERED,
        (S.DRAFT, M.END): S.ENDED,
        (S.OFFERED, M.SIGN): S.SIGNED,
        (S.OFFERED, M.END): S.ENDED,
        (S.SIGNED, M.END): S.ENDED,
        (S.SIGNED, M.SUPERSEDE): S.SUPERSEDED,
    }
)


class Side(StrEnum):
    PROJECT = "project"
    PROVIDER = "provider"


class Measure(StrEnum):
    """What a service level is about, of one site and month."""

    AVAILABILITY = "availability"
    """Share of the time in which the network reached the site."""
    PROMISED = "promised"
    """Share of the jobs with bought room that started within `within_s`."""
    START = "start"
    """From ready to start: what 95 of 100 starts stay within, in seconds."""
    THROUGHPUT = "throughput"
    """Units of the measure that quoted runs did for each unit of time, over those that their quotes reckoned with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditStep:
    """The level is missed below `bound` millionths, or above `bound` seconds; it costs this part of the site's bill."""

    bound: int
    credit_bp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    measure: Measure
    steps: tuple[CreditStep, ...]
    """From the mildest miss to the worst, each dearer than the one before."""
    within_s: int | None = None
    """Of `PROMISED` alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Orders that may be filled at the agreement's sites and can come to `over_fen` or more wait for one of each side's
    people, by the names of their tokens; a side that names nobody is not asked."""

    over_fen: int
    project: tuple[str, ...] = ()
    provider: tuple[str, ...] = ()
    within_h: int = 24
    """After that long without an answer they lapse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """By one side, over `signed_bytes`. Key and signature are hexadecimal."""

    side: Side
    key: str
    signature: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One version of the terms between a project and a provider. `revision` guards every change."""

    id: str
    version: int
    project: ProjectId
    provider: str
    sites: tuple[SiteId, ...]
    first: int
    last: int
    """Months, as `month_number` counts them; both are covered."""
    levels: tuple[Level, ...]
    notice_months: int = 1
    """Whole months that it goes on after the one in which either side gives notice."""
    text: str = ""
    """What else the parties agree, in words."""
    approval: Approval | None = None
    """Which orders wait for both sides' word."""
    author: Side
    state: AgreementState = AgreementState.DRAFT
    drafted_by: str
    drafted_at: datetime
    signatures: tuple[Signature, ...] = ()
    from_at: datetime | None = None
    """In force from then on: when both had signed, or its first month began."""
    until_at: datetime | None = None
    """And until then: its last month's end, the notice's, or the next version's beginning."""
    due: int | None = None
    """The next month whose credits are to be found."""
    revision: int = 0

    @property
    def terms(self) -> str:
        """The canonical text that is signed."""
        # What an agreement does not say is not in its text: what was signed before stays as it was signed.
        approval = {} if self.approval is None else {"approval": _approval(self.approval)}
        return canonical(
            {
                **approval,
                "kind": "agreement",
                "id": self.id,
                "version": self.version,
                "project": self.project,
                "provider": self.provider,
                "sites": list(self.sites),
                "first_month": month_text(self.first),
                "last_month": month_text(self.last),
                "notice_months": self.notice_months,
                "levels": [_level(level) for level in self.levels],
                "text": self.text,
            }
        )

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.terms.encode()).hexdigest()

    def party(self, side: Side) -> AccountId:
        return account_id(Owner.PROJECT, self.project) if side is Side.PROJECT else provider_account(self.provider)

    def same_terms(self, other: Agreement) -> bool:
        return self.terms == other.terms

    def period(self, month: int) -> tuple[datetime, datetime] | None:
        """The part of a month in which it is in force; None where there is none."""
        if self.from_at is None or self.until_at is None:
            return None
        begin, end = max(self.from_at, month_begins(month)), min(self.until_at, month_begins(month + 1))
        return (begin, end) if begin < end else None


def provider_account(provider: str) -> AccountId:
    return account_id(Owner.PROVIDER, provider)


def _approval(approval: Approval) -> dict[str, object]:
    return {
        "over_fen": approval.over_fen,
        "project": list(approval.project),
        "provider": list(approval.provider),
        "within_h": approval.within_h,
    }


def _level(level: Level) -> dict[str, object]:
    steps = [{"bound": step.bound, "credit_bp": step.credit_bp} for step in level.steps]
    return {"measure": level.measure, "within_s": level.within_s, "steps": steps}


# months


def month_number(at: datetime) -> int:
    """The month of an instant: years × 12 + months, from 0."""
    local = at.astimezone(ZONE)
    return local.year * 12 + local.month - 1


def month_begins(month: int) -> datetime:
    return datetime(month // 12, month % 12 + 1, 1, tzinfo=ZONE).astimezone(UTC)


def month_text(month: int) -> str:
    return f"{month // 12:04d}-{month % 12 + 1:02d}"


def month_of(text: str, field: str) -> int:
    """Reads `2026-03`. Raises `InvalidRequest`."""
    if not _MONTH.fullmatch(text):
        raise InvalidRequest(f"{text[:20]!r} is no month", field=field, allowed="a month such as 2026-03")
    return int(text[:4]) * 12 + int(text[5:]) - 1


# what may be said


def check_agreement(agreement: Agreement) -> None:
    """Raises `InvalidRequest` naming the field of terms that cannot be."""
    if not 0 <= agreement.last - agreement.first < MOST_MONTHS:
        raise InvalidRequest(
            "the last month comes before the first, or is too far off",
            field="last_month",
            allowed=f"up to {MOST_MONTHS} months",
        )
    if agreement.last < month_number(agreement.drafted_at):
        raise InvalidRequest("these months are over", field="last_month", allowed="this month or a later one")
    if not 0 <= agreement.notice_months <= 12:
        raise InvalidRequest("this notice is not possible", field="notice_months", allowed="0 to 12 months")
    if len(agreement.text) > MOST_TEXT:
        raise InvalidRequest("the text is too long", field="text", allowed=f"up to {MOST_TEXT} characters")
    sites = agreement.sites
    if not 0 < len(sites) <= MOST_SITES or len(set(sites)) != len(sites):
        raise InvalidRequest("sites are named once each", field="sites", allowed=f"1 to {MOST_SITES} sites")
    if len({level.measure for level in agreement.levels}) != len(agreement.levels):
        raise InvalidRequest("a measure has one level", field="levels", allowed=f"each once of {', '.join(Measure)}")
    for level in agreement.levels:
        _check_level(level)
    if agreement.approval is not None:
        _check_approval(agreement.approval)


def _check_approval(approval: Approval) -> None:
    if not 0 <= approval.over_fen <= MOST_FEN:
        raise InvalidRequest("this amount is not possible", field="approval.over_fen", allowed=f"0 to {MOST_FEN}")
    if not 1 <= approval.within_h <= MOST_WITHIN_H:
        raise InvalidRequest("this time is not possible", field="approval.within_h", allowed=f"1 to {MOST_WITHIN_H}")
    for field, names in (("project", approval.project), ("provider", approval.provider)):
        if len(set(names)) != len(names) or len(names) > MOST_NAMES or any(not 0 < len(n) <= 100 for n in names):
            raise InvalidRequest(
                "people are named once each", field=f"approval.{field}", allowed=f"up to {MOST_NAMES} names"
            )
    if not approval.project and not approval.provider:
        raise InvalidRequest("somebody must be named", field="approval", allowed="people of project or provider")


def _check_level(level: Level) -> None:
    if (level.measure is Measure.PROMISED) != (level.within_s is not None):
        raise InvalidRequest("`within_s` belongs to `promised`, and to no other", field="levels.within_s")
    if level.within_s is not None and not 0 < level.within_s <= MOST_SECONDS:
        raise InvalidRequest("this time is not possible", field="levels.within_s", allowed=f"1 to {MOST_SECONDS} s")
    if not 0 < len(level.steps) <= MOST_STEPS:
        raise InvalidRequest("a level has steps", field="levels.steps", allowed=f"1 to {MOST_STEPS}")
    rising = level.measure is Measure.START
    most = MOST_SECONDS if rising else WHOLE_PPM
    for step in level.steps:
        if not 0 < step.bound <= most or not 0 < step.credit_bp <= WHOLE_BP:
            raise InvalidRequest(
                "this step is not possible",
                field="levels.steps",
                allowed=f"a bound of 1 to {most} and a credit of 1 to {WHOLE_BP} basis points",
            )
    for mild, worse in zip(level.steps, level.steps[1:], strict=False):
        further = worse.bound > mild.bound if rising else worse.bound < mild.bound
        if not further or worse.credit_bp <= mild.credit_bp:
            raise InvalidRequest("each step is worse and dearer than the one before", field="levels.steps")


# signing


def signed_bytes(agreement: Agreement, side: Side, key: str) -> bytes:
    """What a side signs: good for these terms, this version, this party and this key alone."""
    return message_of(agreement.id, agreement.version, agreement.digest, agreement.party(side), key)


def message_of(agreement_id: str, version: int, digest: str, party: str, key: str) -> bytes:
    return _message("agreement", agreement_id, str(version), digest, party, key)


def key_bytes(party: str, key: str) -> bytes:
    """What whoever registers a key signs with it."""
    return _message("party key", party, key)


def _message(kind: str, *lines: str) -> bytes:
    return ("\n".join((f"suanwang {kind} 1", *lines)) + "\n").encode()


def fingerprint(key: str) -> str:
    """What people compare of a key: the first 16 bytes of its SHA-256, in groups."""
    digest = hashlib.sha256(bytes.fromhex(key)).hexdigest()[:32]
    return ":".join(digest[at : at + 4] for at in range(0, 32, 4))


def check_key(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise InvalidRequest("this is no Ed25519 key", field="key", allowed="64 hexadecimal digits, lower case")


def verified(key: str, signature: str, message: bytes) -> bool:
    """Whether `signature` is by `key` over `message` (Ed25519, RFC 8032)."""
    # Imported here: agents know agreements by the ports alone, and would start later by it.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if not _KEY.fullmatch(key) or not _SIGNATURE.fullmatch(signature):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


# moves


def moved(agreement: Agreement, move: AgreementMove) -> Agreement:
    """The agreement after a move, one revision on. Raises `Conflict` for one that its state does not allow."""
    state = AGREEMENT_MOVES.get((agreement.state, move))
    if state is None:
        raise Conflict(f"this agreement is {agreement.state}: it cannot {move}", field="state")
    return replace(agreement, state=state, revision=agreement.revision + 1)


def in_force(agreement: Agreement, now: datetime) -> Agreement:
    """The agreement signed by both at `now`. Raises `Conflict` where its months are over."""
    begin, end = max(now, month_begins(agreement.first)), month_begins(agreement.last + 1)
    if begin >= end:
        raise Conflict("these terms have expired", field="last_month", allowed="a new version")
    signed = moved(agreement, AgreementMove.SIGN)
    return replace(signed, from_at=begin, until_at=end, due=month_number(begin))


def cut(older: Agreement, at: datetime) -> Agreement:
    """`older` ending where its successor begins. Raises `Conflict` where it would begin no earlier."""
    assert older.from_at is not None, "it was signed"
    assert older.until_at is not None, "with its beginning it got its end"
    if at <= older.from_at:
        raise Conflict(
            f"version {older.version} of {older.id} is in force from {older.from_at:%Y-%m-%d %H:%M} UTC: they overlap",
            field="first_month",
            allowed="a later first month",
        )
    changed = moved(older, AgreementMove.SUPERSEDE) if older.state is S.SIGNED else older
    return _until(replace(changed, revision=older.revision + 1), min(at, older.until_at))


def with_notice(agreement: Agreement, now: datetime) -> Agreement:
    """Ended by one side: what both signed goes on until its notice is over."""
    ended = moved(agreement, AgreementMove.END)
    if agreement.until_at is None:
        return ended
    end = month_begins(month_number(now) + 1 + agreement.notice_months)
    return _until(ended, min(agreement.until_at, end))


def _until(agreement: Agreement, at: datetime) -> Agreement:
    changed = replace(agreement, until_at=at)
    if changed.due is not None and changed.period(changed.due) is None:
        return replace(changed, due=None)
    return changed


def credited(agreement: Agreement) -> Agreement:
    """With the next month due; ended where there is none."""
    assert agreement.due is not None, "it is credited when it is due"
    later = agreement.due + 1
    if agreement.period(later) is not None:
        return replace(agreement, due=later, revision=agreement.revision + 1)
    done = replace(agreement, due=None, revision=agreement.revision + 1)
    return replace(done, state=S.ENDED) if agreement.state is S.SIGNED else done
