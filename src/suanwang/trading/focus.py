"""Charges as FOCUS rows: the FinOps Open Cost and Usage Specification 1.2 (focus.finops.org).

Owns which of its columns are written and what each means here. A bill line is one row of category Usage, priced by the hour
at what its cores, memory, devices and electricity come to; what a voucher paid of it is a row of category Credit. So
BilledCost sums to what the projects themselves pay.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from suanwang.domain.identity import Project
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.site import Offering
from suanwang.electricity.pricing import units
from suanwang.trading.invoicing import ZONE, Adjustment, Charge, Month
from suanwang.trading.ledger import CURRENCY

VERSION = "1.2"
ISSUER = "Suanwang"
COLUMNS = (
    *("AvailabilityZone", "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType"),
    *("BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass"),
    *("ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "CommitmentDiscountStatus"),
    *(
        "ConsumedQuantity",
        "ConsumedUnit",
        "ContractedCost",
        "ContractedUnitPrice",
        "EffectiveCost",
        "InvoiceId",
        "InvoiceIssuerName",
    ),
    *("ListCost", "ListUnitPrice", "PricingCategory", "PricingCurrency", "PricingCurrencyContractedUnitPrice"),
    *("PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice", "PricingQuantity", "PricingUnit", "ProviderName"),
    *("PublisherName", "RegionId", "RegionName", "ResourceId", "ResourceName", "ResourceType", "ServiceCategory"),
    *(
        "ServiceName",
        "ServiceSubcategory",
        "SkuId",
        "SkuMeter",
        "SkuPriceDetails",
        "SkuPriceId",
        "Tags",
        "x_UsageRecordId",
    ),
)
_HOUR_US = Decimal(3_600_000_000)
_EXACT = Decimal("0.000000000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is said of projects and sites beside their charges."""

    projects: Mapping[ProjectId, Project]
    sites: Mapping[SiteId, Offering]


def rows(charges: Iterable[Charge], known: Known) -> Iterator[dict[str, str]]:
    """Every charge's rows, with `COLUMNS` as keys; an empty text is null."""
    for charge in charges:
        shared = _shared(charge, known)
        yield {**shared, **_usage(charge)}
        if charge.voucher_fen:
            yield {**shared, **_credit(charge)}


def credit_rows(credits: Iterable[Adjustment], known: Known) -> Iterator[dict[str, str]]:  # noqa: A002
    """A row of category Credit for what each dispute gave back to its project itself, at the instant of the decision."""
    for each in credits:
        yield {
            **_about(each.project, each.owner, each.job, each.task, each.site, each.provider, each.at, known),
            **_given(each.amount_fen - each.voucher_fen, f"Dispute of {each.usage_id}"),
            "ChargePeriodStart": _second(each.at),
            "ChargePeriodEnd": _second(each.at + timedelta(seconds=1)),
            "x_UsageRecordId": each.usage_id,
        }


def csv_pieces(made: Iterable[Mapping[str, str]]) -> Iterator[str]:
    """CSV (RFC 4180) in pieces: the columns' names, then one line a row."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for row in made:
        writer.writerow(row)
        if out.tell() > 65_536:
            yield out.getvalue()
            out.seek(0)
            out.truncate()
    yield out.getvalue()


def _shared(charge: Charge, known: Known) -> dict[str, str]:
    line = charge.line
    return {
        **_about(
            *(line.project, charge.owner, line.job_id, charge.task, line.site_id, line.provider, line.from_at), known
        ),
        "ChargePeriodStart": _second(line.from_at),
        "ChargePeriodEnd": _second(line.to_at + timedelta(microseconds=999_999)),
        "x_UsageRecordId": line.usage_id,
    }


def _about(
    project_id: ProjectId,
    owner: str,
    job: str,
    task: str,
    site_id: SiteId,
    provider: str,
    at: datetime,
    known: Known,
) -> dict[str, str]:
    """All columns, with what says whose a charge of this instant is; the others are null."""
    month = Month.named(at.astimezone(ZONE).strftime("%Y-%m"))
    project, site = known.projects.get(project_id), known.sites.get(site_id)
    region = "" if site is None else site.region
    tags = {"owner": owner, **({} if project is None else project.labels)}
    return {
        **dict.fromkeys(COLUMNS, ""),
        "AvailabilityZone": site_id,
        "BillingAccountId": project_id,
        "BillingAccountName": project_id if project is None else project.title,
        "BillingAccountType": "Project",
        "BillingCurrency": CURRENCY,
        "BillingPeriodStart": _second(month.from_at),
        "BillingPeriodEnd": _second(month.to_at),
        "InvoiceId": f"{project_id}/{month.name}",
        "InvoiceIssuerName": ISSUER,
        "PricingCurrency": CURRENCY,
        "ProviderName": provider,
        "PublisherName": provider,
        "RegionId": region,
        "RegionName": region,
        "ResourceId": job,
        "ResourceName": task,
        "ResourceType": "Job",
        "ServiceCategory": "Compute",
        "ServiceName": "Suanwang",
        "ServiceSubcategory": "Other (Compute)",
        "Tags": json.dumps(tags, ensure_ascii=False, sort_keys=True),
    }


def _usage(charge: Charge) -> dict[str, str]:
    usage, line = charge.usage, charge.line
    hours = Decimal(usage.us) / _HOUR_US
    hourly, listed = _hourly_yuan(charge), _hourly_yuan(_undiscounted(charge))
    device = usage.device_model if usage.devices else None
    details = {
        "F_CoreCount": usage.cores,
        "DeviceModel": device,
        "DeviceCount": usage.devices,
        "MemoryGb": usage.memory_gb,
    }
    billed = _plain(Decimal(line.amount_fen) / 100)
    sku = f"{device or 'cores'}/{line.site_id}"
    return {
        "BilledCost": billed,
        "EffectiveCost": billed,
        "ListCost": _plain(listed * hours),
        "ContractedCost": _plain(hourly * hours),
        "ListUnitPrice": _plain(listed),
        "ContractedUnitPrice": _plain(hourly),
        "PricingCurrencyEffectiveCost": billed,
        "PricingCurrencyListUnitPrice": _plain(hourly),
        "PricingCurrencyContractedUnitPrice": _plain(hourly),
        "PricingQuantity": _plain(hours),
        "PricingUnit": "Hours",
        "ConsumedQuantity": _plain(hours),
        "ConsumedUnit": "Hours",
        "PricingCategory": "Standard",
        "ChargeCategory": "Usage",
        "ChargeClass": "" if usage.corrects is None else "Correction",
        "ChargeFrequency": "Usage-Based",
        "ChargeDescription": line.description,
        "SkuId": sku,
        "SkuMeter": "Run time",
        "SkuPriceId": f"{sku}/{usage.cores}/{usage.memory_gb:g}/{usage.devices}/{_plain(hourly)}",
        "SkuPriceDetails": json.dumps({name: value for name, value in details.items() if value}, sort_keys=True),
    }


def _credit(charge: Charge) -> dict[str, str]:
    return _given(charge.voucher_fen, f"Voucher for {charge.line.usage_id}")


def _given(amount_fen: int, why: str) -> dict[str, str]:
    given = _plain(Decimal(-amount_fen) / 100)
    return {
        "BilledCost": given,
        "EffectiveCost": given,
        "ListCost": given,
        "ContractedCost": given,
        "PricingCurrencyEffectiveCost": given,
        "ChargeCategory": "Credit",
        "ChargeFrequency": "One-Time",
        "ChargeDescription": why,
    }


def _undiscounted(charge: Charge) -> Charge:
    """With the prices of the site's list, before any discount."""
    if charge.line.pricing is None or not charge.line.pricing.taken:
        return charge
    first, device = units(charge.line.pricing)[0], charge.usage.device_model
    price = replace(
        charge.price,
        core_hour_yuan=first.core,
        memory_gb_hour_yuan=first.gb,
        device_hour_yuan={} if device is None else {device: first.device},
    )
    return replace(charge, price=price)


def _hourly_yuan(charge: Charge) -> Decimal:
    """What an hour of the run costs, with all that it has."""
    usage, price = charge.usage, charge.price
    device = price.device_hour_yuan.get(usage.device_model, Decimal(0)) if usage.device_model else Decimal(0)
    hourly = (
        usage.cores * price.core_hour_yuan
        + Decimal(repr(float(usage.memory_gb))) * price.memory_gb_hour_yuan
        + usage.devices * device
    )
    if charge.electricity is not None:
        hourly += Decimal(repr(float(charge.electricity.power_kw))) * charge.electricity.yuan_per_kwh
    return hourly


def _second(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(amount: Decimal) -> str:
    """Digits alone, without an exponent and trailing zeros."""
    text = format(amount.quantize(_EXACT, rounding=ROUND_HALF_EVEN), "f").rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text
