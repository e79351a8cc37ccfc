"""Who is calling, and what he may do.

Owns roles and the rules that follow from them. How a token is read from a request is the edge's business; tokens are
kept as digests only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from suanwang.domain.errors import Forbidden
from suanwang.domain.ids import ProjectId, SiteId


class Role(StrEnum):
    USER = "user"
    """Submits and sees the work of his projects."""
    PROVIDER = "provider"
    """Offers sites, sees what runs there, sets their price."""
    OPERATOR = "operator"
    """Runs the network: sees and may do everything but forge history."""
    REGULATOR = "regulator"
    """Sees everything, changes nothing."""
    JOIN = "join"
    """May turn itself into one site's agent."""
    AGENT = "agent"
    """One site's agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    name: str
    role: Role
    projects: tuple[ProjectId, ...] = ()
    """Projects a user belongs to; the first is his default."""
    provider: str | None = None
    """The organisation a provider speaks for."""
    site_id: SiteId | None = None

    def must_be(self, *roles: Role) -> None:
        """Raises `Forbidden` unless this caller has one of `roles`."""
        if self.role not in roles:
            raise Forbidden(f"{self.role} {self.name!r} may not do this", field="token", allowed=" or ".join(roles))

    def may_see(self, project: ProjectId) -> bool:
        return self.role in (Role.OPERATOR, Role.REGULATOR) or project in self.projects

    def may_change(self, project: ProjectId) -> bool:
        return self.role is Role.OPERATOR or (self.role is Role.USER and project in self.projects)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A credential. `digest` is the SHA-256 of the secret, the only form in which it is stored."""

    id: str
    digest: str
    principal: Principal
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    note: str = ""

    def valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    id: ProjectId
    title: str
    created_at: datetime
    labels: Mapping[str, str] = field(default_factory=dict)
    """Whose it is: `organisation`, `department`, `team`."""

    @property
    def organisation(self) -> str:
        return self.labels.get("organisation", "")
