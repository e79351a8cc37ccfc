"""The life of a job and of a site, kept as tables. A missing key is an illegal move.

Owns which state may follow which. Who moves a job, and why, is the business of `control`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from suanwang.domain.errors import Conflict


class JobState(StrEnum):
    WAITING = "waiting"
    """Accepted; a job it needs has not succeeded yet."""
    QUEUED = "queued"
    """Ready; no site holds it."""
    LEASED = "leased"
    """A site holds its lease; the run has not started there."""
    RUNNING = "running"
    CANCELLING = "cancelling"
    """The user wants it ended; its site has not confirmed yet."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    """No site of the network can ever run it; the reasons are kept."""


class Move(StrEnum):
    """What happens to a job."""

    READY = "ready"
    LEASE = "lease"
    START = "start"
    REQUEUE = "requeue"
    CANCEL = "cancel"
    SUCCEED = "succeed"
    FAIL = "fail"
    END_CANCELLED = "end_cancelled"
    REFUSE = "refuse"


J, M = JobState, Move

TRANSITIONS: Mapping[tuple[JobState, Move], JobState] = MappingProxyType(
    {
        (J.WAITING, M.READY): J.QUEUED,
        (J.WAITING, M.FAIL): J.FAILED,
        (J.WAITING, M.CANCEL): J.CANCELLED,
        (J.QUEUED, M.LEASE): J.LEASED,
        (J.QUEUED, M.FAIL): J.FAILED,
        (J.QUEUED, M.CANCEL): J.CANCELLED,
        (J.QUEUED, M.REFUSE): J.REFUSED,
        (J.LEASED, M.START): J.RUNNING,
        (J.LEASED, M.REQUEUE): J.QUEUED,
        (J.LEASED, M.CANCEL): J.CANCELLING,
        (J.LEASED, M.SUCCEED): J.SUCCEEDED,
        (J.LEASED, M.FAIL): J.FAILED,
        (J.RUNNING, M.REQUEUE): J.QUEUED,
        (J.RUNNING, M.CANCEL): J.CANCELLING,
        (J.RUNNING, M.SUCCEED): J.SUCCEEDED,
        (J.RUNNING, M.FAIL): J.FAILED,
        (J.CANCELLING, M.START): J.CANCELLING,
        (J.CANCELLING, M.CANCEL): J.CANCELLING,
        (J.CANCELLING, M.SUCCEED): J.SUCCEEDED,
        (J.CANCELLING, M.FAIL): J.CANCELLED,
        (J.CANCELLING, M.REQUEUE): J.CANCELLED,
        (J.CANCELLING, M.END_CANCELLED): J.CANCELLED,
    }
)

ENDED = frozenset({J.SUCCEEDED, J.FAILED, J.CANCELLED, J.REFUSED})
LIVE = frozenset({J.LEASED, J.RUNNING, J.CANCELLING})
"""States in which a site holds the job's lease."""


def after(state: JobState, move: Move) -> JobState:
    """The state that follows. Raises `Conflict` where the move is illegal."""
    try:
        return TRANSITIONS[state, move]
    except KeyError:
        raise Conflict(f"a job that is {state} cannot {move}; read it again") from None


class SiteState(StrEnum):
    INVITED = "invited"
    """Registered; its agent has not spoken yet."""
    REACHABLE = "reachable"
    SUSPECT = "suspect"
    """Silent for a while: gets no new work, keeps what it has."""
    LOST = "lost"
    """Silent past every lease it held: its work starts elsewhere."""
