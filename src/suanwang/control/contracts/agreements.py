"""Agreements as people use them: keys, drafts, signatures, notice, and what each month came to.

Owns who may do what. A party acts for itself alone: not even the network's operator registers its key or signs for it.
Finding and paying credits is the loop's (`control.crediting`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from suanwang.control.contracts.crediting import facts_of
from suanwang.control.people import check_project
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import ProjectId
from suanwang.domain.job import Event
from suanwang.ports import Clock, PartyKey, Store
from suanwang.trading.agreements import (
    Agreement,
    AgreementMove,
    AgreementState,
    Side,
    Signature,
    check_agreement,
    check_key,
    cut,
    in_force,
    key_bytes,
    month_number,
    moved,
    provider_account,
    signed_bytes,
    verified,
    with_notice,
)
from suanwang.trading.credits import Credit, credit_of
from suanwang.trading.ledger import AccountId, Owner, account_id

_PAGE = 500
_MOST_ID = 100
_SOMEBODY = "somebody changed it meanwhile: look again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An agreement as its parties see it."""

    agreement: Agreement
    keys: tuple[PartyKey, ...]
    """Registered by the two parties now."""
    so_far: Credit | None
    """What this month comes to until now; None where it is not in force."""


class Agreements:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def register_key(self, caller: Principal, party: str, key: str, signature: str) -> PartyKey:
        """The key that a party signs with from now on; `signature` is the key's own, over `key_bytes`."""
        owner, _, name = party.partition(":")
        if owner not in tuple(Side) or not _acts(caller, Side(owner), name):
            raise Forbidden(
                f"{caller.name!r} does not speak for {party[:100]!r}", field="party", allowed="project:… or provider:…"
            )
        if owner == Side.PROJECT:
            check_project(self._store, name, "party")
        check_key(key)
        if not verified(key, signature, key_bytes(party, key)):
            raise InvalidRequest(
                "this signature is not by this key", field="signature", allowed="the key's, over its registration"
            )
        now, account = self._clock.now(), AccountId(party)
        event = Event(
            kind="agreement.key",
            at=now,
            project=ProjectId(name) if owner == Side.PROJECT else None,
            actor=caller.name,
            data={"party": party, "key": key},
        )
        self._store.add_party_key(PartyKey(party=account, key=key, by=caller.name, at=now), (event,))
        return self._store.party_keys([account])[account]

    def draft(self, caller: Principal, wanted: Agreement) -> Seen:
        """Write a version. `wanted` has its terms; version, author and state are found here. The same terms again change
        nothing while they are being written."""
        if not 0 < len(wanted.id) <= _MOST_ID:
            raise InvalidRequest("this name is not possible", field="id", allowed=f"1 to {_MOST_ID} characters")
        author = self._side(caller, wanted)
        now = self._clock.now()
        versions = self._store.agreement_versions(wanted.id)
        if versions and (versions[0].project, versions[0].provider) != (wanted.project, wanted.provider):
            raise Conflict("this name is another agreement's", field="id", allowed="a new name")
        made = replace(
            wanted,
            version=len(versions) + 1,
            sites=tuple(sorted(wanted.sites)),
            author=author,
            state=AgreementState.DRAFT,
            drafted_by=caller.name,
            drafted_at=now,
        )
        if versions and replace(made, version=versions[-1].version).same_terms(versions[-1]) and _open(versions[-1]):
            return self._seen(versions[-1])
        check_agreement(made)
        self._check_parties(made)
        between = self._store.agreements_between(made.project, made.provider)
        waiting = next((each for each in between if _open(each)), None)
        if waiting is not None:
            raise Conflict(
                f"version {waiting.version} of {waiting.id} is {waiting.state}: sign it or withdraw it first",
                field="id",
            )
        if not self._store.change_agreements([made], [_event("drafted", caller, made, now=now)]):
            raise Conflict(_SOMEBODY, field="id")
        return self._seen(made)

    def sign(self, caller: Principal, agreement_id: str, version: int, key: str, signature: str) -> Seen:
        """Add one side's signature: its writer's offers the version, the other's brings it into force, and ends the
        version before where this one begins. The same signature again changes nothing."""
        agreement = self._found(caller, agreement_id, version)
        side = self._side(caller, agreement)
        check_key(key)
        if any((each.side, each.key, each.signature) == (side, key, signature) for each in agreement.signatures):
            return self._seen(agreement)
        if any(each.side is side for each in agreement.signatures):
            raise Conflict(f"the {side} has signed this version already", field="signature")
        party, now = agreement.party(side), self._clock.now()
        known = self._store.party_keys([party]).get(party)
        if known is None or known.key != key:
            raise InvalidRequest(
                f"this is not the registered key of {party}", field="key", allowed="the newest key registered"
            )
        if not verified(key, signature, signed_bytes(agreement, side, key)):
            raise InvalidRequest(
                "this signature is not by this key over these terms", field="signature", allowed="this version's"
            )
        own = Signature(side=side, key=key, signature=signature, by=caller.name, at=now)
        changed, told = self._signed(replace(agreement, signatures=(*agreement.signatures, own)), now)
        if not self._store.change_agreements(changed, [_event(told, caller, changed[-1], now=now, key=key)]):
            raise Conflict(_SOMEBODY, field="version")
        return self._seen(changed[-1])

    def end(self, caller: Principal, agreement_id: str, version: int) -> Seen:
        """Withdraw or decline what is not signed by both; give notice of what is. Repeating it is harmless."""
        agreement = self._found(caller, agreement_id, version)
        self._side(caller, agreement)
        if agreement.state is AgreementState.ENDED:
            return self._seen(agreement)
        now = self._clock.now()
        ended = with_notice(agreement, now)
        if not self._store.change_agreements([ended], [_event("ended", caller, ended, now=now)]):
            raise Conflict(_SOMEBODY, field="version")
        return self._seen(ended)

    def see(self, caller: Principal, agreement_id: str, version: int | None = None) -> Seen:
        """One version, by default the newest that the caller may see, with the levels reached this month."""
        if version is not None:
            return self._seen(self._found(caller, agreement_id, version))
        found = [each for each in self._store.agreement_versions(agreement_id) if _sees(caller, each)]
        if not found:
            raise _unknown(agreement_id)
        return self._seen(found[-1])

    def every(self, caller: Principal, cursor: str | None, limit: int) -> tuple[Sequence[Agreement], str | None]:
        """Of the caller's projects or sites, newest first; drafts are their writer's alone."""
        found, after = self._store.agreements(_parties(caller), cursor, min(limit, _PAGE))
        return [each for each in found if _sees(caller, each)], after

    def credits(
        self, caller: Principal, cursor: str | None, limit: int
    ) -> tuple[Sequence[tuple[Credit, bool]], str | None]:
        """Months that were measured, newest first, each with whether it still waits to be paid."""
        return self._store.service_credits(_parties(caller), cursor, min(limit, _PAGE))

    def _seen(self, agreement: Agreement) -> Seen:
        now = self._clock.now()
        month = month_number(now)
        period = agreement.period(month)
        so_far = None
        if period is not None and period[0] < now:
            facts = facts_of(self._store, agreement, period[0], min(period[1], now))
            so_far = credit_of(agreement, month, facts, now)
        keys = self._store.party_keys([agreement.party(side) for side in Side])
        return Seen(agreement=agreement, keys=tuple(keys[party] for party in sorted(keys)), so_far=so_far)

    def _signed(self, agreement: Agreement, now: datetime) -> tuple[list[Agreement], str]:
        """All that a signature changes, the signed version last, and what it is called."""
        if agreement.state is AgreementState.DRAFT:
            return [moved(agreement, AgreementMove.OFFER)], "offered"
        begun = in_force(agreement, now)
        between = self._store.agreements_between(agreement.project, agreement.provider)
        assert begun.from_at is not None, "it is in force"
        lasting = [e for e in between if e.until_at is not None and e.until_at > begun.from_at]
        return [*(cut(each, begun.from_at) for each in lasting), begun], "signed"

    def _found(self, caller: Principal, agreement_id: str, version: int) -> Agreement:
        found = self._store.agreement(agreement_id, version)
        if found is None or not _sees(caller, found):
            raise _unknown(agreement_id)
        return found

    def _side(self, caller: Principal, agreement: Agreement) -> Side:
        """Which of the two the caller speaks for. Raises `Forbidden`."""
        for side, name in ((Side.PROJECT, agreement.project), (Side.PROVIDER, agreement.provider)):
            if _acts(caller, side, name):
                return side
        raise Forbidden(
            f"{caller.name!r} speaks for neither side of this agreement",
            field="token",
            allowed="a user of the project, or the provider",
        )

    def _check_parties(self, agreement: Agreement) -> None:
        check_project(self._store, agreement.project)
        own = {site.id for site in self._store.sites() if site.offering.provider == agreement.provider}
        strange = [site for site in agreement.sites if site not in own]
        if strange:
            raise InvalidRequest(
                f"{agreement.provider[:100]!r} has no site {strange[0][:100]!r}",
                field="sites",
                allowed=", ".join(sorted(own)[:20]) or "none",
            )


def _acts(caller: Principal, side: Side, name: str) -> bool:
    if side is Side.PROJECT:
        return caller.role is Role.USER and name in caller.projects
    return caller.role is Role.PROVIDER and bool(name) and caller.provider == name


def _open(agreement: Agreement) -> bool:
    return agreement.state in (AgreementState.DRAFT, AgreementState.OFFERED)


def _sees(caller: Principal, agreement: Agreement) -> bool:
    """A draft is its writer's; what was offered is both sides'; operator and regulator see what was offered."""
    sides = [
        s for s, n in ((Side.PROJECT, agreement.project), (Side.PROVIDER, agreement.provider)) if _acts(caller, s, n)
    ]
    if not agreement.signatures:
        return agreement.author in sides
    return bool(sides) or caller.role in (Role.OPERATOR, Role.REGULATOR)


def _parties(caller: Principal) -> list[AccountId] | None:
    match caller.role:
        case Role.OPERATOR | Role.REGULATOR:
            return None
        case Role.USER:
            return [account_id(Owner.PROJECT, project) for project in caller.projects]
        case Role.PROVIDER:
            return [] if caller.provider is None else [provider_account(caller.provider)]
        case _:
            raise Forbidden(f"{caller.role} {caller.name!r} has no agreements", field="token", allowed="user, provider")


def _unknown(agreement_id: str) -> NotFound:
    return NotFound(
        f"there is no agreement {agreement_id[:100]!r} of yours", field="agreement", allowed="see `agreement list`"
    )


def _event(what: str, caller: Principal, agreement: Agreement, *, now: datetime, **data: object) -> Event:
    return Event(
        kind=f"agreement.{what}",
        at=now,
        project=agreement.project if agreement.signatures else None,
        actor=caller.name,
        data={"agreement": agreement.id, "version": agreement.version, "digest": agreement.digest, **data},
    )
