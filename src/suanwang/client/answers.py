"""What all answers and requests have in common."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema

Yuan = Annotated[
    Decimal,
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "examples": ["12.5000"]}),
]
"""Exact yuan, as text on the wire."""


class Answer(BaseModel):
    """Something the network says."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Asked(BaseModel):
    """Something a caller says."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
