"""Kernels: who gets what in which zone, at which prices, and from whom.

Owns the rule that makes every result sound whatever suggested it. Bids are served one after the other. Each pays, in every
span, at least the price of the dearest ask that is used there; a bid is accepted only where its limit bears that, and
where every bid accepted before still bears what it adds to their prices. So uniform prices exist that nobody minds.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from suanwang.trading.market.book import Arrays, Ints


@njit(cache=True)
def _probe(  # type: ignore[no-untyped-def]
    book, zone, start, end, units, most, at, used, marginal, rise, last, before, slack
):
    """What `units` more would cost the sellers, -1 where they may not be given. Leaves `rise`: by how much prices go up."""
    cost, total = 0, 0
    stop = book.asks[zone + 1]
    rise[start] = 0
    for span in range(start, end):
        hours = book.span_hours[span]
        need, ask, taken, price = units, at[zone, span], used[zone, span], marginal[zone, span]
        while need > 0:
            if ask >= stop:
                return -1
            free = book.ask_left[ask, span] - taken
            if free > 0:
                price = book.ask_price[ask]
                part = min(free, need)
                cost += part * price * hours
                need -= part
            ask, taken = ask + 1, 0
        total += price * hours
        if total > most:
            return -1
        rise[span + 1] = rise[span] + (price - marginal[zone, span]) * hours
    if rise[end] > 0:
        option = last[zone]
        while option >= 0:
            bid = book.option_bid[option]
            low, high = max(start, book.start[bid]), min(end, book.end[bid])
            if low < high and rise[high] - rise[low] > slack[option]:
                return -1
            option = before[option]
    return cost


@njit(cache=True)
def _give(  # type: ignore[no-untyped-def]
    book, option, units, at, used, marginal, rise, last, before, slack
):
    """Book what `_probe` just allowed: `rise` is what it left."""
    zone, bid = book.option_zone[option], book.option_bid[option]
    start, end = book.start[bid], book.end[bid]
    other = last[zone]
    while other >= 0:
        theirs = book.option_bid[other]
        low, high = max(start, book.start[theirs]), min(end, book.end[theirs])
        if low < high:
            slack[other] -= rise[high] - rise[low]
        other = before[other]
    total = 0
    for span in range(start, end):
        need = units
        while need > 0:
            ask = at[zone, span]
            free = book.ask_left[ask, span] - used[zone, span]
            part = min(free, need)
            used[zone, span] += part
            need -= part
            if part:
                marginal[zone, span] = book.ask_price[ask]
            if part == free:
                at[zone, span] += 1
                used[zone, span] = 0
        total += marginal[zone, span] * book.span_hours[span]
    slack[option] = book.limit[bid] * book.hours[bid] - total
    before[option] = last[zone]
    last[zone] = option


@njit(cache=True)
def _most(  # type: ignore[no-untyped-def]
    book, option, wanted, at, used, marginal, rise, last, before, slack
):
    """The most units of a divisible bid that may be given, at least 1 of which may."""
    zone, bid = book.option_zone[option], book.option_bid[option]
    start, end, most = book.start[bid], book.end[bid], book.limit[bid] * book.hours[bid]
    low, high = 1, wanted
    while low < high:
        middle = (low + high + 1) // 2
        if _probe(book, zone, start, end, middle, most, at, used, marginal, rise, last, before, slack) >= 0:
            low = middle
        else:
            high = middle - 1
    return low


@njit(cache=True)
def fill(book, order, prefer):  # type: ignore[no-untyped-def]  # noqa: C901
    """Serve bids in `order`; `prefer[b]` is the option to try first, or -1 for the cheapest.

    Returns (units given `[option]`, dearest ask in use `[zone, span]`, slack `[option]` in fen for the bid's hours,
    next ask and how much of it is used `[zone, span]`, surplus in fen).
    """
    zones, spans = len(book.asks) - 1, len(book.span_hours)
    options = len(book.option_zone)
    given, slack = np.zeros(options, np.int64), np.zeros(options, np.int64)
    before, last = np.full(options, -1, np.int64), np.full(zones, -1, np.int64)
    marginal, used = np.zeros((zones, spans), np.int64), np.zeros((zones, spans), np.int64)
    at = np.zeros((zones, spans), np.int64)
    for zone in range(zones):
        at[zone, :] = book.asks[zone]
    rise = np.zeros(spans + 1, np.int64)
    tried = np.zeros(options, np.bool_)
    surplus = 0
    for bid in order:
        left, start, end = book.wanted[bid], book.start[bid], book.end[bid]
        most = book.limit[bid] * book.hours[bid]
        asked = book.least[bid]
        while left >= asked:
            best, cheapest = -1, 0
            if prefer[bid] >= 0 and not tried[prefer[bid]]:
                zone = book.option_zone[prefer[bid]]
                if _probe(book, zone, start, end, asked, most, at, used, marginal, rise, last, before, slack) >= 0:
                    best = prefer[bid]
                else:
                    tried[prefer[bid]] = True
            if best < 0:
                for option in range(book.options[bid], book.options[bid + 1]):
                    if tried[option]:
                        continue
                    cost = _probe(
                        book, book.option_zone[option], start, end, asked, most,
                        at, used, marginal, rise, last, before, slack,
                    )  # fmt: skip
                    if cost < 0:
                        tried[option] = True
                    elif best < 0 or cost < cheapest:
                        best, cheapest = option, cost
            if best < 0:
                break
            units = asked
            if asked < left:
                units = _most(book, best, left, at, used, marginal, rise, last, before, slack)
            cost = _probe(
                book, book.option_zone[best], start, end, units, most,
                at, used, marginal, rise, last, before, slack,
            )  # fmt: skip
            _give(book, best, units, at, used, marginal, rise, last, before, slack)
            given[best] = units
            tried[best] = True
            left -= units
            surplus += units * most - cost
    return given, marginal, slack, at, used, surplus


@njit(cache=True)
def price(book, given, marginal, slack, at, used):  # type: ignore[no-untyped-def]  # noqa: C901
    """Uniform prices `[zone, span]` (0 where nothing is sold), commission included.

    Between the lowest and the highest price that all accepted bids and asks bear, half way, as in a k-double auction with
    k = 1/2 (Chatterjee and Samuelson 1983): not above the next unsold ask, and as far as that allows not below what a
    divisible bid left unfilled would have paid.
    """
    zones, spans = marginal.shape
    high = np.full((zones, spans), np.iinfo(np.int64).max, np.int64)
    low = marginal.copy()
    for option in range(len(given)):
        bid, zone = book.option_bid[option], book.option_zone[option]
        if given[option] > 0:
            room = slack[option] // book.hours[bid]
            for span in range(book.start[bid], book.end[bid]):
                high[zone, span] = min(high[zone, span], marginal[zone, span] + room)
    for bid in range(len(book.wanted)):
        got = given[book.options[bid] : book.options[bid + 1]].sum()
        if book.least[bid] == 1 and got < book.wanted[bid]:
            for option in range(book.options[bid], book.options[bid + 1]):
                zone = book.option_zone[option]
                for span in range(book.start[bid], book.end[bid]):
                    low[zone, span] = max(low[zone, span], book.limit[bid])
    prices = np.zeros((zones, spans), np.int64)
    for zone in range(zones):
        for span in range(spans):
            if marginal[zone, span] == 0:
                continue
            top = high[zone, span]
            ask, taken = at[zone, span], used[zone, span]
            while ask < book.asks[zone + 1]:
                if book.ask_left[ask, span] > taken:
                    top = min(top, book.ask_price[ask])
                    break
                ask, taken = ask + 1, 0
            bottom = min(top, low[zone, span])
            prices[zone, span] = (bottom + top) // 2
    return prices


@njit(cache=True)
def share(book, given):  # type: ignore[no-untyped-def]
    """Who supplies whom: rows of (option, ask, span, units), bids and asks in the order they are served."""
    rows = np.zeros((0, 4), np.int64)
    every = np.nonzero(given)[0]
    for writing in (False, True):
        count = 0
        for zone in range(len(book.asks) - 1):
            served = every[book.option_zone[every] == zone]
            for span in range(len(book.span_hours)):
                ask, taken = book.asks[zone], 0
                for option in served:
                    bid = book.option_bid[option]
                    need = given[option] if book.start[bid] <= span < book.end[bid] else 0
                    while need > 0:
                        part = min(need, book.ask_left[ask, span] - taken)
                        if part > 0:
                            if writing:
                                rows[count, 0], rows[count, 1] = option, ask
                                rows[count, 2], rows[count, 3] = span, part
                            count += 1
                            need -= part
                            taken += part
                        if need > 0:
                            ask, taken = ask + 1, 0
        if not writing:
            rows = np.zeros((count, 4), np.int64)
    return rows


@njit(cache=True)
def search(book, order, prefer, moves):  # type: ignore[no-untyped-def]
    """The order that does best of `order` and its neighbours: `moves[try]` are seven numbers of [0, 1): how many bids move,
    and for each of up to three which one and to where. A try that does no worse is gone on from."""
    bids = len(order)
    best = order.copy()
    most = fill(book, best, prefer)[5]
    for move in moves:
        tried = best.copy()
        for at in range(int(move[0] * 3) + 1):
            here = int(move[2 * at + 1] * bids)
            to = move[2 * at + 2]
            # Mostly forward: what was left out gets a chance.
            there = int(to * 1.25 * (here + 1)) if to < 0.8 else int((to - 0.8) * 5 * bids)
            there = min(there, bids - 1)
            bid = tried[here]
            if there < here:
                tried[there + 1 : here + 1] = tried[there:here].copy()
            else:
                tried[here:there] = tried[here + 1 : there + 1].copy()
            tried[there] = bid
        surplus = fill(book, tried, prefer)[5]
        if surplus >= most:
            most, best = surplus, tried
    return best


def filled(book: Arrays, order: Ints, prefer: Ints) -> tuple[Ints, Ints, Ints, Ints, Ints, int]:
    """`fill`, for typed callers."""
    given, marginal, slack, at, used, surplus = fill(book, order, prefer)
    return given, marginal, slack, at, used, int(surplus)
