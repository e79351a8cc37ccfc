"""Sums and trails on a real PostgreSQL keep every promise of theirs."""

from __future__ import annotations

import pytest
from tests.contract.overview_suite import OverviewContract
from tests.services.postgres_fixture import postgres, postgres_server, postgres_store

from suanwang.adapters.store.postgres import PostgresStore
from suanwang.ports import Store

__all__ = ["postgres", "postgres_server", "postgres_store"]

pytestmark = pytest.mark.services


class TestPostgresOverview(OverviewContract):
    @pytest.fixture
    def store(self, postgres_store: PostgresStore) -> Store:
        return postgres_store
