"""Hourly forecasts that know nothing but the series' own past.

Owns the forecaster of the online benchmark: the mean of the same hour over four weeks, corrected by ridge regression on the
last two days and the last days' means, fitted anew each week on what was over by then.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from benchmarks.twin.published import Floats

DAY, WEEK = 24, 168
AHEAD = 96
"""Hours ahead that regression forecasts; behind them the profile alone is taken."""
LAGS = 48
FIRST = 2 * WEEK
"""Hours before the first fit."""
DAYS = 28
NEAR, RIDGE_NEAR, RIDGE_FAR = 12, 30.0, 300.0
"""Ridge up to `NEAR` hours ahead and behind: the further, the less of the past is to be believed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forecasts:
    """As known at each hour `t`, that hour's own value included."""

    profile: Floats
    """`[t, hour of the day]`"""
    mean: Floats
    """`[t, h]`: of the value `h + 1` hours later."""
    spread: Floats
    """`[t, h]`: standard deviation of what it was off, over the past."""


def forecasts(values: Floats) -> Forecasts:
    """Row `t` depends on `values[: t + 1]` alone."""
    count, hours = len(values), np.arange(len(values))
    profile = profiles(values)
    base = profile[hours[:, None], (hours[:, None] + np.arange(1, AHEAD + 1)) % DAY]
    mean, spread = base.copy(), np.repeat(running_spread(values)[:, None], AHEAD, axis=1)
    seen = _seen(values, profile)
    wanted = np.full((count, AHEAD), np.nan)
    for ahead in range(1, AHEAD + 1):
        wanted[:-ahead, ahead - 1] = values[ahead:] - base[:-ahead, ahead - 1]
    # The past grows week by week, and so do the sums that the least squares need.
    gram, cross, squares = np.zeros((seen.shape[1],) * 2), np.zeros((seen.shape[1], AHEAD)), np.zeros(AHEAD)
    held = LAGS
    for week in range(FIRST, count, WEEK):
        known, target = seen[held : week - AHEAD], wanted[held : week - AHEAD]
        gram, cross = gram + known.T @ known, cross + known.T @ target
        squares, held = squares + (target**2).sum(axis=0), week - AHEAD
        scale = float(np.trace(gram[:LAGS, :LAGS])) / (LAGS * (held - LAGS)) + 1e-12
        now = slice(week, week + WEEK)
        for ridge, part in ((RIDGE_NEAR, slice(0, NEAR)), (RIDGE_FAR, slice(NEAR, AHEAD))):
            weights = np.linalg.solve(gram + ridge * scale * np.eye(len(gram)), cross[:, part])
            off = squares[part] + (weights * (gram @ weights - 2 * cross[:, part])).sum(axis=0)
            mean[now, part] = base[now, part] + seen[now] @ weights
            spread[now, part] = np.sqrt(np.maximum(off, 0.0) / (held - LAGS))
    return Forecasts(profile=profile, mean=mean, spread=spread)


def profiles(values: Floats, days: int = DAYS) -> Floats:
    """`[t, hour of the day]`: mean over the last `days` days of that hour, up to and with `t`; before any, of all so far."""
    count = len(values)
    rounds = -(-count // DAY)
    table = np.zeros((rounds + 1, DAY))
    padded = np.append(values, np.zeros(rounds * DAY - count)).reshape(-1, DAY)
    table[1:] = np.cumsum(padded, axis=0)
    day, hour = np.divmod(np.arange(count), DAY)
    upper = day[:, None] + (np.arange(DAY) <= hour[:, None])
    lower = np.maximum(upper - days, 0)
    columns = np.arange(DAY)
    total, held = table[upper, columns] - table[lower, columns], upper - lower
    so_far = np.cumsum(values) / np.arange(1, count + 1)
    return np.where(held > 0, total / np.maximum(held, 1), so_far[:, None])


def running_spread(values: Floats) -> Floats:
    """`[t]`: standard deviation up to and with `t`."""
    number = np.arange(1, len(values) + 1)
    square = np.cumsum((values - values[0]) ** 2) / number - (np.cumsum(values - values[0]) / number) ** 2
    return np.sqrt(np.maximum(square, 0.0))


def _seen(values: Floats, profile: Floats) -> Floats:
    """`[t, feature]`: how far the last hours and days were from the profile, and the hour of the day."""
    hours = np.arange(len(values))
    columns = [values[np.maximum(hours - lag, 0)] - profile[hours, (hours - lag) % DAY] for lag in range(LAGS)]
    total, level = np.append(0.0, np.cumsum(values)), profile.mean(axis=1)
    for newest, oldest in ((48, 72), (72, 96), (96, 120), (120, 144), (144, 168), (0, 14 * DAY), (0, 28 * DAY)):
        upper = np.maximum(hours + 1 - newest, 1)
        lower = np.clip(hours + 1 - oldest, 0, upper - 1)
        columns.append((total[upper] - total[lower]) / (upper - lower) - level)
    return np.concatenate((np.stack(columns, axis=1), np.eye(DAY)[hours % DAY]), axis=1)
