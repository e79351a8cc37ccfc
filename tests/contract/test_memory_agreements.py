"""Agreements in memory keep every promise of theirs."""

from __future__ import annotations

import pytest
from tests.contract.agreement_suite import AgreementContract

from suanwang.adapters.store.memory import MemoryStore
from suanwang.ports import Store


class TestMemoryAgreements(AgreementContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()
