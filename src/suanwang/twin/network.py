"""A twin's network as values, and as the columns that policies decide over.

Owns sites with their pools, places where users are, links, how warm it is outside and what that does to the PUE, and
what of them becomes rows and outlooks. Where tariffs and carbon come from is `electricity`'s; files are `networkfile`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.tariff import Tariff
from suanwang.electricity.daily import factor_at
from suanwang.electricity.outlook import Issues, accumulated, expected, forecast, hoped, known, noised, spread
from suanwang.electricity.series import HOUR_MS, Floats, Series
from suanwang.electricity.tariff import price_series
from suanwang.routing.delay import distance_km, one_way_ms
from suanwang.scheduling.columns import Ints, Outlook, RowColumns
from suanwang.twin.routes import Lines, routes

DAY_MS = 24 * HOUR_MS
PLAIN, DEVICES = 0, 1
"""Kinds of jobs: on cores alone, or with devices."""
EVERYWHERE = -1
"""The place that jobs stay near which need not stay near one."""
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cooling:
    """PUE by outdoor temperature: `base + per_degree * max(0, T - free_below_c)`.

    Below `free_below_c` outdoor air or water cools alone; above it chillers draw about linearly more. The temperature
    is a model: the month's mean with a cosine over the day, warmest at 15:00 local time.
    """

    base: float
    per_degree: float = 0.0
    free_below_c: float = 0.0
    monthly_c: tuple[float, ...] = ()
    """January to December; empty where the PUE is `base` all year."""
    daily_range_c: float = 0.0
    """From the day's coldest to its warmest."""

    def pue(self, start_ms: int, hours: int, offset_hours: float) -> Floats:
        """`[h]`: PUE of each hour from `start_ms`, local time `offset_hours` east of UTC."""
        if not self.monthly_c:
            return np.full(hours, self.base)
        instants = [
            datetime.fromtimestamp(start_ms / 1000, UTC) + timedelta(hours=offset_hours + h) for h in range(hours)
        ]
        month = np.array([self.monthly_c[instant.month - 1] for instant in instants])
        hour = np.array([instant.hour + instant.minute / 60 + 0.5 for instant in instants])
        celsius = month + self.daily_range_c / 2 * np.cos((hour - 15) * np.pi / 12)
        return self.base + self.per_degree * np.maximum(0.0, celsius - self.free_below_c)


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Where a site's electricity comes from and what it costs."""

    tariff: Tariff
    carbon_g_per_kwh: float
    """Mean over the year, location based."""
    carbon_daily: tuple[float, ...] = ()
    """Factors on it for the hours of a local day, a model (`electricity.daily`); empty where it holds at all hours."""
    green_share: float = 0.0
    """Of its consumption, covered by contracts or certificates: counted in market-based carbon alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Like resources of a site: cores and memory, and devices where it has them. It becomes one row."""

    cores: float
    memory_gb: float
    devices: float = 0.0
    model: str | None = None
    """Of the devices, an identifier of the catalogue."""
    node_devices: int = 0
    """How many a node has; 0 where nodes are not said."""
    core_w: float
    """Drawn by one busy unit, PUE not included, as the next two."""
    gb_w: float = 0.0
    device_w: float = 0.0
    core_hour_yuan: float = 0.0
    """Posted price, as the next two."""
    gb_hour_yuan: float = 0.0
    device_hour_yuan: float = 0.0
    electricity_included: bool = False
    """Whether the posted price has the electricity in it."""
    slowness: float = 1.0
    """Factor on run times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    id: str
    name_zh: str
    name_en: str
    province: str
    """Identifier of the catalogue, or empty outside it."""
    hub: str
    latitude: float
    longitude: float
    power: Power
    cooling: Cooling
    pools: tuple[Pool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where users and their data are."""

    id: str
    name_zh: str
    name_en: str
    latitude: float
    longitude: float
    share: float
    """Of the work that is given no home by its log; only ratios count."""
    site: str | None = None
    """The site it is at: data need no moving there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Between two ends, each a site or a place, in either direction."""

    ends: tuple[str, str]
    gbps: float
    yuan_per_gb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """While a link is cut no data cross it. Its ends are as of `Link`."""

    ends: tuple[str, str]
    from_ms: int | None = None
    """None: from the beginning."""
    until_ms: int | None = None
    """None: for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    name: str
    title_zh: str
    title_en: str
    note: str
    """What of it is official and what assumed."""
    offset_hours: float
    """Local time east of UTC, that of tariffs and temperatures."""
    sites: tuple[Site, ...]
    places: tuple[Place, ...]
    gbps: float
    """What one transfer gets between two ends that no link names, and its price; 0 where only those named have one."""
    yuan_per_gb: float
    links: tuple[Link, ...] = ()
    cuts: tuple[Cut, ...] = ()

    def __post_init__(self) -> None:
        if not self.sites or not self.places:
            raise InvalidRequest(f"{self.name} has no sites or no places", field="sites", allowed="one or more of each")
        for name, ids in (("sites", [s.id for s in self.sites]), ("places", [p.id for p in self.places])):
            doubled = sorted({one for one in ids if ids.count(one) > 1})
            if doubled:
                raise InvalidRequest(
                    f"{self.name}: {', '.join(doubled)} is given twice", field=name, allowed="once each"
                )
        known = {site.id for site in self.sites} | {place.id for place in self.places}
        for position, link in enumerate(self.links):
            for end in link.ends:
                if end not in known:
                    raise InvalidRequest(
                        f"{self.name}: a link ends at {end}, which is neither site nor place",
                        field=f"links[{position}]",
                        allowed=", ".join(sorted(known)),
                    )
        lines = Lines(self) if self.cuts else None
        for position, cut in enumerate(self.cuts):
            if lines is not None and not lines.between(cut.ends):
                raise InvalidRequest(
                    f"{self.name}: no data cross a link of {cut.ends[0]} and {cut.ends[1]}",
                    field=f"links.cut[{position}].between",
                    allowed="a site, and a place or another site",
                )
        if not self.gbps:
            routes(self, np.arange(len(self.sites)))
        if sum(place.share for place in self.places) <= 0:
            raise InvalidRequest(f"{self.name}: no place has a share", field="places", allowed="a share above 0")

    @property
    def kinds(self) -> tuple[bool, bool]:
        """Whether some pool takes jobs on cores alone, and whether some takes jobs with devices."""
        pools = [pool for site in self.sites for pool in site.pools]
        return any(pool.devices == 0 for pool in pools), any(pool.devices > 0 for pool in pools)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Feeds:
    """What really holds at each site, hour by hour: the truth that accounting and bounds use."""

    start_ms: int
    hours: int
    yuan: tuple[Series, ...]
    """Yuan per kWh taken from the grid."""
    carbon_g: tuple[Series, ...]
    """Location based, per kWh taken from the grid."""
    pue: tuple[Series, ...]
    mean_pue: Floats
    """`[s]`: over these hours; what the rows' power has in it."""
    green_share: Floats
    """`[s]`"""

    @property
    def weighted_yuan(self) -> tuple[Series, ...]:
        """Price per kWh of the rows' power, whose PUE is the mean: the hour's PUE over it moved into the price."""
        return self._weighted(self.yuan)

    @property
    def weighted_carbon_g(self) -> tuple[Series, ...]:
        """Likewise for carbon."""
        return self._weighted(self.carbon_g)

    @property
    def relative_pue(self) -> tuple[Series, ...]:
        """Energy really drawn per kWh of the rows' power."""
        return tuple(replace(p, values=p.values / mean) for p, mean in zip(self.pue, self.mean_pue, strict=True))

    def _weighted(self, series: Sequence[Series]) -> tuple[Series, ...]:
        return tuple(
            replace(one, values=one.values * pue.values / mean)
            for one, pue, mean in zip(series, self.pue, self.mean_pue, strict=True)
        )


def feeds(network: Network, start_ms: int, hours: int, *, price: float = 1.0, carbon: float = 1.0) -> Feeds:
    """What holds from `start_ms`, a whole hour, for `hours` hours; `price` and `carbon` multiply all of it."""
    if start_ms % HOUR_MS:
        raise InvalidRequest("a network's feeds begin at a whole hour", field="start", allowed="a whole hour of UTC")
    end_ms = start_ms + hours * HOUR_MS
    yuan, grams, pue = [], [], []
    for site in network.sites:
        tariff = price_series(site.power.tariff, start_ms, end_ms)
        yuan.append(_hourly(tariff, start_ms, hours, price))
        day = [factor_at(site.power.carbon_daily, start_ms + hour * HOUR_MS) for hour in range(24)]
        values = site.power.carbon_g_per_kwh * carbon * np.resize(np.array(day), hours)
        grams.append(Series(start_ms=start_ms, step_ms=HOUR_MS, values=values))
        values = site.cooling.pue(start_ms, hours, network.offset_hours)
        pue.append(Series(start_ms=start_ms, step_ms=HOUR_MS, values=values))
    return Feeds(
        start_ms=start_ms,
        hours=hours,
        yuan=tuple(yuan),
        carbon_g=tuple(grams),
        pue=tuple(pue),
        mean_pue=np.array([one.values.mean() for one in pue]),
        green_share=np.array([site.power.green_share for site in network.sites]),
    )


def _hourly(series: Series, start_ms: int, hours: int, factor: float) -> Series:
    """Means over whole hours; a tariff may change on the half hour."""
    edges = start_ms + HOUR_MS * np.arange(hours + 1)
    return Series(start_ms=start_ms, step_ms=HOUR_MS, values=series.integral(edges[:-1], edges[1:]) * factor)


def row_pools(network: Network, *, plain: bool, devices: bool) -> list[tuple[int, Pool]]:
    """`[r]`: site and pool of each row that work of these kinds can use, in the order of the network."""
    found = [
        (at, pool)
        for at, site in enumerate(network.sites)
        for pool in site.pools
        if (devices if pool.devices > 0 else plain)
    ]
    if not found:
        wanted = " and ".join(name for name, on in (("cores", plain), ("devices", devices)) if on)
        raise InvalidRequest(
            f"{network.name} has no pool with {wanted}", field="network", allowed="a pool for each kind"
        )
    return found


def rows(
    network: Network, mean_pue: Floats, *, plain: bool = True, devices: bool = False, near_ms: float = np.inf
) -> tuple[RowColumns, Bools]:
    """The network's rows, and `fits[kind, r]` for `kinds`: those that may run anywhere, then those that must stay within
    `near_ms` one way of each place. Where nothing that could run them is that near, the nearest that could counts as near.
    """
    pools = row_pools(network, plain=plain, devices=devices)
    site = np.array([at for at, _ in pools], np.int64)
    delay = _delays(network)[:, site]
    ways = routes(network, site).ways
    pue = mean_pue[site]
    columns = RowColumns(
        site=site,
        capacity=np.array([[p.cores, p.memory_gb, p.devices] for _, p in pools], np.float64),
        power_w=np.array([[p.core_w, p.gb_w, p.device_w] for _, p in pools], np.float64) * pue[:, None],
        yuan_hour=np.array([[p.core_hour_yuan, p.gb_hour_yuan, p.device_hour_yuan] for _, p in pools], np.float64),
        slowness=np.array([p.slowness for _, p in pools]),
        electricity_share=np.array([0.0 if p.electricity_included else 1.0 for _, p in pools]),
        # In the order of rows: kernels would be compiled once more for any other.
        delay_ms=np.ascontiguousarray(delay),
        transfer_ms_per_gb=ways.ms_per_gb[ways.first],
        transfer_yuan_per_gb=ways.yuan_per_gb[ways.first],
    )
    fits = np.array([[p.devices == 0 for _, p in pools], [p.devices > 0 for _, p in pools]])
    reached = np.where(fits, delay[:, None], np.inf)
    near = fits & (reached <= np.maximum(near_ms, reached.min(axis=2, keepdims=True)))
    return columns, np.concatenate([fits, near.reshape(-1, len(pools))])


def kinds(with_devices: Bools, near: Ints) -> Ints:
    """`[j]`: the row of `fits` for jobs with devices or without, that must stay near a place or may go `EVERYWHERE`."""
    return 2 * (near + 1) + np.where(with_devices, DEVICES, PLAIN)


def _delays(network: Network) -> Floats:
    """`[place, s]`: one way, in milliseconds."""
    latitudes = np.array([site.latitude for site in network.sites])
    longitudes = np.array([site.longitude for site in network.sites])
    places = network.places
    return np.array([one_way_ms(distance_km(p.latitude, p.longitude, latitudes, longitudes)) for p in places])


@dataclass(frozen=True, slots=True, kw_only=True)
class Foresight:
    """How well the coming hours are known."""

    forecast: str = "noise"
    """`noise`: the truth with errors, which knows the future but for them; `past`: made from past hours alone."""
    carbon_error: float = 0.05
    """Of `noise`: standard deviation over the series' mean, as in "Let's Wait Awhile" (Wiesner et al. 2021)."""
    price_error: float = 0.0
    """Likewise; 0 where tariffs are posted ahead."""
    horizon_hours: int | None = None
    """How far outlooks reach; None: two days more than any job may be held, from three days to a month."""


SETTLED_HOURS, LEAST_HOURS, MOST_HOURS = 48, 72, 720
"""What a horizon that nobody chose has beyond the longest hold, and its bounds. Better hours behind the horizon are not seen,
so a hold longer than it is given away."""
FORECASTS = ("noise", "past")


def outlook(
    given: Feeds, start_ms: int, hours: int, foresight: Foresight, chance: np.random.Generator, *, held_ms: int = 0
) -> Outlook:
    """What is expected of the rows' price and carbon, anew at each of `hours` hours from `start_ms`.

    `held_ms` is how long any job may be held. With `past` the feeds must begin before `start_ms`; prices stay known, as they
    are posted.
    """
    held_hours = -(-held_ms // HOUR_MS)
    steps = foresight.horizon_hours or min(max(LEAST_HOURS, held_hours + SETTLED_HOURS), MOST_HOURS)
    issues = Issues(start_ms=start_ms, issue_ms=HOUR_MS, count=max(1, hours), step_ms=HOUR_MS, steps=steps)
    prices = [known(_noisy(one, foresight.price_error, chance), issues) for one in given.weighted_yuan]
    if foresight.forecast == "past":
        carbons = [accumulated(_guessed(one, issues), HOUR_MS) for one in given.weighted_carbon_g]
    else:
        carbons = [known(_noisy(one, foresight.carbon_error, chance), issues) for one in given.weighted_carbon_g]
    return Outlook(*expected(issues, prices, carbons))


def _guessed(series: Series, issues: Issues) -> Floats:
    """`[issue, k]`, from the past alone, with its uncertainty."""
    found = forecast(series, issues)
    return hoped(found, spread(series, issues, found))


def _noisy(series: Series, error: float, chance: np.random.Generator) -> Series:
    return noised(series, error, chance) if error > 0 else series


def resized(network: Network, factor: float) -> Network:
    """Every pool's capacity times `factor`."""
    sites = tuple(
        replace(
            site,
            pools=tuple(
                replace(p, cores=p.cores * factor, memory_gb=p.memory_gb * factor, devices=p.devices * factor)
                for p in site.pools
            ),
        )
        for site in network.sites
    )
    return replace(network, sites=sites)
