"""Any sequence of moves keeps what the states promise."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from suanwang.domain.errors import Conflict
from suanwang.domain.lifecycle import ENDED, LIVE, JobState, Move, after


@settings(deadline=None)
@given(st.sampled_from([JobState.WAITING, JobState.QUEUED]), st.lists(st.sampled_from(Move), max_size=40))
def test_any_history_is_a_chain_of_legal_states(state: JobState, moves: list[Move]) -> None:
    asked_to_end = False
    leases = 0
    for move in moves:
        before = state
        try:
            state = after(state, move)
        except Conflict:
            assert state is before, "an illegal move changes nothing"
            continue
        assert before not in ENDED
        leases += move is Move.LEASE
        asked_to_end |= move is Move.CANCEL
        if state in LIVE:
            assert leases, "live without a lease"
        if asked_to_end:
            assert state in {JobState.CANCELLING, JobState.CANCELLED, JobState.SUCCEEDED}
