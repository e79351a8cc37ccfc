"""General work by core-hours on server processors. Owns `ProcessorProfile` and Amdahl's rule."""

from __future__ import annotations

from dataclasses import dataclass

from suanwang.domain.device import Processor
from suanwang.domain.precision import Precision
from suanwang.measuring.calibration import EfficiencyState
from suanwang.measuring.checks import number, whole
from suanwang.measuring.efficiency import PRIORS
from suanwang.measuring.flops import FLOPS_PER_PD
from suanwang.measuring.interval import Interval, from_log_sd
from suanwang.measuring.need import CoreHoursNeed
from suanwang.measuring.outcome import Estimate, Site
from suanwang.measuring.workclass import WorkClass

REFERENCE_CORE_GFLOPS = 32.0
"""FP64 of the core that one unit of CPU work is defined by: 2 GHz with 16 operations a cycle (one AVX2 core)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorProfile:
    """One socket: cores, peak FP64 of one core in GFLOPS where known, and power."""

    name: str
    cores: int
    core_gflops: float | None = None
    power_w: float | None = None

    def __post_init__(self) -> None:
        whole(self.cores, "processor.cores", most=100_000)
        if self.core_gflops is not None:
            number(self.core_gflops, "processor.core_gflops", most=1e6)
        if self.power_w is not None:
            number(self.power_w, "processor.power_w", most=1e5)


def processor_profile_of(processor: Processor) -> ProcessorProfile:
    """The profile of a catalogue entry."""
    tflops = processor.fp64_tflops
    cores = int(processor.cores.value)
    return ProcessorProfile(
        name=processor.id,
        cores=cores,
        core_gflops=None if tflops is None else tflops * 1e3 / cores,
        power_w=None if processor.power_w is None else processor.power_w.value,
    )


def estimate_core_hours(
    need: CoreHoursNeed, processor: ProcessorProfile, count: int | None, state: EfficiencyState, site: Site
) -> Estimate:
    """Hours on `count` cores (one socket's where None): Amdahl 1967, 1/(s + (1 - s)/n), and the cores' peak ratio."""
    assumptions: list[str] = []
    cores = processor.cores if count is None else whole(count, "count", most=100_000_000)
    if count is None:
        assumptions.append(f"{cores} cores taken, those of one socket")
    ratio = 1.0
    if need.reference_gflops is None:
        assumptions.append("core-hours taken as of this processor's own cores")
    elif processor.core_gflops is None:
        assumptions.append("no source gives this processor's rate: its cores taken as fast as those of the core-hours")
    else:
        ratio = need.reference_gflops / processor.core_gflops
    if need.serial_share == 0 and cores > 1:
        assumptions.append("no serial share given: the work is taken to divide evenly over the cores")
    belief = state.of(processor.name, WorkClass.CPU)
    here = need.core_hours * ratio / belief.factor
    sd = PRIORS[WorkClass.CPU].log_sd if belief.runs == 0 else belief.sd
    hours = from_log_sd(here * (need.serial_share + (1 - need.serial_share) / cores), sd)
    card_hours = hours.times(cores)
    gflops = need.reference_gflops or processor.core_gflops or REFERENCE_CORE_GFLOPS
    power = None if processor.power_w is None else processor.power_w / processor.cores
    work = need.core_hours * 3600 * gflops * 1e9 / FLOPS_PER_PD
    efficiency = Interval(low=1 / cores, mid=min(1.0, here / card_hours.mid), high=1.0)
    return Estimate(
        work_class=WorkClass.CPU,
        device=processor.name,
        precision=Precision.FP64,
        cards=cores,
        least_cards=1,
        work_pd=work,
        counted_pd=work,
        hours=hours,
        card_hours=card_hours,
        unit_hours=from_log_sd(need.core_hours * gflops / REFERENCE_CORE_GFLOPS, sd),
        energy_kwh=site.energy(card_hours, power, WorkClass.CPU, assumptions),
        efficiency=efficiency,
        assumptions=tuple(assumptions),
    )
