"""The market's call: what a million random ones keep, and how good and how fast a large one is.

    python -m benchmarks.market --auctions 1000000

Owns the market's figures alone. `measure` returns them for a larger report. The million are cleared and checked by
compiled code: their checker is written here, apart from what it checks. Some thousands go the whole way from orders to
matches as well, each once more with its orders shuffled.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from benchmarks.store import Figure
from numba import njit

from suanwang.adapters.store.postgres import connect
from suanwang.control.market.calling import call
from suanwang.control.rules import Rules
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.ports import Deal
from suanwang.trading.ledger import BANK, NETWORK, AccountId, Owner, Transfer, account_id
from suanwang.trading.market.book import Arrays, Ask, Bid
from suanwang.trading.market.checking import faults
from suanwang.trading.market.clearing import Cleared, clear
from suanwang.trading.market.dealing import MARKET, hold
from suanwang.trading.market.filling import fill, price, share
from suanwang.trading.market.product import HOUR, Zone, begins
from suanwang.trading.market.values import Offer, Order
from suanwang.trading.settlement import opened

ZONES, HOURS = 8, 24
FIRST = 500_000
AT = begins(FIRST) - HOUR
SEEDS = range(3)
IMPROVE = {"improve_s": 30.0, "tries": 5_000}


def measure(*, auctions: int = 1_000_000, whole: int = 5_000) -> Iterator[Figure]:
    """Every figure."""
    _many(1, 1)
    begun = time.perf_counter()
    broken, traded, units, surplus = _many(20_260_301, auctions)
    took_s = time.perf_counter() - begun
    yield Figure(name=f"{auctions:,} random calls: promises broken", value=broken, unit="", bound="≤ 0")
    yield Figure(name=f"{auctions:,} random calls: that traded", value=traded, unit="calls")
    yield Figure(name=f"{auctions:,} random calls: cleared and checked", value=auctions / took_s, unit="1/s")
    assert units > 0 < surplus
    yield Figure(
        name=f"{whole:,} calls from orders to matches: broken, or moved by arrival",
        value=_whole(whole),
        unit="",
        bound="≤ 0",
    )
    clear(*_large(100), improve_s=0.1, tries=1)
    yield from _large_ones()
    yield from live()


def live() -> Iterator[Figure]:
    """The same book on PostgreSQL: orders placed with their holds by one writer, and the call made and posted."""
    bids, asks = _large(0)
    project, seller = account_id(Owner.PROJECT, "demo"), account_id(Owner.PROVIDER, "seller")
    with tempfile.TemporaryDirectory(prefix="suanwang-bench-") as folder, connect(None, Path(folder)) as store:
        store.open_accounts([opened(account) for account in (BANK, NETWORK, MARKET, project, seller)])
        funds = Transfer(id="f", chain="f", debit=BANK, credit=project, amount_fen=10**12, code="top_up")
        store.post([(funds,)], AT)
        store.deal(Deal(offers=tuple(_offer(ask, seller) for ask in asks)), AT)
        begun = time.perf_counter()
        for bid in bids:
            order = _order(bid)
            assert store.deal(Deal(orders=(order,), chains=((hold(order),),)), AT).done
        took_s = time.perf_counter() - begun
        yield Figure(
            name="standing orders placed, each with its hold, one writer", value=len(bids) / took_s, unit="1/s"
        )
        begun = time.perf_counter()
        assert call(store, Rules(), FIRST, AT)
        took_s = time.perf_counter() - begun
        yield Figure(name=f"a call of {len(bids):,} orders on PostgreSQL, cleared and posted", value=took_s, unit="s")
        audit = store.audit()
        assert (audit.sum_fen, audit.wrong, audit.unlogged) == (0, (), 0)


def _offer(ask: Ask, seller: AccountId) -> Offer:
    return Offer(
        id=ask.id,
        seller=seller,
        site=SiteId(ask.zone.site),
        region="",
        device=ask.zone.device,
        first=FIRST + ask.first,
        left=ask.left,
        count=max(ask.left),
        price_fen=ask.price_fen,
        listed_at=AT,
    )


def _order(bid: Bid) -> Order:
    return Order(
        id=bid.id,
        project=ProjectId("demo"),
        owner="bench",
        devices=("gpu",),
        places=tuple(zone.site for zone in bid.zones),
        count=bid.count,
        first=FIRST,
        windows=bid.windows,
        limit_fen=bid.limit_fen,
        divisible=bid.divisible,
        placed_at=AT,
    )


def _large_ones() -> Iterator[Figure]:
    ordinary, scarce = "2,000 orders, 8 zones, 24 hours", "the same, whole blocks of 16 to 64 for a tenth of the units"
    for name, book, improve, bounds in (
        (f"{ordinary}: at once", _large, {}, ("≤ 1", "≥ 91")),
        (f"{ordinary}: improved", _large, IMPROVE, ("≤ 60", "≥ 95")),
        (f"{scarce}: at once", _scarce, {}, ("", "")),
        (f"{scarce}: improved", _scarce, IMPROVE, ("", "")),
    ):
        took, parts = [], []
        for seed in SEEDS:
            made = book(seed)
            begun = time.perf_counter()
            cleared = clear(*made, **improve)  # type: ignore[arg-type]
            took.append(time.perf_counter() - begun)
            parts.append(cleared.quality * 100)
            assert not list(faults(*made, cleared))
        yield Figure(name=f"{name}, slowest of {len(SEEDS)}", value=max(took), unit="s", bound=bounds[0])
        yield Figure(name=f"{name}, least part of its bound", value=min(parts), unit="%", bound=bounds[1])


def _large(seed: int) -> tuple[list[Bid], list[Ask]]:
    """1,500 bids and 500 asks: sizes lognormal, lengths of 1 to 12 hours, six in ten all or none, each for one to three zones."""
    dice = np.random.default_rng(seed)
    zones = [Zone(f"site-{number}", "gpu") for number in range(ZONES)]
    level = dice.integers(200, 400, ZONES)
    asks: list[Ask] = []
    for number in range(500):
        zone, first = int(dice.integers(ZONES)), int(dice.integers(0, HOURS - 1))
        whole = dice.random() < 0.5
        length = HOURS if whole else int(dice.integers(1, HOURS - first + 1))
        asks.append(
            Ask(
                id=f"ask-{number}",
                zone=zones[zone],
                first=0 if whole else first,
                left=(int(dice.integers(1, 33)),) * length,
                price_fen=int(level[zone] * dice.uniform(0.6, 1.6)),
            )
        )
    bids = [
        _bid(dice, zones, f"bid-{number}", min(64, max(1, int(dice.lognormal(1.5, 1.1)))), bool(dice.random() < 0.4))
        for number in range(1500)
    ]
    return bids, asks


def _scarce(seed: int) -> tuple[list[Bid], list[Ask]]:
    """1,500 bids for whole blocks of 16 to 64 units, and 500 asks of one to four: whatever is served leaves gaps."""
    dice = np.random.default_rng(seed)
    zones = [Zone(f"site-{number}", "gpu") for number in range(ZONES)]
    asks = [
        Ask(
            id=f"ask-{number}",
            zone=zones[int(dice.integers(ZONES))],
            first=0,
            left=(int(dice.integers(1, 5)),) * HOURS,
            price_fen=int(dice.integers(100, 300)),
        )
        for number in range(500)
    ]
    return [_bid(dice, zones, f"bid-{number}", int(dice.integers(16, 65)), False) for number in range(1500)], asks


def _bid(dice: np.random.Generator, zones: Sequence[Zone], name: str, count: int, divisible: bool) -> Bid:
    first = int(dice.integers(0, HOURS - 1))
    return Bid(
        id=name,
        zones=tuple(zones[zone] for zone in dice.choice(len(zones), int(dice.integers(1, 4)), replace=False)),
        first=first,
        windows=min(HOURS - first, int(dice.integers(1, 13))),
        count=count,
        limit_fen=int(300 * dice.uniform(0.6, 1.8)),
        divisible=divisible,
    )


def _whole(count: int) -> int:
    """Small calls through everything: how many break a promise, or come out otherwise when their orders are shuffled."""
    dice, wrong = np.random.default_rng(7), 0
    for _ in range(count):
        bids, asks = _small(dice)
        cleared = clear(bids, asks, bounded=False)
        again: Cleared = clear(
            [bids[at] for at in dice.permutation(len(bids))],
            [asks[at] for at in dice.permutation(len(asks))],
            bounded=False,
        )
        wrong += bool(list(faults(bids, asks, cleared))) or again != cleared
    return wrong


def _small(dice: np.random.Generator) -> tuple[list[Bid], list[Ask]]:
    zones = [Zone("a", "gpu"), Zone("b", "gpu")]
    asks = [
        Ask(
            id=f"ask-{number}",
            zone=zones[int(dice.integers(2))],
            first=0,
            left=tuple(int(units) for units in dice.integers(0, 5, 4)),
            price_fen=int(dice.integers(1, 10)),
        )
        for number in range(int(dice.integers(1, 6)))
    ]
    bids: list[Bid] = []
    for number in range(int(dice.integers(1, 8))):
        first = int(dice.integers(0, 4))
        bids.append(
            Bid(
                id=f"bid-{number}",
                zones=tuple(zones[: int(dice.integers(1, 3))]),
                first=first,
                windows=int(dice.integers(1, 5 - first)),
                count=int(dice.integers(1, 5)),
                limit_fen=int(dice.integers(1, 12)),
                divisible=bool(dice.random() < 0.5),
            )
        )
    return bids, asks


@njit
def _many(seed, count):  # type: ignore[no-untyped-def]
    """(promises broken, calls that traded, units, surplus) over random calls of up to 12 bids and 9 asks."""
    np.random.seed(seed)
    broken, traded, units, surplus = 0, 0, 0, 0
    for _ in range(count):
        book = _random()
        order = np.arange(len(book.wanted))
        if np.random.random() < 0.5:
            np.random.shuffle(order)  # The promises hold in whatever order the solver suggests.
        prefer = np.full(len(order), -1)
        given, marginal, slack, at, used, gained = fill(book, order, prefer)
        prices = price(book, given, marginal, slack, at, used)
        broken += _breaks(book, given, prices, share(book, given), gained)
        traded += given.sum() > 0
        units += given.sum()
        surplus += gained
    return broken, traded, units, surplus


@njit
def _random():  # type: ignore[no-untyped-def]
    zones, spans = np.random.randint(1, 4), np.random.randint(1, 6)
    bids, asks = np.random.randint(1, 13), np.random.randint(1, 10)
    start = np.random.randint(0, spans, bids)
    end = np.array([np.random.randint(start[bid] + 1, spans + 1) for bid in range(bids)])
    span_hours = np.random.randint(1, 4, spans)
    hours = np.array([span_hours[start[bid] : end[bid]].sum() for bid in range(bids)])
    wanted = np.random.randint(1, 9, bids)
    divisible = np.random.randint(0, 2, bids)
    least = np.where(divisible == 1, 1, wanted)
    limit = -np.sort(-np.random.randint(1, 16, bids))
    number = np.random.randint(1, zones + 1, bids)
    options = np.zeros(bids + 1, np.int64)
    options[1:] = np.cumsum(number)
    option_zone, option_bid = np.zeros(options[-1], np.int64), np.zeros(options[-1], np.int64)
    for bid in range(bids):
        option_zone[options[bid] : options[bid + 1]] = np.sort(np.random.permutation(zones)[: number[bid]])
        option_bid[options[bid] : options[bid + 1]] = bid
    zone_of = np.sort(np.random.randint(0, zones, asks))
    starts = np.zeros(zones + 1, np.int64)
    for zone in range(zones):
        starts[zone + 1] = (zone_of <= zone).sum()
    ask_price = np.random.randint(1, 13, asks)
    for zone in range(zones):
        ask_price[starts[zone] : starts[zone + 1]].sort()
    left = np.random.randint(0, 7, (asks, spans))
    return Arrays(
        start, end, hours, wanted, least, limit, options, option_zone, option_bid, starts, ask_price, left, span_hours
    )


@njit
def _breaks(book, given, prices, rows, gained):  # type: ignore[no-untyped-def]
    """1 where a promise is broken: looked at from who supplies whom, as a stranger would."""
    taken = np.zeros(book.ask_left.shape, np.int64)
    got, paid = np.zeros((len(given), len(book.span_hours)), np.int64), np.zeros(len(book.wanted), np.int64)
    surplus = 0
    for option, ask, span, units in rows:
        zone, bid = book.option_zone[option], book.option_bid[option]
        if not book.asks[zone] <= ask < book.asks[zone + 1] or prices[zone, span] < book.ask_price[ask] or units <= 0:
            return 1
        taken[ask, span] += units
        got[option, span] += units
        hours = book.span_hours[span]
        paid[bid] += units * prices[zone, span] * hours
        surplus += units * (book.limit[bid] - book.ask_price[ask]) * hours
    if (taken > book.ask_left).any() or surplus != gained or surplus < 0:
        return 1
    for bid in range(len(book.wanted)):
        units = 0
        for option in range(book.options[bid], book.options[bid + 1]):
            here = got[option, book.start[bid] : book.end[bid]]
            if (here != given[option]).any() or got[option].sum() != here.sum():
                return 1
            units += given[option]
        if (
            units > book.wanted[bid]
            or (0 < units < book.least[bid])
            or paid[bid] > units * book.limit[bid] * book.hours[bid]
        ):
            return 1
    return 0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--auctions", type=int, default=1_000_000)
    parser.add_argument("--whole", type=int, default=5_000)
    asked = parser.parse_args(arguments)
    for figure in measure(auctions=asked.auctions, whole=asked.whole):
        bound = f"   ({figure.bound})" if figure.bound else ""
        print(f"{figure.name:80} {figure.value:>14,.3f} {figure.unit}{bound}", flush=True)


if __name__ == "__main__":
    main()
