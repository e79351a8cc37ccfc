"""Accelerators and processors: from data files to frozen values, and by any of their names.

Owns the fields of an entry and their sane ranges. A provider may add files of his own; they follow the same rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from suanwang.catalog.names import NameIndex, normal
from suanwang.catalog.reading import Node, freeze, outside_file, package_file, package_files, references_of
from suanwang.domain.device import Accelerator, Direction, Figure, Isa, Link, Processor, Reference
from suanwang.domain.precision import DeviceKind, Precision

T = TypeVar("T")

MAX_RATE = 1e6
"""TFLOPS or TOPS. A thousand times today's largest device: above it a unit was mistaken."""
MAX_MEMORY_GB = 1e5
MAX_BANDWIDTH_GB_S = 1e6
MAX_POWER_W = 1e5
MAX_PROCESS_NM = 250
_OTHER_PRINTED = ("mxfp4", "mxint8", "memory_gb", "memory_bandwidth_gb_s", "power_w", "process_nm")
PRINTED = (*(precision.value for precision in Precision), *_OTHER_PRINTED)
"""Fields under which a document's own figure may be kept beside the checked one."""
_KINDS = ", ".join(DeviceKind)
_PRECISIONS = ", ".join(Precision)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """Everything of the device files: entries, where their figures come from, and their names."""

    accelerators: Mapping[str, Accelerator]
    processors: Mapping[str, Processor]
    references: Mapping[str, Reference]
    accelerator_names: NameIndex
    processor_names: NameIndex


@lru_cache(maxsize=8)
def shelf(*files: Path) -> Shelf:
    """Read the shipped device files and `files`, once per process. Raises `InvalidRequest` naming file and entry."""
    shared = references_of(package_file("sources.json"))
    references = dict(shared)
    accelerators: dict[str, Accelerator] = {}
    processors: dict[str, Processor] = {}
    accelerator_names = NameIndex("accelerator")
    processor_names = NameIndex("processor")
    for node in _nodes(files):
        known = {**shared, **_new_references(node, references)}
        defaults = node.child("defaults").plain()
        for key, entry in node.child("accelerators").children():
            device = _accelerator(key, entry.inherit(defaults), known)
            _take(accelerators, key, device, entry)
            _name_accelerator(accelerator_names, device, entry)
        for key, entry in node.child("processors").children():
            processor = _processor(key, entry.inherit(defaults), known)
            _take(processors, key, processor, entry)
            _name_processor(processor_names, processor, entry)
        node.done()
    return Shelf(
        accelerators=freeze(accelerators),
        processors=freeze(processors),
        references=freeze(references),
        accelerator_names=accelerator_names,
        processor_names=processor_names,
    )


def _nodes(files: Iterable[Path]) -> Iterable[Node]:
    for folder in ("accelerators", "processors"):
        for name in package_files(folder):
            yield package_file(name)
    for path in files:
        yield outside_file(path)


def _new_references(node: Node, references: dict[str, Reference]) -> Mapping[str, Reference]:
    found = references_of(node)
    for key, reference in found.items():
        if references.setdefault(key, reference) is not reference:
            node.refuse(f"sources.{key}", "a key that no other file uses for its source")
    return found


def _take(table: dict[str, T], key: str, value: T, entry: Node) -> None:
    if key in table:
        entry.refuse("", "an identifier that the catalogue does not hold yet")
    table[key] = value


def _rates(node: Node, known: Mapping[str, Reference], source: str | None) -> Mapping[Precision, Figure]:
    rates: dict[Precision, Figure] = {}
    for key in node.plain():
        if key not in Precision.__members__.values():
            node.refuse(key[:40], f"one of {_PRECISIONS}")
        figure = node.cited(key, known, source, MAX_RATE)
        if figure is not None:
            rates[Precision(key)] = figure
    return freeze(rates)


def _printed(node: Node, known: Mapping[str, Reference], source: str | None) -> Mapping[str, Figure]:
    printed: dict[str, Figure] = {}
    for key in node.plain():
        if key not in PRINTED:
            node.refuse(key[:40], f"one of {', '.join(PRINTED)}")
        figure = node.cited(key, known, source, MAX_RATE)
        if figure is not None:
            printed[key] = figure
    return freeze(printed)


def _links(entry: Node, known: Mapping[str, Reference], source: str | None) -> tuple[Link, ...]:
    links: list[Link] = []
    for node in entry.items("links"):
        each_way = node.cited("each_way_gb_s", known, source, MAX_BANDWIDTH_GB_S)
        both_ways = node.cited("both_ways_gb_s", known, source, MAX_BANDWIDTH_GB_S)
        figure = each_way or both_ways
        if figure is None or (each_way and both_ways):
            node.refuse("", "given with one of each_way_gb_s and both_ways_gb_s")
        direction = Direction.EACH_WAY if each_way else Direction.BOTH_WAYS
        links.append(Link(name=node.text("name"), bandwidth_gb_s=figure, direction=direction))
        node.done()
    return tuple(links)


def _accelerator(key: str, entry: Node, known: Mapping[str, Reference]) -> Accelerator:
    source = entry.text("source", "") or None
    device = Accelerator(
        id=key,
        vendor=entry.text("vendor"),
        model=entry.text("model"),
        kind=entry.word("kind", DeviceKind, f"one of {_KINDS}"),
        domestic=entry.flag("domestic"),
        rates=_rates(entry.child("rates"), known, source),
        sparse_rates=_rates(entry.child("sparse_rates"), known, source),
        printed=_printed(entry.child("printed"), known, source),
        memory_gb=entry.cited("memory_gb", known, source, MAX_MEMORY_GB),
        memory_type=entry.text("memory_type", "") or None,
        memory_bandwidth_gb_s=entry.cited("memory_bandwidth_gb_s", known, source, MAX_BANDWIDTH_GB_S),
        links=_links(entry, known, source),
        power_w=entry.cited("power_w", known, source, MAX_POWER_W),
        process_nm=entry.cited("process_nm", known, source, MAX_PROCESS_NM),
        released=entry.fact("released", known, source),
        software=entry.texts("software"),
        aliases=entry.texts("aliases"),
        families=entry.texts("families"),
        slurm_gres=entry.texts("slurm_gres"),
        kubernetes=entry.texts("kubernetes"),
        note=entry.text("note", ""),
    )
    for precision, sparse in device.sparse_rates.items():
        dense = device.rates.get(precision)
        if dense is None or sparse.value < dense.value or sparse.value > 2.1 * dense.value:
            entry.refuse(f"sparse_rates.{precision}", "between once and twice the dense rate of the same precision")
    entry.done()
    return device


def _processor(key: str, entry: Node, known: Mapping[str, Reference]) -> Processor:
    source = entry.text("source", "") or None
    cores = entry.cited("cores", known, source, 4096)
    if cores is None or cores.value != int(cores.value):
        entry.refuse("cores", "a whole number of cores with its source")
    processor = Processor(
        id=key,
        vendor=entry.text("vendor"),
        model=entry.text("model"),
        isa=entry.word("isa", Isa, f"one of {', '.join(Isa)}"),
        domestic=entry.flag("domestic"),
        cores=cores,
        base_ghz=entry.cited("base_ghz", known, source, 10),
        boost_ghz=entry.cited("boost_ghz", known, source, 10),
        fp64_flops_per_cycle=entry.cited("fp64_flops_per_cycle", known, source, 1024),
        memory_channels=entry.cited("memory_channels", known, source, 64),
        memory_bandwidth_gb_s=entry.cited("memory_bandwidth_gb_s", known, source, 1e4),
        power_w=entry.cited("power_w", known, source, 5000),
        process_nm=entry.cited("process_nm", known, source, MAX_PROCESS_NM),
        released=entry.fact("released", known, source),
        aliases=entry.texts("aliases"),
        note=entry.text("note", ""),
    )
    if processor.base_ghz and processor.boost_ghz and processor.boost_ghz.value < processor.base_ghz.value:
        entry.refuse("boost_ghz", "at least base_ghz")
    entry.done()
    return processor


def _with_vendor(vendor: str, names: Iterable[str]) -> tuple[str, ...]:
    """Each name as it stands and with the vendor before it, as drivers print it."""
    return tuple(spelling for name in names for spelling in (name, f"{vendor} {name}"))


def _name_accelerator(index: NameIndex, device: Accelerator, entry: Node) -> None:
    index.own(device.id, (device.id, *_with_vendor(device.vendor, (device.model, *device.aliases))), entry.file)
    shared = (device.vendor, *_with_vendor(device.vendor, device.families), *device.slurm_gres, *device.kubernetes)
    index.share(device.id, shared)


def _name_processor(index: NameIndex, processor: Processor, entry: Node) -> None:
    names = (processor.id, *_with_vendor(processor.vendor, (processor.model, *processor.aliases)))
    index.own(processor.id, names, entry.file)


def accelerators(*files: Path) -> Mapping[str, Accelerator]:
    """Every accelerator by identifier: the shipped ones and those of a provider's own `files`."""
    return shelf(*files).accelerators


def accelerator(name: str, *files: Path, field: str = "model") -> Accelerator:
    """The accelerator that `name` means: identifier, marketing or driver name, GRES type or Kubernetes resource.

    Case, spaces, hyphens and a leading `gpu:` do not matter. Raises `InvalidRequest` on `field` where the name is
    unknown, with the nearest ones, or means several models, such as `nvidia.com/gpu`, with those.
    """
    on = shelf(*files)
    return on.accelerators[on.accelerator_names.one(name, field)]


def accelerators_named(name: str, *files: Path, field: str = "model") -> tuple[Accelerator, ...]:
    """Every model that `name` may mean, at least one: `a100` gives all A100. Raises `InvalidRequest` where none."""
    on = shelf(*files)
    return tuple(on.accelerators[key] for key in on.accelerator_names.all_of(name, field))


def search_accelerators(text: str, *files: Path) -> tuple[Accelerator, ...]:
    """Models whose identifier or names hold `text`, by identifier; where there are none, those with the nearest names."""
    on, wanted = shelf(*files), normal(text)
    found = [
        device
        for device in on.accelerators.values()
        if any(
            wanted in normal(name)
            for name in (
                device.id,
                f"{device.vendor} {device.model}",
                *device.aliases,
                *device.families,
                *device.slurm_gres,
            )
        )
    ]
    if found:
        return tuple(sorted(found, key=lambda device: device.id))
    return tuple(on.accelerators[key] for key in on.accelerator_names.suggest(text))


def processors(*files: Path) -> Mapping[str, Processor]:
    """Every server processor by identifier."""
    return shelf(*files).processors


def processor(name: str, *files: Path, field: str = "processor") -> Processor:
    """The processor that `name` means. Raises `InvalidRequest` on `field`, with the nearest names."""
    on = shelf(*files)
    return on.processors[on.processor_names.one(name, field)]


def references(*files: Path) -> Mapping[str, Reference]:
    """Every document that a device's figures cite, by key."""
    return shelf(*files).references
