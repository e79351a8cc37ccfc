"""Precision fit: which number format serves a need, and what a format above the need wastes.

Owns the table of stand-ins and its reasons. Too low is infeasible; too high is allowed and its waste is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.precision import Precision
from suanwang.measuring.profile import DeviceProfile


class DoesNotFit(InvalidRequest):
    """This device cannot do this work; the message says why and what would."""


_P = Precision
STANDS_IN: Mapping[Precision, tuple[Precision, ...]] = {
    _P.FP64: (_P.FP64,),
    _P.FP64_TENSOR: (_P.FP64_TENSOR, _P.FP64),
    _P.FP32: (_P.FP32, _P.FP64),
    _P.TF32: (_P.TF32, _P.FP32, _P.FP64),
    _P.BF16: (_P.BF16, _P.TF32, _P.FP32),
    _P.FP16: (_P.FP16, _P.TF32, _P.FP32),
    _P.FP8: (_P.FP8, _P.BF16, _P.FP16, _P.FP32),
    _P.INT8: (_P.INT8, _P.FP16, _P.BF16, _P.FP32),
    _P.INT4: (_P.INT4, _P.INT8, _P.FP16, _P.BF16, _P.FP32),
}
"""Formats that hold every value of the needed one, the cheapest first (IEEE 754-2019, table 3.5; OCP FP8 1.0, table 1).

BF16 never stands in for FP16 (7 bits of fraction for 10), nor FP16 for BF16 (5 bits of exponent for 8).
"""

_WHY: Mapping[Precision, str] = {
    _P.FP64: "the work needs 53 bits of significand; fewer would lose the result's last digits",
    _P.FP64_TENSOR: "the work needs 53 bits of significand; fewer would lose the result's last digits",
    _P.FP32: "the work needs 24 bits of significand",
    _P.TF32: "the work needs the exponent of FP32 with 11 bits of significand",
    _P.BF16: "the work needs the exponent of FP32; in FP16 its small gradients would vanish",
    _P.FP16: "the work needs 11 bits of significand; BF16 has 8",
    _P.FP8: "no format that holds FP8 is offered",
    _P.INT8: "no format that holds INT8 is offered",
    _P.INT4: "no format that holds INT4 is offered",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The format a device would use for a need, and its dense rate in TFLOPS (TOPS for integers)."""

    needed: Precision
    used: Precision
    rate: float

    @property
    def too_high(self) -> bool:
        """Whether the device computes more finely than needed because it has nothing cheaper."""
        return self.used is not self.needed


def serves(offered: Precision, needed: Precision) -> bool:
    """Whether results computed in `offered` are good enough for a need of `needed`."""
    return offered in STANDS_IN[needed]


def fit(needed: Precision, device: DeviceProfile) -> Fit:
    """The fastest format of `device` that serves `needed`. Raises `DoesNotFit` with the reason where there is none."""
    candidates = [(device.rates[p], p) for p in STANDS_IN[needed] if p in device.rates]
    if not candidates:
        offered = ", ".join(sorted(device.rates)) or "no format"
        names = ", ".join(STANDS_IN[needed])
        message = f"{device.name} offers {offered}: {_WHY[needed]}; choose a device with {names}"
        raise DoesNotFit(message, field="precision", allowed=names)
    # The needed format wins a tie, so that nothing counts as waste without being one.
    rate, used = max(candidates, key=lambda pair: (pair[0], pair[1] is needed))
    if needed in device.rates and device.rates[needed] >= rate:
        used = needed
    return Fit(needed=needed, used=used, rate=rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waste:
    """What computing in `used` costs over `sufficient`, the format that this class of work is known to do with."""

    used: Precision
    sufficient: Precision
    card_hours: float
    energy_kwh: float | None

    def money(self, *, price_per_card_hour: Decimal) -> Decimal:
        """The waste in the currency of the price, unrounded."""
        return Decimal(repr(self.card_hours)) * price_per_card_hour
