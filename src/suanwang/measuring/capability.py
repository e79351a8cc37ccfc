"""The capability vector of a device, a site and the network: computing, storage and network together.

Owns how nominal, measured and sold figures stand beside each other, each with source and statistic, and how they add up
over a site and over the network. A sum of measured figures says how many of the parts were measured.

Samples are read by these metric types: `compute.rate.<precision>` (TFLOPS of one card), `memory.capacity`,
`memory.bandwidth` (GB, GB/s of one card), `host.cores`, `host.rate.<fp64|fp32>`, `host.memory.capacity`,
`host.memory.bandwidth` (of one node's processors), `storage.capacity`, `storage.bandwidth`, `network.bandwidth` (GB, GB/s,
Gbit/s of the site).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from suanwang.domain.precision import Precision
from suanwang.domain.sample import Sample, Source
from suanwang.measuring.calibration import NOTHING_LEARNT, EfficiencyState
from suanwang.measuring.interval import Interval
from suanwang.measuring.profile import DeviceProfile
from suanwang.measuring.units import units_of
from suanwang.measuring.workclass import WorkClass


class Side(StrEnum):
    """What of the capability a figure belongs to."""

    COMPUTING = "computing"
    STORAGE = "storage"
    NETWORK = "network"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One figure: its value, where it comes from and how it was taken. `parts` of `of` members contributed to it."""

    value: float
    source: str
    statistic: str
    parts: int = 1
    of: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """Three separate numbers for one property; None where nobody gave one. They are never mixed."""

    unit: str
    side: Side
    nominal: Quantity | None = None
    measured: Quantity | None = None
    sold: Quantity | None = None

    def get(self, source: Source) -> Quantity | None:
        """The figure of one source."""
        match source:
            case Source.NOMINAL:
                return self.nominal
            case Source.MEASURED:
                return self.measured
            case Source.SOLD:
                return self.sold


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityVector:
    """Dimensions by metric type, and units per class of work."""

    name: str
    dimensions: Mapping[str, Dimension]
    units: Mapping[WorkClass, Interval] = field(default_factory=lambda: MappingProxyType({}))
    cards: int = 1

    def side(self, side: Side) -> dict[str, Dimension]:
        """The dimensions of computing, storage or network."""
        return {name: dimension for name, dimension in self.dimensions.items() if dimension.side is side}


_UNITS: Mapping[str, tuple[str, Side]] = {
    "memory.capacity": ("GB", Side.COMPUTING),
    "memory.bandwidth": ("GB/s", Side.COMPUTING),
    "power.rated": ("W", Side.COMPUTING),
    "network.intra_node": ("GB/s", Side.NETWORK),
    "network.inter_node": ("GB/s", Side.NETWORK),
    "storage.capacity": ("GB", Side.STORAGE),
    "storage.bandwidth": ("GB/s", Side.STORAGE),
    "network.bandwidth": ("Gbit/s", Side.NETWORK),
    "host.cores": ("cores", Side.COMPUTING),
    "host.rate.fp64": ("TFLOPS", Side.COMPUTING),
    "host.rate.fp32": ("TFLOPS", Side.COMPUTING),
    "host.memory.capacity": ("GB", Side.COMPUTING),
    "host.memory.bandwidth": ("GB/s", Side.COMPUTING),
}
_RATE = "compute.rate."


def capability(device: DeviceProfile, state: EfficiencyState = NOTHING_LEARNT) -> CapabilityVector:
    """The vector of one card with its nominal figures and its units."""
    nominal: dict[str, float | None] = {f"{_RATE}{p}": rate for p, rate in device.rates.items()}
    nominal |= {
        "memory.capacity": device.memory_gb,
        "memory.bandwidth": device.memory_bandwidth_gb_s,
        "power.rated": device.power_w,
        "network.intra_node": device.intra_link_gb_s,
        "network.inter_node": device.inter_link_gb_s,
    }
    dimensions = {
        name: _dimension(name, nominal=Quantity(value=value, source="catalogue", statistic="declared"))
        for name, value in nominal.items()
        if value is not None
    }
    return CapabilityVector(
        name=device.name,
        dimensions=MappingProxyType(dimensions),
        units=MappingProxyType(units_of(device, state)),
    )


def with_samples(vector: CapabilityVector, samples: Iterable[Sample], *, sampled_by: str) -> CapabilityVector:
    """The vector with what was sensed; the newest sample of a metric and source stands. Unknown metric types are left
    out."""
    dimensions = dict(vector.dimensions)
    newest: dict[tuple[str, Source], Sample] = {}
    for sample in samples:
        key = (sample.metric_type, sample.source)
        if _known(sample.metric_type) and (key not in newest or sample.observed_at > newest[key].observed_at):
            newest[key] = sample
    for (name, source), sample in sorted(newest.items()):
        quantity = Quantity(value=sample.value, source=sampled_by, statistic=sample.statistic)
        dimensions[name] = _replaced(dimensions.get(name) or _dimension(name), source, quantity)
    return CapabilityVector(
        name=vector.name, dimensions=MappingProxyType(dimensions), units=vector.units, cards=vector.cards
    )


def total(name: str, members: Sequence[tuple[CapabilityVector, int]]) -> CapabilityVector:
    """The vector of a site over its (device, count), or of the network over its (site, 1).

    Nominal, measured and sold are summed apart. Units are summed with errors that grow as if they were fully shared,
    since cards of one kind err together.
    """
    names = sorted({metric for vector, count in members if count > 0 for metric in vector.dimensions})
    dimensions = {metric: _sum(metric, members) for metric in names}
    classes = {work_class for vector, _ in members for work_class in vector.units}
    units = {
        work_class: _sum_units([(v.units[work_class], n) for v, n in members if n > 0 and work_class in v.units])
        for work_class in sorted(classes)
    }
    return CapabilityVector(
        name=name,
        dimensions=MappingProxyType(dimensions),
        units=MappingProxyType(units),
        cards=sum(vector.cards * count for vector, count in members),
    )


def _sum(metric: str, members: Sequence[tuple[CapabilityVector, int]]) -> Dimension:
    summed = _dimension(metric)
    parties = sum(vector.cards * count for vector, count in members)
    for source in Source:
        value, parts = 0.0, 0
        sources: set[str] = set()
        statistics: set[str] = set()
        for vector, count in members:
            dimension = vector.dimensions.get(metric)
            quantity = None if dimension is None else dimension.get(source)
            if quantity is None or count <= 0:
                continue
            value += quantity.value * count
            parts += (quantity.parts if quantity.of > 1 else vector.cards) * count
            sources.add(quantity.source)
            statistics.add(quantity.statistic)
        if parts:
            quantity = Quantity(
                value=value,
                source=", ".join(sorted(sources)),
                statistic=f"sum of {', '.join(sorted(statistics))}",
                parts=parts,
                of=parties,
            )
            summed = _replaced(summed, source, quantity)
    return summed


def _sum_units(parts: Sequence[tuple[Interval, int]]) -> Interval:
    return Interval(
        low=sum(unit.low * count for unit, count in parts),
        mid=sum(unit.mid * count for unit, count in parts),
        high=sum(unit.high * count for unit, count in parts),
    )


def _known(metric: str) -> bool:
    if metric.startswith(_RATE):
        return metric.removeprefix(_RATE) in set(Precision)
    return metric in _UNITS


def _dimension(metric: str, *, nominal: Quantity | None = None) -> Dimension:
    unit, side = ("TFLOPS", Side.COMPUTING) if metric.startswith(_RATE) else _UNITS[metric]
    return Dimension(unit=unit, side=side, nominal=nominal)


def _replaced(dimension: Dimension, source: Source, quantity: Quantity) -> Dimension:
    return Dimension(
        unit=dimension.unit,
        side=dimension.side,
        nominal=quantity if source is Source.NOMINAL else dimension.nominal,
        measured=quantity if source is Source.MEASURED else dimension.measured,
        sold=quantity if source is Source.SOLD else dimension.sold,
    )
