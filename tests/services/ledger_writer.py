"""One writer of `test_ledger_writers`, in a process of its own: what it asks for, and how it goes on after it was killed.

Owns a writer's work. It follows from the writer's number alone, so one that is started again asks for the same once more.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection

from suanwang.adapters.store.database import Database
from suanwang.adapters.store.postgres import PostgresStore
from suanwang.domain.errors import Unavailable
from suanwang.trading.ledger import BANK, NETWORK, Account, AccountId, Chain, Owner, Phase, Transfer, account_id
from suanwang.trading.settlement import opened

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=1)
PAYERS = [account_id(Owner.PROJECT, f"p{at}") for at in range(5)]
SELLERS = [account_id(Owner.PROVIDER, f"s{at}") for at in range(3)]
SIDES = [BANK, NETWORK, *PAYERS, *SELLERS]
TRIES = 200


def accounts() -> list[Account]:
    """Two of the payers have credit."""
    payers = [
        Account(id=key, owner=Owner.PROJECT, name=key, floor_fen=-200 * (at % 2)) for at, key in enumerate(PAYERS)
    ]
    return [opened(BANK), opened(NETWORK), *map(opened, SELLERS), *payers]


def batches(writer: int, count: int) -> Iterator[Sequence[Chain]]:
    """Its own payments and holds, ends of its holds, and in each batch a chain that its neighbour asks for too."""
    for number in range(count):
        dice = _dice(writer, number)
        name = f"w{writer}.{number}"
        made = [_hold(f"{name}.hold", dice, number), _split(f"{name}.split", dice)]
        shared = f"shared.{writer // 2}.{number}"
        made.append(_split(shared, random.Random(shared)))
        if number:
            made.append(_ending(f"{name}.end", _held(writer, number - 1), dice))
        dice.shuffle(made)
        yield made


def _held(writer: int, number: int) -> Transfer:
    """The hold of an earlier batch."""
    return _hold(f"w{writer}.{number}.hold", _dice(writer, number), number)[0]


def _dice(writer: int, number: int) -> random.Random:
    return random.Random(writer * 100_000 + number)


def _transfer(
    name: str,
    number: int,
    sides: tuple[AccountId, AccountId],
    amount_fen: int,
    phase: Phase = Phase.DIRECT,
    pending_id: str | None = None,
    timeout_at: datetime | None = None,
) -> Transfer:
    return Transfer(
        id=f"{name}/{number}",
        chain=name,
        debit=sides[0],
        credit=sides[1],
        amount_fen=amount_fen,
        code="writer",
        phase=phase,
        pending_id=pending_id,
        timeout_at=timeout_at,
    )


def _hold(name: str, dice: random.Random, number: int) -> Chain:
    sides = dice.choice(PAYERS), dice.choice(SELLERS)
    timeout_at = START + timedelta(seconds=number + dice.choice([0, 1, 2, 1000]))
    return (_transfer(name, 0, sides, dice.randint(1, 60), phase=Phase.PENDING, timeout_at=timeout_at),)


def _split(name: str, dice: random.Random) -> Chain:
    payer = dice.choice(PAYERS)
    if dice.random() < 0.25:
        return (_transfer(name, 0, (BANK, payer), dice.randint(50, 300)),)
    return tuple(
        _transfer(name, at, (payer, payee), dice.randint(1, 40))
        for at, payee in enumerate([*dice.sample(SELLERS, 2), NETWORK])
    )


def _ending(name: str, hold: Transfer, dice: random.Random) -> Chain:
    phase = dice.choice([Phase.POST, Phase.VOID])
    amount = hold.amount_fen if phase is Phase.VOID else dice.randint(1, hold.amount_fen)
    return (_transfer(name, 0, (hold.debit, hold.credit), amount, phase=phase, pending_id=hold.id),)


def write(url: str, writer: int, count: int, tell: Connection) -> None:
    """Post every batch from the first on, and tell each batch's answers as (chain, verdict); release what is over between."""
    with closing(tell), PostgresStore(Database(url, max_connections=1)) as store:
        for number, batch in enumerate(batches(writer, count)):
            now = START + timedelta(seconds=number)
            outcomes = patiently(store, batch, now)
            tell.send(outcomes)
            if number % 5 == writer % 5:
                _release(store, now)


def patiently(store: PostgresStore, batch: Sequence[Chain], now: datetime) -> list[tuple[str, str]]:
    for _ in range(TRIES):
        try:
            return [(outcome.chain, outcome.verdict.value) for outcome in store.post(batch, now)]
        except Unavailable:
            continue
    raise AssertionError("the database never answered")


def _release(store: PostgresStore, now: datetime) -> None:
    for _ in range(TRIES):
        try:
            store.release_expired(now, 100)
        except Unavailable:
            continue
        return
