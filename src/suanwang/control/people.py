"""Projects, credentials, and who a secret belongs to.

Owns how a secret becomes a principal. Secrets are seen once, when they are made; only their digests are kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta

from suanwang.domain.errors import InvalidRequest, NotFound, Unauthorized
from suanwang.domain.identity import Principal, Project, Role, Token
from suanwang.domain.ids import ProjectId
from suanwang.domain.job import Event
from suanwang.ports import Clock, Identities, Store

NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,62}")
SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
LABELS = ("organisation", "department", "team")
LONGEST_TTL_S = 366 * 86400


def digest_of(secret: str) -> str:
    """The stored form of a secret: they carry 256 bits of chance, so a plain hash cannot be searched."""
    return hashlib.sha256(secret.encode()).hexdigest()


def check_slug(value: str, field: str) -> str:
    """Raises `InvalidRequest` unless `value` is a short lower-case name."""
    if not SLUG.fullmatch(value):
        raise InvalidRequest(
            f"{value!r} is no name",
            field=field,
            allowed="lower-case letters, digits and dashes, at most 63, e.g. guian-1",
        )
    return value


def check_project(store: Store, project_id: str, field: str = "project") -> None:
    """Raises `NotFound` where there is no such project."""
    if all(known.id != project_id for known in store.projects()):
        raise NotFound(f"there is no project {project_id[:100]!r}", field=field, allowed="see `project list`")


class People:
    def __init__(self, store: Store, clock: Clock, identities: Identities) -> None:
        self._store = store
        self._clock = clock
        self._identities = identities

    def authenticate(self, secret: str | None) -> Principal:
        """Raises `Unauthorized` for no, an unknown, an expired or a revoked token; the message does not say which exists."""
        token = self._store.token(digest_of(secret)) if secret else None
        if token is None:
            raise Unauthorized("no valid token", field="Authorization", allowed="Bearer TOKEN, from `suanwang token`")
        if not token.valid(self._clock.now()):
            raise Unauthorized("this token has expired or was revoked; ask for a new one", field="Authorization")
        return token.principal

    def create_token(
        self,
        caller: Principal,
        principal: Principal,
        *,
        ttl_s: float | None = None,
        note: str = "",
    ) -> tuple[Token, str]:
        """A new credential and its secret. Operators make any; a user makes narrower ones of his own."""
        self._check(caller, principal, ttl_s)
        for project in principal.projects:
            if project not in {known.id for known in self._store.projects()}:
                raise InvalidRequest(f"no project {project!r}", field="projects", allowed="existing projects")
        return self._make(caller.name, principal, ttl_s=ttl_s, note=note)

    def seed(self, principal: Principal, secret: str, *, note: str = "") -> Token:
        """Store a credential whose secret was made elsewhere (the first operator's). The same one twice changes nothing."""
        known = self._store.token(digest_of(secret))
        if known is not None:
            return known
        identifier, _ = self._identities.token()
        return self._keep("network", identifier, secret, principal, None, note)

    def _make(self, actor: str, principal: Principal, *, ttl_s: float | None, note: str) -> tuple[Token, str]:
        identifier, secret = self._identities.token()
        return self._keep(actor, identifier, secret, principal, ttl_s, note), secret

    def _keep(
        self, actor: str, identifier: str, secret: str, principal: Principal, ttl_s: float | None, note: str
    ) -> Token:
        now = self._clock.now()
        token = Token(
            id=identifier,
            digest=digest_of(secret),
            principal=principal,
            created_at=now,
            expires_at=None if ttl_s is None else now + timedelta(seconds=ttl_s),
            note=note,
        )
        event = Event(
            kind="token.created",
            at=now,
            actor=actor,
            site_id=principal.site_id,
            data={"token": identifier, "name": principal.name, "role": principal.role},
        )
        self._store.add_token(token, (event,))
        return token

    def _check(self, caller: Principal, principal: Principal, ttl_s: float | None) -> None:
        if not NAME.fullmatch(principal.name):
            raise InvalidRequest(
                f"{principal.name!r} is no name",
                field="name",
                allowed="lower-case letters, digits and . _ @ -, at most 63",
            )
        if ttl_s is not None and not 1 <= ttl_s <= LONGEST_TTL_S:
            raise InvalidRequest("a token lives 1 s to 366 days", field="ttl_s", allowed="1 to 31622400")
        own = (
            caller.role is Role.USER
            and principal.role is Role.USER
            and principal.name == caller.name
            and set(principal.projects) <= set(caller.projects)
        )
        if not own:
            caller.must_be(Role.OPERATOR)
        if principal.role in (Role.JOIN, Role.AGENT):
            raise InvalidRequest(
                "a site's tokens come from inviting the site", field="role", allowed="user, provider, …"
            )
        if principal.role is Role.PROVIDER and not principal.provider:
            raise InvalidRequest("a provider's token names its organisation", field="provider", allowed="a name")

    def site_token(self, actor: str, principal: Principal, *, ttl_s: float | None, note: str) -> tuple[Token, str]:
        """A join or agent credential; `control.sites` has checked who asks."""
        return self._make(actor, principal, ttl_s=ttl_s, note=note)

    def tokens(self, caller: Principal) -> Sequence[Token]:
        """An operator or regulator sees all, others their own."""
        every = self._store.tokens()
        if caller.role in (Role.OPERATOR, Role.REGULATOR):
            return every
        # A user and a provider may bear one name: the role tells them apart.
        mine = (caller.name, caller.role)
        return [token for token in every if (token.principal.name, token.principal.role) == mine]

    def revoke(self, caller: Principal, token_id: str) -> None:
        mine = {token.id for token in self.tokens(caller)}
        if caller.role is Role.REGULATOR or token_id not in mine:
            raise NotFound(f"no token {token_id!r}", field="token", allowed="one of your tokens")
        now = self._clock.now()
        event = Event(kind="token.revoked", at=now, actor=caller.name, data={"token": token_id})
        self._store.revoke_token(token_id, now, (event,))

    def create_project(self, caller: Principal, project_id: str, title: str) -> Project:
        caller.must_be(Role.OPERATOR)
        project = Project(
            id=ProjectId(check_slug(project_id, "id")), title=title.strip() or project_id, created_at=self._clock.now()
        )
        event = Event(kind="project.created", at=project.created_at, project=project.id, actor=caller.name)
        self._store.add_project(project, (event,))
        return project

    def label_project(self, caller: Principal, project_id: ProjectId, labels: Mapping[str, str]) -> Project:
        """Say whose a project is: its organisation, department and team. What is not said any more is forgotten."""
        caller.must_be(Role.OPERATOR)
        for name, value in labels.items():
            if name not in LABELS:
                raise InvalidRequest(f"no label {name[:40]!r}", field="labels", allowed=", ".join(LABELS))
            if value != value.strip() or not 0 < len(value) <= 100 or not value.isprintable():
                raise InvalidRequest("a label is one line", field=f"labels.{name}", allowed="1 to 100 characters")
        event = Event(
            kind="project.labelled",
            at=self._clock.now(),
            project=project_id,
            actor=caller.name,
            data={"labels": labels},
        )
        if not self._store.label_project(project_id, labels, (event,)):
            raise NotFound(f"there is no project {project_id[:100]!r}", field="project", allowed="see `project list`")
        return next(project for project in self._store.projects() if project.id == project_id)

    def projects(self, caller: Principal) -> Sequence[Project]:
        return [project for project in self._store.projects() if caller.may_see(project.id)]
