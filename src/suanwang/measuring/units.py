"""The unified unit: per class of work, how many reference cards one card is worth.

Owns the standard work of each class. 1 unit is one A100 80GB SXM at that work, so 1 unit does the same work on any
chip. A unit is an interval: it carries the error of both cards' efficiency, and is never a ratio of bare peaks.
"""

from __future__ import annotations

import math
from functools import cache

from suanwang.domain.precision import Precision
from suanwang.measuring.calibration import NOTHING_LEARNT, EfficiencyState
from suanwang.measuring.efficiency import (
    Efficiency,
    class_efficiency,
    training_efficiency,
    training_peak_tflops,
)
from suanwang.measuring.fitness import DoesNotFit, fit
from suanwang.measuring.interval import NORMAL_80, Interval, around
from suanwang.measuring.models import Model
from suanwang.measuring.profile import REFERENCE, DeviceProfile
from suanwang.measuring.roofline import attainable_tflops
from suanwang.measuring.workclass import WorkClass

STANDARD_MODEL = Model(
    name="standard 8B decoder", layers=32, hidden=4096, heads=32, kv_heads=8, head_dim=128, ffn=14_336, vocab=128_256
)
STANDARD_CONTEXT = 4096
SIMULATION_INTENSITY = 0.25
"""Operations per byte of the standard simulation: a sparse matrix-vector product as in HPCG (Dongarra 2016, section
3)."""
_VISION_INTENSITY = 60.0
"""Operations per byte of a convolutional network's training step in 16 bits (Jouppi 2017, table 1 lists CNNs at 88
and up)."""

_TRAINING = (
    WorkClass.DENSE_TRAINING,
    WorkClass.SPARSE_TRAINING,
    WorkClass.FINE_TUNING,
    WorkClass.ADAPTER_TUNING,
)
_SHARED_SD = 0.6
"""Of a training rule's error, the part that a device and the reference do not share."""


def unit_of(device: DeviceProfile, work_class: WorkClass, state: EfficiencyState = NOTHING_LEARNT) -> Interval | None:
    """Units of one card at the standard work of `work_class`: throughput over the reference card's.

    None where the card cannot do that class (no format, or the class is of processors).
    """
    if work_class is WorkClass.CPU:
        return None
    try:
        rate, efficiency = _throughput(device, work_class, state)
    except DoesNotFit:
        return None
    base_rate, base = _reference(work_class) if state is NOTHING_LEARNT else _throughput(REFERENCE, work_class, state)
    mid = rate * efficiency.share.mid / (base_rate * base.share.mid)
    if device.name == REFERENCE.name:
        return Interval(low=1.0, mid=1.0, high=1.0)
    shared = _SHARED_SD if work_class in _TRAINING and efficiency.learnt.runs == 0 else 1.0
    sd = math.hypot(efficiency.share.log_half_width, base.share.log_half_width) / NORMAL_80 * shared / math.sqrt(2)
    return around(mid, NORMAL_80 * sd)


def units_of(device: DeviceProfile, state: EfficiencyState = NOTHING_LEARNT) -> dict[WorkClass, Interval]:
    """Units of one card in every class it can do."""
    found = {work_class: unit_of(device, work_class, state) for work_class in WorkClass}
    return {work_class: unit for work_class, unit in found.items() if unit is not None}


@cache
def _reference(work_class: WorkClass) -> tuple[float, Efficiency]:
    return _throughput(REFERENCE, work_class, NOTHING_LEARNT)


def _throughput(device: DeviceProfile, work_class: WorkClass, state: EfficiencyState) -> tuple[float, Efficiency]:
    """Rate at full peak for the standard work (TFLOPS, or GB/s where bandwidth is the limit), and the efficiency."""
    if work_class in _TRAINING:
        used = fit(_sixteen_bits(device), device).used
        rate, _ = training_peak_tflops(device, used)
        efficiency = training_efficiency(
            device,
            work_class,
            active_parameters=STANDARD_MODEL.active_parameters,
            context=STANDARD_CONTEXT,
            state=state,
        )
        return rate, efficiency
    efficiency = class_efficiency(device, work_class, state)
    match work_class:
        case WorkClass.PREFILL:
            return fit(_sixteen_bits(device), device).rate, efficiency
        case WorkClass.DECODE:
            fit(_sixteen_bits(device), device)
            return device.memory_bandwidth_gb_s, efficiency
        case WorkClass.FP64_SIMULATION:
            return _roof(device, Precision.FP64, SIMULATION_INTENSITY), efficiency
        case WorkClass.VISION_INFERENCE:
            return _roof(device, Precision.INT8, 2 * _VISION_INTENSITY), efficiency
        case _:
            return _roof(device, _sixteen_bits(device), _VISION_INTENSITY), efficiency


def _roof(device: DeviceProfile, precision: Precision, intensity: float) -> float:
    rate = fit(precision, device).rate
    return attainable_tflops(intensity=intensity, rate_tflops=rate, bandwidth_gb_s=device.memory_bandwidth_gb_s)


def _sixteen_bits(device: DeviceProfile) -> Precision:
    """Mixed precision works in either 16-bit format; a card is judged in the one it has."""
    return Precision.BF16 if Precision.BF16 in device.rates else Precision.FP16
