"""The capability of a site and of the network: nominal, measured and sold figures, never mixed.

Owns the one bridge from what probes report (`device.0.matmul.bf16`, `disk.write`) to the dimensions of `measuring`'s
vector, and what a site's offering sells of each. Nodes, cards and the site's storage and links are summed apart: each sum
says how many of its parts contributed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from suanwang import catalog
from suanwang.domain.errors import InvalidRequest, NotFound
from suanwang.domain.identity import Principal
from suanwang.domain.ids import SiteId
from suanwang.domain.sample import Sample, Source
from suanwang.domain.site import DevicePool, Shortfall, Site
from suanwang.measuring.calibration import EfficiencyState
from suanwang.measuring.capability import CapabilityVector, capability, total, with_samples
from suanwang.measuring.plausibility import MAX_AGE
from suanwang.measuring.profile import profile_of
from suanwang.ports import Clock, Store

PROBE = "probe"
LOAD = "load report"
_DEVICE = re.compile(r"device\.(\d+)\.(?:matmul\.(\w+)|(memory\.bandwidth))")
_HOST = {
    "compute.matmul.fp64": "host.rate.fp64",
    "compute.matmul.fp32": "host.rate.fp32",
    "memory.bandwidth": "host.memory.bandwidth",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One kind of thing at a site: its nodes, one model of card, or what the site has once."""

    kind: str
    """`nodes`, `cards` or `site`."""
    name: str
    count: int
    whole: CapabilityVector
    """Summed over the count."""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """Of a site or of the network."""

    name: str
    parts: tuple[Part, ...]
    """Of a site, by kind; of the network, one for each site."""
    total: CapabilityVector
    shortfalls: tuple[tuple[SiteId, Shortfall], ...]
    remarks: tuple[str, ...]
    """What is not believed, too old, or cannot be told apart."""


class Capabilities:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def site(self, caller: Principal, site_id: SiteId) -> Capability:
        """Any caller with a token may see it: the network is a market. Raises `NotFound`."""
        site = self._store.site(site_id)
        if site is None:
            raise NotFound(f"no site {site_id!r}", field="site", allowed="see `suanwang site list`")
        return of_site(site, self._store.samples(site.id), self._store.beliefs(), self._clock.now())

    def network(self, caller: Principal) -> Capability:
        """All sites, and their sum."""
        learnt, now = self._store.beliefs(), self._clock.now()
        sites = [of_site(site, self._store.samples(site.id), learnt, now) for site in self._store.sites()]
        by_kind: dict[str, list[CapabilityVector]] = defaultdict(list)
        for found in sites:
            for part in found.parts:
                by_kind[part.kind].append(part.whole)
        sums = [total(kind, [(vector, 1) for vector in vectors]) for kind, vectors in by_kind.items()]
        return Capability(
            name="network",
            parts=tuple(
                Part(kind="site", name=found.name, count=found.total.cards, whole=found.total) for found in sites
            ),
            total=_merged("network", sums),
            shortfalls=tuple(fell for found in sites for fell in found.shortfalls),
            remarks=tuple(f"{found.name}: {remark}" for found in sites for remark in found.remarks),
        )


def of_site(site: Site, samples: Sequence[Sample], learnt: EfficiencyState, now: datetime) -> Capability:
    """The capability of one site from its declaration, the catalogue and the newest samples of its agent."""
    remarks = list(site.warnings)
    fresh = [sample for sample in samples if now - sample.observed_at <= MAX_AGE]
    stale = sorted({s.metric_type for s in samples if now - s.observed_at > MAX_AGE})
    if stale:
        remarks.append(f"measured more than {MAX_AGE.days} days ago, so not shown: {', '.join(stale)}: probe again")
    measured, cards = bridged(fresh)
    parts = [_nodes(site, measured)]
    for pool in site.offering.devices:
        # Probes name cards by number alone; with several models here nobody can say which number is which.
        alone = len(site.offering.devices) == 1
        part = _cards(site, pool, cards if alone else {}, learnt, now)
        parts.append(part)
        if part.note:
            remarks.append(part.note)
    if cards and len(site.offering.devices) > 1:
        remarks.append("cards were probed by number, and the site has several models: see its samples")
    parts.append(_once(site, measured))
    shown = tuple(part for part in parts if part.whole.dimensions)
    return Capability(
        name=site.id,
        parts=shown,
        total=_merged(site.id, [part.whole for part in shown]),
        shortfalls=tuple((site.id, fell) for fell in site.shortfalls),
        remarks=tuple(dict.fromkeys(remarks)),
    )


def bridged(samples: Sequence[Sample]) -> tuple[list[Sample], Mapping[int, list[Sample]]]:
    """A probe's medians in the vector's metric types: those of the host and the site, and those of each card by number."""
    of_host: list[Sample] = []
    of_card: dict[int, list[Sample]] = defaultdict(list)
    disks: list[Sample] = []
    links: list[Sample] = []
    for sample in samples:
        if sample.source is not Source.MEASURED or sample.statistic != "median":
            continue
        card = _DEVICE.fullmatch(sample.metric_type)
        if card is not None:
            metric = f"compute.rate.{card[2]}" if card[2] else card[3]
            of_card[int(card[1])].append(replace(sample, metric_type=metric))
        elif sample.metric_type in _HOST:
            of_host.append(replace(sample, metric_type=_HOST[sample.metric_type]))
        elif sample.metric_type in ("disk.read", "disk.write"):
            disks.append(sample)
        elif sample.metric_type.startswith("network.throughput"):
            links.append(sample)
    if disks:
        slower = min(disks, key=lambda sample: sample.value)
        way = slower.metric_type.removeprefix("disk.")
        of_host.append(
            replace(
                slower,
                metric_type="storage.bandwidth",
                unit="GB/s",
                value=slower.value / 1e3,
                statistic=f"median, {way}",
            )
        )
    if links:
        best = max(links, key=lambda sample: sample.value)
        of_host.append(
            replace(
                best,
                metric_type="network.bandwidth",
                unit="Gbit/s",
                value=best.value / 1e3,
                statistic="median, best link",
            )
        )
    return of_host, of_card


def _nodes(site: Site, measured: Sequence[Sample]) -> Part:
    """The processors: one node was probed, the others count as not measured."""
    offer, load = site.offering, site.measured
    at = site.state_since
    sold = {
        "host.cores": float(offer.cores_per_node),
        "host.memory.capacity": offer.memory_gb_per_node,
        "host.rate.fp64": offer.declares.get("compute.matmul.fp64"),
        "host.rate.fp32": offer.declares.get("compute.matmul.fp32"),
        "host.memory.bandwidth": offer.declares.get("memory.bandwidth"),
    }
    node = with_samples(_nothing("node"), _sold(sold, at), sampled_by=offer.provider)
    probed = with_samples(node, [s for s in measured if s.metric_type.startswith("host.")], sampled_by=PROBE)
    whole = total(site.id, [(probed, 1), (node, offer.nodes - 1)])
    if load is not None:
        now_working = [
            _sample("host.cores", float(load.cores), Source.MEASURED, "sum", load.observed_at),
            _sample("host.memory.capacity", load.memory_gb, Source.MEASURED, "sum", load.observed_at),
        ]
        whole = with_samples(whole, now_working, sampled_by=LOAD)
    return Part(kind="nodes", name="nodes", count=offer.nodes, whole=whole)


def _cards(
    site: Site, pool: DevicePool, probed: Mapping[int, Sequence[Sample]], learnt: EfficiencyState, now: datetime
) -> Part:
    """One model: nominal by the catalogue, sold by the site, measured for the cards that were probed."""
    offer = site.offering
    note = ""
    card = _nothing(pool.model)
    known = catalog.accelerators().get(pool.model)
    if known is None:
        note = f"{pool.model} is not in the catalogue: nobody printed figures of it"
    else:
        try:
            card = capability(profile_of(known, per_node=pool.per_node), learnt)
        except InvalidRequest as error:
            note = error.message
    sold: dict[str, float | None] = {"memory.capacity": pool.memory_gb, "power.rated": pool.power_w or None}
    sold["memory.bandwidth"] = offer.declares.get("device.memory.bandwidth")
    sold |= {
        metric.replace("device.matmul.", "compute.rate."): rate
        for metric, rate in offer.declares.items()
        if metric.startswith("device.matmul.")
    }
    card = with_samples(card, _sold(sold, now), sampled_by=offer.provider)
    numbers = sorted(probed)[: pool.count]
    members = [(with_samples(card, probed[number], sampled_by=PROBE), 1) for number in numbers]
    whole = total(site.id, [*members, (card, pool.count - len(numbers))])
    return Part(kind="cards", name=pool.model, count=pool.count, whole=whole, note=note)


def _once(site: Site, measured: Sequence[Sample]) -> Part:
    sold = {
        "storage.bandwidth": _scaled(site.offering.declares.get("disk.write")),
        "network.bandwidth": _scaled(site.offering.declares.get("network.throughput")),
    }
    vector = with_samples(_nothing(site.id), _sold(sold, site.state_since), sampled_by=site.offering.provider)
    own = [sample for sample in measured if not sample.metric_type.startswith("host.")]
    return Part(kind="site", name="storage and links", count=1, whole=with_samples(vector, own, sampled_by=PROBE))


def _scaled(mega: float | None) -> float | None:
    return None if mega is None else mega / 1e3


def _nothing(name: str) -> CapabilityVector:
    return CapabilityVector(name=name, dimensions={})


def _sold(figures: Mapping[str, float | None], at: datetime) -> list[Sample]:
    return [
        _sample(metric, value, Source.SOLD, "declared", at) for metric, value in figures.items() if value is not None
    ]


def _sample(metric: str, value: float, source: Source, statistic: str, at: datetime) -> Sample:
    """The unit stands in the dimension."""
    return Sample(metric_type=metric, unit="", value=value, source=source, statistic=statistic, observed_at=at)


def _merged(name: str, vectors: Sequence[CapabilityVector]) -> CapabilityVector:
    """Parts of different kinds side by side; cards of several models are summed."""
    cards = [vector for vector in vectors if _of_cards(vector)]
    others = [vector for vector in vectors if not _of_cards(vector)]
    summed = total(name, [(vector, 1) for vector in cards]) if len(cards) != 1 else cards[0]
    dimensions = {metric: dimension for vector in others for metric, dimension in vector.dimensions.items()}
    return CapabilityVector(
        name=name,
        dimensions=MappingProxyType({**dimensions, **summed.dimensions}),
        units=summed.units,
        cards=summed.cards if cards else 0,
    )


def _of_cards(vector: CapabilityVector) -> bool:
    return "memory.capacity" in vector.dimensions
