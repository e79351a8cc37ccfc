"""The store in memory keeps every promise of a store."""

from __future__ import annotations

import pytest
from tests.contract.store_suite import StoreContract

from suanwang.adapters.store.memory import MemoryStore
from suanwang.ports import Store


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()
