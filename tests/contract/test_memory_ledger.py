"""The ledger in memory keeps every promise of a ledger."""

from __future__ import annotations

import pytest
from tests.contract.ledger_suite import LedgerContract

from suanwang.adapters.store.memory import MemoryStore
from suanwang.ports import Store


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()
