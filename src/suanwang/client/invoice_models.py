"""What the API says about invoices and statements, as pydantic models.

Owns these answers' field names. Amounts are whole fen; quantities are texts, so that the same month is the same bytes.
"""

from __future__ import annotations

from suanwang.client.models import Answer


class SumsView(Answer):
    """`unsettled_fen` is the part that no transfer has paid yet; `voucher_fen` what vouchers paid."""

    jobs: int
    records: int
    core_hours: str
    device_hours: str
    energy_kwh: str
    carbon_g: str
    amount_fen: int
    voucher_fen: int
    unsettled_fen: int


class InvoiceLine(SumsView):
    """One job at one site."""

    job: str
    task: str
    owner: str
    site: str
    provider: str
    device: str | None


class PurchaseView(Answer):
    """What was bought on the market."""

    trade: str
    order: str
    site: str
    device: str
    seller: str
    at: str
    amount_fen: int


class CreditView(Answer):
    """What the decision of a dispute gave back of a bill line; amounts are below 0, `voucher_fen` went to a voucher."""

    usage: str
    job: str
    task: str
    owner: str
    site: str
    provider: str
    at: str
    amount_fen: int
    voucher_fen: int


class InvoiceView(Answer):
    """A project's month, of China's time. `due_fen` is what the project itself pays."""

    format: str
    number: str
    project: str
    title: str
    labels: dict[str, str]
    month: str
    zone: str
    currency: str
    lines: list[InvoiceLine]
    purchases: list[PurchaseView]
    usage: SumsView
    purchased_fen: int
    credits: list[CreditView] = []
    """Only where there are any, as `credited_fen`, their sum."""
    credited_fen: int = 0
    amount_fen: int
    voucher_fen: int
    due_fen: int
    unsettled_fen: int


class ReratedView(Answer):
    """The digests of the invoice as billed and as rated anew from records and prices."""

    identical: bool
    lines: int
    billed_sha256: str
    rerated_sha256: str


class StatementRow(SumsView):
    """Sums of one name; empty where nobody said whose a project is."""

    name: str
    credited_fen: int = 0
    """What disputes gave back, which is taken off `amount_fen` already."""


class StatementView(Answer):
    month: str
    by: str
    items: list[StatementRow]
