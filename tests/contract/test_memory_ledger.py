"""The ledger, holds and vouchers in memory keep every promise of theirs."""

from __future__ import annotations

import pytest
from tests.contract.budget_suite import BudgetContract
from tests.contract.hold_suite import HoldContract
from tests.contract.ledger_suite import LedgerContract
from tests.contract.voucher_hold_suite import VoucherHoldContract
from tests.contract.voucher_suite import VoucherContract

from suanwang.adapters.store.memory import MemoryStore
from suanwang.ports import Store


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class TestMemoryVouchers(VoucherContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class TestMemoryHolds(HoldContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class TestMemoryVoucherHolds(VoucherHoldContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class TestMemoryBudgets(BudgetContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()
