"""First step of the workflow: handwritten digits reduced to their twenty strongest directions."""

# ruff: noqa: T201  what a job prints is its output
from __future__ import annotations

import numpy as np
from digits import load  # type: ignore[import-not-found]  # it lies beside this file in the job


def main() -> None:
    x, y = load()
    x -= x.mean(axis=0)
    _, strengths, directions = np.linalg.svd(x, full_matrices=False)
    kept = float((strengths[:20] ** 2).sum() / (strengths**2).sum())
    np.savez("features.npz", x=x @ directions[:20].T, y=y)
    print(f"{len(x)} digits in 20 numbers each, {kept:.0%} of the variance kept", flush=True)


main()
