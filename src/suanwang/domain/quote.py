"""A quote: what the network offers for a piece of work, at a price that binds until it expires.

Owns the values of offers and quotes, and what finished runs taught. How hours are found is `measuring`'s, how offers are
ranked `scheduling`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import Exclusion, Prediction, Span
from suanwang.domain.site import Price
from suanwang.domain.vouching import Vouched


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The hours of an offer's expected run that have one price."""

    text: str
    """As its bill lines will say it: what is used, the version of the price list, and each discount."""
    from_at: datetime
    hours: float
    yuan: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One way to do the work. `number` is its rank, from 1."""

    number: int
    site: SiteId
    device_model: str | None
    nodes: int
    devices_per_node: int
    cores_per_node: int
    memory_gb_per_node: float
    start_at: datetime
    """As the site's queue stands: now where there is room."""
    hours: Span
    finish_at: datetime
    price_yuan: Span
    energy_kwh: Span
    carbon_g: Span
    score: float
    price: Price
    """The unit prices that bind."""
    voucher: Vouched | None = None
    """What of the expected price a voucher would pay, as things stand; its money is not kept for the quote."""
    parts: tuple[Part, ...] = ()
    """How the price of its expected hours comes about; they sum to it. Of very long runs none."""
    prediction: Prediction | None = None

    @property
    def cards(self) -> int:
        return self.nodes * self.devices_per_node


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """Offers for one need or task, best first. Binding for its project until `expires_at`."""

    id: str
    project: ProjectId
    owner: str
    title: str
    source: str
    """The text it answers."""
    created_at: datetime
    expires_at: datetime
    offers: tuple[Offer, ...]
    excluded: tuple[Exclusion, ...] = ()
    assumptions: tuple[str, ...] = ()
    work_pd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """Prediction against outcome of one finished job, and what it did to the belief about its (device, class)."""

    job_id: JobId
    site: SiteId
    prediction: Prediction
    measured_hours: float
    z: float
    """Standard deviations between what was expected and what was measured."""
    outlier: bool
    factor_before: float
    factor_after: float
    """Efficiency over the published rule's, before and after."""
    at: datetime
    interrupted: bool = False
    """It ran in several pieces, so its time tells nothing about speed and taught nothing."""
