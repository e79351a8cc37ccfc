"""The numbers the control loop goes by, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Durations in seconds. `lost_after_s` is counted from the last contact and must exceed the lease by the margin."""

    lease_ttl_s: float = 120.0
    """How long a site may run on without contact. The agent counts from when it sent its last answered request."""
    fence_margin_s: float = 20.0
    """Time the site's guards have to end a run after its lease, before it may start elsewhere."""
    suspect_after_s: float = 20.0
    poll_s: float = 2.0
    """How often an agent calls."""
    meter_every_s: float = 60.0
    """Longest interval of one usage record."""
    plan_limit: int = 5000
    """Jobs one tick decides about."""
    fair_share: bool = True
    """Whether projects that wait together take turns by their shares, else by who is ready first."""
    half_life_s: float = 86400.0
    """After this long, what a project held counts half in its share."""
    mean_every_s: float = 60.0
    """How often what projects hold is added to what they held lately."""
    starved_after_s: float = 86400.0
    """A job that has waited longer goes in front of everything of its priority."""
    notice_s: float = 120.0
    """How long before its end the owner of a run is told that a job of higher priority needs its room."""
    protect_s: float = 3600.0
    """A job that was ended for others once runs at least so long before it is again."""
    most_interruptions: int = 5
    """A job that was ended for others so often is not any more; pauses for a better hour do not count."""
    clock_tolerance_s: float = 30.0
    """A site whose clock is further off is marked."""
    log_limit: int = 8_000_000
    """Bytes kept of each stream of a run."""
    commission_bp: int = 200
    """The network's part of every bill line, in basis points (200 are 2 %)."""
    project_credit_fen: int = 100_000_000
    """How far a project may owe until an operator says otherwise."""
    hold_span_s: float = 3600.0
    """A lease holds what its run may come to in so long, or by its time limit where that is sooner."""
    watch_every_s: float = 60.0
    """How often the loop looks through the ledger for what is wrong."""
    settle_limit: int = 4000
    """Bill lines that one turn settles."""
    settle_retry_s: float = 60.0
    """When a line that its project could not pay is tried again, unless its account changes before."""
    checkpoint_every_s: float = 60.0
    """How often a growing ledger is signed without being asked."""
    call_before_s: float = 900.0
    """How long before its window a call is made."""
    freeze_s: float = 300.0
    """How long before its call nothing may be taken back any more, and the price it would have is shown."""
    default_after_s: float = 600.0
    """How long a site is lost before rights to it whose hours have begun are in default. A network that was down itself hears
    of its sites well before."""
    improve_s: float = 5.0
    """Time the solver may take to improve the result of a call that is not near its bound."""
    improve_tries: int = 1000
    """How often a call is tried anew with its bids served in another order."""
    credit_grace_s: float = 3600.0
    """How long after a month's end its service credits are found: bills of late reports are in by then."""
    credit_retry_s: float = 3600.0
    """When a credit that its provider could not pay is tried again."""
    dispute_days: int = 30
    """How long after a bill line's end its parties may dispute it."""
    points_limit: int = 100_000
    """Lines kept of a run's curve."""

    @property
    def lost_after_s(self) -> float:
        return self.lease_ttl_s + self.fence_margin_s

    @property
    def unpaid_lead_s(self) -> float:
        """A run whose hold lasts no longer than this is asked to end: it may hear of it late, and is metered until it does."""
        return self.lost_after_s + self.meter_every_s

    @property
    def starved_after(self) -> timedelta:
        return timedelta(seconds=self.starved_after_s)

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.lease_ttl_s)
