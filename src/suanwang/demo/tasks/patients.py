"""Fit a diagnosis to patients' data that a hospital's site holds: the data stay there, only the score comes out."""

# ruff: noqa: T201  what a job prints is its output
from __future__ import annotations

from pathlib import Path

import numpy as np


def main() -> None:
    table = np.loadtxt(Path("patients") / "breast_cancer.csv", delimiter=",", skiprows=1)
    x, y = table[:, :-1], table[:, -1]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    known, asked = slice(0, 400), slice(400, None)
    weights = np.zeros(x.shape[1])
    for _ in range(2000):
        odds = 1 / (1 + np.exp(-x[known] @ weights))
        weights -= 0.1 * x[known].T @ (odds - y[known]) / 400
    right = float(((x[asked] @ weights > 0) == (y[asked] > 0.5)).mean())
    print(f"{len(x)} patients read where they are kept, {right:.1%} of the held-back diagnoses right", flush=True)


main()
