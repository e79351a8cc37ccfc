"""The one rule for training efficiency: a robust ridge regression of its logarithm on physical features.

Owns the features, the fit and its error. Knows nothing of which runs it is fitted on or where the numbers are kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from suanwang.measuring.interval import LEVEL

FEATURES = ("intercept", "balance", "sparse", "context", "size_x_balance")

_BALANCE = 153.0
"""Operations per byte of the A100 80GB, where `balance` is 0."""
_SIZE = 20e9
_CONTEXT = 4096.0
_SHRINKAGE = 1.0
"""Prior variance of a coefficient equals the residual variance: ridge with weight 1 (Hoerl and Kennard 1970, eq.
2.1)."""
_FREEDOM = 4.0
"""Degrees of freedom of the Student-t errors (Lange, Little and Taylor 1989, eq. 4)."""
_ROUNDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What the efficiency of a training run depends on."""

    balance: float
    """The device's 16-bit operations per byte of memory bandwidth."""
    active_parameters: float
    context: int
    sparse: bool
    """A mixture of experts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Coefficients by feature, and the error they left on runs they had not seen."""

    coefficients: tuple[float, ...]
    half_width: float
    """80 % of left-out runs lie within e^±half_width of their prediction."""
    inverse: tuple[tuple[float, ...], ...]
    """(X'X + ridge)^-1, for how far new conditions lie from the fitted ones."""
    mean_leverage: float
    least: tuple[float, ...]
    most: tuple[float, ...]
    """Range of each feature among the fitted runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Median efficiency and the half-width of its 80 % interval in natural logarithms."""

    efficiency: float
    half_width: float
    outside: tuple[str, ...]
    """Features that lie outside the fitted range and were held at its edge."""


def features(conditions: Conditions) -> tuple[float, ...]:
    """The feature vector in the order of `FEATURES`; logarithms of ratios to an A100, 20·10^9 parameters and 4,096
    tokens.

    `balance`: cards with more operations per byte of bandwidth are harder to keep busy (roofline, Williams 2009).
    `size_x_balance`: larger matrices have more reuse, which helps most where the balance is high.
    `context`: attention runs below the speed of matrix products. `sparse`: routing and small expert matrices.
    """
    balance = math.log(conditions.balance / _BALANCE)
    size = math.log(conditions.active_parameters / _SIZE)
    return (1.0, balance, float(conditions.sparse), math.log(conditions.context / _CONTEXT), size * balance)


def fit(rows: Sequence[Conditions], efficiencies: Sequence[float]) -> Rule:
    """The rule fitted on runs with measured `efficiencies`, with Student-t errors and shrinkage.

    The interval is the jackknife's: the 80 % quantile of the errors left when each run is predicted by a rule fitted
    without it (Barber 2021, section 1.2), scaled with the leverage of what is predicted. Raises `ValueError` under 8
    runs.
    """
    if len(rows) < 8 or len(rows) != len(efficiencies):
        raise ValueError("at least 8 runs with one efficiency each are needed")
    matrix = np.array([features(row) for row in rows])
    target = np.log(np.array(efficiencies))
    keep = np.ones(len(rows), dtype=bool)
    left_out = []
    for index in range(len(rows)):
        keep[index] = False
        solution = _solve(matrix[keep], target[keep])
        left_out.append(abs(float(target[index] - matrix[index] @ solution)))
        keep[index] = True
    inverse = np.linalg.inv(matrix.T @ matrix + _ridge())
    leverage = np.einsum("ij,jk,ik->i", matrix, inverse, matrix)
    rank = min(len(left_out) - 1, math.ceil(LEVEL * (len(left_out) + 1)) - 1)
    return Rule(
        coefficients=tuple(float(value) for value in _solve(matrix, target)),
        half_width=sorted(left_out)[rank],
        inverse=tuple(tuple(float(value) for value in line) for line in inverse),
        mean_leverage=float(leverage.mean()),
        least=tuple(float(value) for value in matrix.min(axis=0)),
        most=tuple(float(value) for value in matrix.max(axis=0)),
    )


def predict(rule: Rule, conditions: Conditions) -> Prediction:
    """Efficiency under `conditions`; each basic feature is held within the fitted range and named where it was
    outside."""
    raw = features(conditions)
    held = [min(max(value, low), high) for value, low, high in zip(raw, rule.least, rule.most, strict=True)]
    outside = tuple(name for name, value, kept in zip(FEATURES, raw, held, strict=True) if abs(value - kept) > 1e-9)
    log_efficiency = sum(a * b for a, b in zip(rule.coefficients, held, strict=True))
    leverage = sum(raw[i] * rule.inverse[i][j] * raw[j] for i in range(len(raw)) for j in range(len(raw)))
    widening = math.sqrt((1 + min(leverage, 3.0)) / (1 + rule.mean_leverage))
    return Prediction(
        efficiency=math.exp(log_efficiency), half_width=rule.half_width * max(1.0, widening), outside=outside
    )


def _ridge() -> NDArray[np.float64]:
    penalty = np.eye(len(FEATURES)) * _SHRINKAGE
    penalty[0, 0] = 1e-9
    return penalty


def _solve(matrix: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients by iteratively reweighted least squares: weight (ν + 1)/(ν + (r/s)²)."""
    weights: NDArray[np.float64] = np.ones(len(target), dtype=np.float64)
    penalty = _ridge()
    solution: NDArray[np.float64] = np.zeros(matrix.shape[1], dtype=np.float64)
    for _ in range(_ROUNDS):
        weighted = matrix * weights[:, None]
        solution = np.asarray(np.linalg.solve(matrix.T @ weighted + penalty, weighted.T @ target), dtype=np.float64)
        residuals = target - matrix @ solution
        scale = max(1.4826 * float(np.median(np.abs(residuals - np.median(residuals)))), 0.05)
        weights = (_FREEDOM + 1) / (_FREEDOM + (residuals / scale) ** 2)
    return solution
