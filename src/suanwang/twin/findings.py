"""What a network's own figures say of hours and places, before anything is played.

Owns two comparisons: at which hours each site's electricity is in its valley, and whether a site further west emits less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from suanwang import catalog
from suanwang.domain.tariff import Tier
from suanwang.electricity.series import HOUR_MS
from suanwang.electricity.tariff import slot_at
from suanwang.twin.network import Network, Site, feeds

NOON, NIGHT = (11, 12, 13), (1, 2, 3)
LOW = (Tier.VALLEY, Tier.DEEP)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFinding:
    site: Site
    side: str
    """Of its hub: `east`, `west`, or empty."""
    valley: tuple[tuple[int, int], ...]
    """Local hours of valley and deep valley, as (from, until); over midnight where until is less."""
    at_noon: bool
    """Whether all hours around noon are in it."""
    at_night: bool
    carbon_g_per_kwh: float
    """Mean over the day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    sites: tuple[SiteFinding, ...]

    @property
    def noon(self) -> tuple[SiteFinding, ...]:
        """Valley at noon and not at night."""
        return tuple(one for one in self.sites if one.at_noon and not one.at_night)

    @property
    def night(self) -> tuple[SiteFinding, ...]:
        """Valley at night and not at noon."""
        return tuple(one for one in self.sites if one.at_night and not one.at_noon)

    @property
    def greenest(self) -> SiteFinding:
        return min(self.sites, key=lambda one: one.carbon_g_per_kwh)

    @property
    def dirtier_in_the_west(self) -> tuple[tuple[SiteFinding, SiteFinding], ...]:
        """Each western site that emits more than some eastern one, beside the eastern one that emits least."""
        east = [one for one in self.sites if one.side == "east"]
        if not east:
            return ()
        least = min(east, key=lambda one: one.carbon_g_per_kwh)
        return tuple(
            (one, least)
            for one in sorted(self.sites, key=lambda one: -one.carbon_g_per_kwh)
            if one.side == "west" and one.carbon_g_per_kwh > least.carbon_g_per_kwh
        )


def find(network: Network, start_ms: int) -> Findings:
    """Findings for the day that begins at `start_ms`, a whole hour."""
    given = feeds(network, start_ms, 24)
    first = round((start_ms / HOUR_MS + network.offset_hours) % 24)
    hubs = catalog.hubs()
    found = []
    for at, site in enumerate(network.sites):
        tiers = [slot_at(site.power.tariff, start_ms + hour * HOUR_MS).tier in LOW for hour in range(24)]
        low = np.roll(np.array(tiers), first)
        hub = hubs.get(site.hub)
        found.append(
            SiteFinding(
                site=site,
                side="" if hub is None else hub.side,
                valley=_ranges(low.tolist()),
                at_noon=bool(low[list(NOON)].all()),
                at_night=bool(low[list(NIGHT)].all()),
                carbon_g_per_kwh=float(given.carbon_g[at].values.mean()),
            )
        )
    return Findings(sites=tuple(found))


def _ranges(low: list[bool]) -> tuple[tuple[int, int], ...]:
    if all(low):
        return ((0, 24),)
    begins = [hour for hour in range(24) if low[hour] and not low[hour - 1]]
    ranges = []
    for begin in begins:
        end = begin
        while low[end % 24]:
            end += 1
        ranges.append((begin, end if end <= 24 else end - 24))
    return tuple(ranges)
