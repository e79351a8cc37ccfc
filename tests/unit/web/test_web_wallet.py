"""The wallet's pages: balances that equal the ledger's, and the way from a bill line to transfers and events."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

import httpx
import pytest
from tests.unit.api.api_world import World, offering, world

from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.site import Price
from suanwang.trading.evidence import verify
from suanwang.web import mount_web
from suanwang.web.visiting import SESSION


@pytest.fixture(scope="module")
def net() -> Iterator[World]:
    """A network with pages, in which one job was billed and settled."""
    with world() as made:
        mount_web(made.app, made.network)
        made.network.sites.change(made.operator, SiteId("guian"), offering(price=Price(core_hour_yuan=Decimal(100))))
        made.run("hello\n")
        made.network.turn()
        yield made


def page(net: World, path: str, by: str = "alice", **params: str) -> httpx.Response:
    headers = {"Accept": "text/html", "Cookie": f"{SESSION}=secret-of-{by}"}
    return net.ask("GET", path, by=None, headers=headers, params=params)


def test_balances_are_the_ledgers(net: World) -> None:
    text = page(net, "/wallet").text
    account = net.network.wallets.accounts(net.operator, None, 10)[0]
    owed = next(each for each in account if each.id == "project:demo")
    assert owed.balance_fen < 0
    assert f"-¥{-owed.balance_fen / 100:,.2f}" in text
    assert "provider:guian-cloud" in text
    every = page(net, "/wallet", "rita", account="provider:guian-cloud").text
    assert set(re.findall(r'href="/wallet\?account=([a-z]+)', every)) == {"operator", "project", "provider"}
    assert page(net, "/wallet", "wuhu").text.count("No account yet") == 1
    assert page(net, "/wallet", account="provider:guian-cloud").status_code == 404
    assert page(net, "/wallet", cursor="nonsense").status_code == 422


def test_a_transfer_leads_to_its_line_and_the_jobs_events(net: World) -> None:
    links = set(re.findall(r'href="(/wallet/lines/[^"]+)"', page(net, "/wallet").text))
    assert links
    assert links <= set(re.findall(r'href="(/wallet/lines/[^"]+)"', page(net, "/bills").text))
    for link in links:
        text = page(net, link).text
        assert "provider:guian-cloud" in text
        assert "Accepted" in text
        assert "Succeeded" in text
        assert page(net, link, "bob").status_code == 404
    provider = page(net, next(iter(links)), "guian").text
    assert "Who was paid" in provider
    assert "Accepted" not in provider, "a job's events are its project's"
    assert page(net, "/wallet/lines/j-none-1:1").status_code == 404


def test_the_bill_is_downloaded_and_holds(net: World) -> None:
    link = re.findall(r'href="(/wallet/lines/[^"]+)"', page(net, "/wallet").text)[0]
    (file,) = re.findall(r'href="(/wallet/bills/[^"]+/bill\.json)"', page(net, link).text)
    reply = page(net, file)
    assert "attachment" in reply.headers["content-disposition"]
    assert verify(reply.json()).holds
    assert page(net, file, "bob").status_code == 404


def test_pages_are_in_chinese_and_need_a_login(net: World) -> None:
    text = page(net, "/wallet", lang="zh").text
    assert "钱包" in text
    assert "信用额度" in text
    assert net.ask("GET", "/wallet", by=None, headers={"Accept": "text/html"}).status_code in (303, 401)


def test_lines_that_wait_for_money_are_said() -> None:
    with world() as net:
        mount_web(net.app, net.network)
        net.network.sites.change(net.operator, SiteId("guian"), offering(price=Price(core_hour_yuan=Decimal(100))))
        net.run_unheld()
        text = page(net, "/wallet").text
        assert "not settled yet" in text
        assert "for money on" in text
        net.network.wallets.top_up(net.operator, ProjectId("demo"), 10_000_000, "bank")
        net.network.turn()
        text = page(net, "/wallet").text
        assert "not settled yet" not in text
        assert "Top-up" in text
        assert "outside:bank" in text
