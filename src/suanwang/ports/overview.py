"""Sums and trails over what other groups keep: money by month, use by day, the record backwards, signed checkpoints."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import Event
from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.ledger import AccountId


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What one account got in a month, less what it gave, of transfers that agree in the rest. Months are China's."""

    month: str
    """As `2026-03`."""
    code: str
    project: ProjectId | None
    """Who paid, at the other end or at the chain's beginning; None where no project did."""
    provider: str | None
    """Who ran the job or was on the other side; None for no provider."""
    amount_fen: int
    transfers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteDay:
    """What was used of a site, by records that begin on this day of China's."""

    site_id: SiteId
    day: date
    core_hours: float
    device_hours: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailQuery:
    """None means no restriction."""

    kinds: Collection[str] | None = None
    """Beginnings of kinds, such as `voucher.`; without any, all but those of jobs."""
    project: ProjectId | None = None
    actor: str | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None


class Overview(Protocol):
    """Nothing here changes anything."""

    def flows(self, account: AccountId, begin: datetime, end: datetime) -> Sequence[Flow]:
        """Of what was moved from `begin` and before `end`, holds aside; by month, code, project, provider."""

    def leftovers(self, begin: datetime, end: datetime) -> Mapping[AccountId, int]:
        """Seller → the sum of what rounding left of the commission on trades, copies and paid uses from `begin` and before
        `end`, in ten-thousandths of a fen."""

    def site_days(self, sites: Collection[SiteId], begin: datetime, end: datetime) -> Sequence[SiteDay]:
        """Of records that begin from `begin` and before `end`; by site and day. Days without use are missing."""

    def trail(self, query: TrailQuery, before: int | None, limit: int) -> Sequence[Event]:
        """Newest first; those numbered lower than `before`."""

    def checkpoints(self, before: int | None, limit: int) -> Sequence[Checkpoint]:
        """Largest first; those of fewer leaves than `before`."""
