"""One member of a parameter sweep: softmax regression on handwritten digits, at the learning rate of its index."""

# ruff: noqa: T201  what a job prints is its output
from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from digits import load  # type: ignore[import-not-found]  # it lies beside this file in the job

RATES = (3.0, 1.0, 0.5, 0.2, 0.1, 0.03, 0.01, 0.003)


def main() -> None:
    index = int(os.environ["SUANWANG_ARRAY_INDEX"])
    rate = RATES[index]
    x, y = load()
    x /= 16.0
    wanted = np.eye(10)[y]
    weights = np.zeros((64, 10))
    for _ in range(1000):
        scores = x[:1500] @ weights
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        odds /= odds.sum(axis=1, keepdims=True)
        weights -= rate * x[:1500].T @ (odds - wanted[:1500]) / 1500
    right = float(((x[1500:] @ weights).argmax(axis=1) == y[1500:]).mean())
    Path("result.json").write_text(json.dumps({"rate": rate, "right": right}) + "\n", encoding="utf-8")
    print(f"rate {rate}: {right:.1%} right", flush=True)


main()
