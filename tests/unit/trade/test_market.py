"""The market's use cases: who may list, order, take back and sell on; what calls and posted prices come to; clear errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.unit.api.api_world import World, offering, world

from suanwang.control.market.calling import call_at, call_due, freeze_at
from suanwang.control.market.ordering import Market
from suanwang.control.market.requests import NewOffer, Wish
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound, Unavailable
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.precision import DeviceKind
from suanwang.domain.site import DevicePool, Price
from suanwang.ports import OfferQuery
from suanwang.trading.ledger import MOST_FEN, NETWORK, Account, Book, Owner, account_id
from suanwang.trading.market.dealing import MARKET, hold, payer, payments
from suanwang.trading.market.product import HOUR, MOST_PRICE_FEN, Zone, window_of
from suanwang.trading.market.terms import STANDARD
from suanwang.trading.market.values import Offer, OfferState, Order, OrderState, Plan, Trade, Way
from suanwang.trading.settlement import opened, split

T14 = datetime(2026, 3, 1, 14, tzinfo=UTC)
ALICE = Principal(name="alice", role=Role.USER, projects=(ProjectId("demo"),))
BOB = Principal(name="bob", role=Role.USER, projects=(ProjectId("other"),))
GUIAN = Principal(name="guian", role=Role.PROVIDER, provider="guian-cloud")
WUHU = Principal(name="wuhu", role=Role.PROVIDER, provider="wuhu-cloud")
RITA = Principal(name="rita", role=Role.REGULATOR)
GPUS = DevicePool(model="nvidia-a100-sxm4-80gb", kind=DeviceKind.GPU, count=16, per_node=8, memory_gb=80.0)


@pytest.fixture
def net() -> Iterator[World]:
    """贵安 with 16 devices and 8 cores, 芜湖 with 8 cores; 02:00 UTC."""
    with world() as made:
        price = Price(core_hour_yuan=Decimal("0.1"), device_hour_yuan={GPUS.model: Decimal(10)})
        guian = offering(devices=(GPUS,), nodes=2, cores_per_node=4, price=price)
        made.network.sites.change(made.operator, SiteId("guian"), guian)
        wuhu = offering(provider="wuhu-cloud", region="yangtze", price=Price(core_hour_yuan=Decimal("0.2")))
        made.network.sites.invite(made.operator, "wuhu", wuhu)
        yield made


@pytest.fixture
def market(net: World) -> Market:
    return net.network.market


def an_offer(market: Market, name: str, price: int, by: Principal = GUIAN, **changes: Any) -> Offer:
    values: dict[str, Any] = {
        "id": f"offer-no-{name}",
        "site": SiteId("guian"),
        "device": GPUS.model,
        "count": 8,
        "start": T14,
        "end": T14 + timedelta(hours=4),
        "price_fen": price,
    }
    return market.list_offer(by, NewOffer(**{**values, **changes}))


def a_wish(name: str, limit: int | None, **changes: Any) -> Wish:
    values: dict[str, Any] = {
        "id": f"order-no-{name}",
        "project": ProjectId("demo"),
        "devices": (GPUS.model,),
        "count": 2,
        "start": T14,
        "end": T14 + timedelta(hours=2),
        "limit_fen": limit,
    }
    return Wish(**{**values, **changes})


def an_order(market: Market, name: str, limit: int | None, by: Principal = ALICE, **changes: Any) -> Order:
    return market.place(by, a_wish(name, limit, **changes))


def turn(net: World, at: datetime) -> int:
    net.clock.at = at
    return net.network.turn().called


def balances(net: World) -> dict[str, tuple[int, int]]:
    accounts, _ = net.store.accounts(None, None, 100)
    assert sum(each.balance_fen for each in accounts) == 0
    audit = net.store.audit()
    assert (audit.wrong, audit.unlogged) == ((), 0)
    found: dict[str, tuple[int, int]] = {each.id: (each.balance_fen, each.held_fen) for each in accounts}
    assert found.get("operator:market", (0, 0)) == (0, 0)
    return found


def test_buying_at_the_posted_price_pays_at_once_and_gives_a_right(net: World, market: Market) -> None:
    an_offer(market, "cheap", 980, count=4)
    an_offer(market, "dear", 1960, count=4)
    quoted = market.quote(ALICE, a_wish("a", None, way=Way.NOW, count=6))
    order = an_order(market, "a", None, way=Way.NOW, count=6)
    assert (order.state, order.filled, order.paid_fen) == (OrderState.FILLED, 6, quoted.amount_fen)
    assert quoted.amount_fen == 2 * (4 * 1000 + 2 * 2000)
    assert quoted.units == 6
    assert balances(net)["project:demo"] == (-16_000, 0)
    assert balances(net)["provider:guian-cloud"] == (15_680 - 1_600, 0), "a tenth is kept back until it was delivered"
    assert balances(net)["operator:network"] == (320, 0)
    (right,), _ = market.reservations(ALICE, None, 10)
    assert (right.site, right.device, right.bought, right.counts, right.paid_fen) == (
        *("guian", GPUS.model, 6, (6, 6), 16_000),
    )
    assert market.reservations(BOB, None, 10) == ([], None)
    assert {trade.amount_fen for trade in market.trades(GUIAN, None, None, 10)[0]} == {8000}
    assert market.trades(WUHU, None, None, 10) == ([], None)
    assert len(market.trades(RITA, order.id, None, 10)[0]) == 2


def test_the_same_request_again_is_answered_as_before(net: World, market: Market) -> None:
    offer = an_offer(market, "one", 980)
    assert an_offer(market, "one", 980) == offer
    order = an_order(market, "a", 2000, way=Way.IOC)
    sealed = an_order(market, "b", 1200)
    for _ in range(3):
        assert an_order(market, "a", 2000, way=Way.IOC) == order
        assert an_order(market, "b", 1200) == sealed
    assert balances(net)["project:demo"] == (-order.paid_fen, sealed.hold_fen)
    for changed in ({"count": 3}, {"limit": 1300}, {"way": Way.NOW}, {"end": T14 + timedelta(hours=1)}):
        limit = changed.pop("limit", 1200)
        with pytest.raises(Conflict, match="identifier was used"):
            an_order(market, "b", limit, **changed)  # type: ignore[arg-type]
    with pytest.raises(Conflict, match="identifier was used"):
        an_order(market, "b", 1200, by=BOB, project=ProjectId("other"))
    with pytest.raises(Conflict, match="identifier was used"):
        an_offer(market, "one", 981)


def test_a_call_has_one_price_for_all_and_gives_the_rest_back(net: World, market: Market) -> None:
    an_offer(market, "one", 980, count=4)
    an_offer(market, "two", 1470, count=4)
    high, middle = an_order(market, "a", 3000, count=3), an_order(market, "b", 2000, count=3)
    low = an_order(market, "c", 1200, count=2)
    held = high.hold_fen + middle.hold_fen + low.hold_fen
    assert balances(net)["project:demo"] == (0, held)
    assert turn(net, call_at(high.first, net.network.rules) - timedelta(seconds=1)) == 0
    assert turn(net, call_at(high.first, net.network.rules)) == 1
    ended = [market.order(ALICE, each.id) for each in (high, middle, low)]
    assert [each.state for each in ended] == [OrderState.FILLED, OrderState.FILLED, OrderState.UNFILLED]
    auction = market.calling(ALICE, T14).auction
    assert auction is not None
    assert {(priced.price_fen, priced.units) for priced in auction.prices} == {(1500, 6)}
    assert [each.paid_fen for each in ended] == [9000, 9000, 0]
    assert balances(net)["project:demo"] == (-18_000, 0)
    assert balances(net)["provider:guian-cloud"] == (17_640 - 1_800, 0)
    assert auction.surplus_fen == 2 * (3 * 3000 + 3 * 2000 - 4 * 1000 - 2 * 1500)
    assert auction.surplus_fen <= auction.bound_fen
    assert turn(net, net.clock.at + timedelta(seconds=1)) == 0, "a call is made once"
    assert market.auctions(ALICE, None, 10) == [auction]
    kinds = [event.kind for event in net.store.events(0, 100, kind="market.")]
    assert kinds.count("market.called") == 1
    assert kinds.count("market.ended") == 3


def test_substitutes_get_the_cheapest_zone_and_cores_are_goods_too(net: World, market: Market) -> None:
    an_offer(market, "one", 500, device="core", count=8)
    an_offer(market, "two", 100, device="core", count=8, site=SiteId("wuhu"), by=WUHU)
    anywhere = an_order(market, "a", 900, devices=("core", GPUS.model), count=4)
    there = an_order(market, "b", 900, devices=("core",), places=("guizhou",), count=4)
    split = an_order(market, "c", 850, devices=("core",), count=8, divisible=True)
    turn(net, call_at(anywhere.first, net.network.rules))
    rights = market.reservations(ALICE, None, 10)[0]
    assert {(right.order_id, right.site, right.bought) for right in rights} == {
        *((anywhere.id, "wuhu", 4), (there.id, "guian", 4), (split.id, "wuhu", 4), (split.id, "guian", 4)),
    }


def test_a_class_of_devices_takes_any_of_its_models(net: World, market: Market) -> None:
    an_offer(market, "one", 980)
    an_offer(market, "two", 100, device="core")
    bought = an_order(market, "a", None, devices=("gpu",), way=Way.NOW)
    assert bought.paid_fen == 2 * 2 * 1000
    standing = an_order(market, "b", 1200, devices=("npu", "gpu"))
    with pytest.raises(Conflict, match="on sale now"):
        an_order(market, "c", None, devices=("npu",), way=Way.NOW)
    turn(net, call_at(standing.first, net.network.rules))
    assert market.order(ALICE, standing.id).state is OrderState.FILLED
    (right, _), _ = market.reservations(ALICE, None, 10)
    assert right.device == GPUS.model
    resale = NewOffer(
        id="resale-gpu", reservation=right.id, count=1, start=T14, end=T14 + timedelta(hours=2), price_fen=1
    )
    assert market.list_offer(ALICE, resale).kind == "gpu"


def test_a_right_is_sold_on_once(net: World, market: Market) -> None:
    an_offer(market, "one", 980)
    an_order(market, "a", None, way=Way.NOW, count=4)
    (right,), _ = market.reservations(ALICE, None, 10)
    wanted = NewOffer(
        id="resale-1", reservation=right.id, count=3, start=T14, end=T14 + timedelta(hours=1), price_fen=1960
    )
    offer = market.list_offer(ALICE, wanted)
    assert market.list_offer(ALICE, wanted) == offer
    assert market.reservation(ALICE, right.id).counts == (1, 4)
    with pytest.raises(Conflict, match="1 units"):
        market.list_offer(ALICE, replace(wanted, id="resale-2", count=2))
    with pytest.raises(NotFound):
        market.list_offer(BOB, replace(wanted, id="resale-3"))
    with pytest.raises(InvalidRequest, match="sold on as what it is"):
        market.list_offer(ALICE, replace(wanted, id="resale-4", plan=Plan.INTERRUPTIBLE))
    for each in market.offers(BOB, OfferQuery(), None, 10)[0]:
        if each.id != offer.id:
            market.withdraw(GUIAN, each.id)
    bought = an_order(market, "b", None, by=BOB, project=ProjectId("other"), way=Way.NOW, end=T14 + timedelta(hours=1))
    assert bought.paid_fen == 2 * 2000
    assert balances(net)["project:demo"] == (-8000 + 3920, 0)
    market.withdraw(ALICE, offer.id)
    assert market.withdraw(ALICE, offer.id).state is OfferState.WITHDRAWN
    assert market.reservation(ALICE, right.id).counts == (2, 4)
    assert market.reservations(BOB, None, 10)[0][0].counts == (2,)


def test_no_site_sells_more_than_it_has(net: World, market: Market) -> None:
    an_offer(market, "one", 980, count=10)
    with pytest.raises(Conflict, match="16 of nvidia-a100-sxm4-80gb, and 10"):
        an_offer(market, "two", 980, count=7)
    an_offer(market, "three", 980, count=16, start=T14 + timedelta(hours=4), end=T14 + timedelta(hours=5))
    an_order(market, "a", None, way=Way.NOW, count=10)
    market.withdraw(GUIAN, "offer-no-one")
    with pytest.raises(Conflict, match="16 of"):
        an_offer(market, "four", 980, count=7)
    assert an_offer(market, "five", 980, count=6).left == (6, 6, 6, 6)


def test_plans_with_a_term_are_sold_whole_and_at_their_price_alone(net: World, market: Market) -> None:
    an_offer(market, "hourly", 1960, count=2)
    an_offer(market, "committed", 980, count=4, plan=Plan.COMMITTED, least_hours=3)
    an_offer(market, "subscribed", 490, count=4, plan=Plan.SUBSCRIPTION)
    short = an_order(market, "a", None, way=Way.NOW)
    assert short.paid_fen == 2 * 2 * 2000
    longer = an_order(market, "b", None, way=Way.NOW, end=T14 + timedelta(hours=3))
    assert longer.paid_fen == 2 * 3 * 1000
    whole = an_order(market, "c", None, way=Way.NOW, end=T14 + timedelta(hours=4))
    assert whole.paid_fen == 2 * 4 * 500
    standing = an_order(market, "d", 3000, count=2)
    turn(net, call_at(standing.first, net.network.rules))
    assert market.order(ALICE, standing.id).state is OrderState.UNFILLED
    with pytest.raises(InvalidRequest, match="least term"):
        an_offer(market, "x-term", 980, least_hours=2, count=1)


def test_interruptible_capacity_is_for_those_who_accept_it(net: World, market: Market) -> None:
    an_offer(market, "one", 490, plan=Plan.INTERRUPTIBLE)
    with pytest.raises(Conflict, match="on sale now"):
        an_order(market, "a", None, way=Way.NOW)
    assert an_order(market, "b", None, way=Way.NOW, interruptible=True).paid_fen == 2 * 2 * 500
    assert market.reservations(ALICE, None, 10)[0][0].interruptible


def test_ioc_takes_what_its_limit_allows_and_nothing_waits(net: World, market: Market) -> None:
    an_offer(market, "one", 980, count=3)
    an_offer(market, "two", 2940, count=3)
    some = an_order(market, "a", 1500, way=Way.IOC, divisible=True, count=6)
    assert (some.state, some.filled, some.paid_fen) == (OrderState.PARTLY, 3, 6000)
    none = an_order(market, "b", 1500, way=Way.IOC, count=2)
    assert (none.state, none.filled, none.paid_fen) == (OrderState.UNFILLED, 0, 0)
    assert balances(net)["project:demo"] == (-6000, 0)
    with pytest.raises(Conflict, match="on sale now"):
        an_order(market, "c", 1500, way=Way.NOW)


def test_a_standing_order_is_taken_back_until_it_is_near(net: World, market: Market) -> None:
    order = an_order(market, "a", 1000)
    assert market.cancel(ALICE, order.id).state is OrderState.CANCELLED
    assert market.cancel(ALICE, order.id).state is OrderState.CANCELLED
    assert balances(net)["project:demo"] == (0, 0)
    late = an_order(market, "b", 1000)
    offer = an_offer(market, "one", 500)
    net.clock.at = freeze_at(late.first, net.network.rules)
    with pytest.raises(Conflict, match="nothing is taken back"):
        market.cancel(ALICE, late.id)
    with pytest.raises(Conflict, match="nothing is taken back"):
        market.withdraw(GUIAN, offer.id)
    with pytest.raises(Conflict, match="only standing orders"):
        an_order(market, "c", None, way=Way.NOW)
    frozen = market.calling(BOB, T14)
    assert frozen.phase == "frozen"
    assert frozen.indication is not None
    assert set(frozen.indication.units.values()) == {2}
    an_order(market, "d", 1000)
    net.clock.at = call_at(late.first, net.network.rules)
    with pytest.raises(Unavailable, match="being made"):
        an_order(market, "later", None, way=Way.NOW, start=T14 + HOUR)
    turn(net, call_at(late.first, net.network.rules))
    with pytest.raises(Conflict, match="has ended: filled"):
        market.cancel(ALICE, late.id)
    assert an_order(market, "e", None, way=Way.NOW).state is OrderState.FILLED, "after the call, at posted prices"


def test_prices_are_not_shown_before_the_no_cancel_phase(net: World, market: Market) -> None:
    an_offer(market, "one", 500)
    an_order(market, "a", 1000)
    seen = market.calling(BOB, T14)
    assert (seen.phase, seen.indication, seen.auction) == ("open", None, None)


def test_what_no_call_came_for_lapses_and_gets_its_money_back(net: World, market: Market) -> None:
    an_offer(market, "one", 500)
    orders = [an_order(market, name, 1000) for name in ("one", "two")]
    assert turn(net, T14) == 0
    assert {market.order(ALICE, order.id).state for order in orders} == {OrderState.LAPSED}
    assert balances(net)["project:demo"] == (0, 0)
    assert market.calling(ALICE, T14).phase == "passed"


def test_a_hold_that_timed_out_takes_its_order_out_of_the_call(net: World, market: Market) -> None:
    an_offer(market, "one", 500)
    lost, kept = an_order(market, "a", 1000), an_order(market, "b", 900)
    expired = T14 + timedelta(hours=1)
    assert net.store.release_expired(expired, 1) == 1, "a replica whose clock is an hour ahead"
    gone = next(each for each in (lost, kept) if not any(h == f"order/{each.id}/hold" for h in net.store._book.holds))
    net.clock.at = call_at(lost.first, net.network.rules)
    assert call_due(net.store, net.network.rules, net.clock.at) == 1
    states = {each.id: market.order(ALICE, each.id).state for each in (lost, kept)}
    assert states.pop(gone.id) is OrderState.LAPSED
    assert set(states.values()) == {OrderState.FILLED}
    balances(net)


def test_orders_that_come_late_are_told_so(net: World, market: Market) -> None:
    an_offer(market, "one", 500)
    an_order(market, "a", 1000)
    when = call_at(window_of(T14), net.network.rules)
    net.clock.at = when
    with pytest.raises(Conflict, match="was at 13:45"):
        an_order(market, "b", 1000)
    turn(net, when)
    net.clock.at = when - timedelta(minutes=10)  # A replica whose clock is behind: the call was made all the same.
    with pytest.raises(Conflict, match="was at 13:45"):
        an_order(market, "c", 1000)
    with pytest.raises(InvalidRequest, match="arrived after") as caught:
        an_order(market, "d", 1000, not_after=net.clock.at - timedelta(seconds=1))
    assert caught.value.field == "not_after"
    with pytest.raises(InvalidRequest, match="past"):
        an_order(market, "e", 1000, start=T14 - timedelta(hours=2), end=T14)
    assert balances(net)["project:demo"][1] == 0


def test_money_is_there_or_nothing_happens(net: World, market: Market) -> None:
    an_offer(market, "one", 980)
    net.network.wallets.set_limit(net.operator, ProjectId("demo"), 0)
    with pytest.raises(Conflict, match="has 0 fen to spend, and this takes 4000"):
        an_order(market, "a", None, way=Way.NOW)
    with pytest.raises(Conflict, match="has 0 fen to spend, and this takes 4400"):
        an_order(market, "b", 1100)
    assert market.orders(ALICE, None, 10) == ([], None)
    net.network.wallets.top_up(net.operator, ProjectId("demo"), 4400, "bank-1")
    an_order(market, "b", 1100)
    with pytest.raises(Conflict, match="to spend"):
        an_order(market, "c", 1)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": "x"}, "id"),
        ({"id": "Order-00001"}, "id"),
        ({"count": 0}, "count"),
        ({"count": 2**63}, "count"),
        ({"limit_fen": 0}, "limit_fen"),
        ({"limit_fen": None}, "limit_fen"),
        ({"limit_fen": MOST_PRICE_FEN, "count": MOST_FEN // MOST_PRICE_FEN}, "limit_fen"),
        ({"start": T14 + timedelta(minutes=1)}, "start"),
        ({"end": T14}, "end"),
        ({"end": T14 + timedelta(days=32)}, "end"),
        ({"start": T14 + timedelta(days=400), "end": T14 + timedelta(days=401)}, "start"),
        ({"devices": ()}, "devices"),
        ({"devices": ("core", "core")}, "devices"),
        ({"places": ("atlantis",)}, "places"),
    ],
)
def test_what_is_no_order_is_said(net: World, market: Market, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        market.place(ALICE, replace(a_wish("a", 1000), **changes))
    assert caught.value.field == field
    assert caught.value.allowed


def test_who_may_not_may_not(net: World, market: Market) -> None:
    with pytest.raises(Forbidden):
        an_offer(market, "one", 500, by=WUHU)
    with pytest.raises(Forbidden):
        an_offer(market, "one", 500, by=ALICE)
    offer = an_offer(market, "one", 500)
    for caller in (ALICE, WUHU, RITA):
        with pytest.raises(Forbidden):
            market.withdraw(caller, offer.id)
    with pytest.raises(Forbidden):
        an_order(market, "a", 1000, by=BOB)
    for caller in (GUIAN, RITA):
        with pytest.raises(Forbidden):
            an_order(market, "a", 1000, by=caller)
    order = an_order(market, "a", 1000)
    with pytest.raises(NotFound):
        market.cancel(BOB, order.id)
    with pytest.raises(Forbidden):
        market.cancel(RITA, order.id)
    with pytest.raises(NotFound):
        market.cancel(ALICE, "order-that-never-came")
    with pytest.raises(NotFound):
        market.withdraw(GUIAN, "offer-that-never-came")
    with pytest.raises(NotFound):
        an_offer(market, "two", 500, site=SiteId("none"))
    with pytest.raises(InvalidRequest, match="has no 'abacus'"):
        an_offer(market, "two", 500, device="abacus")
    assert market.orders(BOB, None, 10) == ([], None)
    assert [each.id for each in market.orders(RITA, None, 10)[0]] == [order.id]


def test_an_order_with_many_sellers_is_paid_in_several_chains_that_come_to_nothing() -> None:
    values: dict[str, Any] = {
        "project": ProjectId("demo"),
        "devices": ("core",),
        "first": 0,
        "windows": 1,
        "limit_fen": 9,
    }
    order = Order(id="order-many", owner="alice", count=250, placed_at=T14, **values)
    trades = [
        Trade(
            id=f"order-many.{number}",
            order_id=order.id,
            offer_id=f"offer-{number}",
            project=order.project,
            seller=account_id(Owner.PROVIDER, f"seller-{number}"),
            zone=Zone("guian", "core"),
            first=0,
            counts=(1,),
            amount_fen=100 + number,
            commission_fen=2,
            at=T14,
        )
        for number in range(250)
    ]
    chains = payments(order, trades, held=True)
    assert [len(chain) for chain in chains] == [100, 99, 53]
    total = sum(trade.amount_fen for trade in trades)
    accounts = [opened(a) for a in (MARKET, NETWORK, *(trade.seller for trade in trades))]
    account = Account(id=payer(order), owner=Owner.PROJECT, name="demo", floor_fen=-total)
    pending = replace(hold(order), amount_fen=total, timeout_at=T14 + timedelta(hours=1))
    book = Book(accounts={each.id: each for each in (*accounts, account)})
    assert all(book.post(chain, T14).done for chain in ((pending,), *chains))
    found = {name: each.balance_fen for name, each in book.accounts.items()}
    assert (found[MARKET], found[NETWORK], found[payer(order)]) == (0, 500, -total)
    assert not book.holds


def test_co_owners_share_what_their_site_sells_at_posted_prices_and_in_calls(net: World, market: Market) -> None:
    site = net.store.site(SiteId("guian"))
    assert site is not None
    shared = replace(site.offering, owners={"guian-cloud": "1/2", "university": "1/3", "investor": "1/6"})
    net.network.sites.change(net.operator, SiteId("guian"), shared)
    names = ("guian-cloud", "university", "investor")
    assert net.store.add_sale_terms(replace(STANDARD, deposit_bp=0), [])
    an_offer(market, "one", 333)
    now = an_order(market, "a", None, way=Way.NOW)
    # 4 unit-hours at 340 fen with 2 % of 1360 taken off are 1333 fen: halves, thirds and sixths of a fen go by remainder.
    assert now.paid_fen == 1360
    assert [balances(net)[account_id(Owner.PROVIDER, name)][0] for name in names] == [667, 444, 222]
    order = an_order(market, "b", 900)
    turn(net, call_at(order.first, net.network.rules))
    (trade,), _ = market.trades(ALICE, order.id, None, 10)
    parts = split(trade.amount_fen - trade.commission_fen, (3, 2, 1))
    found = balances(net)
    assert tuple(found[account_id(Owner.PROVIDER, name)][0] for name in names) == (
        *(before + part for before, part in zip((667, 444, 222), parts, strict=True)),
    )
    # Whoever sells a right on shares with nobody.
    market.list_offer(
        ALICE,
        NewOffer(id="offer-no-resale", reservation=f"{now.id}.1", count=1, start=T14, end=T14 + HOUR, price_fen=98),
    )
    resold = an_order(market, "c", None, BOB, way=Way.NOW, project=ProjectId("other"), count=1, end=T14 + HOUR)
    after = balances(net)
    assert resold.paid_fen == 100
    assert after["project:demo"][0] == found["project:demo"][0] + 98
    assert all(after[account_id(Owner.PROVIDER, name)] == found[account_id(Owner.PROVIDER, name)] for name in names)


def test_sellers_get_what_they_asked_whatever_the_commission(net: World, market: Market) -> None:
    assert net.store.add_sale_terms(replace(STANDARD, deposit_bp=0), [])
    an_offer(market, "one", 333, count=7)
    order = an_order(market, "a", 900, count=7, end=T14 + timedelta(hours=3))
    turn(net, call_at(order.first, net.network.rules))
    earned = balances(net)[account_id(Owner.PROVIDER, "guian-cloud")][0]
    assert earned >= 333 * 7 * 3
    (trade,), _ = market.trades(ALICE, order.id, None, 10)
    assert trade.amount_fen - trade.commission_fen == earned
    assert trade.commission_fen == trade.amount_fen * 2 // 100


def a_lot(market: Market, name: str, price: int, by: Principal, site: str, **changes: Any) -> Offer:
    return an_offer(
        market,
        name,
        price,
        by,
        site=SiteId(site),
        device="core",
        count=1,
        plan=Plan.LOT,
        end=T14 + timedelta(hours=2),
        **changes,
    )


def lot_order(market: Market, name: str, limit: int, by: Principal = ALICE, **changes: Any) -> Order:
    wanted = {"way": Way.LOT, "devices": ("core",), "places": ("guizhou",), "count": 1}
    return an_order(market, name, limit, by, **{**wanted, **changes})


def test_standard_lots_clear_by_their_own_rule(net: World, market: Market) -> None:
    for name in ("a", "b", "c"):
        net.network.people.create_project(net.operator, f"lots-{name}", name)
    buyers = [Principal(name=name, role=Role.USER, projects=(ProjectId(f"lots-{name}"),)) for name in ("a", "b", "c")]
    a_lot(market, "one", 98, GUIAN, "guian")
    a_lot(market, "two", 490, GUIAN, "guian")
    orders = [
        lot_order(market, name, limit, by, project=by.projects[0])
        for name, limit, by in zip("abc", (900, 700, 300), buyers, strict=True)
    ]
    again = lot_order(market, "d", 5000, buyers[0], project=buyers[0].projects[0])
    assert market.depth(ALICE, "core", window_of(T14)) == [], "not for sale at a posted price"
    assert turn(net, call_at(orders[0].first, net.network.rules)) == 1
    ended = [market.order(by, order.id) for order, by in zip(orders, buyers, strict=True)]
    # One provider sells one lot: of two the first by name counts; one pair that could trade goes without.
    assert [order.state for order in ended] == [OrderState.UNFILLED] * 3
    assert market.order(buyers[0], again.id).state is OrderState.UNFILLED
    auction = market.calling(ALICE, T14).auction
    assert auction is not None
    assert (auction.surplus_fen, auction.bound_fen, auction.prices) == (0, 2 * (900 - 100), ())
    assert balances(net)["provider:guian-cloud"] == (0, 0)


def test_lots_of_several_sellers_trade_and_the_network_has_what_lies_between(net: World, market: Market) -> None:
    wuhu = offering(provider="wuhu-cloud", price=Price(core_hour_yuan=Decimal("0.2")))
    net.network.sites.change(net.operator, SiteId("wuhu"), wuhu)
    a_lot(market, "one", 98, GUIAN, "guian")
    a_lot(market, "two", 490, WUHU, "wuhu")
    for name, limit, by in (("a", 900, ALICE), ("b", 700, BOB)):
        lot_order(market, name, limit, by, project=by.projects[0])
    turn(net, call_at(window_of(T14), net.network.rules))
    first, second = market.order(ALICE, "order-no-a"), market.order(BOB, "order-no-b")
    assert (first.state, second.state) == (OrderState.FILLED, OrderState.UNFILLED)
    (trade,), _ = market.trades(ALICE, first.id, None, 10)
    # Both could trade, and nobody stands behind them: the buyer pays what the other bid, the seller gets what the other asked.
    assert (trade.amount_fen, trade.seller) == (1400, "provider:guian-cloud")
    assert trade.commission_fen == 1400 - 1000 + 20
    auction = market.calling(ALICE, T14).auction
    assert auction is not None
    (priced,) = auction.prices
    assert (priced.price_fen, priced.seller_fen, priced.lot_hours, priced.units) == (700, 500, 2, 1)
    assert balances(net)["operator:network"] == (420, 0)
    (right,), _ = market.reservations(ALICE, None, 10)
    assert (right.counts, right.site) == ((1, 1), "guian")
    assert priced.zone.site == "guizhou", "one region, whichever site"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"count": 2}, "count"),
        ({"places": ()}, "places"),
        ({"places": ("guian",)}, "places"),
        ({"devices": ("core", "gpu")}, "devices"),
        ({"divisible": True}, "divisible"),
        ({"interruptible": True}, "interruptible"),
        ({"limit_fen": None}, "limit_fen"),
    ],
)
def test_what_is_no_lot_is_said(market: Market, changes: dict[str, Any], field: str) -> None:
    limit = changes.pop("limit_fen", 100) if "limit_fen" in changes else 100
    with pytest.raises(InvalidRequest) as refused:
        lot_order(market, "a", limit, **changes)
    assert refused.value.field == field


def test_a_lot_is_one_unit_and_sold_in_calls_alone(market: Market) -> None:
    with pytest.raises(InvalidRequest, match="one unit"):
        an_offer(market, "one", 98, device="core", count=2, plan=Plan.LOT)
    a_lot(market, "one", 98, GUIAN, "guian")
    with pytest.raises(Conflict, match="on sale now"):
        an_order(market, "a", None, way=Way.NOW, devices=("core",), count=1)


def test_messages_out_of_order_and_again_change_nothing_twice(net: World, market: Market) -> None:
    an_offer(market, "one", 500)
    with pytest.raises(NotFound, match="no order"):
        market.cancel(ALICE, "order-no-a")  # It overtook the order that it takes back.
    stands = an_order(market, "a", 1000)
    assert stands.state is OrderState.OPEN
    turn(net, call_at(stands.first, net.network.rules))
    ended = market.order(ALICE, stands.id)
    assert ended.state is OrderState.FILLED
    # The same order again, long after the instant it was good for: answered as it ended, never bought twice.
    again = an_order(market, "a", 1000, not_after=net.clock.at - timedelta(hours=1))
    assert again == ended
    with pytest.raises(Conflict, match="has ended"):
        market.cancel(ALICE, stands.id)
    # Under another's name it is another order, and nothing of the first is told.
    with pytest.raises(NotFound):
        market.order(BOB, stands.id)
    with pytest.raises(Conflict, match="identifier was used"):
        an_order(market, "a", 1000, by=BOB, project=ProjectId("other"))
    assert len(market.trades(ALICE, None, None, 10)[0]) == 1
