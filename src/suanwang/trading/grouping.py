"""By what a statement is summed. It loads nothing, for commands name its choices in their help."""

from __future__ import annotations

from enum import StrEnum


class By(StrEnum):
    """What a statement has a row for."""

    ORGANISATION = "organisation"
    DEPARTMENT = "department"
    TEAM = "team"
    PROJECT = "project"
    PERSON = "person"
    PROVIDER = "provider"
    SITE = "site"
