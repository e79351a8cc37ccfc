"""`suanwang price` and `bill show`: a list from its file to the line that it rated, as people type it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from tests.factories import pool
from tests.unit.api.api_world import World, offering, world
from tests.unit.cli.cli_shell import Shell
from tests.unit.taskfile.test_sitefile import PLAIN

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import SiteId
from suanwang.domain.pricing import Formula, Kind
from suanwang.domain.site import Price
from suanwang.electricity.supply import milliseconds
from suanwang.sitefile import read_site
from suanwang.sitefile.prices import read_prices
from suanwang.web import mount_web
from suanwang.web.visiting import SESSION

LIST = """
note: winter
core_hour: 0.08
discounts:
  - {name: demo, percent: 5, projects: [demo]}
  - {name: spring, percent: 20, from: 2026-02-01, until: 2026-04-01}
"""


@pytest.fixture
def net() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.fixture
def shell(net: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    (tmp_path / "prices.yaml").write_text(LIST, encoding="utf-8")
    return Shell(net, monkeypatch, capsys, tmp_path)


def test_a_list_is_published_seen_billed_and_explained(shell: Shell, net: World) -> None:
    assert shell("price", "publish", "guian", "prices.yaml", "--from", "2026-03-02", by="alice").code == 4
    done = shell("price", "publish", "guian", "prices.yaml", by="guian")
    assert "guian: price list 1 holds from" in done.out
    assert "price list 1" in shell("price", "publish", "guian", "prices.yaml", by="guian").out, "the same again"
    (mine,) = shell("price", "list", "--json").json
    assert Decimal(mine["core_hour_yuan"]) == Decimal("0.1"), "it holds from the next second on"
    assert mine["changes_at"] is not None
    net.clock.at = datetime(2026, 3, 1, 3, tzinfo=UTC)
    shown = shell("price", "list").out
    assert "demo −5 %, spring −20 %" in shown
    assert "0.0608" in shown
    assert "demo" not in shell("price", "list", by="bob").out
    history = shell("price", "history", "guian").out
    assert "winter" in history
    assert "spring −20 % (2026-" in history
    job, _ = net.run("hello\n")
    usage = f"{job['id']}-1:1"
    explained = shell("bill", "show", usage)
    assert explained.code == 0, explained.err
    assert "list 1" in explained.out
    assert "0.076" in explained.out
    assert "0.0608" in explained.out
    line, _ = shell("bill", "lines", "--json").json
    assert [step["core_hour_yuan"] for step in line["pricing"]["steps"]] == ["0.08", "0.076", "0.0608"]
    assert shell("bill", "show", usage, by="bob").code == 5


def test_a_package_is_bought_and_its_months_are_told(shell: Shell, net: World, tmp_path: Path) -> None:
    changed = offering(
        devices=(pool("huawei-ascend-910b", count=1, per_node=1),),
        price=Price(core_hour_yuan=Decimal(1), device_hour_yuan={"huawei-ascend-910b": Decimal(9)}),
    )
    net.network.sites.change(net.operator, SiteId("guian"), changed)
    packages = "packages: [{name: small, device: ascend 910b, device_hours: 10, rate: 4.2, months: 2}]\n"
    (tmp_path / "prices.yaml").write_text(LIST + packages, encoding="utf-8")
    assert shell("price", "publish", "guian", "prices.yaml", by="olga").code == 0
    assert shell("price", "subscribe", "guian", "small").code == 3, "it holds from the next second on"
    net.clock.at = datetime(2026, 3, 1, 3, tzinfo=UTC)
    assert "committed" in shell("price", "packages").out
    done = shell("price", "subscribe", "guian", "small", "--name", "mine")
    assert done.code == 0, done.err
    assert "2026-03" in done.out
    assert "2026-04" in done.out
    plans = shell("price", "plans", "--json").json
    assert [(each["fee_fen"], each["paid"]) for each in plans] == [(4200, True), (4200, False)]
    assert "0.00 / 10" in shell("price", "plans").out
    assert shell("price", "plans", by="bob").out.count("mine") == 0


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("core_hour: -1\n", "core_hour"),
        ("core_hour: .inf\n", "core_hour"),
        ("core_hour: 1\ncolour: red\n", "colour"),
        ("core_hour: 1\nfrom: 2026-03-01T00:00\n", "from"),
        ("core_hour: 1\ndevices: [{model: ascend 910b}]\n", "devices.0.price"),
        ("core_hour: 1\ndevices: [{model: ascend 910b, price: 1, base: 2}]\n", "devices.0.price"),
        ("core_hour: 1\ndevices: [{model: a thing, price: 1}]\n", "devices.0.model"),
        ("core_hour: 1\ndiscounts: [{name: x, percent: 0}]\n", "discounts.0.percent"),
        ("core_hour: 1\ndiscounts: [{name: x, percent: 1, above_device_hours: 0}]\n", "discounts.0.above_device_hours"),
    ],
)
def test_a_file_that_asks_the_impossible_names_the_field(text: str, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_prices(text)
    assert caught.value.field == field


def test_a_day_is_its_midnight_in_china_and_a_site_file_carries_a_list() -> None:
    listed = read_site(PLAIN + "price_list: {core_hour: 0.1, from: 2026-12-01}\n").price_list
    assert listed is not None
    assert listed.valid_from == datetime(2026, 11, 30, 16, tzinfo=UTC)
    asked = read_prices("core_hour: 1\ndevices: [{model: ascend 910b, factor: 1.5, floor: 1, cap: 9}]\n").asked
    assert asked.device_hour == {
        "huawei-ascend-910b": Formula(factor=Decimal("1.5"), floor_yuan=Decimal(1), cap_yuan=Decimal(9))
    }


def test_the_pages_show_the_lists_and_the_steps_of_a_line(net: World) -> None:
    mount_web(net.app, net.network)
    asked = read_prices(LIST).asked
    net.network.prices.publish(net.operator, SiteId("guian"), asked)
    net.clock.at = datetime(2026, 3, 1, 3, tzinfo=UTC)
    job, _ = net.run("hello\n")
    net.network.turn()

    def page(path: str, by: str = "alice") -> str:
        headers = {"Accept": "text/html", "Cookie": f"{SESSION}=secret-of-{by}"}
        return net.ask("GET", path, by=None, headers=headers).text

    site = page("/sites/guian")
    assert 'id="price-lists"' in site
    assert "¥0.0608" in site
    assert "¥0.064" in page("/sites/guian", "bob"), "without the discount of another project"
    assert 'id="asked"' in site
    drawn = json.loads(page("/sites/guian/asked"))
    now, published = net.clock.at, datetime(2026, 3, 1, 2, 0, 1, tzinfo=UTC)
    instants = (now - timedelta(days=14), published, now + timedelta(days=7))
    expected = [[milliseconds(at), yuan] for at, yuan in zip(instants, (0.1, 0.064, 0.064), strict=True)]
    assert drawn["series"] == [{"name": "Core", "points": expected}]
    line = page(f"/wallet/lines/{job['id']}-1:1")
    assert 'id="unit-prices"' in line
    assert "Price list 1" in line
    assert line.index("¥0.08") < line.index("¥0.076") < line.index("¥0.0608")


def test_the_page_of_prices_has_a_list_and_a_site_file_that_are_read() -> None:
    page = (Path(__file__).parents[3] / "docs" / "prices.md").read_text("utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    declared = read_prices(example)
    assert len(declared.asked.discounts) == 6
    assert [each.kind for each in declared.asked.discounts] == [
        Kind.BRAND, Kind.CUSTOMER, Kind.PROMOTION, Kind.PLAN, Kind.VOLUME, Kind.VOLUME,
    ]  # fmt: skip
