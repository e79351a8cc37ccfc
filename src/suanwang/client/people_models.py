"""People as the API shows and takes them: tokens, projects, and what projects may have."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from suanwang.client.answers import Answer, Asked
from suanwang.domain.identity import Role


class WhoAmI(Answer):
    name: str
    role: Role
    projects: list[str]
    provider: str | None
    site: str | None


class TokenView(Answer):
    """A credential without its secret."""

    id: str
    name: str
    role: Role
    projects: list[str]
    provider: str | None
    site: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    note: str


class TokenList(Answer):
    items: list[TokenView]


class CreatedToken(Answer):
    """`secret` is shown once."""

    token: TokenView
    secret: str


class ProjectView(Answer):
    id: str
    title: str
    created_at: datetime
    labels: dict[str, str] = {}


class AmountsView(Answer):
    """Cores, memory and devices by model."""

    cores: float
    memory_gb: float
    devices: dict[str, float]


class AllowanceView(Answer):
    """What a project may have, beside what it has. None, and a model that is not named, mean no limit."""

    project: str
    weight: float
    cores: int | None
    memory_gb: float | None
    devices: dict[str, int]
    queued: int | None
    may_be_high: bool
    held: AmountsView
    """In use now."""
    lately: AmountsView
    """The mean of what was in use, older times counting less."""
    waiting: int
    """Jobs that wait for room or for what they need."""


class ProjectList(Answer):
    items: list[ProjectView]


class NewToken(Asked):
    """`ttl_s`: seconds it lives; None has no end."""

    name: str = Field(max_length=63)
    role: Role = Field(strict=False)
    projects: list[str] = Field(default=[], max_length=100)
    provider: str | None = Field(default=None, max_length=200)
    ttl_s: float | None = Field(default=None, ge=1, le=366 * 86400, allow_inf_nan=False)
    note: str = Field(default="", max_length=200)


class NewProject(Asked):
    id: str = Field(max_length=63)
    title: str = Field(default="", max_length=200)


class NewLabels(Asked):
    """Whose a project is."""

    organisation: str | None = Field(default=None, min_length=1, max_length=100)
    department: str | None = Field(default=None, min_length=1, max_length=100)
    team: str | None = Field(default=None, min_length=1, max_length=100)


class NewAllowance(Asked):
    """What a project may have from now on. What is left out has no limit; `weight` is 1 and no job may be of high priority
    unless it is said."""

    weight: float = Field(default=1.0, ge=0.01, le=1000, allow_inf_nan=False)
    cores: int | None = Field(default=None, ge=0, le=10**9)
    memory_gb: float | None = Field(default=None, ge=0, le=10**9, allow_inf_nan=False)
    devices: dict[str, Annotated[int, Field(ge=0, le=10**9)]] = Field(default={}, max_length=100)
    queued: int | None = Field(default=None, ge=0, le=10**9)
    may_be_high: bool = False
