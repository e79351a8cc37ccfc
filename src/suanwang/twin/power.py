"""From what is busy to what is drawn, calibrated against a meter as it goes.

Owns the two-parameter line and a calibrated model that learns from measured power without ever looking ahead: what it
predicts depends on nothing that was measured after the last `settle`. Knows nothing of meters or files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from suanwang.domain.errors import InvalidRequest

Floats = npt.NDArray[np.float64]

HALF_LIVES_H = (1.0, 2.0, 4.0, 8.0, 24.0, 48.0)
"""How fast the experts forget."""
FEATURES = 3
TRUST = 300.0
"""An expert that errs by one percentage point more weighs exp(-3) as much."""
ERROR_HALF_LIFE_H = 6.0
PRIOR = 1e4
"""Variance of weights before anything was learned, in squared shares of the first measurement."""
MOST_VARIANCE = 1e9
"""Experts stop forgetting here: where nothing changes there is nothing to learn, and their variance would grow forever."""
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The two-parameter line of Fan, Weber and Barroso 2007 (*Power provisioning for a warehouse-sized computer*)."""

    idle_w: float
    slope_w: float
    """From nothing used to all used."""

    def at(self, used_share: Floats) -> Floats:
        return self.idle_w + self.slope_w * used_share

    @classmethod
    def fitted(cls, used_share: Floats, power_w: Floats) -> Line:
        """Least squares; raises InvalidRequest for fewer than two samples."""
        if len(used_share) < 2:
            raise InvalidRequest("a line needs two samples or more", field="used_share", allowed="2 or more")
        terms = np.stack((np.ones_like(used_share), used_share), axis=1)
        idle, slope = np.linalg.lstsq(terms, power_w, rcond=None)[0].tolist()
        return cls(idle_w=idle, slope_w=slope)


class CalibratedPower:
    """A panel of recursive least squares with exponential forgetting (Ljung 1999, *System identification*, section 11.2).

    Each expert is a constant, a slope in hosts that run anything and a slope in processor time; they differ in how fast
    they forget, and each is weighed by the error of what it predicted, not of what it fitted (exponential weights,
    Cesa-Bianchi and Lugosi 2006, *Prediction, learning, and games*, chapter 2). `learn` takes measurements in the order of
    time, `settle` makes them count, `predict` uses what was settled; whoever calls says when a measurement is known.
    """

    def __init__(self, step_ms: int) -> None:
        experts = len(HALF_LIVES_H)
        self._forget = 0.5 ** (step_ms / (np.array(HALF_LIVES_H) * HOUR_MS))
        self._fade = float(0.5 ** (step_ms / (ERROR_HALF_LIFE_H * HOUR_MS)))
        self._spread = np.tile(PRIOR * np.eye(FEATURES), (experts, 1, 1))
        """`[expert, feature, feature]`"""
        self._weights: Floats = np.zeros((experts, FEATURES))
        self._errors: Floats = np.zeros(experts)
        self._heard = 0.0
        self._scale_w = 0.0
        self._settled = self._weights.copy()
        self._panel: Floats = np.full(experts, 1.0 / experts)

    def predict(self, busy_share: Floats, used_share: Floats) -> Floats:
        """Watts at each instant: hosts that run anything and processor time in use, both as shares of all.

        Raises InvalidRequest before anything was settled.
        """
        if not self._scale_w:
            raise InvalidRequest("no measured power has been learned", field="power_w", allowed="one sample or more")
        return self._panel @ np.maximum(self._settled @ _terms(busy_share, used_share).T, 0.0) * self._scale_w

    def learn(self, busy_share: Floats, used_share: Floats, power_w: Floats) -> None:
        """Take in measurements, the oldest first; each must be above nothing."""
        if not (np.isfinite(power_w) & (power_w > 0)).all():
            raise InvalidRequest("measured power must be above 0 W", field="power_w", allowed="positive numbers")
        if not self._scale_w and len(power_w):
            self._scale_w = float(power_w[0])
        terms, target = _terms(busy_share, used_share), power_w / (self._scale_w or 1.0)
        missed = np.abs(np.maximum(terms @ self._settled.T, 0.0) - target[:, None]) / target[:, None]
        for x, y, miss in zip(terms, target, missed, strict=True):
            self._errors = self._errors * self._fade + miss
            self._heard = self._heard * self._fade + 1.0
            self._refine(x, float(y))

    def settle(self) -> None:
        """From here on, predictions use all that was learned."""
        self._settled = self._weights.copy()
        mean = self._errors / max(self._heard, 1.0)
        trust = np.exp(-TRUST * (mean - mean.min()))
        self._panel = trust / trust.sum()

    def _refine(self, x: Floats, y: float) -> None:
        along = self._spread @ x
        tight = np.trace(self._spread, axis1=1, axis2=2) < MOST_VARIANCE
        forget = np.where(tight, self._forget, 1.0)
        gain = along / (forget + along @ x)[:, None]
        self._weights = self._weights + gain * (y - self._weights @ x)[:, None]
        spread = (self._spread - gain[:, :, None] * along[:, None, :]) / forget[:, None, None]
        self._spread = (spread + spread.transpose(0, 2, 1)) / 2


def mape_percent(predicted: Floats, measured: Floats) -> float:
    """Mean absolute percentage error."""
    return float(np.mean(np.abs(predicted - measured) / measured)) * 100


def _terms(busy_share: Floats, used_share: Floats) -> Floats:
    return np.stack((np.ones_like(used_share), busy_share, used_share), axis=1)
