"""By what a statement is summed, the forms of an export, and the kinds of papers.

It loads nothing, for commands name its choices in their help.
"""

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


class PaperKind(StrEnum):
    """What can be proved beside the bill of a job, and how it is named."""

    INVOICE = "invoice"
    """`PROJECT/MONTH`."""
    STATEMENT = "statement"
    """`MONTH/BY`, such as `2026-03/department`."""
    ORDER = "order"
    """An order's identifier: rights bought, or those that one sold of it."""
    VOUCHER = "voucher"
    """A voucher's identifier."""
    CREDIT = "credit"
    """`AGREEMENT/VERSION/MONTH`."""
    ACCOUNT = "account"
    """`ACCOUNT/MONTH` or `ACCOUNT/DAY`: every transfer of it, such as `project:demo/2026-03`."""
