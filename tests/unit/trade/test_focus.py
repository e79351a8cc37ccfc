"""The FOCUS export held to the specification's columns, types and rules, as written down here from version 1.2."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from tests.unit.api.api_world import World
from tests.unit.cli.cli_shell import Shell
from tests.unit.trade.test_invoices import invoice, net

__all__ = ["net"]
MARCH = {"from_at": "2026-03-01T00:00:00+08:00", "to_at": "2026-04-01T00:00:00+08:00"}
STRING, DECIMAL, INSTANT, JSON = "string", "decimal", "instant", "json"
# Column → (type, may be null, must be there).
SPECIFIED: Mapping[str, tuple[str, bool, bool]] = {
    "AvailabilityZone": (STRING, True, False),
    "BilledCost": (DECIMAL, False, True),
    "BillingAccountId": (STRING, False, True),
    "BillingAccountName": (STRING, True, True),
    "BillingAccountType": (STRING, False, False),
    "BillingCurrency": (STRING, False, True),
    "BillingPeriodEnd": (INSTANT, False, True),
    "BillingPeriodStart": (INSTANT, False, True),
    "ChargeCategory": (STRING, False, True),
    "ChargeClass": (STRING, True, True),
    "ChargeDescription": (STRING, True, True),
    "ChargeFrequency": (STRING, False, False),
    "ChargePeriodEnd": (INSTANT, False, True),
    "ChargePeriodStart": (INSTANT, False, True),
    "CommitmentDiscountStatus": (STRING, True, False),
    "ConsumedQuantity": (DECIMAL, True, False),
    "ConsumedUnit": (STRING, True, False),
    "ContractedCost": (DECIMAL, False, True),
    "ContractedUnitPrice": (DECIMAL, True, False),
    "EffectiveCost": (DECIMAL, False, True),
    "InvoiceId": (STRING, True, False),
    "InvoiceIssuerName": (STRING, False, True),
    "ListCost": (DECIMAL, False, True),
    "ListUnitPrice": (DECIMAL, True, False),
    "PricingCategory": (STRING, True, False),
    "PricingCurrency": (STRING, False, False),
    "PricingCurrencyContractedUnitPrice": (DECIMAL, True, False),
    "PricingCurrencyEffectiveCost": (DECIMAL, False, False),
    "PricingCurrencyListUnitPrice": (DECIMAL, True, False),
    "PricingQuantity": (DECIMAL, True, True),
    "PricingUnit": (STRING, True, True),
    "ProviderName": (STRING, False, True),
    "PublisherName": (STRING, False, True),
    "RegionId": (STRING, True, False),
    "RegionName": (STRING, True, False),
    "ResourceId": (STRING, True, False),
    "ResourceName": (STRING, True, False),
    "ResourceType": (STRING, True, False),
    "ServiceCategory": (STRING, False, True),
    "ServiceName": (STRING, False, True),
    "ServiceSubcategory": (STRING, False, False),
    "SkuId": (STRING, True, False),
    "SkuMeter": (STRING, True, False),
    "SkuPriceDetails": (JSON, True, False),
    "SkuPriceId": (STRING, True, False),
    "Tags": (JSON, True, False),
    "x_UsageRecordId": (STRING, True, False),
}
ALLOWED = {
    "ChargeCategory": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "ChargeClass": {"", "Correction"},
    "ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
    "PricingCategory": {"", "Standard", "Dynamic", "Committed", "Other"},
    "ServiceCategory": {"Compute"},
    "ServiceSubcategory": {"Other (Compute)"},
}
FORMS = {
    STRING: re.compile(r".+", re.DOTALL),
    DECIMAL: re.compile(r"-?[0-9]+(\.[0-9]+)?"),
    INSTANT: re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"),
    JSON: re.compile(r"\{.*\}"),
}


def wrong(row: Mapping[str, str]) -> list[str]:
    """What of a row breaks the specification."""
    found = [f"{name} is missing" for name, (_, _, must) in SPECIFIED.items() if must and name not in row]
    found += [f"{name} is unknown" for name in row if name not in SPECIFIED and not name.startswith("x_")]
    return found or _wrong_values(row) or _wrong_together(row)


def _wrong_values(row: Mapping[str, str]) -> list[str]:
    found: list[str] = []
    for name, text in row.items():
        kind, nullable, _ = SPECIFIED[name]
        if not (nullable if text == "" else FORMS[kind].fullmatch(text)):
            found.append(f"{name}: {text!r} is no {kind}")
        if name in ALLOWED and text not in ALLOWED[name]:
            found.append(f"{name}: {text!r} is not allowed")
    return found


def _wrong_together(row: Mapping[str, str]) -> list[str]:
    usage = row["ChargeCategory"] == "Usage"
    tags = json.loads(row["Tags"] or "{}")
    rules = {
        "periods begin before they end": row["ChargePeriodStart"] < row["ChargePeriodEnd"]
        and row["BillingPeriodStart"] < row["BillingPeriodEnd"],
        "a quantity has a unit": all(
            (row[f"{name}Quantity"] == "") == (row[f"{name}Unit"] == "") for name in ("Pricing", "Consumed")
        ),
        "usage, and nothing else, is consumed": bool(row["ConsumedQuantity"]) == usage,
        "usage is priced": not usage
        or all(row[name] for name in ("PricingQuantity", "SkuId", "SkuPriceId", "PricingCategory", "ListUnitPrice")),
        "a price is of a SKU": bool(row["SkuPriceId"]) <= bool(row["SkuId"]),
        "a cost without a price is the billed one": all(
            row[f"{name}UnitPrice"] != "" or row[f"{name}Cost"] == row["BilledCost"] for name in ("List", "Contracted")
        ),
        "details are of a price": bool(row["SkuPriceDetails"]) <= bool(row["SkuPriceId"]),
        "costs are quantity times price": all(_product_holds(row, name) for name in ("List", "Contracted")),
        "prices are in the currency they are billed in": row["PricingCurrency"] == row["BillingCurrency"]
        and row["PricingCurrencyEffectiveCost"] == row["EffectiveCost"]
        and all(row[f"PricingCurrency{name}UnitPrice"] == row[f"{name}UnitPrice"] for name in ("List", "Contracted")),
        "tags are flat": all(isinstance(value, str | int | float | bool) for value in tags.values()),
    }
    return [rule for rule, kept in rules.items() if not kept]


def _product_holds(row: Mapping[str, str], name: str) -> bool:
    price = row[f"{name}UnitPrice"]
    product = Decimal(price or 0) * Decimal(row["PricingQuantity"] or 0)
    return price == "" or abs(product - Decimal(row[f"{name}Cost"])) <= Decimal("0.00000001")


def exported(net: World, by: str = "alice", **changes: str) -> list[dict[str, str]]:
    reply = net.ask("GET", "/v1/bills/export", by=by, params={**MARCH, **changes})
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(reply.text)))


def test_every_row_is_as_the_specification_asks(net: World) -> None:
    found = exported(net)
    assert {row["ChargeCategory"] for row in found} == {"Usage", "Credit"}
    for row in found:
        assert wrong(row) == []


def test_the_check_itself_finds_what_is_wrong(net: World) -> None:
    usage = exported(net)[0]
    for name, text in (
        ("BilledCost", ""),
        ("BilledCost", "1e3"),
        ("ChargeCategory", "usage"),
        ("ChargePeriodEnd", "2026-03-01 00:00:00"),
        ("ChargePeriodEnd", usage["ChargePeriodStart"]),
        ("ListCost", "99"),
        ("PricingUnit", ""),
        ("PricingCurrency", "USD"),
        ("PricingCurrencyListUnitPrice", "1"),
        ("Tags", '{"a": {}}'),
        ("Colour", "red"),
    ):
        assert wrong({**usage, name: text}), name
    credit = next(row for row in exported(net) if row["ChargeCategory"] == "Credit")
    assert wrong({**credit, "ListCost": "0"})
    assert wrong({name: text for name, text in usage.items() if name != "ListCost"})


def test_a_price_is_of_one_kind_of_run(net: World) -> None:
    details: dict[str, set[str]] = {}
    for row in exported(net):
        details.setdefault(row["SkuPriceId"], set()).add(row["SkuPriceDetails"] + row["ListUnitPrice"])
    assert all(len(found) == 1 for found in details.values())


def test_billed_costs_sum_to_what_the_invoice_says_is_due(net: World) -> None:
    found = exported(net)
    due = invoice(net)
    assert sum(Decimal(row["BilledCost"]) for row in found) == Decimal(due["due_fen"]) / 100
    assert {row["InvoiceId"] for row in found} == {due["number"]}
    assert {row["BillingPeriodStart"] for row in found} == {"2026-02-28T16:00:00Z"}
    tags = json.loads(found[0]["Tags"])
    assert tags == {"department": "物理系", "organisation": "清华", "owner": "alice", "team": "等离子体"}


def test_parts_of_a_time_are_the_whole_and_nobody_sees_anothers(net: World) -> None:
    middle = (datetime.fromisoformat(MARCH["from_at"]) + timedelta(hours=10, seconds=100)).isoformat()
    parts = [*exported(net, to_at=middle), *exported(net, from_at=middle)]
    assert sorted(map(str, parts)) == sorted(map(str, exported(net, by="rita")))
    assert exported(net, by="bob") == []
    assert exported(net, by="guian")
    assert exported(net, by="wuhu") == []
    for params in ({}, {"from_at": MARCH["to_at"], "to_at": MARCH["from_at"]}, {**MARCH, "format": "xls"}):
        assert net.ask("GET", "/v1/bills/export", params=params).status_code == 422


def test_exported_by_the_command_line(
    net: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shell = Shell(net, monkeypatch, capsys, tmp_path)
    times = ("--from", "2026-02-01", "--to", "2026-05-01")
    assert shell("bill", "export", "--format", "focus", *times, "-o", "out.csv").code == 0
    with (tmp_path / "out.csv").open(newline="") as file:
        assert all(wrong(row) == [] for row in csv.DictReader(file))
