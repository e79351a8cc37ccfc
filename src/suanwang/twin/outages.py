"""Outages: rows lose a share of their capacity and get it back, links are cut and mended.

Owns the model: of each row and each link, times to failure and to repair are exponential and independent. Cuts of links
may also be given by their dates.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from suanwang.electricity.series import HOUR_MS
from suanwang.scheduling.columns import Ints
from suanwang.twin.engine import LINK, NO_FAULTS, ROW, Faults
from suanwang.twin.network import Network
from suanwang.twin.routes import Lines, Routes, Span, routes

MILLION = 1_000_000


def outages(
    rows: int, start_ms: int, end_ms: int, *, every_days: float, hours: float, share: float, chance: np.random.Generator
) -> Faults:
    """Outages of `rows` rows that begin within the span; every one of them ends, if later."""
    if every_days <= 0:
        return NO_FAULTS
    found: list[tuple[int, int, int]] = []
    part = round(share * MILLION)
    for row in range(rows):
        for at, back in _spans(start_ms, end_ms, every_days, hours, chance):
            found += [(at, row, part), (back, row, -part)]
    found.sort()
    columns = np.array(found, np.int64).reshape(-1, 3)
    none = np.full(len(columns), -1, np.int64)
    return Faults(
        at_ms=columns[:, 0].copy(), row=columns[:, 1].copy(), share=columns[:, 2].copy(), place=none + 1 + ROW, way=none
    )


def cuts(
    network: Network, site: Ints, start_ms: int, end_ms: int, *, every_days: float, hours: float,
    chance: np.random.Generator,
) -> tuple[Faults, Routes]:  # fmt: skip
    """Cuts of the network's links: its own by their dates, and drawn ones that begin within the span; and the ways that data
    take to rows `site[r]` meanwhile. 0 for `every_days` draws none.
    """
    lines = Lines(network)
    spans = [
        Span(ends, start_ms if cut.from_ms is None else cut.from_ms, cut.until_ms)
        for cut in network.cuts
        for ends in lines.between(cut.ends)
    ]
    if every_days > 0:
        links = lines.all()
        # A chance of its own for each: how long the play is moves no other link's cuts.
        for link, own in zip(links, chance.spawn(len(links)), strict=True):
            spans += [Span(link, at, back) for at, back in _spans(start_ms, end_ms, every_days, hours, own)]
    found = routes(network, site, spans)
    return rerouted(found, site), found


def rerouted(found: Routes, site: Ints) -> Faults:
    """Its changes for the engine's rows `site[r]`."""
    told: list[tuple[int, int, int, int, int]] = []
    for change in found.changes:
        told += [(change.at_ms, link, MILLION, LINK, -1) for link in change.cut]
        for place, where, way in change.ways:
            told += [(change.at_ms, row, 0, place, way) for row in np.flatnonzero(site == where).tolist()]
    columns = np.array(told, np.int64).reshape(-1, 5)
    return Faults(*(columns[:, k].copy() for k in range(5)))


def together(one: Faults, other: Faults) -> Faults:
    """Both, in the order of time."""
    at_ms = np.concatenate((one.at_ms, other.at_ms))
    order = np.argsort(at_ms, kind="stable")
    return Faults(*(np.concatenate(pair)[order] for pair in zip(one, other, strict=True)))


def _spans(
    start_ms: int, end_ms: int, every_days: float, hours: float, chance: np.random.Generator
) -> Iterator[tuple[int, int]]:
    at = float(start_ms)
    while True:
        at += chance.exponential(every_days * 24 * HOUR_MS)
        if at >= end_ms:
            return
        back = at + max(1.0, chance.exponential(hours * HOUR_MS))
        yield round(at), round(back)
        at = back
