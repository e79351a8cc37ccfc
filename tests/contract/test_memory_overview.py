"""Sums and trails in memory keep every promise of theirs."""

from __future__ import annotations

import pytest
from tests.contract.overview_suite import OverviewContract

from suanwang.adapters.store.memory import MemoryStore
from suanwang.ports import Store


class TestMemoryOverview(OverviewContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()
