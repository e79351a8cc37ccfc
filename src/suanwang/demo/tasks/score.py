"""Second step of the workflow: how well the nearest neighbour tells the digits apart, by what the first step wrote."""

# ruff: noqa: T201  what a job prints is its output
from __future__ import annotations

import numpy as np


def main() -> None:
    with np.load("features.npz") as stored:
        x, y = stored["x"], stored["y"]
    known, asked = x[:1500], x[1500:]
    distances = (asked**2).sum(1)[:, None] - 2 * asked @ known.T + (known**2).sum(1)
    right = float((y[:1500][distances.argmin(axis=1)] == y[1500:]).mean())
    print(f"read {len(x)} digits from the other site: {right:.1%} right", flush=True)


main()
