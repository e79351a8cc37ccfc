"""A ledger whose messages are lost, doubled, late and out of order, and whose server dies between any two steps, is whole.

With `SUANWANG_SOAK=1` ten million transfers are posted, in as many worlds as that takes; `SUANWANG_SOAK_TRANSFERS` says
another number, and `SUANWANG_SOAK_MINUTES` after how long to stop and tell how many there were.
"""

from __future__ import annotations

import gc
import os
import time
from dataclasses import replace

import pytest

from suanwang.trading.ledger import BANK, Transfer, Verdict
from suanwang.trading.settlement import opened
from tests.simulation.ledger_world import PAYERS, START, Durable, LedgerWorld, Reader, Tally

SOAK = os.environ.get("SUANWANG_SOAK") == "1"
ROUNDS, ASKS = 120, 60


@pytest.mark.parametrize("seed", range(6))
def test_a_storm_breaks_nothing(seed: int) -> None:
    tally = LedgerWorld(seed).run(ROUNDS, ASKS)
    assert tally.posted > 10_000
    assert min(tally.deaths, tally.lost, tally.doubled) > 0
    assert {verdict for verdict, times in tally.verdicts.items() if times} >= {
        Verdict.POSTED,
        Verdict.EXISTS,
        Verdict.CONFLICT,
        Verdict.SHORT,
        Verdict.NO_HOLD,
        Verdict.EXPIRED,
    }


def test_a_seed_tells_the_same_story_twice() -> None:
    first, second = LedgerWorld(99), LedgerWorld(99)
    assert first.run(20, 20) == second.run(20, 20)
    assert first.store.edge() == second.store.edge()


def _paid() -> tuple[Durable, Reader, Transfer]:
    store = Durable()
    store.open_accounts([opened(BANK), opened(PAYERS[0])])
    paid = Transfer(id="a", chain="a", debit=BANK, credit=PAYERS[0], amount_fen=5, code="x")
    store.post([(paid,)], START)
    reader = Reader(store, {"a": (paid,)})
    return store, reader, paid


def test_the_reader_sees_a_transfer_posted_twice() -> None:
    store, reader, paid = _paid()
    reader.check()
    store._book.known.clear()
    store._book.chains.clear()
    store.post([(paid,)], START)
    with pytest.raises(AssertionError, match="posted twice"):
        reader.check()


def test_the_reader_sees_a_wrong_balance_and_a_forgotten_leaf() -> None:
    store, reader, _ = _paid()
    reader.check()
    accounts = store._book.accounts
    accounts[PAYERS[0]] = replace(accounts[PAYERS[0]], balance_fen=6)
    with pytest.raises(AssertionError):
        reader.check()
    accounts[PAYERS[0]] = replace(accounts[PAYERS[0]], balance_fen=5)
    store.log.clear()
    with pytest.raises(AssertionError, match="never shrinks"):
        reader.check()


def test_world_after_world(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = int(os.environ.get("SUANWANG_SOAK_TRANSFERS", "10000000")) if SOAK else 20_000
    stop = time.monotonic() + 60 * float(os.environ.get("SUANWANG_SOAK_MINUTES", "600"))
    total, seed, begun = Tally(), 1000, time.process_time()
    gc.disable()  # A world has no cycles worth looking for while it runs.
    while total.posted < wanted and time.monotonic() < stop:
        total.add(LedgerWorld(seed).run(ROUNDS, ASKS))
        gc.collect()
        seed += 1
    gc.enable()
    took_s = time.process_time() - begun
    if SOAK:
        with capsys.disabled():
            print(f"\n{seed - 1000} worlds, {took_s:.0f} s of processor time: {total}")
    assert total.posted >= wanted or time.monotonic() >= stop
