"""Drafts of site files from what sinfo shows."""

from __future__ import annotations

from typing import Any

import pytest

from suanwang.cli.drafting import of_nodes
from suanwang.domain.errors import InvalidRequest
from suanwang.sensing.connectors.slurm.facts import NodeFacts
from suanwang.sitefile import read_site


def node(name: str, **changes: Any) -> NodeFacts:
    values: dict[str, Any] = {
        "name": name,
        "state": "idle",
        "cores": 64,
        "cores_idle": 64,
        "memory_mb": 262_144,
        "memory_used_mb": 0,
        "gres": {"gpu:ascend910b": 8},
    }
    return NodeFacts(**{**values, **changes})


def test_usable_nodes_become_a_site_of_their_common_size() -> None:
    nodes = [node("gz1"), node("gz2", cores=48, memory_mb=131_072), node("gz3", state="down*")]
    site = read_site(of_nodes("gz", nodes, place="贵安", partition="main", conf="/etc/slurm/slurm.conf"))
    offer = site.offering
    assert (offer.nodes, offer.cores_per_node, offer.memory_gb_per_node) == (2, 48, 137)
    assert [(pool.model, pool.per_node, pool.count) for pool in offer.devices] == [("huawei-ascend-910b", 8, 16)]
    assert site.gres_types == {"huawei-ascend-910b": "ascend910b"}
    assert (offer.partition, site.connector.kind, site.connector.conf) == ("main", "slurm", "/etc/slurm/slurm.conf")


def test_a_device_the_catalogue_does_not_know_is_left_to_the_provider() -> None:
    text = of_nodes("gz", [node("gz1", gres={"gpu:mystery9": 4})], place="贵安")
    assert "the catalogue does not know mystery9: name the model" in text
    assert read_site(text).offering.devices == ()


def test_known_and_unknown_devices_stand_side_by_side() -> None:
    text = of_nodes("gz", [node("gz1", gres={"gpu:ascend910b": 8, "gpu:mystery9": 4})], place="贵安")
    assert [pool.count for pool in read_site(text).offering.devices] == [8]
    assert "mystery9" in text


def test_a_cluster_without_a_usable_node_is_no_site() -> None:
    with pytest.raises(InvalidRequest, match="no usable node"):
        of_nodes("gz", [node("gz1", state="drained")], place="贵安")
