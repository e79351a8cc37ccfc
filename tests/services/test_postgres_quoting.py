"""The store on a real PostgreSQL keeps quotes and lessons as every store does."""

from __future__ import annotations

import pytest
from tests.contract.quoting_suite import QuotingContract
from tests.services.postgres_fixture import postgres, postgres_server, postgres_store

from suanwang.adapters.store.postgres import PostgresStore
from suanwang.ports import Store

__all__ = ["postgres", "postgres_server", "postgres_store"]

pytestmark = pytest.mark.services


class TestPostgresQuoting(QuotingContract):
    @pytest.fixture
    def store(self, postgres_store: PostgresStore) -> Store:
        return postgres_store
