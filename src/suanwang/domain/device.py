"""Devices, processors and places as the catalogue knows them (算力度量): what is printed about them, and by whom.

Owns the shape of a catalogue entry and that every figure carries its source and date. Knows nothing of files, of what
a site measured, or of what is for sale. Rates are peak TFLOPS or TOPS of one device as a scheduler sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from suanwang.domain.precision import DeviceKind, Precision

_NO_FIGURES: Mapping[str, Figure] = MappingProxyType({})
_NO_RATES: Mapping[Precision, Figure] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A document that figures are taken from. `published_on` is an ISO year, month or day, as far as it is known."""

    key: str
    title: str
    publisher: str
    published_on: str
    locator: str = ""
    """An address, or a table or page of the document."""
    licence: str = ""
    """Set where the entry itself was carried over under a licence; empty where only facts are cited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number with its source. The unit is that of the field it stands in."""

    value: float
    source: str
    """Key of a `Reference`."""
    published_on: str
    note: str = ""
    """How the document prints it, where that differs or needs a word (`printed 1979 with sparsity`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A dated word, such as a release, with its source."""

    value: str
    source: str
    published_on: str
    note: str = ""


class Direction(StrEnum):
    """How a link's bandwidth was counted."""

    EACH_WAY = "each_way"
    BOTH_WAYS = "both_ways"
    """The sum of both directions, as most listings print it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A way from one device to its neighbours or its host. Bandwidth is GB/s of one device over all its lanes."""

    name: str
    bandwidth_gb_s: Figure
    direction: Direction

    @property
    def each_way_gb_s(self) -> float:
        """GB/s in one direction."""
        value = self.bandwidth_gb_s.value
        return value / 2 if self.direction is Direction.BOTH_WAYS else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One model of accelerator.

    `rates` are **dense** peaks; rates that need structured sparsity are in `sparse_rates` and never enter a dense one.
    `printed` keeps what the programme's documents print, under the field's or the precision's name, right or wrong, so
    that a reader sees both. A figure nobody could source is absent.
    """

    id: str
    vendor: str
    model: str
    kind: DeviceKind
    domestic: bool
    """Designed in mainland China."""
    rates: Mapping[Precision, Figure]
    sparse_rates: Mapping[Precision, Figure] = field(default_factory=lambda: _NO_RATES)
    printed: Mapping[str, Figure] = field(default_factory=lambda: _NO_FIGURES)
    memory_gb: Figure | None = None
    memory_type: str | None = None
    memory_bandwidth_gb_s: Figure | None = None
    links: tuple[Link, ...] = ()
    power_w: Figure | None = None
    process_nm: Figure | None = None
    released: Fact | None = None
    """ISO year, month or day, or a quarter such as `2021-Q3`."""
    software: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    """Names that mean this model alone: marketing names, what the driver prints, node labels."""
    families: tuple[str, ...] = ()
    """Names that mean this model and its siblings, such as `a100`."""
    slurm_gres: tuple[str, ...] = ()
    """Types of `gpu:TYPE` or `npu:TYPE` that sites use; siblings may share one."""
    kubernetes: tuple[str, ...] = ()
    """Extended resources under which device plugins and HAMi offer it; often shared by all models of a vendor."""
    note: str = ""

    def rate(self, precision: Precision) -> float | None:
        """Dense peak in TFLOPS (TOPS for integers), or None where no source gives one."""
        figure = self.rates.get(precision)
        return None if figure is None else figure.value


class Isa(StrEnum):
    """Instruction set of a server processor."""

    X86_64 = "x86_64"
    ARM64 = "arm64"
    LOONGARCH64 = "loongarch64"
    SW64 = "sw64"
    POWER64 = "power64"
    RISCV64 = "riscv64"


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """One model of server processor, per socket."""

    id: str
    vendor: str
    model: str
    isa: Isa
    domestic: bool
    cores: Figure
    base_ghz: Figure | None = None
    boost_ghz: Figure | None = None
    """Highest clock of one core; all cores together run lower."""
    fp64_flops_per_cycle: Figure | None = None
    """Per core, fused multiply-add counted as two."""
    memory_channels: Figure | None = None
    memory_bandwidth_gb_s: Figure | None = None
    power_w: Figure | None = None
    process_nm: Figure | None = None
    released: Fact | None = None
    aliases: tuple[str, ...] = ()
    note: str = ""

    @property
    def fp64_tflops(self) -> float | None:
        """Peak FP64 of the socket: cores by base clock by operations per cycle; None where one of them is unknown."""
        if self.base_ghz is None or self.fp64_flops_per_cycle is None:
            return None
        return self.cores.value * self.base_ghz.value * self.fp64_flops_per_cycle.value / 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Degrees, WGS 84, north and east positive; city level unless a note says more."""

    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A city or district that a user or a document may name."""

    id: str
    name_zh: str
    name_en: str
    province: str
    """Identifier of the province, such as `guizhou`."""
    position: Position
    capital: bool = False
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """One of the eight national hubs (国家枢纽节点)."""

    id: str
    name_zh: str
    name_en: str
    side: str
    """`east` or `west`."""
    provinces: tuple[str, ...]
    clusters: tuple[str, ...]
    position: Position
    """For drawing; a hub is a region."""
    source: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One of the ten national data-centre clusters (数据中心集群)."""

    id: str
    name_zh: str
    name_en: str
    hub: str
    places: tuple[str, ...]
    position: Position
    source: str
    aliases: tuple[str, ...] = ()


class CentreState(StrEnum):
    """How far a centre is, as its document says."""

    BUILT = "built"
    PARTLY_BUILT = "partly_built"
    BUILDING = "building"
    TRIAL = "trial"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreReport:
    """What one document prints of a centre."""

    source: str
    published_on: str
    state: CentreState
    state_as_printed: str
    as_of: str = ""
    """ISO month the state holds for, where the document gives one."""
    size_as_printed: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Centre:
    """A named computing centre. Documents disagree about some, so every report is kept."""

    id: str
    name_zh: str
    name_en: str
    place: str
    position: Position
    operators: tuple[str, ...]
    """Builder or operator as printed; empty where the document names none."""
    reports: tuple[CentreReport, ...]
    fp16_pflops: Figure | None = None
    """Present size where the document states it as FP16 or as plain PFLOPS of AI computing; read with its note."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GridFactor:
    """Average emission factor of a province's grid, kgCO2 per kWh."""

    province: str
    name_zh: str
    name_en: str
    grid_region: str
    gbt2260: str
    kg_per_kwh: Mapping[int, Figure]
    """By year of the factor."""

    @property
    def latest(self) -> Figure:
        """The factor of the newest year."""
        return self.kg_per_kwh[max(self.kg_per_kwh)]
