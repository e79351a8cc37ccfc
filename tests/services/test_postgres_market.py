"""The market on a real PostgreSQL keeps every promise of a market, whoever writes and whatever is cut off."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import count

import psycopg
import pytest
from tests.contract.market_suite import (
    DEMO,
    FIRST,
    NOW,
    RULES,
    MarketContract,
    an_offer,
    an_order,
    assert_whole,
    bought,
    filled,
)
from tests.contract.store_values import at_once
from tests.services.postgres_fixture import postgres, postgres_server, postgres_store

from suanwang.adapters.store.database import Database
from suanwang.adapters.store.postgres import PostgresStore
from suanwang.control.market.calling import call
from suanwang.control.market.ordering import Market
from suanwang.control.market.requests import Wish
from suanwang.domain.errors import OutcomeUnknown, Unavailable
from suanwang.domain.identity import Principal, Project, Role
from suanwang.ports import Deal, OfferQuery, Store, TradeQuery
from suanwang.trading.market.dealing import payer
from suanwang.trading.market.product import begins
from suanwang.trading.market.values import Auction, Way

__all__ = ["postgres", "postgres_server", "postgres_store"]

pytestmark = pytest.mark.services
BUYER = Principal(name="alice", role=Role.USER, projects=(DEMO,))


@dataclass(frozen=True, slots=True)
class At:
    """A clock that stands."""

    at: datetime

    def now(self) -> datetime:
        return self.at


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


def test_buyers_and_callers_whose_connections_are_killed_break_nothing(postgres: str) -> None:
    """Six writers buy, stand and call while backends die; each repeats what was cut off under the same identifiers."""
    with (
        PostgresStore(Database(postgres, max_connections=8)) as store,
        psycopg.connect(postgres, autocommit=True) as raw,
    ):
        filled(store, fen=10**9)
        store.add_project(Project(id=DEMO, title="Demo", created_at=NOW), ())
        for number in range(4):
            offer = an_offer(left=(40,) * 4, count=40, price_fen=90 + number)
            assert store.deal(Deal(offers=(offer,)), NOW).done
        market, killed, steps = Market(store, At(NOW), RULES), list[int](), count()

        def trade(writer: int) -> int:
            done = 0
            for number in range(12):
                wish = Wish(
                    id=f"order-of-{writer}-{number}",
                    project=DEMO,
                    devices=("core",),
                    count=1 + number % 3,
                    start=begins(FIRST),
                    end=begins(FIRST + 2),
                    limit_fen=120,
                    way=Way.STANDING if number % 2 else Way.NOW,
                )
                done += _until_answered(lambda wish=wish: market.place(BUYER, wish))  # type: ignore[misc]
                if next(steps) % 9 == 4:
                    killed.extend(_kill(raw))
            return done

        assert sum(at_once([lambda writer=writer: trade(writer) for writer in range(6)])) == 72  # type: ignore[misc]
        at_once([lambda: _until_answered(lambda: call(store, RULES, FIRST, NOW)) for _ in range(3)])
        assert killed, "backends really died"
        assert_whole(store)
        orders, _ = store.orders(None, None, 1000)
        assert len(orders) == 72
        trades, _ = store.trades(TradeQuery(), None, 10_000)
        assert sum(order.paid_fen for order in orders) == sum(each.amount_fen for each in trades)
        offers, _ = store.offers(OfferQuery(open=False), None, 10)
        rights, _ = store.reservations(None, None, 1000)
        for window in range(FIRST, FIRST + 2):
            on_sale = sum(offer.left[window - FIRST] for offer in offers)
            assert on_sale + sum(right.counts[window - FIRST] for right in rights) == 160
        demo = store.account(payer(orders[0]))
        assert demo is not None
        assert demo.balance_fen == 10**9 - sum(order.paid_fen for order in orders)


def _until_answered(ask: Callable[[], object]) -> bool:
    for _ in range(200):
        with suppress(Unavailable, OutcomeUnknown):
            ask()
            return True
    pytest.fail("the database never came back")


def _kill(raw: psycopg.Connection) -> list[int]:
    """End one backend that is at work, whichever."""
    return [
        row[0]
        for row in raw.execute(
            "SELECT pid FROM (SELECT pid, pg_terminate_backend(pid) AS gone FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' "
            "AND state <> 'idle' LIMIT 1) AS k WHERE gone"
        )
    ]
