"""Networks known by operations per sample, and simulations known by operations and bytes: both by the roofline.

Owns these two kinds of need. Perfect division over cards is assumed and said; the class's efficiency carries the loss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from suanwang.domain.precision import Precision
from suanwang.measuring.calibration import EfficiencyState
from suanwang.measuring.efficiency import class_efficiency
from suanwang.measuring.fitness import DoesNotFit, Waste, fit, serves
from suanwang.measuring.flops import FLOPS_PER_PD
from suanwang.measuring.memory import room_gb
from suanwang.measuring.need import SampleNeed, SimulationNeed
from suanwang.measuring.outcome import Estimate, Site, hours_from
from suanwang.measuring.profile import REFERENCE, DeviceProfile
from suanwang.measuring.roofline import seconds
from suanwang.measuring.workclass import SUFFICIENT, WorkClass

TRAINING_PASSES = 3
"""Forward once, backward twice as much (Kaplan 2020, section 2.1)."""

FORWARD_GFLOPS: Mapping[str, float] = MappingProxyType(
    {"resnet18": 3.6, "resnet50": 8.2, "resnet101": 15.6, "vit_b_16": 35.1, "vit_l_16": 123.0, "efficientnet_b0": 0.78}
)
"""Forward operations per image of 224 × 224, 10^9, two per multiply-add: He 2015, table 1; Dosovitskiy 2020 and Tan
2019, table 2 (figures printed as multiply-adds are doubled)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    work_class: WorkClass
    precision: Precision
    operations: float
    bytes_moved: float
    least_cards: int


def estimate_samples(
    need: SampleNeed, device: DeviceProfile, count: int | None, state: EfficiencyState, site: Site
) -> Estimate:
    """A network's training or inference by operations per sample. Raises `DoesNotFit` on precision or memory."""
    passes = TRAINING_PASSES if need.training else 1
    visits = need.samples * need.epochs
    assumptions: list[str] = []
    if need.training:
        assumptions.append(f"training taken as {TRAINING_PASSES} forward passes")
    if need.bytes_per_sample is None:
        assumptions.append("traffic per sample is not given: the work is taken as bound by computing")
    if need.memory_gb is None:
        assumptions.append("memory is not given: one card is taken to hold the work")
    elif need.memory_gb > room_gb(device.memory_gb):
        message = f"{need.memory_gb:g} GB on each card do not fit {device.name} with {device.memory_gb:g} GB"
        raise DoesNotFit(message, field="memory_gb", allowed=f"up to {room_gb(device.memory_gb):.1f} GB")
    job = _Job(
        work_class=WorkClass.VISION_TRAINING if need.training else WorkClass.VISION_INFERENCE,
        precision=need.precision,
        operations=need.flops_per_sample * visits * passes,
        bytes_moved=(need.bytes_per_sample or 0.0) * visits * passes,
        least_cards=1,
    )
    return _estimate(job, device, count, state, site, assumptions)


def estimate_simulation(
    need: SimulationNeed, device: DeviceProfile, count: int | None, state: EfficiencyState, site: Site
) -> Estimate:
    """A simulation by operations and bytes. Raises `DoesNotFit` where the device lacks the precision or `count` the
    memory."""
    assumptions: list[str] = ["work divided evenly over the cards"]
    least = 1
    if need.memory_gb is None:
        assumptions.append("memory is not given: one card is taken to hold the work")
    else:
        least = max(1, math.ceil(need.memory_gb / room_gb(device.memory_gb)))
    job = _Job(
        work_class=WorkClass.FP64_SIMULATION,
        precision=need.precision,
        operations=need.operations,
        bytes_moved=need.bytes_moved,
        least_cards=least,
    )
    return _estimate(job, device, count, state, site, assumptions)


def _estimate(
    job: _Job, device: DeviceProfile, count: int | None, state: EfficiencyState, site: Site, assumptions: list[str]
) -> Estimate:
    cards = job.least_cards if count is None else count
    if cards < job.least_cards:
        message = f"{cards} × {device.name} do not hold the problem; it takes {job.least_cards}"
        raise DoesNotFit(message, field="count", allowed=f"at least {job.least_cards}")
    if count is None:
        assumptions.append(f"{cards} cards taken, the least that hold the work")
    used = fit(job.precision, device)
    if used.too_high:
        assumptions.append(f"{device.name} has no {used.needed}: computed in {used.used}")
    efficiency = class_efficiency(device, job.work_class, state)
    assumptions += efficiency.assumptions
    ideal = _seconds(job, device, used.rate) / 3600
    hours = hours_from(ideal / cards, efficiency.share)
    card_hours = hours.times(cards)
    reference = class_efficiency(REFERENCE, job.work_class, state)
    unit_hours = hours_from(_seconds(job, REFERENCE, fit(job.precision, REFERENCE).rate) / 3600, reference.share)
    result = Estimate(
        work_class=job.work_class,
        device=device.name,
        precision=used.used,
        cards=cards,
        least_cards=job.least_cards,
        work_pd=job.operations / FLOPS_PER_PD,
        counted_pd=job.operations / FLOPS_PER_PD,
        hours=hours,
        card_hours=card_hours,
        unit_hours=unit_hours,
        energy_kwh=site.energy(card_hours, device.power_w, job.work_class, assumptions),
        efficiency=efficiency.share,
        assumptions=tuple(assumptions),
    )
    return replace(result, waste=_waste(job, device, count, state, site, result))


def _seconds(job: _Job, device: DeviceProfile, rate: float) -> float:
    return seconds(
        operations=job.operations,
        bytes_moved=job.bytes_moved,
        rate_tflops=rate,
        bandwidth_gb_s=device.memory_bandwidth_gb_s,
    )


def _waste(
    job: _Job, device: DeviceProfile, count: int | None, state: EfficiencyState, site: Site, result: Estimate
) -> Waste | None:
    sufficient = SUFFICIENT[job.work_class]
    if job.precision is sufficient or not serves(job.precision, sufficient) or sufficient not in device.rates:
        return None
    frugal = _estimate(replace(job, precision=sufficient), device, count, state, site, [])
    over = result.card_hours.mid - frugal.card_hours.mid
    if over <= 0:
        return None
    energy = None
    if result.energy_kwh is not None and frugal.energy_kwh is not None:
        energy = result.energy_kwh.mid - frugal.energy_kwh.mid
    return Waste(used=result.precision, sufficient=sufficient, card_hours=over, energy_kwh=energy)
