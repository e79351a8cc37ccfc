"""Disputes on a real PostgreSQL keep every promise of theirs."""

from __future__ import annotations

import psycopg
import pytest
from tests.contract.dispute_suite import DisputeContract, a_dispute, a_step, keep
from tests.services.postgres_fixture import postgres, postgres_server, postgres_store

from suanwang.adapters.store.postgres import PostgresStore
from suanwang.ports import Store
from suanwang.trading.disputes import Act, stepped

__all__ = ["postgres", "postgres_server", "postgres_store"]

pytestmark = pytest.mark.services


class TestPostgresDisputes(DisputeContract):
    @pytest.fixture
    def store(self, postgres_store: PostgresStore) -> Store:
        return postgres_store


def test_the_database_keeps_decided_disputes_by_itself(postgres_store: PostgresStore, postgres: str) -> None:
    keep(postgres_store, a_dispute())
    keep(postgres_store, stepped(a_dispute(), a_step(Act.REJECTED, side=None)))
    with psycopg.connect(postgres, autocommit=True) as raw:
        for change in ("DELETE FROM disputes", "TRUNCATE disputes", "UPDATE disputes SET undecided = true"):
            with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
                raw.execute(change)
