"""The market in memory keeps every promise of a market."""

from __future__ import annotations

import pytest
from tests.contract.market_suite import MarketContract

from suanwang.adapters.store.memory import MemoryStore
from suanwang.ports import Store


class TestMemoryMarket(MarketContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()
