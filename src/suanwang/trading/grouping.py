"""By what a statement is summed, and the forms of an export. It loads nothing, for commands name its choices in their help."""

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


class Export(StrEnum):
    """In which form usage and charges are written for other tools."""

    FOCUS = "focus"
    """FOCUS 1.2 as CSV: what was billed."""
    CLOUDEVENTS = "cloudevents"
    """CloudEvents 1.0 as a JSON batch: usage records."""
    OGF = "ogf"
    """OGF Usage Record 2.0 as XML: runs."""
