"""Listings on a real PostgreSQL keep every promise of theirs, and the database keeps versions and traces by itself."""

from __future__ import annotations

import psycopg
import pytest
from tests.contract.ledger_suite import NOW, filled
from tests.contract.listing_suite import ListingContract, a_copy, a_listing, a_use, sell
from tests.contract.store_values import fencing, leased
from tests.services.postgres_fixture import postgres, postgres_server, postgres_store

from suanwang.adapters.store.postgres import PostgresStore
from suanwang.ports import Store
from suanwang.trading.listings import UseState

__all__ = ["postgres", "postgres_server", "postgres_store"]

pytestmark = pytest.mark.services


class TestPostgresListings(ListingContract):
    @pytest.fixture
    def store(self, postgres_store: PostgresStore) -> Store:
        return postgres_store


def test_the_database_keeps_versions_copies_and_traces_by_itself(postgres_store: PostgresStore, postgres: str) -> None:
    filled(postgres_store)
    postgres_store.add_listing(a_listing(), [])
    sell(postgres_store, a_copy())
    job, allocation = leased(postgres_store)
    uses = [a_use(job, allocation, price_fen=0)]
    postgres_store.hold_uses(uses, (), NOW)
    postgres_store.apply([fencing(job, allocation)])
    assert postgres_store.end_uses(uses, UseState.RELEASED, (), NOW, [])
    postgres_store.withdraw_listing("digits-model", None, NOW, [])
    changes = (
        "UPDATE listings SET value = '{}'",
        "UPDATE listings SET withdrawn_at = NULL",
        "DELETE FROM listings",
        "UPDATE listing_copies SET project = 'eve'",
        "DELETE FROM listing_copies",
        "UPDATE listing_uses SET held = true",
        "DELETE FROM listing_uses",
    )
    with psycopg.connect(postgres, autocommit=True) as raw:
        for change in changes:
            with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
                raw.execute(change)
