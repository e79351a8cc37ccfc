"""What an estimate says. Owns the value and how its derived parts come about; knows nothing of how hours were found."""

from __future__ import annotations

from dataclasses import dataclass

from suanwang.domain.precision import Precision
from suanwang.measuring.checks import number
from suanwang.measuring.energy import energy_kwh
from suanwang.measuring.fitness import Waste
from suanwang.measuring.interval import Interval
from suanwang.measuring.memory import Memory
from suanwang.measuring.parallel import Split
from suanwang.measuring.workclass import WorkClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How one replica of a served model runs, and how many there are."""

    tensor: int
    pipeline: int
    replicas: int
    batch: int
    """Sequences decoded together on one replica."""
    ttft_s: Interval
    tpot_s: Interval
    requests_per_s: Interval
    """Of one replica, with its headroom kept free."""
    output_tokens_per_s: Interval
    """Of all replicas together at capacity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Computing that a need takes on one kind of device. Intervals hold the outcome eight times in ten."""

    work_class: WorkClass
    device: str
    precision: Precision
    """The format computed in."""
    cards: int
    """Cards (cores, for CPU work) the hours are for."""
    least_cards: int
    """Fewer do not hold the work or its targets."""
    work_pd: float
    """算力当量 in PetaFLOPS-days by the published convention (6·N·D for training)."""
    counted_pd: float
    """The same work counted operation by operation, without what recomputation repeats."""
    hours: Interval
    """From start to finish on `cards`."""
    card_hours: Interval
    unit_hours: Interval
    """Hours of the reference card for the same work."""
    energy_kwh: Interval | None
    """At the site's meter; None where the device's power is unknown."""
    efficiency: Interval
    """Share of peak (of the roofline, of bandwidth) that the cards reach, recomputation counted as work."""
    mfu: Interval | None = None
    """Model FLOPs utilisation: needed operations over peak (PaLM 2022, section 4.1)."""
    step_s: Interval | None = None
    """Of one optimizer step."""
    split: Split | None = None
    serving: Serving | None = None
    memory: Memory | None = None
    """On the fullest card."""
    waste: Waste | None = None
    """Set where the format asked for is finer than this class of work needs."""
    assumptions: tuple[str, ...] = ()
    """What the need did not say and the estimate took, each in one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What of a site enters an estimate."""

    pue: float | None = None

    def __post_init__(self) -> None:
        if self.pue is not None:
            number(self.pue, "pue", least=1.0, most=5.0, zero_allowed=True)

    def energy(
        self, card_hours: Interval, power_w: float | None, work_class: WorkClass, assumptions: list[str]
    ) -> Interval | None:
        """kWh, or None where the power is unknown; says what was assumed."""
        if power_w is None:
            assumptions.append("no energy: no source gives the device's power")
            return None
        if self.pue is None:
            assumptions.append("energy of the machines alone: no PUE of the site is given")
        return energy_kwh(card_hours, power_w=power_w, work_class=work_class, pue=self.pue or 1.0)


def hours_from(ideal_hours: float, efficiency: Interval) -> Interval:
    """Hours at an efficiency, from the hours at full peak."""
    return efficiency.inverse().times(ideal_hours)
