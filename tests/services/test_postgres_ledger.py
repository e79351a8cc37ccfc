"""The ledger on a real PostgreSQL keeps every promise of a ledger, whoever writes and whatever is cut off."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from itertools import count

import psycopg
import pytest
from tests.contract.budget_suite import BudgetContract
from tests.contract.hold_suite import HoldContract
from tests.contract.ledger_suite import (
    DEMO,
    NOW,
    OTHER,
    SELLER,
    LedgerContract,
    a_hold,
    a_transfer,
    assert_whole,
    filled,
    project,
    standing,
)
from tests.contract.store_values import at_once
from tests.services.postgres_fixture import PostgresServer, postgres, postgres_server, postgres_store

from suanwang.adapters.store.database import Database
from suanwang.adapters.store.migrate import upgrade
from suanwang.adapters.store.postgres import PostgresStore
from suanwang.domain.errors import Unavailable
from suanwang.ports import Store
from suanwang.trading.ledger import BANK, NETWORK, AccountId, Transfer, Verdict
from suanwang.trading.settlement import opened

__all__ = ["postgres", "postgres_server", "postgres_store"]

pytestmark = pytest.mark.services


class TestPostgresLedger(LedgerContract):
    @pytest.fixture
    def store(self, postgres_store: PostgresStore) -> Store:
        return postgres_store


class TestPostgresHolds(HoldContract):
    @pytest.fixture
    def store(self, postgres_store: PostgresStore) -> Store:
        return postgres_store


class TestPostgresBudgets(BudgetContract):
    @pytest.fixture
    def store(self, postgres_store: PostgresStore) -> Store:
        return postgres_store


@pytest.fixture
def raw(postgres: str) -> Iterator[psycopg.Connection]:
    """A connection that knows none of our rules."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        yield connection


INSERT = (
    "INSERT INTO ledger_transfers (id, leaf, chain, debit, credit, amount_fen, code, phase, pending_id, timeout_at, at) "
    "VALUES (%s, 0, 'raw', %s, %s, %s, 'raw', %s, %s, %s, now())"
)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ledger_transfers SET amount_fen = 1",
        "DELETE FROM ledger_transfers",
        "TRUNCATE ledger_transfers",
        "UPDATE ledger_log SET data = ''",
        "DELETE FROM ledger_log",
        "DELETE FROM ledger_nodes",
        "DELETE FROM ledger_checkpoints",
        "DELETE FROM settled_lines",
        "DELETE FROM ledger_seals",
        "UPDATE ledger_accounts SET balance_fen = balance_fen + 1",
        "UPDATE ledger_accounts SET held_fen = 1",
        "DELETE FROM ledger_accounts",
        "TRUNCATE ledger_accounts",
        "INSERT INTO ledger_accounts (id, owner, name, currency, balance_fen) VALUES ('x', 'project', 'x', 'CNY', 5)",
        "DELETE FROM ledger_holds",
        "UPDATE ledger_holds SET amount_fen = 1",
    ],
)
def test_the_database_refuses_to_change_what_was_posted(
    postgres_store: PostgresStore, raw: psycopg.Connection, change: str
) -> None:
    filled(postgres_store)
    postgres_store.post([(a_hold(5),)], NOW)
    with pytest.raises(psycopg.errors.RestrictViolation):
        raw.execute(change)
    assert_whole(postgres_store)


@pytest.mark.parametrize(
    "values",
    [
        ("r", DEMO, SELLER, 1001, "direct", None, None),
        ("r", SELLER, DEMO, 1, "direct", None, None),
        ("r", DEMO, SELLER, 0, "direct", None, None),
        ("r", DEMO, SELLER, -5, "direct", None, None),
        ("r", DEMO, DEMO, 5, "direct", None, None),
        ("r", DEMO, "nobody", 5, "direct", None, None),
        ("r", DEMO, SELLER, 5, "post", "no hold", None),
        ("r", DEMO, SELLER, 5, "post", None, None),
        ("r", DEMO, SELLER, 5, "pending", None, None),
        ("r", DEMO, SELLER, 996, "pending", None, "2030-01-01T00:00Z"),
        ("r", DEMO, SELLER, 5, "gift", None, None),
        ("r", BANK, SELLER, 2**62, "direct", None, None),
    ],
)
def test_the_database_keeps_the_rules_by_itself(
    postgres_store: PostgresStore, raw: psycopg.Connection, values: tuple[object, ...]
) -> None:
    filled(postgres_store)
    postgres_store.post([(a_hold(5),)], NOW)
    with pytest.raises(psycopg.errors.IntegrityError):
        raw.execute(INSERT, values)
    assert standing(postgres_store, DEMO) == (1000, 5)


def test_an_unlogged_transfer_is_found(postgres_store: PostgresStore, raw: psycopg.Connection) -> None:
    filled(postgres_store)
    raw.execute(INSERT, ("r", DEMO, SELLER, 10, "direct", None, None))
    audit = postgres_store.audit()
    assert (audit.sum_fen, audit.wrong, audit.unlogged) == (0, (), 1)


def test_bills_from_before_the_ledger_are_to_be_settled(postgres_server: PostgresServer) -> None:
    url = postgres_server.empty()
    upgrade(url, "0003")
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO bill_lines (usage_id, project, job_id, site_id, provider, from_at, to_at, description, "
            "rated_yuan, amount_fen) VALUES ('j-1:1', 'demo', 'j', 's', 'p', now(), now(), '', 0.01, 1)"
        )
    upgrade(url)
    with PostgresStore(Database(url)) as store:
        assert store.count_open() == (1, 0)
    postgres_server.drop(url)


def test_sixteen_writers_and_killed_backends_break_nothing(postgres: str, raw: psycopg.Connection) -> None:
    """Each writer pays from three common accounts and repeats whatever was cut off, while connections are killed."""
    with PostgresStore(Database(postgres, max_connections=16)) as store:
        store.open_accounts([opened(BANK), opened(NETWORK), opened(SELLER), project(DEMO, -100), project(OTHER)])
        store.post([(a_transfer(BANK, DEMO, 4000),), (a_transfer(BANK, OTHER, 4000),)], NOW)
        chains = [[_pair(random.Random(writer * 1000 + n), writer, n) for n in range(30)] for writer in range(16)]
        progress = count()
        killed: list[int] = []

        def write(writer: int) -> list[Verdict]:
            verdicts: list[Verdict] = []
            for at in range(0, 30, 3):
                batch = chains[writer][at : at + 3]
                for _ in range(200):
                    with suppress(Unavailable):
                        verdicts += [outcome.verdict for outcome in store.post(batch, NOW)]
                        break
                else:
                    pytest.fail("the database never came back")
                if next(progress) % 20 == 10:
                    killed.extend(_kill(raw))
            return verdicts

        verdicts = at_once([lambda writer=writer: write(writer) for writer in range(16)])  # type: ignore[misc]
        assert killed, "backends really died"
        assert {verdict for each in verdicts for verdict in each} >= {Verdict.POSTED, Verdict.SHORT}
        assert_whole(store)
        # Whatever is in the ledger is there whole and once; what was answered as posted is there.
        for writer, answers in enumerate(verdicts):
            for chain, verdict in zip(chains[writer], answers, strict=True):
                stored = store.chain_entries([chain[0].chain])
                done = verdict in (Verdict.POSTED, Verdict.EXISTS)
                assert [entry.transfer for entry in stored] == (list(chain) if done else [])
        assert sum(standing(store, a)[0] for a in (BANK, NETWORK, SELLER, DEMO, OTHER)) == 0


def _pair(dice: random.Random, writer: int, number: int) -> tuple[Transfer, Transfer]:
    payer: AccountId = dice.choice([DEMO, OTHER])
    name = f"w{writer}.{number}"
    return (
        a_transfer(payer, SELLER, dice.randint(1, 60), chain=name),
        a_transfer(payer, NETWORK, dice.randint(1, 5), chain=name),
    )


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
