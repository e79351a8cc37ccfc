"""The Slurm connector keeps every connector's promises on a real cluster, by commands and by REST."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contract.connector_suite import ConnectorContract, RealSite, Site
from tests.services.slurm_fixture import need_slurm, slurm

from suanwang.sensing.connectors.slurm import by_commands, by_rest
from suanwang.testbed.slurm import SlurmTestbed

__all__ = ["slurm"]

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("slurm")]

GRES_TYPES = {"ascend-910b": "ascend910b"}


class TestByCommands(ConnectorContract):
    @pytest.fixture
    def site(self, slurm: SlurmTestbed, tmp_path: Path) -> Site:
        return RealSite(
            folder=tmp_path,
            opened=lambda: by_commands(
                spool=tmp_path / "spool", gres_types=GRES_TYPES, slurm_conf=slurm.clusters["gz"].conf
            ),
            # Slurm counts limits in minutes and looks at them twice a minute.
            shortest_limit_s=60,
            polls=1500,
            pause_s=0.1,
        )


class TestByRest(ConnectorContract):
    @pytest.fixture
    def site(self, slurm: SlurmTestbed, tmp_path: Path) -> Site:
        need_slurm(rest=True)
        cluster = slurm.clusters["nm"]
        url, token = cluster.rest_url, cluster.token()
        assert url is not None
        return RealSite(
            folder=tmp_path,
            opened=lambda: by_rest(
                url=url, user="root", token=lambda: token, spool=tmp_path / "spool", gres_types=GRES_TYPES
            ),
            shortest_limit_s=60,
            polls=1500,
            pause_s=0.1,
        )
