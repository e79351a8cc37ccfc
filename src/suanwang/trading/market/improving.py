"""What no result can exceed, and which orders to serve first: linear programmes over the same book, solved by HiGHS.

Owns the programme: surplus is greatest over what each bid gets in each zone and what each ask gives, prices left out. As a
relaxation it bounds every result from above; with all-or-none bids whole it suggests whom to serve first. A suggestion is
served by `filling.fill` like any other order, so nothing here can make a result unsound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from suanwang.trading.market.book import Arrays, Book, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = npt.NDArray[np.float64]
_ROOM = 1e-7
"""The solver's tolerance: the bound is raised by it, so that it stays one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Programme:
    """Columns: units of each option, then units of each supply step. `gain` in fen."""

    gain: Floats
    upper: Floats
    rows: csr_matrix
    most: Floats
    options: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """Whom to serve first, and each bid's option to try first (-1: the cheapest)."""

    order: Ints
    prefer: Ints
    bound_fen: float
    """No result has more; of an unfinished search the best that it proved."""


def suggestion(
    book: Book, *, whole: bool = False, time_limit_s: float = 30.0, at_least_fen: int = 0
) -> Suggestion | None:
    """Solve the relaxation, or with `whole` the programme with all-or-none bids whole, started from a surplus known to be
    possible. None where the time was over before anything was found."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    arrays = book.arrays
    made = _programme(arrays)
    integrality = np.zeros(len(made.gain))
    scale = np.ones(len(made.gain))
    if whole:
        least = arrays.least[arrays.option_bid]
        bound = least > 1
        integrality[: made.options][bound] = 1
        scale[: made.options][bound] = least[bound]
    # An all-or-none option counts in whole bids, a divisible one in units.
    constraints = [LinearConstraint(made.rows.multiply(scale).tocsr(), -np.inf, made.most)]
    gain = made.gain * scale
    if whole and at_least_fen > 0:
        constraints.append(LinearConstraint(gain[None, :] / at_least_fen, 1.0, np.inf))
    largest = max(float(np.abs(gain).max(initial=0.0)), 1.0)
    found = milp(
        -gain / largest,
        integrality=integrality,
        bounds=Bounds(0, made.upper / scale),
        constraints=constraints,
        options={"time_limit": time_limit_s, "mip_rel_gap": 1e-3, "presolve": True},
    )
    proved = getattr(found, "mip_dual_bound", None) if whole else found.fun
    bound_fen = np.inf if proved is None else -float(proved) * largest
    if found.x is None:
        return None
    amounts = (found.x * scale)[: made.options]
    return Suggestion(
        **_ordered(arrays, amounts),
        bound_fen=float(bound_fen + abs(bound_fen) * _ROOM + 1) if bound_fen < np.inf else bound_fen,
    )


def _ordered(arrays: Arrays, amounts: Floats) -> dict[str, Ints]:
    """Bids that got all they want first, then by the part they got; equal ones in the book's order."""
    got = np.bincount(arrays.option_bid, weights=amounts, minlength=len(arrays.wanted))
    part = np.minimum(got / np.maximum(arrays.wanted, 1), 1.0)
    order = np.argsort(-np.round(part, 6), kind="stable").astype(np.int64)
    prefer = np.full(len(arrays.wanted), -1, np.int64)
    most = np.zeros(len(arrays.wanted))
    for option in np.flatnonzero(amounts > 1e-6):
        bid = arrays.option_bid[option]
        if amounts[option] > most[bid]:
            most[bid], prefer[bid] = amounts[option], option
    return {"order": order, "prefer": prefer}


def _programme(arrays: Arrays) -> _Programme:
    from scipy.sparse import coo_matrix

    options, spans = len(arrays.option_zone), len(arrays.span_hours)
    bids, zones = len(arrays.wanted), len(arrays.asks) - 1
    zone_of_ask = np.repeat(np.arange(zones), np.diff(arrays.asks))
    ask, span = np.nonzero(arrays.ask_left)
    per_bid = arrays.option_bid
    length = (arrays.end - arrays.start)[per_bid]
    column = np.repeat(np.arange(options), length)
    offset = np.arange(len(column)) - np.repeat(np.cumsum(length) - length, length)
    cell = arrays.option_zone[column] * spans + arrays.start[per_bid][column] + offset
    supply = zone_of_ask[ask] * spans + span
    rows = np.concatenate([cell, supply, zones * spans + per_bid])
    columns = np.concatenate([column, options + np.arange(len(ask)), np.arange(options)])
    values = np.concatenate([np.ones(len(cell)), -np.ones(len(ask)), np.ones(options)])
    return _Programme(
        gain=np.concatenate(
            [
                (arrays.limit * arrays.hours)[per_bid].astype(np.float64),
                -(arrays.ask_price[ask] * arrays.span_hours[span]).astype(np.float64),
            ]
        ),
        upper=np.concatenate([arrays.wanted[per_bid], arrays.ask_left[ask, span]]).astype(np.float64),
        rows=coo_matrix((values, (rows, columns)), shape=(zones * spans + bids, options + len(ask))).tocsr(),
        most=np.concatenate([np.zeros(zones * spans), arrays.wanted.astype(np.float64)]),
        options=options,
    )
