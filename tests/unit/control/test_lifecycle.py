"""Every (state, move) pair, against a table written out by hand."""

from __future__ import annotations

import itertools

import pytest

from suanwang.domain.errors import Conflict
from suanwang.domain.lifecycle import ENDED, LIVE, TRANSITIONS, JobState, Move, after

# Rows: states; columns in the order of `Move`. A dash is an illegal move.
#             ready    lease    start       requeue    cancel      succeed    fail       end_canc.  refuse
EXPECTED = """
waiting       queued   -        -           -          cancelled   -          failed     -          -
queued        -        leased   -           -          cancelled   -          failed     -          refused
leased        -        -        running     queued     cancelling  succeeded  failed     -          -
running       -        -        -           queued     cancelling  succeeded  failed     -          -
cancelling    -        -        cancelling  cancelled  cancelling  succeeded  cancelled  cancelled  -
succeeded     -        -        -           -          -           -          -          -          -
failed        -        -        -           -          -           -          -          -          -
cancelled     -        -        -           -          -           -          -          -          -
refused       -        -        -           -          -           -          -          -          -
"""
TABLE = {
    (JobState(row.split()[0]), move): word
    for row in EXPECTED.strip().splitlines()
    for move, word in zip(Move, row.split()[1:], strict=True)
}


def test_the_table_covers_every_pair() -> None:
    assert set(TABLE) == set(itertools.product(JobState, Move))


@pytest.mark.parametrize(("state", "move"), list(itertools.product(JobState, Move)))
def test_each_move(state: JobState, move: Move) -> None:
    expected = TABLE[state, move]
    if expected == "-":
        with pytest.raises(Conflict, match=rf"{state} cannot {move}"):
            after(state, move)
    else:
        assert after(state, move) is JobState(expected)


def test_nothing_leaves_an_end() -> None:
    assert not [state for state, _ in TRANSITIONS if state in ENDED]


def test_every_state_can_still_end() -> None:
    """From each state some chain of moves reaches an end: no job can be stuck by the table itself."""
    can_end = set(ENDED)
    while grown := {s for (s, _), t in TRANSITIONS.items() if t in can_end and s not in can_end}:
        can_end |= grown
    assert can_end == set(JobState)


def test_only_a_lease_makes_a_job_live() -> None:
    entering = {(state, move) for (state, move), then in TRANSITIONS.items() if then in LIVE and state not in LIVE}
    assert entering == {(JobState.QUEUED, Move.LEASE)}


def test_a_job_being_cancelled_never_runs_again() -> None:
    reached = {then for (state, _), then in TRANSITIONS.items() if state is JobState.CANCELLING}
    assert reached <= ENDED | {JobState.CANCELLING}
