"""Invoices and statements: sums, files, who sees them, and rating a month anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.api.api_world import World, offering, world
from tests.unit.cli.cli_shell import Shell
from tests.unit.trade.test_vouchers import BODY
from tests.unit.web.test_web_wallet import page

from suanwang.adapters.printing import invoice_pdf
from suanwang.domain.errors import InvalidRequest, Unavailable
from suanwang.domain.ids import SiteId
from suanwang.domain.site import Price
from suanwang.trading.grouping import By
from suanwang.trading.invoicing import Month
from suanwang.web import mount_web
from suanwang.web.visiting import SESSION


@pytest.fixture(scope="module")
def net() -> Iterator[World]:
    """Jobs in February and March of China's time, one of them with a voucher."""
    with world() as made:
        mount_web(made.app, made.network)
        changed = offering(price=Price(core_hour_yuan=Decimal("7.77"), memory_gb_hour_yuan=Decimal("0.0123")))
        made.network.sites.change(made.operator, SiteId("guian"), changed)
        labels = {"organisation": "清华", "department": "物理系", "team": "等离子体"}
        made.ask("PUT", "/v1/projects/demo/labels", by="olga", json=labels)
        made.clock.at = datetime(2026, 2, 28, 15, 59, 30, tzinfo=UTC)
        made.run("a\n", name="february")
        made.clock.at = datetime(2026, 3, 1, 2, tzinfo=UTC)
        made.ask("POST", "/v1/vouchers/budgets", by="olga", json={"id": "b", "issuer": "成都", "amount_fen": 10_000})
        made.ask("POST", "/v1/vouchers", by="olga", json={**BODY, "amount_fen": 9_000})
        for name in ("one", "two"):
            made.run("x\n", name=name)
            made.clock.at += timedelta(minutes=7)
        made.network.turn()
        yield made


def test_a_month_is_chinas_and_begins_where_the_last_one_ends() -> None:
    assert Month.named("2026-03").from_at == datetime(2026, 2, 28, 16, tzinfo=UTC)
    assert Month.named("2026-12").to_at == Month.named("2027-01").from_at
    for text in ("2026-13", "2026-3", "26-03", "2026-03 ", "x", "２０２６-03"):
        with pytest.raises(InvalidRequest):
            Month.named(text)


def invoice(net: World, month: str = "2026-03") -> dict[str, Any]:
    found: dict[str, Any] = net.ask("GET", f"/v1/invoices/demo/{month}").json()
    return found


def test_an_invoice_is_the_months_lines_and_nothing_else(net: World) -> None:
    lines = net.ask("GET", "/v1/bills/lines", params={"limit": 200}).json()["items"]
    begun = Month.named("2026-03").from_at
    march = [line for line in lines if datetime.fromisoformat(line["from_at"]) >= begun]
    assert 0 < len(march) < len(lines), "a job of February runs into March"
    found = invoice(net)
    assert found["amount_fen"] == sum(line["amount_fen"] for line in march) == found["usage"]["amount_fen"]
    (voucher,) = net.ask("GET", "/v1/vouchers").json()["items"]
    assert 0 < found["voucher_fen"] == voucher["used_fen"] - invoice(net, "2026-02")["voucher_fen"]
    assert found["due_fen"] == found["amount_fen"] - found["voucher_fen"]
    assert found["unsettled_fen"] == 0
    assert [line["task"] for line in found["lines"]] == ["february", "one", "two"]
    assert found["amount_fen"] + invoice(net, "2026-02")["amount_fen"] == sum(line["amount_fen"] for line in lines)
    assert invoice(net, "2026-01")["lines"] == []
    assert found["labels"]["team"] == "等离子体"


def test_the_same_month_is_the_same_bytes_also_rated_anew(net: World) -> None:
    first = net.ask("GET", "/v1/invoices/demo/2026-03").content
    assert net.ask("GET", "/v1/invoices/demo/2026-03", by="rita").content == first
    for month in ("2026-02", "2026-03"):
        found = net.ask("GET", f"/v1/invoices/demo/{month}/rerated").json()
        assert found["identical"], month
        assert found["lines"] > 0
        assert found["billed_sha256"] == found["rerated_sha256"]


def test_a_bill_that_was_falsified_is_found_by_rating_it_anew(net: World) -> None:
    kept = list(net.store._bills)
    try:
        net.store._bills[-1] = replace(kept[-1], amount_fen=kept[-1].amount_fen + 1)
        assert not net.ask("GET", "/v1/invoices/demo/2026-03/rerated").json()["identical"]
    finally:
        net.store._bills[:] = kept


@pytest.mark.parametrize(
    ("by", "name"), [("organisation", "清华"), ("department", "物理系"), ("person", "alice"), ("site", "guian")]
)
def test_statements_sum_the_same_by_whom_and_where(net: World, by: str, name: str) -> None:
    (row,) = net.ask("GET", "/v1/statements/2026-03", params={"by": by}).json()["items"]
    found = invoice(net)
    assert row["name"] == name
    assert (row["amount_fen"], row["voucher_fen"]) == (found["amount_fen"], found["voucher_fen"])
    assert row["core_hours"] == found["usage"]["core_hours"]


def test_who_sees_what(net: World) -> None:
    for by, status in (("rita", 200), ("olga", 200), ("bob", 404), ("guian", 404)):
        assert net.ask("GET", "/v1/invoices/demo/2026-03", by=by).status_code == status
        assert net.ask("GET", "/v1/invoices/demo/2026-03/rerated", by=by).status_code == status
    assert net.ask("GET", "/v1/invoices/none/2026-03", by="olga").status_code == 404
    assert net.ask("GET", "/v1/invoices/demo/2026-3").status_code == 422
    assert net.ask("GET", "/v1/statements/2026-03", by="bob").json()["items"] == []
    assert len(net.ask("GET", "/v1/statements/2026-03", by="guian").json()["items"]) == 1
    assert net.ask("GET", "/v1/statements/2026-03", params={"by": "colour"}).status_code == 422


def test_an_invoice_as_pdf_is_the_same_bytes_each_time(net: World) -> None:
    pytest.importorskip("reportlab", reason="PDF needs the package reportlab")
    first = net.ask("GET", "/v1/invoices/demo/2026-03/pdf")
    assert first.headers["content-type"] == "application/pdf"
    assert first.content.startswith(b"%PDF-")
    assert net.ask("GET", "/v1/invoices/demo/2026-03/pdf").content == first.content
    assert net.ask("GET", "/v1/invoices/demo/2026-03/pdf", params={"lang": "en"}).content != first.content
    many = {**invoice(net), "lines": [{**invoice(net)["lines"][0], "task": "<b>&" + "长" * 80}] * 300}
    assert len(invoice_pdf(many, chinese=True)) > len(first.content)
    assert page(net, "/invoices/demo/2026-03.pdf").content.startswith(b"%PDF-")


def test_without_the_package_a_pdf_is_said_to_be_unavailable(net: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "reportlab.lib", None)
    with pytest.raises(Unavailable, match="reportlab"):
        invoice_pdf(invoice(net), chinese=False)
    assert net.ask("GET", "/v1/invoices/demo/2026-03/pdf").status_code == 503


def asked(net: World, params: dict[str, str]) -> httpx.Response:
    headers = {"Accept": "text/html", "Cookie": f"{SESSION}=secret-of-alice"}
    return net.ask("GET", "/invoices", by=None, headers=headers, params=params)


def test_invoices_in_a_browser(net: World) -> None:
    text = asked(net, {"month": "2026-03", "by": "team"}).text
    assert "等离子体" in text
    assert f"¥{invoice(net)['amount_fen'] / 100:,.2f}" in text
    assert page(net, "/invoices/demo/2026-03.json").content == net.ask("GET", "/v1/invoices/demo/2026-03").content
    assert page(net, "/invoices/demo/2026-03.json", "bob").status_code == 404
    assert page(net, "/invoices/demo/2026-03.doc").status_code == 422
    assert "月度账单" in page(net, "/invoices", lang="zh").text
    assert page(net, "/invoices", month="x").status_code == 422
    assert asked(net, {"by": "x"}).status_code == 422
    assert "JSON" not in page(net, "/invoices", "guian", month="2026-03").text


def test_invoices_by_the_command_line(
    net: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shell = Shell(net, monkeypatch, capsys, tmp_path)
    assert "february" in shell("invoice", "show", "demo", "2026-03").out
    assert shell("invoice", "show", "demo", "2026-03", "--json").json == invoice(net)
    assert shell("invoice", "get", "demo", "2026-03", "-o", "march.json").code == 0
    assert (tmp_path / "march.json").read_bytes() == net.ask("GET", "/v1/invoices/demo/2026-03").content
    assert shell("invoice", "get", "demo", "2026-03", "-o", "march.doc").code == 3
    assert "identical" in shell("invoice", "rerate", "demo", "2026-03").out
    assert "物理系" in shell("statement", "2026-03", "--by", By.DEPARTMENT.value).out
    assert shell("invoice", "show", "other", "2026-03").code == 5
