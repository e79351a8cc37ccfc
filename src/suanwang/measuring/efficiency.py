"""The share of a card's peak that work really gets: a published prior per class, corrected by what was learnt.

Owns the priors and how they meet the learnt corrections. The rule for training is fitted on published runs and ships as
data (`data/training_rule.json`, written by `benchmarks/published_runs/refit.py`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from suanwang.domain.precision import DeviceKind, Precision
from suanwang.measuring.calibration import PRIOR_SD, Belief, EfficiencyState
from suanwang.measuring.interval import NORMAL_80, Interval, around
from suanwang.measuring.profile import DeviceProfile
from suanwang.measuring.regression import Conditions, Rule, predict
from suanwang.measuring.workclass import WorkClass

_FITTED_KINDS = (DeviceKind.GPU, DeviceKind.TPU)
_UNSEEN_SD = 0.25
"""Added where no published run is of the device's kind."""
_RECOMPUTE_SD = 0.144
"""Added where nobody said what is recomputed: a run repeats a third of its operations or none, log(4/3) apart, and both occur."""
_LEAST, _MOST = 0.02, 0.75

GEMM_SHARE = 0.5
"""Of a 16-bit training step's time, the part in matrix products that FP8 speeds up; the rest stays (Amdahl 1967)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """Median efficiency and the log standard deviation that practice shows around it."""

    median: float
    log_sd: float
    source: str


PRIORS: Mapping[WorkClass, Prior] = {
    WorkClass.PREFILL: Prior(median=0.5, log_sd=0.3, source="of peak; Pope 2022, figure 1 and table 2: 40 to 76 %"),
    WorkClass.DECODE: Prior(
        median=0.6, log_sd=0.3, source="of memory bandwidth; Aminabadi 2022, section 7.2: 50 to 80 %"
    ),
    WorkClass.VISION_TRAINING: Prior(
        median=0.25, log_sd=0.4, source="of peak; MLPerf Training 2.0 ResNet-50 rates over A100 peak: 20 to 30 %"
    ),
    WorkClass.VISION_INFERENCE: Prior(
        median=0.25, log_sd=0.45, source="of peak; MLPerf Inference 2.0 ResNet-50 rates over A100 INT8 peak: 20 to 35 %"
    ),
    WorkClass.FP64_SIMULATION: Prior(
        median=0.6, log_sd=0.35, source="of the roofline; Williams 2009, section 6: kernels reach 40 to 90 %"
    ),
    WorkClass.CPU: Prior(median=1.0, log_sd=0.2, source="core-hours are already measured"),
}
"""Classes without published full runs. Wide on purpose: the first runs on a device narrow them."""

_TUNING_FACTOR, _TUNING_SD = 0.8, 0.3
"""Fine-tuning over pre-training: short, uneven sequences and small batches; no published set exists to fit it on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """Share of peak (of bandwidth for decoding), with the 80 % interval, and what was assumed."""

    share: Interval
    assumptions: tuple[str, ...]
    learnt: Belief


@cache
def training_rule() -> Rule:
    """The fitted rule that ships with the package."""
    text = resources.files("suanwang.measuring").joinpath("data/training_rule.json").read_text("utf-8")
    return rule_from_plain(json.loads(text))


def rule_to_plain(rule: Rule) -> dict[str, object]:
    """A rule as JSON-ready values."""
    return {
        "coefficients": list(rule.coefficients),
        "half_width": rule.half_width,
        "inverse": [list(line) for line in rule.inverse],
        "mean_leverage": rule.mean_leverage,
        "least": list(rule.least),
        "most": list(rule.most),
    }


def rule_from_plain(values: Mapping[str, object]) -> Rule:
    """The rule that `rule_to_plain` wrote."""
    lines = values["inverse"]
    if not isinstance(lines, list):
        raise TypeError("inverse must be a list of lists")
    return Rule(
        coefficients=_floats(values["coefficients"]),
        half_width=_float(values["half_width"]),
        inverse=tuple(_floats(line) for line in lines),
        mean_leverage=_float(values["mean_leverage"]),
        least=_floats(values["least"]),
        most=_floats(values["most"]),
    )


def training_efficiency(
    device: DeviceProfile,
    work_class: WorkClass,
    *,
    active_parameters: float,
    context: int,
    state: EfficiencyState,
    recompute_known: bool = True,
) -> Efficiency:
    """Share of the 16-bit peak that a training run gets, recomputed operations counted as done.

    `regression.predict` with the published runs; fine-tuning lower and wider; then the learnt correction of this
    device.
    """
    conditions = Conditions(
        balance=device.balance or 150.0,
        active_parameters=active_parameters,
        context=context,
        sparse=work_class is WorkClass.SPARSE_TRAINING,
    )
    prediction = predict(training_rule(), conditions)
    assumptions = [
        f"{name} lies outside the published runs: held at their edge, interval widened" for name in prediction.outside
    ]
    median, variance = prediction.efficiency, (prediction.half_width / NORMAL_80) ** 2
    if not recompute_known:
        variance += _RECOMPUTE_SD**2
    if device.kind not in _FITTED_KINDS:
        variance += _UNSEEN_SD**2
        assumptions.append(f"no published run on a device of kind {device.kind}: interval widened")
    if work_class in (WorkClass.FINE_TUNING, WorkClass.ADAPTER_TUNING):
        median *= _TUNING_FACTOR
        variance += _TUNING_SD**2
        assumptions.append(f"fine-tuning taken at {_TUNING_FACTOR:g} of pre-training's efficiency, interval widened")
    return _corrected(median, variance, state.of(device.name, work_class), tuple(assumptions))


def class_efficiency(device: DeviceProfile, work_class: WorkClass, state: EfficiencyState) -> Efficiency:
    """Share of the roofline that work of a class without published runs gets."""
    prior = PRIORS[work_class]
    note = f"efficiency {prior.median:g} {prior.source}" if work_class is not WorkClass.CPU else prior.source
    return _corrected(prior.median, prior.log_sd**2, state.of(device.name, work_class), (note,), most=1.0)


def training_peak_tflops(device: DeviceProfile, precision: Precision) -> tuple[float, str | None]:
    """The rate that training efficiencies refer to, and what was assumed.

    16-bit formats: their own peak. FP8: 16-bit peak over (1 - g) + g·R16/R8 with g = `GEMM_SHARE`, since only matrix
    products run in FP8 (DeepSeek-V3 2024, section 3.3.1). FP32 and TF32: their own peak.
    """
    rate = device.rates[precision]
    if precision is not Precision.FP8:
        return rate, None
    base = device.training_rate
    if base is None:
        return rate, None
    gain = 1 / (1 - GEMM_SHARE + GEMM_SHARE * base / rate)
    return base * gain, f"FP8 speeds up the matrix products, half of a step: {gain:.2f} times 16-bit"


def _corrected(
    median: float, variance: float, belief: Belief, assumptions: tuple[str, ...], *, most: float = _MOST
) -> Efficiency:
    """The prior moved by the learnt factor; as runs come in, their spread replaces the prior's."""
    if belief.runs:
        share_left = min(1.0, (belief.sd / PRIOR_SD) ** 2)
        variance = variance * share_left + belief.sd**2 * (1 - share_left) + 0.1**2
        learnt = f"corrected by {belief.factor:.2f} from {belief.runs} finished runs on this device"
        assumptions = (*assumptions, learnt)
    middle = min(max(median * belief.factor, _LEAST), most)
    wide = around(middle, NORMAL_80 * math.sqrt(variance))
    share = Interval(low=min(wide.low, middle), mid=middle, high=max(middle, min(wide.high, max(most, 0.9))))
    return Efficiency(share=share, assumptions=assumptions, learnt=belief)


def _float(value: object) -> float:
    if not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def _floats(value: object) -> tuple[float, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return tuple(_float(item) for item in value)
