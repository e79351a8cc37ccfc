"""Joining and keeping sites: what a declaration must hold, and who may change it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.factories import (
    OPERATOR,
    OTHER_PROVIDER,
    PROVIDER,
    REGULATOR,
    USER,
    SmallNetwork,
    offering,
    pool,
    task,
)

from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from suanwang.domain.exchange import SyncRequest
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import SiteId
from suanwang.domain.lifecycle import JobState, SiteState
from suanwang.domain.site import Price

GUIAN = SiteId("guian")


@pytest.fixture
def small() -> SmallNetwork:
    return SmallNetwork()


def test_an_invited_site_waits_for_its_agent(small: SmallNetwork) -> None:
    site, secret = small.network.sites.invite(PROVIDER, "guian", offering())
    assert site.state is SiteState.INVITED
    joining = small.network.people.authenticate(secret)
    assert (joining.role, joining.site_id) == (Role.JOIN, GUIAN)
    joined = small.network.sites.join(joining)
    assert joined.credential is not None
    agent = small.network.people.authenticate(joined.credential)
    assert (agent.role, agent.site_id) == (Role.AGENT, GUIAN)
    small.network.sites.sync(agent, SyncRequest(session=joined.reply.session, sent_at=small.clock.now()))
    assert small.network.sites.get(USER, GUIAN).site.state is SiteState.REACHABLE


def test_a_join_token_does_not_speak_for_the_site_and_ends_in_a_week(small: SmallNetwork) -> None:
    _, secret = small.network.sites.invite(PROVIDER, "guian", offering())
    with pytest.raises(Forbidden):
        small.network.sites.sync(
            small.network.people.authenticate(secret), SyncRequest(session=1, sent_at=small.clock.now())
        )
    small.clock.advance(7 * 86400)
    with pytest.raises(InvalidRequest, match="expired"):
        small.network.people.authenticate(secret)


def test_an_agent_that_joins_again_keeps_its_credential_and_ends_the_older_session(small: SmallNetwork) -> None:
    agent = small.join("guian")
    old = small.session(agent)
    joined = small.network.sites.join(agent)
    assert joined.credential is None
    assert joined.reply.session == old + 1
    with pytest.raises(Conflict, match="another agent joined"):
        small.sync(agent, session=old)


def test_an_identifier_is_taken_once(small: SmallNetwork) -> None:
    small.network.sites.invite(PROVIDER, "guian", offering())
    with pytest.raises(Conflict) as caught:
        small.network.sites.invite(OPERATOR, "guian", offering())
    assert caught.value.field == "id"


@pytest.mark.parametrize("caller", [USER, REGULATOR, OTHER_PROVIDER])
def test_only_the_operator_and_the_sites_own_provider_change_it(small: SmallNetwork, caller: Principal) -> None:
    small.network.sites.invite(PROVIDER, "guian", offering())
    sites = small.network.sites
    for act in (
        lambda: sites.invite(caller, "new", offering()),
        lambda: sites.join_token(caller, GUIAN),
        lambda: sites.change(caller, GUIAN, offering()),
        lambda: sites.drain(caller, GUIAN, open_=False),
    ):
        with pytest.raises(Forbidden):
            act()
    assert small.network.sites.get(caller, GUIAN).site.revision == 0


def test_a_provider_can_neither_take_nor_give_away_a_site(small: SmallNetwork) -> None:
    small.network.sites.invite(PROVIDER, "guian", offering())
    with pytest.raises(Forbidden):
        small.network.sites.change(PROVIDER, GUIAN, offering(provider="wuhu-dc"))
    with pytest.raises(Forbidden):
        small.network.sites.change(OTHER_PROVIDER, GUIAN, offering(provider="wuhu-dc"))


def test_a_drained_site_keeps_its_work_and_gets_no_more(small: SmallNetwork) -> None:
    small.join("guian")
    (first,) = small.submit()
    small.network.turn()
    small.network.sites.drain(PROVIDER, GUIAN, open_=False)
    (second,) = small.submit()
    small.network.turn()
    assert [small.job(job.id).state for job in (first, second)] == [JobState.LEASED, JobState.QUEUED]
    small.network.sites.drain(PROVIDER, GUIAN, open_=True)
    small.network.turn()
    assert small.job(second.id).state is JobState.LEASED
    assert [k for k in small.kinds() if k in ("site.drained", "site.opened")] == ["site.drained", "site.opened"]


def test_a_new_price_does_not_touch_leases_that_stand(small: SmallNetwork) -> None:
    small.join("guian")
    (job,) = small.submit()
    small.network.turn()
    small.network.sites.change(PROVIDER, GUIAN, offering(price=Price(core_hour_yuan=Decimal(99))))
    (lease,) = small.store.allocations(job.id)
    assert lease.price.core_hour_yuan == Decimal("0.1")


def test_a_region_is_kept_by_the_networks_own_name(small: SmallNetwork) -> None:
    site, _ = small.network.sites.invite(PROVIDER, "guian", offering(region="贵州"))
    assert site.offering.region == "guizhou"
    assert small.network.sites.change(PROVIDER, GUIAN, offering(region="Guizhou")).offering.region == "guizhou"


NAN, INF = float("nan"), float("inf")
A100 = pool(model="nvidia-a100-sxm-80gb")


def test_rates_that_a_chip_can_sustain_are_declared(small: SmallNetwork) -> None:
    """Up to the printed peak, of the best chip where a site has several, and what no catalogue prints."""
    sustained = {"device.matmul.bf16": 310.0, "device.memory.bandwidth": 1900.0, "compute.matmul.fp32": 2.5}
    small.network.sites.invite(OPERATOR, "guian", offering(devices=(A100,), declares=sustained))
    own = offering(devices=(pool(model="our-own-chip"),), declares={"device.matmul.bf16": 900.0})
    small.network.sites.invite(OPERATOR, "wuhu", own)
    assert dict(small.store.sites()[0].offering.declares) == sustained


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"latitude": 90.1}, "latitude"),
        ({"latitude": NAN}, "latitude"),
        ({"longitude": -181}, "longitude"),
        ({"nodes": 0}, "nodes"),
        ({"nodes": -3}, "nodes"),
        ({"cores_per_node": 0}, "cores_per_node"),
        ({"cores_per_node": 10**9}, "cores_per_node"),
        ({"memory_gb_per_node": 0.0}, "memory_gb_per_node"),
        ({"memory_gb_per_node": NAN}, "memory_gb_per_node"),
        ({"pue": 0.9}, "pue"),
        ({"pue": INF}, "pue"),
        ({"carbon_g_per_kwh": -1.0}, "carbon_g_per_kwh"),
        ({"carbon_g_per_kwh": NAN}, "carbon_g_per_kwh"),
        ({"core_power_w": -1.0}, "core_power_w"),
        ({"price": Price(core_hour_yuan=Decimal(-1))}, "price.core_hour_yuan"),
        ({"price": Price(core_hour_yuan=Decimal("NaN"))}, "price.core_hour_yuan"),
        ({"price": Price(core_hour_yuan=Decimal("sNaN"))}, "price.core_hour_yuan"),
        ({"price": Price(core_hour_yuan=Decimal("Infinity"))}, "price.core_hour_yuan"),
        (
            {"price": Price(core_hour_yuan=Decimal(1), memory_gb_hour_yuan=Decimal(-1))},
            "price.memory_gb_hour_yuan",
        ),
        ({"devices": (pool(), pool())}, "devices"),
        ({"devices": (pool(count=0),)}, "devices[0].count"),
        ({"devices": (pool(count=9),)}, "devices[0].count"),
        ({"devices": (pool(per_node=0),)}, "devices[0].count"),
        ({"devices": (pool(memory_gb=0.0),)}, "devices[0]"),
        ({"devices": (pool(memory_gb=NAN),)}, "devices[0]"),
        ({"devices": (pool(power_w=-1.0),)}, "devices[0]"),
        ({"devices": (pool(power_w=NAN),)}, "devices[0]"),
        ({"declares": {"compute.matmul.fp32": NAN}}, "declares.compute.matmul.fp32"),
        ({"declares": {"compute.magic": 1.0}}, "declares.compute.magic"),
        ({"devices": (A100,), "declares": {"device.matmul.bf16": 330.0}}, "declares.device.matmul.bf16"),
        ({"devices": (A100,), "declares": {"device.memory.bandwidth": 2200.0}}, "declares.device.memory.bandwidth"),
        (
            {"devices": (A100,), "declares": {"device.memory.bandwidth": 50.0, "device.matmul.bf16": 250.0}},
            "declares.device.matmul.bf16",
        ),
    ],
)
def test_figures_that_cannot_be_are_named(small: SmallNetwork, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        small.network.sites.invite(OPERATOR, "guian", offering(**changes))
    assert caught.value.field == field
    assert caught.value.allowed
    assert not small.store.sites()


@pytest.mark.parametrize(
    "price", [None, Decimal(-1), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal(10**7)]
)
def test_every_device_has_a_possible_price(small: SmallNetwork, price: Decimal | None) -> None:
    devices = {} if price is None else {"chip": price}
    with pytest.raises(InvalidRequest) as caught:
        small.network.sites.invite(
            OPERATOR,
            "guian",
            offering(devices=(pool("chip"),), price=Price(core_hour_yuan=Decimal(1), device_hour_yuan=devices)),
        )
    assert caught.value.field == "price.device_hour_yuan.chip"


@pytest.mark.parametrize("name", ["", "Guian", "gui an", "贵安", "-guian", "a/b", "g" * 64])
def test_a_sites_identifier_is_short_and_plain(small: SmallNetwork, name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        small.network.sites.invite(OPERATOR, name, offering())
    assert caught.value.field == "id"


def test_a_site_that_is_not_there(small: SmallNetwork) -> None:
    with pytest.raises(NotFound):
        small.network.sites.get(USER, SiteId("nowhere"))
    with pytest.raises(NotFound):
        small.network.sites.samples(USER, SiteId("nowhere"))


def test_what_leases_hold_is_shown_beside_the_site(small: SmallNetwork) -> None:
    small.join("guian")
    small.submit(task(cores=3, memory_gb=2.0, count=2))
    small.network.turn()
    (view,) = small.network.sites.all(USER)
    assert (view.held.cores, view.held.memory_gb, view.held.allocations) == (6, 4.0, 2)
    assert small.network.sites.get(USER, GUIAN) == view
