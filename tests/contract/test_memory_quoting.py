"""The store in memory keeps quotes and lessons as every store does."""

from __future__ import annotations

import pytest
from tests.contract.quoting_suite import QuotingContract

from suanwang.adapters.store.memory import MemoryStore
from suanwang.ports import Store


class TestMemoryQuoting(QuotingContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()
