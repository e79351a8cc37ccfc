"""What every call of the market promises, on random books: nobody is worse off, nothing is sold twice, nothing depends on
who came first, and no small book could be cleared at prices for all with a greater surplus than its bound."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suanwang.trading.market.book import Ask, Bid, arranged
from suanwang.trading.market.checking import faults
from suanwang.trading.market.clearing import Cleared, clear
from suanwang.trading.market.mcafee import Lots, clear_lots, lot_faults
from suanwang.trading.market.product import Zone
from suanwang.trading.market.values import Match

ZONES = (Zone("guian", "gpu"), Zone("guian", "gpu", True), Zone("wuhu", "gpu"))
HOURS = 6


@st.composite
def asks(draw: st.DrawFn, name: str, most: int = 6) -> Ask:
    first = draw(st.integers(0, HOURS - 1))
    return Ask(
        id=name,
        zone=draw(st.sampled_from(ZONES)),
        first=first,
        left=tuple(draw(st.lists(st.integers(0, most), min_size=1, max_size=HOURS - first))),
        price_fen=draw(st.integers(1, 12)),
    )


@st.composite
def bids(draw: st.DrawFn, name: str, most: int = 6) -> Bid:
    first = draw(st.integers(0, HOURS - 1))
    return Bid(
        id=name,
        zones=tuple(draw(st.lists(st.sampled_from(ZONES), min_size=1, max_size=3, unique=True))),
        first=first,
        windows=draw(st.integers(1, HOURS - first)),
        count=draw(st.integers(1, most)),
        limit_fen=draw(st.integers(1, 15)),
        divisible=draw(st.booleans()),
    )


@st.composite
def books(draw: st.DrawFn, size: int = 8, most: int = 6) -> tuple[list[Bid], list[Ask]]:
    return (
        [draw(bids(f"b{number}", most)) for number in range(draw(st.integers(0, size)))],
        [draw(asks(f"a{number}", most)) for number in range(draw(st.integers(0, size)))],
    )


def sound(book: tuple[list[Bid], list[Ask]], cleared: Cleared) -> None:
    assert list(faults(*book, cleared)) == []


@given(books())
@settings(max_examples=300, deadline=None)
def test_greedy_results_are_sound(book: tuple[list[Bid], list[Ask]]) -> None:
    sound(book, clear(*book, bounded=False))


@given(books())
@settings(max_examples=60, deadline=None)
def test_improved_results_are_sound_and_no_worse(book: tuple[list[Bid], list[Ask]]) -> None:
    plain, better = clear(*book, bounded=False), clear(*book, improve_s=1.0, tries=20)
    sound(book, better)
    assert plain.surplus_fen <= better.surplus_fen <= better.bound_fen <= plain.bound_fen


@given(books(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_order_of_arrival_plays_no_part(book: tuple[list[Bid], list[Ask]], chance: object) -> None:
    one = clear(*book, bounded=False)
    shuffled = ([*book[0]], [*book[1]])
    for side in shuffled:
        chance.shuffle(side)  # type: ignore[attr-defined]
    assert clear(*shuffled, bounded=False) == one


@given(books(size=5), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_nor_does_it_where_the_solver_has_its_say(book: tuple[list[Bid], list[Ask]], chance: object) -> None:
    shuffled = ([*book[0]], [*book[1]])
    for side in shuffled:
        chance.shuffle(side)  # type: ignore[attr-defined]
    assert clear(*shuffled, improve_s=5.0, tries=10) == clear(*book, improve_s=5.0, tries=10)


@given(books(size=3, most=2))
@settings(max_examples=60, deadline=None)
def test_no_division_whatever_exceeds_the_bound(book: tuple[list[Bid], list[Ask]]) -> None:
    assert clear(*book).bound_fen >= most_surplus(*book)


def most_surplus(wanted: list[Bid], sold: list[Ask]) -> int:
    """By trying every division: the oracle of the bound. Prices play no part in a surplus."""
    choices = []
    for bid in wanted:
        amounts = range(bid.count + 1) if bid.divisible else (0, bid.count)
        options = [
            dict(zip(bid.zones, split, strict=True))
            for split in itertools.product(amounts, repeat=len(bid.zones))
            if sum(split) <= bid.count and (bid.divisible or sum(1 for part in split if part) <= 1)
        ]
        choices.append(options)
    best = 0
    for division in itertools.product(*choices):
        need: dict[tuple[Zone, int], int] = {}
        value = 0
        for bid, got in zip(wanted, division, strict=True):
            for zone, units in got.items():
                value += units * bid.limit_fen * bid.windows
                for window in range(bid.first, bid.end):
                    need[zone, window] = need.get((zone, window), 0) + units
        cost = cheapest(need, sold)
        if cost is not None:
            best = max(best, value - cost)
    return best


def cheapest(need: dict[tuple[Zone, int], int], sold: list[Ask]) -> int | None:
    cost = 0
    for (zone, window), units in need.items():
        for ask in sorted(sold, key=lambda each: each.price_fen):
            if ask.zone == zone and ask.first <= window < ask.end:
                part = min(units, ask.left[window - ask.first])
                cost, units = cost + part * ask.price_fen, units - part
        if units:
            return None
    return cost


@given(st.lists(st.integers(1, 30), max_size=8), st.lists(st.integers(1, 30), max_size=8))
@settings(max_examples=200, deadline=None)
def test_one_zone_and_one_window_clear_at_the_price_that_supply_meets(limits: list[int], prices: list[int]) -> None:
    """The textbook: without a rectangle in the way, the surplus is the greatest and the price between the margins."""
    zone = ZONES[0]
    wanted = [Bid(id=f"b{n}", zones=(zone,), first=0, windows=1, count=1, limit_fen=p) for n, p in enumerate(limits)]
    sold = [Ask(id=f"a{n}", zone=zone, first=0, left=(1,), price_fen=p) for n, p in enumerate(prices)]
    cleared = clear(wanted, sold)
    high, low = sorted(limits, reverse=True), sorted(prices)
    traded = sum(1 for b, s in zip(high, low, strict=False) if b >= s)
    assert len(cleared.matches) == traded
    assert cleared.surplus_fen == sum(high[n] - low[n] for n in range(traded))
    if traded:
        ((_, price),) = cleared.prices.items()
        rejected = high[traded] if traded < len(high) else 0
        assert max(low[traded - 1], min(rejected, high[traded - 1])) <= price
        assert price <= min(high[traded - 1], low[traded] if traded < len(low) else price)


def spoilt() -> list[tuple[str, Cleared]]:
    """One sound result and what may go wrong with it."""
    good = clear(*SMALL)
    match = good.matches[0]
    low = {key: price - 3 for key, price in good.prices.items()}
    high = {key: price + 9 for key, price in good.prices.items()}
    return [
        ("asked", replace(good, prices=low)),
        ("more than its limit", replace(good, prices=high)),
        ("more than it has", replace(good, matches=(match, match))),
        ("not what was asked for", replace(good, matches=(replace(match, zone=ZONES[2]),))),
        ("no rectangle", replace(good, matches=(replace(match, counts=match.counts[:-1]),))),
        ("units of", replace(good, matches=(replace(match, counts=(1,) * len(match.counts)),))),
        ("did not ask for", replace(good, matches=(replace(match, first=match.first + 1),))),
        ("surplus", replace(good, surplus_fen=good.surplus_fen + 1)),
        ("surplus", replace(good, bound_fen=0)),
    ]


SMALL = (
    [Bid(id="b", zones=(ZONES[0],), first=1, windows=2, count=2, limit_fen=9)],
    [Ask(id="a", zone=ZONES[0], first=0, left=(3, 3, 3, 3), price_fen=5)],
)


def test_a_small_call_by_hand() -> None:
    cleared = clear(*SMALL)
    assert cleared.matches == (Match(bid="b", ask="a", zone=ZONES[0], first=1, counts=(2, 2)),)
    assert cleared.prices == {(ZONES[0], 1): 5, (ZONES[0], 2): 5}, "units are left over, so the price is what they ask"
    assert cleared.surplus_fen == 16
    assert cleared.quality > 0.9


@pytest.mark.parametrize(("word", "result"), spoilt())
def test_the_check_sees_what_is_wrong(word: str, result: Cleared) -> None:
    found = list(faults(*SMALL, result))
    assert any(word in fault for fault in found), found


def test_equal_prices_are_served_by_size_and_then_by_lot() -> None:
    zone = (ZONES[0],)
    equal = [Bid(id=f"b{n}", zones=zone, first=0, windows=1, count=1 + n // 9, limit_fen=5) for n in range(10)]
    sold = [Ask(id="a", zone=ZONES[0], first=0, left=(1,), price_fen=1)]
    served = [bid.id for bid in arranged(equal, sold).bids]
    assert served[0] == "b9", "the larger one first"
    assert served[1:] != sorted(served[1:]), "then by lot, not by name"
    others = [replace(bid, id=f"{bid.id}x") for bid in equal]
    again = [bid.id[:-1] for bid in arranged(others, sold).bids]
    assert again != served, "the lot depends on all names of the book"


@given(st.lists(st.integers(1, 9), max_size=5), st.lists(st.integers(1, 9), max_size=5))
@settings(max_examples=200, deadline=None)
def test_lots_are_traded_at_prices_that_nobody_minds(limits: list[int], prices: list[int]) -> None:
    wanted, sold = {f"b{n}": p for n, p in enumerate(limits)}, {f"a{n}": p for n, p in enumerate(prices)}
    lots = clear_lots(wanted, sold)
    assert len(lots.buyers) == len(lots.sellers)
    assert lots.left_fen >= 0
    assert list(lot_faults(wanted, sold, lots)) == []
    best = sum(max(0, b - s) for b, s in zip(sorted(limits, reverse=True), sorted(prices), strict=False))
    assert (lots.bound_fen, lots.surplus_fen <= best) == (best, True)
    got = sum(wanted[name] for name in lots.buyers) - sum(sold[name] for name in lots.sellers)
    assert lots.surplus_fen == got
    assert all(wanted[name] >= lots.buyer_pays_fen for name in lots.buyers)
    assert all(sold[name] <= lots.seller_gets_fen for name in lots.sellers)
    possible = sum(1 for b, s in zip(sorted(limits, reverse=True), sorted(prices), strict=False) if b >= s)
    assert possible - 1 <= len(lots.buyers) <= possible, "at most one pair goes without"


@pytest.mark.parametrize(
    ("word", "lots"),
    [
        ("one seller", Lots(buyers=("b",))),
        ("sold twice", Lots(buyers=("b", "c"), sellers=("a", "a"), buyer_pays_fen=5, seller_gets_fen=5)),
        ("more than buyers pay", Lots(buyers=("b",), sellers=("a",), buyer_pays_fen=5, seller_gets_fen=6)),
        ("more than its limit", Lots(buyers=("b",), sellers=("a",), buyer_pays_fen=8, seller_gets_fen=5)),
        ("asked 4", Lots(buyers=("b",), sellers=("a",), buyer_pays_fen=5, seller_gets_fen=3)),
    ],
)
def test_the_check_of_lots_sees_what_is_wrong(word: str, lots: Lots) -> None:
    assert any(word in fault for fault in lot_faults({"b": 7, "c": 7}, {"a": 4}, lots))


@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), st.lists(st.integers(1, 7), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_nobody_gains_by_lying_about_one_lot(limits: list[int], prices: list[int]) -> None:
    wanted, sold = {f"b{n}": p for n, p in enumerate(limits)}, {f"a{n}": p for n, p in enumerate(prices)}
    truth = clear_lots(wanted, sold)
    for lie in range(9):
        for name, value in wanted.items():
            told = clear_lots({**wanted, name: lie}, sold)
            gain = value - told.buyer_pays_fen if name in told.buyers else 0
            assert gain <= (value - truth.buyer_pays_fen if name in truth.buyers else 0)
        for name, value in sold.items():
            told = clear_lots(wanted, {**sold, name: lie})
            gain = told.seller_gets_fen - value if name in told.sellers else 0
            assert gain <= (truth.seller_gets_fen - value if name in truth.sellers else 0)
