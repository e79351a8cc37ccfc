"""Credits of disputes: whole chains that give back the same share of everything a line moved, whoever shares and pays it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.store_values import a_job, a_line, a_record, an_allocation

from suanwang.trading.disputes import credit_chain, credit_shares
from suanwang.trading.ledger import AccountId, Owner, Transfer, account_id
from suanwang.trading.settlement import Redeemed, chain_of, due, parties

_JOB = a_job()
RECORD = a_record(_JOB, an_allocation(_JOB))
VOUCHER, ISSUER = AccountId("voucher:v"), AccountId("issuer:i")


@settings(deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 10**6),
    st.lists(st.integers(0, 10**6), min_size=1, max_size=6).filter(any),
    st.data(),
)
def test_a_credit_gives_back_the_same_shares(before: int, amount: int, weights: list[int], data: st.DataObject) -> None:
    moved = due(before, amount, weights)
    credit = data.draw(st.integers(1, amount))
    shares = credit_shares(credit, moved)
    assert sum(shares) == credit
    for share, part in zip(shares, moved, strict=True):
        assert min(part, 0) <= share <= max(part, 0)
        assert abs(share * amount - credit * part) < amount
    assert credit_shares(amount, moved) == moved


@settings(deadline=None)
@given(
    st.integers(0, 10**5),
    st.integers(1, 10**5),
    st.lists(st.integers(1, 50), min_size=1, max_size=5),
    st.integers(0, 3000),
    st.booleans(),
    st.data(),
)
def test_a_chain_goes_back_the_ways_it_came(
    before: int, amount: int, shares: list[int], commission_bp: int, ended: bool, data: st.DataObject
) -> None:
    line = a_line(RECORD, fen=amount)
    shared = parties(line.provider, commission_bp, {f"owner-{at}": share for at, share in enumerate(shares)})
    voucher = data.draw(st.none() | st.integers(1, amount).map(lambda fen: Redeemed(account=VOUCHER, amount_fen=fen)))
    settled = chain_of(line, shared, before, voucher)
    credit = data.draw(st.integers(1, amount))
    payer = account_id(Owner.PROJECT, line.project)
    issuers = {VOUCHER: ISSUER} if ended else {}
    there, back = moved(settled), moved(credit_chain(line.usage_id, payer, settled, credit, issuers))
    paid = [account for account in there if account not in (payer, VOUCHER)]
    assert sum(back[account] for account in paid) == -credit
    assert back[payer] + back[VOUCHER] + back[ISSUER] == credit
    assert not ended or back[VOUCHER] == 0
    for account in paid:
        legs = sum(account in (each.debit, each.credit) for each in settled)
        assert abs(-back[account] * amount - credit * there[account]) < amount * legs, "less than a fen a transfer"
    if credit == amount:
        assert all(back[account] == -there[account] for account in (*paid, payer))


def moved(chain: Sequence[Transfer]) -> dict[str, int]:
    """What each account got, less what it gave."""
    found: dict[str, int] = defaultdict(int)
    for each in chain:
        found[each.debit] -= each.amount_fen
        found[each.credit] += each.amount_fen
    return found
