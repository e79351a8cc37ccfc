"""Selling and buying algorithms, models and data sets.

Owns who may list, see and buy what. What a job pays for reading a listing is `control.listed`'s.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from suanwang.control.billing.budgets import check_order, passed
from suanwang.control.market.requests import check_id
from suanwang.control.rules import Rules
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from suanwang.domain.file import Content, FileRecord, checked_sha256
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import Event
from suanwang.ports import Clock, Files, ListingQuery, Store, Traces
from suanwang.trading.ledger import MOST_FEN, NETWORK, AccountId, Outcome, Owner, Verdict, account_id
from suanwang.trading.listings import (
    MOST_INVITED,
    MOST_LICENCE,
    MOST_TITLE,
    MOST_WORDS,
    Charge,
    Copy,
    Kind,
    Listing,
    Use,
    copy_chain,
    left_of,
)
from suanwang.trading.settlement import opened

VERSION = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
VERSION_ALLOWED = "1 to 40 of a-z, 0-9, '.', '_' and '-', such as 1.0"
_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class NewListing:
    """What a seller lists: a file of `project` by its hash, or a data set held at `site`."""

    id: str
    version: str
    title_en: str
    title_zh: str
    description: str = ""
    kind: Kind
    licence: str
    project: ProjectId | None = None
    sha256: str | None = None
    site: SiteId | None = None
    dataset: str | None = None
    charge: Charge
    price_fen: int
    invited: tuple[ProjectId, ...] | None = None


class Listings:
    def __init__(self, store: Store, clock: Clock, rules: Rules, files: Files) -> None:
        self._store = store
        self._clock = clock
        self._rules = rules
        self._files = files

    def add(self, caller: Principal, wanted: NewListing) -> Listing:
        """Put a version on sale. Sending the same again changes nothing; versions do not change."""
        caller.must_be(Role.USER, Role.PROVIDER, Role.OPERATOR)
        _check(wanted)
        seller, content, site = self._sold(caller, wanted)
        now = self._clock.now()
        listing = Listing(
            id=wanted.id,
            version=wanted.version,
            seller=seller,
            title_en=wanted.title_en.strip(),
            title_zh=wanted.title_zh.strip(),
            description=wanted.description.strip(),
            kind=wanted.kind,
            licence=wanted.licence.strip(),
            content=content,
            dataset=wanted.dataset or "",
            site=site,
            charge=wanted.charge,
            price_fen=wanted.price_fen,
            invited=self._invited(wanted.invited),
            listed_at=now,
            listed_by=caller.name,
        )
        event = Event(
            kind="listing.added",
            at=now,
            project=wanted.project,
            site_id=site,
            actor=caller.name,
            data={"listing": listing.id, "version": listing.version, "sha256": listing.sha256, "seller": seller},
        )
        return self._store.add_listing(listing, (event,))

    def show(self, caller: Principal, listing_id: str, version: str | None = None) -> Listing:
        """A version; where none is named the newest on sale, or the last that was."""
        found = self._store.listing(listing_id, version)
        if found is None or not self._may_see(caller, found):
            named = listing_id[:100] + ("" if version is None else f"@{version[:50]}")
            raise NotFound(
                f"there is no listing {named!r} on sale for you", field="listing", allowed="see `listing list`"
            )
        return found

    def every(
        self,
        caller: Principal,
        *,
        text: str = "",
        kind: Kind | None = None,
        mine: bool = False,
        closed: bool = False,
        cursor: str | None = None,
        limit: int = 100,
    ) -> tuple[Sequence[Listing], str | None]:
        """What the caller may buy or sells, newest first."""
        watches = caller.role in (Role.OPERATOR, Role.REGULATOR)
        own = self.accounts(caller)
        query = ListingQuery(
            readers=None if watches else caller.projects,
            own=own,
            sellers=own if mine else None,
            kinds=None if kind is None else (kind,),
            text=text.strip()[:200],
            open=not closed,
        )
        return self._store.listings(query, cursor, min(limit, _PAGE))

    def withdraw(self, caller: Principal, listing_id: str, version: str | None = None) -> int:
        """Take a version, or all, off sale; returns how many were. Copies that were bought stay their projects'."""
        found = self._store.listing(listing_id, version)
        if found is None or not self._may_see(caller, found):
            raise NotFound(f"there is no listing {listing_id[:100]!r}", field="listing", allowed="see `listing list`")
        if not self.sells(caller, found):
            raise Forbidden(f"{caller.name!r} does not sell {listing_id}", field="token", allowed="its seller")
        now = self._clock.now()
        data = {"listing": listing_id, "version": version or "", "seller": found.seller}
        event = Event(kind="listing.withdrawn", at=now, actor=caller.name, data=data)
        return self._store.withdraw_listing(listing_id, version, now, (event,))

    def buy(
        self,
        caller: Principal,
        *,
        copy_id: str,
        listing_id: str,
        project: ProjectId,
        price_fen: int,
        version: str | None = None,
    ) -> Copy:
        """Buy a copy for a project, whose file it is from then on. Sending it again changes nothing.

        `price_fen` is what the buyer was shown; another price is a `Conflict`.
        """
        check_id(copy_id)
        if not caller.may_change(project):
            raise Forbidden(f"{caller.name!r} may not buy for {project!r}", field="project", allowed="your project")
        known = self._store.copy(copy_id)
        if known is not None:
            asked = (listing_id, version or known.version, project, price_fen)
            if asked != (known.listing, known.version, known.project, known.price_fen):
                raise Conflict("this identifier was used for another copy: send a new one", field="id")
            return known
        listing = self.show(caller, listing_id, version)
        content = self._sellable(listing, project, price_fen)
        now = self._clock.now()
        if price_fen:
            check_order(self._store, project, caller.name, price_fen, now)
        copy = Copy(
            id=copy_id,
            listing=listing.id,
            version=listing.version,
            project=project,
            seller=listing.seller,
            price_fen=price_fen,
            leftover=left_of(price_fen, self._rules.commission_bp),
            content=content,
            buyer=caller.name,
            at=now,
        )
        record = FileRecord(project=project, name=listing.file_name, version=0, content=content, created_at=now)
        data = {
            "listing": copy.listing,
            "version": copy.version,
            "sha256": content.sha256,
            "seller": copy.seller,
            "price_fen": price_fen,
            "copy": copy.id,
            "name": record.name,
        }
        event = Event(kind="listing.bought", at=now, project=project, actor=caller.name, data=data)
        payer = replace(opened(account_id(Owner.PROJECT, project)), floor_fen=-self._rules.project_credit_fen)
        self._store.open_accounts([payer, opened(copy.seller), opened(NETWORK)])
        outcome = self._store.sell_copy(copy, copy_chain(copy, self._rules.commission_bp), record, now, (event,))
        _check_paid(copy, outcome)
        stored = self._store.copy(copy_id)
        assert stored is not None, "it was kept"
        return stored

    def copies(
        self, caller: Principal, listing: str | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Copy], str | None]:
        """Copies the caller's projects bought, or that were sold by him; newest first."""
        return self._store.copies(self._traces(caller, listing), cursor, min(limit, _PAGE))

    def uses(
        self, caller: Principal, listing: str | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[Use], str | None]:
        """Uses by the caller's projects, and of what he sells; newest first."""
        return self._store.uses(self._traces(caller, listing), cursor, min(limit, _PAGE))

    def accounts(self, caller: Principal) -> tuple[AccountId, ...]:
        """The accounts that the caller sells for."""
        if caller.role is Role.PROVIDER:
            return (account_id(Owner.PROVIDER, caller.provider),) if caller.provider else ()
        return tuple(account_id(Owner.PROJECT, project) for project in caller.projects)

    def sells(self, caller: Principal, listing: Listing) -> bool:
        mine = listing.seller in self.accounts(caller) and caller.role in (Role.USER, Role.PROVIDER)
        return caller.role is Role.OPERATOR or mine

    def _may_see(self, caller: Principal, listing: Listing) -> bool:
        watches = caller.role in (Role.OPERATOR, Role.REGULATOR)
        open_to = listing.invited is None or any(listing.open_to(project) for project in caller.projects)
        return watches or self.sells(caller, listing) or open_to

    def _traces(self, caller: Principal, listing: str | None) -> Traces:
        if caller.role in (Role.OPERATOR, Role.REGULATOR):
            return Traces(listing=listing)
        return Traces(projects=caller.projects, sellers=self.accounts(caller), listing=listing)

    def _sold(self, caller: Principal, wanted: NewListing) -> tuple[AccountId, Content | None, SiteId | None]:
        """Seller, content and site of what is listed. Raises `InvalidRequest`."""
        if wanted.sha256 is not None and wanted.project is not None and (wanted.site, wanted.dataset) == (None, None):
            if not caller.may_change(wanted.project):
                raise Forbidden(f"{caller.name!r} does not sell for {wanted.project!r}", field="project")
            record = self._store.file_of(wanted.project, checked_sha256(wanted.sha256))
            if record is None or record.residency:
                raise InvalidRequest(
                    f"project {wanted.project} has no file of this content that may leave its site",
                    field="sha256",
                    allowed="the SHA-256 of a file of the project, see `suanwang file list`",
                )
            if self._files.size(record.content.sha256) is None:
                raise InvalidRequest("the bytes of this content are not here", field="sha256", allowed="upload them")
            return account_id(Owner.PROJECT, wanted.project), record.content, None
        if wanted.dataset is None or wanted.site is None or wanted.sha256 is not None or wanted.project is not None:
            raise InvalidRequest(
                "say what is sold: a file of a project, or a data set at a site",
                field="sha256",
                allowed="project and sha256, or site and dataset",
            )
        return self._dataset(caller, wanted.site, wanted.dataset, wanted)

    def _dataset(
        self, caller: Principal, site_id: SiteId, name: str, wanted: NewListing
    ) -> tuple[AccountId, None, SiteId]:
        site = self._store.site(site_id)
        if site is None:
            raise NotFound(f"there is no site {site_id[:100]!r}", field="site", allowed="see `site list`")
        provider = site.offering.provider
        if caller.role is not Role.OPERATOR and (caller.role, caller.provider) != (Role.PROVIDER, provider):
            raise Forbidden(f"{caller.name!r} does not sell for {provider}", field="token", allowed="its provider")
        have = sorted(dataset.name for dataset in site.offering.datasets)
        if name not in have:
            raise InvalidRequest(
                f"{site_id} holds no data set {name[:100]!r}", field="dataset", allowed=", ".join(have) or "none"
            )
        if wanted.charge is not Charge.USE or wanted.kind is not Kind.DATASET:
            raise InvalidRequest(
                "a data set that never leaves its site is sold by the use", field="charge", allowed="kind dataset, use"
            )
        return account_id(Owner.PROVIDER, provider), None, site_id

    def _invited(self, invited: tuple[ProjectId, ...] | None) -> tuple[ProjectId, ...] | None:
        if invited is None:
            return None
        known = {project.id for project in self._store.projects()}
        strange = [project for project in invited if project not in known]
        if strange:
            raise InvalidRequest(f"there is no project {strange[0][:100]!r}", field="invited", allowed="projects")
        return tuple(sorted(set(invited)))

    def _sellable(self, listing: Listing, project: ProjectId, price_fen: int) -> Content:
        if listing.withdrawn_at is not None:
            raise Conflict(f"{listing.name} was withdrawn", field="version", allowed="a version on sale")
        if not listing.open_to(project):
            raise Forbidden(f"{listing.name} is not for {project}", field="project", allowed="an invited project")
        if listing.charge is not Charge.COPY or listing.content is None:
            raise InvalidRequest(
                f"{listing.name} is sold by the use: name it as an input of a task",
                field="listing",
                allowed=listing.source,
            )
        if listing.seller == account_id(Owner.PROJECT, project):
            raise InvalidRequest(f"{listing.name} is {project}'s own", field="project", allowed="another project")
        if listing.price_fen != price_fen:
            raise Conflict(
                f"{listing.name} costs {listing.price_fen} fen, not {price_fen}: look again",
                field="price_fen",
                allowed=str(listing.price_fen),
            )
        return listing.content


def _check(wanted: NewListing) -> None:
    check_id(wanted.id)
    if VERSION.fullmatch(wanted.version) is None:
        raise InvalidRequest("this version is not possible", field="version", allowed=VERSION_ALLOWED)
    lines = (
        ("title_en", wanted.title_en, MOST_TITLE),
        ("title_zh", wanted.title_zh, MOST_TITLE),
        ("licence", wanted.licence, MOST_LICENCE),
    )
    for field, text, most in lines:
        if not 0 < len(text.strip()) <= most or not text.strip().isprintable():
            raise InvalidRequest(
                f"{field} is one line of text", field=field, allowed=f"1 to {most} characters; it has {len(text)}"
            )
    if len(wanted.description) > MOST_WORDS:
        raise InvalidRequest("this is too long", field="description", allowed=f"at most {MOST_WORDS} characters")
    if not 0 <= wanted.price_fen <= MOST_FEN:
        raise InvalidRequest("this price is not possible", field="price_fen", allowed=f"0 to {MOST_FEN}")
    if wanted.invited is not None and not 0 < len(wanted.invited) <= MOST_INVITED:
        raise InvalidRequest("say who is invited", field="invited", allowed=f"1 to {MOST_INVITED} projects")


def _check_paid(copy: Copy, outcome: Outcome | None) -> None:
    if outcome is None or outcome.done:
        return
    if outcome.verdict is Verdict.BUDGET:
        raise passed(outcome.purse, copy.price_fen)
    if outcome.verdict is Verdict.SHORT:
        message = f"{copy.project} cannot pay {copy.price_fen} fen"
        raise Conflict(message, field="project", allowed="money on its account, see `suanwang wallet`")
    raise Conflict(f"this cannot be paid: {outcome.verdict}", field="id", allowed="a new identifier")
