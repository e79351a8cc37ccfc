"""Sites with several owners: shares as written, parts to the fen, and what each owner sees."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.api.api_world import World, offering, offering_json, world
from tests.unit.taskfile.test_sitefile import PLAIN
from tests.unit.web.test_web_wallet import page

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import SiteId
from suanwang.domain.site import Price
from suanwang.sitefile import read_site
from suanwang.trading.evidence import verify
from suanwang.trading.owning import checked_owners, weights
from suanwang.web import mount_web

SHARES = {"guian-cloud": "1/3", "wuhu-cloud": "1/3", "乙": "1/3"}


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12))
def test_shares_written_as_fractions_are_their_weights(parts: list[int]) -> None:
    shares = {f"o{at}": f"{part}/{sum(parts)}" for at, part in enumerate(parts)}
    checked = checked_owners(shares)
    whole = weights(checked)
    assert checked_owners(checked) == checked
    assert [Fraction(weight, sum(whole.values())) for weight in whole.values()] == [
        Fraction(part, sum(parts)) for part in parts
    ]


@pytest.mark.parametrize(
    "owners",
    [
        {"甲": "1/2"},
        {"甲": "0.3333", "乙": "0.6666"},
        {"甲": "1", "乙": "0"},
        {"甲": "3/2", "乙": "-1/2"},
        {"甲": "1/0"},
        {"甲": "nan"},
        {"甲": "1e-1", "乙": "0.9"},
        {"": "1"},
        {"甲\n": "1"},
        {"甲": "1/999983", "乙": "999982/999983", "丙": "0/3"},
        {f"o{at}": "1/21" for at in range(21)},
        {"甲": "1/1009", "乙": "1008/1009", "丙": ""},
        {"甲": "1/1009", "乙": "1/1013", "丙": str(1 - Fraction(1, 1009) - Fraction(1, 1013))},
    ],
)
def test_shares_that_are_none_or_do_not_sum_to_one_are_refused(owners: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        checked_owners(owners)
    assert (refused.value.field or "").startswith("owners")


def test_a_site_file_names_its_owners() -> None:
    site = read_site(PLAIN + "owners: {甲: 2/3, 乙: 0.25, 丙: 1/12}\n")
    assert site.offering.owners == {"甲": "2/3", "乙": "1/4", "丙": "1/12"}
    for text in ("owners: {甲: 0.5}", "owners: {甲: [1]}", "owners: [甲]", "owners: {甲: 1, 乙: 1}"):
        with pytest.raises(InvalidRequest) as refused:
            read_site(PLAIN + text + "\n")
        assert (refused.value.field or "").startswith("owners")


@pytest.fixture(scope="module")
def net() -> Iterator[World]:
    """A site of three owners with one billed job."""
    with world() as made:
        mount_web(made.app, made.network)
        changed = offering(price=Price(core_hour_yuan=Decimal("123.45")), owners=SHARES)
        made.network.sites.change(made.operator, SiteId("guian"), changed)
        made.run("hello\n")
        made.network.turn()
        yield made


def test_each_line_is_split_over_owners_and_network_exactly(net: World) -> None:
    accounts = {each.id: each for each in net.network.wallets.accounts(net.operator, None, 100)[0]}
    owners = [accounts[f"provider:{name}"] for name in SHARES]  # type: ignore[index]
    paid = [owner.balance_fen for owner in owners]
    network = accounts["operator:network"].balance_fen  # type: ignore[index]
    owed = -accounts["project:demo"].balance_fen  # type: ignore[index]
    assert sum(paid) + network == owed > 0
    assert max(paid) - min(paid) <= 1
    assert abs(network - owed * 0.02) < 1
    assert net.store.audit().wrong == ()


def test_the_bill_proves_the_split_and_every_owner_sees_it(net: World) -> None:
    job = net.ask("GET", "/v1/jobs").json()["items"][0]["id"]
    for by in ("alice", "guian", "wuhu", "rita"):
        reply = net.ask("GET", f"/v1/bills/{job}/evidence", by=by)
        assert reply.status_code == 200, by
        finding = verify(reply.json())
        assert (finding.failures, finding.unsettled) == ((), ())
    assert net.ask("GET", f"/v1/bills/{job}/evidence", by="bob").status_code == 404
    forged = net.ask("GET", f"/v1/bills/{job}/evidence").json()
    forged["usage"][0]["leaf"]["parties"][0][1] += 1
    assert not verify(forged).holds


def test_a_co_owner_follows_his_income_to_the_line(net: World) -> None:
    own = net.ask("GET", "/v1/ledger/transfers", by="wuhu", params={"account": "provider:wuhu-cloud"}).json()["items"]
    assert own
    text = page(net, f"/wallet/lines/{own[0]['chain'].removeprefix('bill/')}", "wuhu").text
    assert "provider:wuhu-cloud" in text
    assert page(net, "/sites/guian", "wuhu").text.count("1/3") == 3
    assert net.ask("GET", "/v1/sites/guian").json()["offering"]["owners"] == SHARES


def test_the_owners_of_a_run_are_those_of_its_lease() -> None:
    with world() as net:
        price = Price(core_hour_yuan=Decimal(100))
        net.network.sites.change(net.operator, SiteId("guian"), offering(price=price, owners={"甲": "1"}))
        net.submit()
        agent = net.agent()
        agent.tell()
        net.network.turn()
        net.network.sites.change(net.operator, SiteId("guian"), offering(price=price))
        agent.run_all("x\n")
        net.network.turn()
        assert net.store.account("provider:甲").balance_fen > 0  # type: ignore[arg-type, union-attr]
        assert net.store.account("provider:guian-cloud") is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "owners", [{"甲": "1/2"}, {"甲": 0.5, "乙": 0.5}, {"甲": "x"}, ["甲"], {"甲": "1/2", "乙": "2/3"}]
)
def test_a_declaration_with_other_shares_is_refused(net: World, owners: object) -> None:
    body = {"id": "wuhu", "offering": offering_json(owners=owners)}
    reply = net.ask("POST", "/v1/sites", by="wuhu", json=body)
    assert reply.status_code == 422
    assert "owners" in reply.text
