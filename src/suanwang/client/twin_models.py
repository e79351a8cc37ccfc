"""What the API says and takes about the twin's experiments, as pydantic models.

Owns these answers' field names, as `client.models` does for the rest.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from suanwang.client.models import Answer, Asked

Name = Annotated[str, Field(min_length=1, max_length=63)]


class AddedSite(Asked):
    """One more site like a live one, `capacity` times as large."""

    like: Name
    capacity: float = Field(default=1.0, gt=0, le=100, allow_inf_nan=False)


class WhatIf(Asked):
    """What is changed of the live network's present state; at least one of the changes."""

    hours: int = Field(default=48, ge=6, le=336)
    add_site: AddedSite | None = None
    lose_site: Name | None = None
    lose_link: Name | None = None
    """A site whose links carry no data, or its link to `lose_link_to` alone."""
    lose_link_to: Name | None = None
    price_factor: float | None = Field(default=None, ge=0, le=100, allow_inf_nan=False)
    """On posted prices and electricity, at `price_site` or everywhere."""
    price_site: Name | None = None
    policies: list[Name] = Field(default=["joint", "nearest"], min_length=1, max_length=8)


class NewExperiment(Asked):
    """Exactly one of `text` (an experiment file), `example` (a shipped one) and `what_if`."""

    title: str = Field(default="", max_length=200)
    text: str | None = Field(default=None, max_length=64 * 1024)
    example: Name | None = None
    what_if: WhatIf | None = None


class ExperimentView(Answer):
    """`done` of `plays` plays have ended; `reason` says why it failed."""

    id: str
    title: str
    kind: Literal["experiment", "what-if"]
    by: str
    state: Literal["queued", "running", "done", "failed"]
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    reason: str
    done: int
    plays: int | None


class ExperimentList(Answer):
    """Newest first, with the shipped experiments that can be started by name."""

    items: list[ExperimentView]
    examples: list[str]
