"""Drafts of a site file: of this host, or of the Slurm cluster it belongs to.

Owns what is written where nothing is known: prices and PUE are placeholders that say so. Decides nothing about a site.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from suanwang.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from suanwang.domain.device import Accelerator
    from suanwang.sensing.connectors.slurm.facts import NodeFacts

GB_PER_MIB = 2**20 / 1e9


def of_this_host(site: str, *, place: str) -> str:
    """A site of this one machine, its work run by the local connector."""
    from suanwang.sensing.probing.host import memory_bytes, processors

    memory = max(1, int(memory_bytes("MemTotal") / 1e9))
    return _text(site, place, nodes=1, cores=processors(), memory_gb=memory, devices=[], connector="kind: local")


def of_slurm(site: str, *, place: str, partition: str | None = None, conf: str | None = None) -> str:
    """A site of the cluster that `sinfo` shows. Raises `Unavailable` where Slurm does not answer."""
    from suanwang.sensing.connectors.slurm.cli import CommandGateway
    from suanwang.sensing.connectors.slurm.process import Runner

    nodes = CommandGateway(Runner(env={"SLURM_CONF": conf} if conf else {})).nodes(partition=partition)
    return of_nodes(site, nodes, place=place, partition=partition, conf=conf)


def of_nodes(
    site: str, nodes: Sequence[NodeFacts], *, place: str, partition: str | None = None, conf: str | None = None
) -> str:
    """A site of `nodes`: a site file has nodes of one shape, so the smallest of what they have is declared."""
    usable = [node for node in nodes if node.usable]
    if not usable:
        raise InvalidRequest(
            "sinfo shows no usable node", field="--partition", allowed="a partition with nodes that are up"
        )
    devices = [_device(kind, per_node, count) for kind, (per_node, count) in sorted(_gres(usable).items())]
    connector = "\n  ".join(
        ["kind: slurm"] + ([f"conf: {conf}"] if conf else []) + ([f"partition: {partition}"] if partition else [])
    )
    return _text(
        site,
        place,
        nodes=len(usable),
        cores=min(node.cores for node in usable),
        memory_gb=max(1, int(min(node.memory_mb for node in usable) * GB_PER_MIB)),
        devices=devices,
        connector=connector,
    )


def _gres(nodes: Sequence[NodeFacts]) -> Mapping[str, tuple[int, int]]:
    """GRES type → (most on one node, all)."""
    most: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for node in nodes:
        for kind, count in node.gres.items():
            most[kind] = max(most[kind], count)
            total[kind] += count
    return {kind: (most[kind], total[kind]) for kind in most}


def _device(kind: str, per_node: int, count: int) -> str:
    """One entry of `devices`, commented out where the catalogue does not know what the GRES type is."""
    own = kind.rpartition(":")[2]
    known = _known(own)
    entry = f"- {{model: {known.id if known else 'MODEL'}, per_node: {per_node}, count: {count}, price: 10.00, gres: {own}}}"
    return f"  {entry}" if known else f"  # {entry} # the catalogue does not know {own}: name the model"


def _known(name: str) -> Accelerator | None:
    from suanwang import catalog

    try:
        return catalog.accelerator(name)
    except InvalidRequest:
        return None


def _text(
    site: str, place: str, *, nodes: int, cores: int, memory_gb: int, devices: Sequence[str], connector: str
) -> str:
    from suanwang import catalog

    found = catalog.place(place, field="--place")
    region = next((hub.id for hub in catalog.hubs().values() if found.province in hub.provinces), found.province)
    listed = "\n" + "\n".join(devices) if any(not line.startswith("  #") for line in devices) else " []"
    unknown = "" if listed != " []" or not devices else "\n" + "\n".join(devices)
    return f"""\
# A draft: look at every line, above all at prices, PUE and names.
id: {site}
name: {{zh: {site}, en: {site}}}
provider: {site} # the organisation that is paid
region: {region}
place: {found.name_zh} # or position: {{latitude: …, longitude: …}} with province: …
nodes: {nodes}
cores_per_node: {cores}
memory_per_node: {memory_gb}GB
devices:{listed}{unknown}
price: {{core_hour: 0.10, memory_gb_hour: 0.01}} # yuan
pue: 1.30
# carbon_g_per_kwh: 500 # without it, the official grid factor of the place's province
# electricity: {{area: {catalog.provinces()[found.province][0]}, passed_on: true}} # docs/electricity.md
connector:
  {connector}
"""
