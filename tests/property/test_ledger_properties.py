"""The book's rules under any chains whatever: sum zero, nothing twice, nobody below his limit, no hold without an end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from suanwang.adapters.store.memory import MemoryStore
from suanwang.trading.ledger import BANK, Account, AccountId, Owner, Phase, Transfer, Verdict, account_id
from suanwang.trading.settlement import opened

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PAYERS = [account_id(Owner.PROJECT, name) for name in "abc"]
PAIRS = list(permutations([BANK, *PAYERS], 2))
NUMBERS = st.integers(0, 11)


@st.composite
def chains(draw: st.DrawFn) -> Sequence[Transfer]:
    """One to four transfers; identifiers are few, so that they collide and holds are met."""
    name = f"c{draw(NUMBERS)}"
    made: list[Transfer] = []
    for number in draw(st.lists(NUMBERS, min_size=1, max_size=4, unique=True)):
        debit, credit = draw(st.sampled_from(PAIRS))
        phase = draw(st.sampled_from(Phase))
        made.append(
            Transfer(
                id=f"t{number}",
                chain=name,
                debit=debit,
                credit=credit,
                amount_fen=draw(st.integers(1, 40)),
                code="x",
                phase=phase,
                pending_id=f"t{draw(NUMBERS)}" if phase in (Phase.POST, Phase.VOID) else None,
                timeout_at=NOW + timedelta(seconds=draw(st.integers(0, 20))) if phase is Phase.PENDING else None,
            )
        )
    return tuple(made)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.lists(chains(), min_size=1, max_size=4), st.integers(0, 3)), min_size=1, max_size=8))
def test_the_ledger_is_whole_after_anything(batches: list[tuple[list[Sequence[Transfer]], int]]) -> None:
    store = MemoryStore()
    store.open_accounts([opened(BANK), *(_payer(account, -10 * at) for at, account in enumerate(PAYERS))])
    now, posted = NOW, dict[str, Sequence[Transfer]]()
    for batch, wait_s in batches:
        now += timedelta(seconds=wait_s)
        for chain, outcome in zip(batch, store.post(batch, now), strict=True):
            name = chain[0].chain
            if outcome.verdict is Verdict.POSTED:
                assert name not in posted
                posted[name] = chain
            if outcome.verdict is Verdict.EXISTS:
                assert set(posted[name]) == set(chain)
        _whole(store, posted)
    store.release_expired(now + timedelta(seconds=60), 1000)
    assert all(account.held_fen == 0 for account in store.accounts(None, None, 10)[0])
    before = store.audit()
    for chain in posted.values():
        assert store.post([chain], now)[0].verdict is Verdict.EXISTS, "asking again is harmless"
    assert store.audit() == before


def _payer(account: AccountId, floor_fen: int) -> Account:
    return Account(id=account, owner=Owner.PROJECT, name=account, floor_fen=floor_fen)


def _whole(store: MemoryStore, posted: dict[str, Sequence[Transfer]]) -> None:
    audit = store.audit()
    assert (audit.sum_fen, audit.wrong, audit.unlogged) == (0, (), 0)
    assert audit.transfers == sum(len(chain) for chain in posted.values())
    for account in store.accounts(None, None, 10)[0]:
        assert account.held_fen >= 0
        assert account.available_fen is None or account.available_fen >= 0
