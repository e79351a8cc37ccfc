"""What all answers and requests have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """Something the network says."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Asked(BaseModel):
    """Something a caller says."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
