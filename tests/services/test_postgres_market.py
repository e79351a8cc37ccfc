"""The market on a real PostgreSQL keeps every promise of a market, whoever writes."""

from __future__ import annotations

import psycopg
import pytest
from tests.contract.market_suite import NOW, MarketContract, an_offer, an_order, bought, filled
from tests.services.postgres_fixture import postgres, postgres_server, postgres_store

from suanwang.adapters.store.postgres import PostgresStore
from suanwang.ports import Deal, Store
from suanwang.trading.market.values import Auction, Way

__all__ = ["postgres", "postgres_server", "postgres_store"]

pytestmark = pytest.mark.services


class TestPostgresMarket(MarketContract):
    @pytest.fixture
    def store(self, postgres_store: PostgresStore) -> Store:
        return postgres_store


@pytest.mark.parametrize("table", ["market_trades", "market_auctions"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET value = '{{}}'", "TRUNCATE {}"])
def test_trades_and_calls_cannot_be_changed(
    postgres: str, postgres_store: PostgresStore, table: str, change: str
) -> None:
    filled(postgres_store)
    offer = an_offer()
    postgres_store.deal(Deal(offers=(offer,)), NOW)
    postgres_store.deal(bought(offer, an_order(way=Way.NOW)), NOW)
    auction = Auction(first=1, called_at=NOW, orders=0, filled=0, surplus_fen=0, bound_fen=0)
    assert postgres_store.deal(Deal(auction=auction), NOW).done
    with psycopg.connect(postgres) as connection, pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        connection.execute(change.format(table))
