"""The local connector keeps every promise of a connector, with real processes on this host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.connector_suite import ConnectorContract, RealSite, Site, ended

from suanwang.sensing.connectors.local.connector import LocalConnector

pytestmark = pytest.mark.processes


class TestLocalConnector(ConnectorContract):
    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[Site]:
        def opened() -> LocalConnector:
            return LocalConnector(spool=tmp_path / "spool", cores=2, memory_gb=2, grace_s=1, pin_cores=False)

        site = RealSite(folder=tmp_path / "runs", opened=opened)
        yield site
        for tag in site.connector.running():
            site.connector.cancel(tag)
            ended(site, tag)
