"""Listings in memory keep every promise of theirs."""

from __future__ import annotations

import pytest
from tests.contract.listing_suite import ListingContract

from suanwang.adapters.store.memory import MemoryStore
from suanwang.ports import Store


class TestMemoryListings(ListingContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()
