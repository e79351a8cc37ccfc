"""Disputes in memory keep every promise of theirs."""

from __future__ import annotations

import pytest
from tests.contract.dispute_suite import DisputeContract

from suanwang.adapters.store.memory import MemoryStore
from suanwang.ports import Store


class TestMemoryDisputes(DisputeContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()
