"""Splitting a bill line: exact, fair to the fen, and by weight."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.store_values import a_job, a_line, a_record, an_allocation

from suanwang.domain.errors import InvalidRequest
from suanwang.trading.ledger import NETWORK, Owner, account_id
from suanwang.trading.settlement import chain_of, due, parties, split


@settings(deadline=None)
@given(st.integers(0, 10**15), st.lists(st.integers(0, 10**6), min_size=1, max_size=8).filter(any))
def test_parts_sum_to_the_amount_and_are_fair_to_the_fen(amount: int, weights: list[int]) -> None:
    parts = split(amount, weights)
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(amount * weight, sum(weights))) < 1
        assert part >= 0


def test_the_largest_remainder_gains_and_of_equals_the_first() -> None:
    assert split(100, [9800, 200]) == (98, 2)
    assert split(25, [9800, 200]) == (25, 0), "0.5 and 0.5: the provider is first"
    assert split(26, [9800, 200]) == (25, 1)
    assert split(2, [1, 1, 1]) == (1, 1, 0)
    assert split(0, [1, 2]) == (0, 0)


@pytest.mark.parametrize(("amount", "weights"), [(-1, [1]), (5, [0, 0]), (5, []), (5, [2, -1])])
def test_what_cannot_be_split_is_refused(amount: int, weights: list[int]) -> None:
    with pytest.raises(InvalidRequest):
        split(amount, weights)


def test_co_owners_share_what_the_network_leaves() -> None:
    job = a_job()
    line = a_line(a_record(job, an_allocation(job)), fen=1000)
    shared = parties(line.provider, 500, {"甲": 2, "乙": 1})
    transfers = chain_of(line, shared, 0)
    assert [(transfer.credit, transfer.amount_fen) for transfer in transfers] == [
        (account_id(Owner.PROVIDER, "甲"), 633),
        (account_id(Owner.PROVIDER, "乙"), 317),
        (NETWORK, 50),
    ]
    assert {transfer.debit for transfer in transfers} == {account_id(Owner.PROJECT, line.project)}
    assert len({transfer.id for transfer in transfers}) == 3
    assert chain_of(line, shared, 0) == transfers, "made again, they are the same"


@pytest.mark.parametrize("rate", [0, 10_000])
def test_all_or_nothing_for_the_network(rate: int) -> None:
    job = a_job()
    line = a_line(a_record(job, an_allocation(job)), fen=7)
    (only,) = chain_of(line, parties(line.provider, rate), 0)
    assert only.amount_fen == 7
    assert (only.credit == NETWORK) == (rate == 10_000)


@pytest.mark.parametrize("rate", [-1, 10_001])
def test_a_commission_that_is_none(rate: int) -> None:
    with pytest.raises(InvalidRequest):
        parties("p", rate)


@settings(deadline=None)
@given(
    st.lists(st.integers(-50, 200), max_size=30), st.lists(st.integers(0, 10_000), min_size=1, max_size=4).filter(any)
)
def test_however_a_total_is_cut_its_parts_are_the_same(lines: list[int], weights: list[int]) -> None:
    """A million tiny lines pay the commission of their sum."""
    sums, total = [0] * len(weights), 0
    for amount in lines:
        parts = due(total, amount, weights)
        assert sum(parts) == amount
        sums = [had + part for had, part in zip(sums, parts, strict=True)]
        total += amount
    assert tuple(sums) == due(0, total, weights)


def test_lines_of_one_fen_carry_their_commission_together() -> None:
    parts = [due(before, 1, [9800, 200]) for before in range(100)]
    assert [sum(column) for column in zip(*parts, strict=True)] == [98, 2]
    assert all(min(part) >= 0 for part in parts), "between two nothing ever goes back"
