"""Work costs and earns the same to the fen in however many jobs it is done, and in whatever order they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.store_values import a_job, a_line, a_record, leasing

from suanwang.domain.job import BillLine
from suanwang.trading.rating import billed_fen
from suanwang.trading.settlement import Party, due, parties
from suanwang.trading.tallying import grown_fen, reckoned, shared_fen

UNIT = Decimal("0.00000001")
"""What rating is exact to."""


def shared_out(lines: Sequence[BillLine], shared: Sequence[Party]) -> list[int]:
    weights = [party.weight for party in shared]
    found = [0] * len(weights)
    for line in lines:
        for at, part in enumerate(due(shared_fen(line, 0), line.amount_fen, weights)):
            found[at] += part
    return found


def lines_of(yuan: Sequence[Decimal]) -> list[BillLine]:
    step = leasing(a_job())
    assert step.allocation is not None
    line = a_line(a_record(step.job, step.allocation))
    return reckoned((replace(line, rated_yuan=each), {}) for each in yuan)


@settings(deadline=None)
@given(
    st.lists(st.integers(-(10**7), 10**9), min_size=1, max_size=60),
    st.integers(0, 10_000),
    st.lists(st.integers(1, 7), max_size=4),
    st.randoms(use_true_random=False),
)
def test_parts_and_lines_of_a_tally_are_those_of_its_total(
    units: list[int], commission_bp: int, owners: list[int], random: object
) -> None:
    yuan = [unit * UNIT for unit in units]
    random.shuffle(yuan)  # type: ignore[attr-defined]
    shared = parties("p", commission_bp, {f"o{at}": weight for at, weight in enumerate(owners)} or None)

    many, one = lines_of(yuan), lines_of([sum(yuan, Decimal(0))])
    assert sum(line.amount_fen for line in many) == one[0].amount_fen == billed_fen(sum(yuan, Decimal(0)))
    assert shared_out(many, shared) == shared_out(one, shared)
    exact, whole = Fraction(one[0].amount_fen), sum(party.weight for party in shared)
    for party, part in zip(shared, shared_out(many, shared), strict=True):
        assert abs(part - exact * party.weight / whole) < 1
    for line in many:
        assert abs(line.amount_fen - 100 * line.rated_yuan) < Decimal("1.0002")


def test_a_million_tiny_jobs_cost_and_earn_what_one_does() -> None:
    """Of 0.13 fen each: alone every one of them would be a fen, none of which carried a commission."""
    rated, number, weights = Decimal("0.00130000"), 1_000_000, [party.weight for party in parties("p", 200)]
    total, earned, paid = Decimal(0), 0, 0
    for _ in range(number):
        amount, before = grown_fen(total, rated), billed_fen(total)
        total += rated
        if amount:
            part, commission = due(before, amount, weights)
            earned, paid = earned + part, paid + commission
    one = grown_fen(Decimal(0), rated * number)
    assert (earned + paid, [earned, paid]) == (one, list(due(0, one, weights)))
    assert (earned, paid) == (127_400, 2_600)
