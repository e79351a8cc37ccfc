"""The money of rights that end early: nobody pays more than he has, the guarantee no more than its limit, and all sums to zero."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from suanwang.domain.ids import ProjectId, SiteId
from suanwang.trading.ledger import NETWORK, AccountId, Book, Owner, Verdict, account_id
from suanwang.trading.market.termination import (
    GUARANTEE,
    Deposit,
    Means,
    TerminationKind,
    chain_of,
    deposit_account,
    drawn,
    returned,
)
from suanwang.trading.market.terms import STANDARD, Sold, together
from suanwang.trading.settlement import opened

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SELLER, DEMO = account_id(Owner.PROVIDER, "seller"), account_id(Owner.PROJECT, "demo")
FEN = st.integers(0, 10**6)


def book(has: dict[AccountId, int]) -> Book:
    """A ledger in which these accounts have what they have, of a bank that owes it."""
    made = Book()
    for account, fen in has.items():
        kept = opened(account)
        made.accounts[account] = type(kept)(
            id=kept.id, owner=kept.owner, name=kept.name, floor_fen=0, balance_fen=fen, held_fen=0
        )
    return made


@given(due=FEN, share=FEN, deposits=st.lists(FEN, max_size=4), seller=FEN, pool=FEN, commission=FEN)
def test_the_waterfall_posts_and_draws_on_nobody_beyond_what_he_has(
    due: int, share: int, deposits: list[int], seller: int, pool: int, commission: int
) -> None:
    names = {deposit_account(f"t.{number}"): fen for number, fen in enumerate(deposits)}
    has = {**names, SELLER: seller, GUARANTEE: pool, NETWORK: commission, DEMO: 0}
    paid = drawn(due, share, Means(deposits=names, seller_fen=seller, pool_fen=pool, network_fen=commission))
    assert paid.paid_fen == min(due, commission + min(share, sum(deposits)) + seller + pool)
    assert paid.deposit_fen <= min(share, sum(deposits))
    # Whoever stands behind in the row pays only where those in front of him have given all.
    assert not paid.pool_fen or paid.seller_fen == seller
    assert not paid.seller_fen or paid.deposit_fen == min(share, sum(deposits))
    ledger = book(has)
    chain = chain_of("x", TerminationKind.DEFAULTED, ProjectId("demo"), SELLER, paid)
    if chain:
        assert ledger.post(chain, NOW).verdict is Verdict.POSTED
    assert sum(account.balance_fen for account in ledger.accounts.values()) == sum(has.values())
    assert ledger.accounts[DEMO].balance_fen == paid.paid_fen
    assert all(account.balance_fen >= 0 for account in ledger.accounts.values())


@given(worth=FEN, deposit=FEN, commission=FEN, units=st.lists(st.integers(1, 50), min_size=1, max_size=8), rest=FEN)
def test_parts_of_what_stands_behind_a_right_never_exceed_it(
    worth: int, deposit: int, commission: int, units: list[int], rest: int
) -> None:
    whole = sum(units) + rest
    sold = Sold(
        seller=SELLER, worth_fen=worth, commission_fen=commission, deposit_fen=deposit, deposits=("t",), terms=STANDARD
    )
    # As it is sold on, in parts, and those in parts again.
    parts = [sold.part(count, whole).part(1, count) for count in units for _ in range(count)]
    total = together(parts)
    assert total is not None
    assert (total.worth_fen <= worth, total.deposit_fen <= deposit, total.commission_fen <= commission) == (True,) * 3
    assert total.deposits == ("t",)


@given(balance=FEN, shares=st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(1, 9), max_size=3))
def test_what_is_left_of_a_deposit_goes_back_whole(balance: int, shares: dict[str, int]) -> None:
    deposit = Deposit(id="t.1", seller=SELLER, site=SiteId("here"), amount_fen=balance, until=1)
    chain = returned(deposit, balance, shares)
    assert sum(transfer.amount_fen for transfer in chain) == balance
    assert {transfer.debit for transfer in chain} <= {deposit.account}
