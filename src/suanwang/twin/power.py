"""From what is busy to what is drawn, calibrated against a meter as it goes.

Owns a calibrated model that learns from measured power without ever looking ahead: what it predicts depends on nothing
that was measured after the last `settle`. Knows nothing of meters or files.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from suanwang.domain.errors import InvalidRequest

Floats = npt.NDArray[np.float64]

HALF_LIVES_H = (1.0, 2.0, 4.0, 8.0, 24.0, 48.0)
"""How fast the experts forget."""
TRUST = 300.0
"""An expert that errs by one percentage point more weighs exp(-3) as much."""
ERROR_HALF_LIFE_H = 6.0
PRIOR = 1e4
"""Variance of weights before anything was learned, in squared shares of the first measurement."""
MOST_VARIANCE = 1e9
"""Experts stop forgetting here: where nothing changes there is nothing to learn, and their variance would grow forever."""
HOUR_MS = 3_600_000


class CalibratedPower:
    """A panel of recursive least squares with exponential forgetting (Ljung 1999, *System identification*, section 11.2).

    Each expert is a constant and a slope in each load, as hosts that run anything or processor time; they differ in how fast
    they forget, and each is weighed by the error of what it predicted, not of what it fitted (exponential weights,
    Cesa-Bianchi and Lugosi 2006, *Prediction, learning, and games*, chapter 2). `learn` takes measurements in the order of
    time, `settle` makes them count, `predict` uses what was settled; whoever calls says when a measurement is known.
    """

    def __init__(self, step_ms: int, loads: int) -> None:
        experts, features = len(HALF_LIVES_H), 1 + loads
        self._forget = 0.5 ** (step_ms / (np.array(HALF_LIVES_H) * HOUR_MS))
        self._fade = float(0.5 ** (step_ms / (ERROR_HALF_LIFE_H * HOUR_MS)))
        self._spread = np.tile(PRIOR * np.eye(features), (experts, 1, 1))
        """`[expert, feature, feature]`"""
        self._weights: Floats = np.zeros((experts, features))
        self._errors: Floats = np.zeros(experts)
        self._heard = 0.0
        self._scale_w = 0.0
        self._settled = self._weights.copy()
        self._panel: Floats = np.full(experts, 1.0 / experts)

    def predict(self, load_share: Floats) -> Floats:
        """Watts at each instant of `load_share[t, k]`, each as a share of all there is of it.

        Raises InvalidRequest before anything was settled.
        """
        if not self._scale_w:
            raise InvalidRequest("no measured power has been learned", field="power_w", allowed="one sample or more")
        return self._panel @ np.maximum(self._settled @ _terms(load_share).T, 0.0) * self._scale_w

    def learn(self, load_share: Floats, power_w: Floats) -> None:
        """Take in measurements, the oldest first; each must be above nothing."""
        if not (np.isfinite(power_w) & (power_w > 0)).all():
            raise InvalidRequest("measured power must be above 0 W", field="power_w", allowed="positive numbers")
        if not self._scale_w and len(power_w):
            self._scale_w = float(power_w[0])
        terms, target = _terms(load_share), power_w / (self._scale_w or 1.0)
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


def calibrated(load_share: Floats, power_w: Floats, step_ms: int, every: int) -> Floats:
    """What would have been predicted with the meter read every so many steps; not a number before the first reading.

    Each prediction knows `load_share[t, k]` of its own instant and nothing measured after the last reading.
    """
    model = CalibratedPower(step_ms, load_share.shape[1])
    found = np.full(len(power_w), np.nan)
    for start in range(0, len(power_w), every):
        now = slice(start, start + every)
        if start:
            found[now] = model.predict(load_share[now])
        model.learn(load_share[now], power_w[now])
        model.settle()
    return found


def mape_percent(predicted: Floats, measured: Floats) -> float:
    """Mean absolute percentage error."""
    return float(np.mean(np.abs(predicted - measured) / measured)) * 100


def _terms(load_share: Floats) -> Floats:
    return np.concatenate((np.ones((len(load_share), 1)), load_share), axis=1)
