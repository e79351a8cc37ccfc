"""Train a small neural network on handwritten digits, with a checkpoint after each epoch that a later run goes on from.

Usage: python train.py [EPOCHS]. The checkpoint is `digits.npz` in SUANWANG_CHECKPOINT_DIR, replaced in one step, so a
run that is killed leaves the last whole epoch. The loss of each epoch goes to SUANWANG_METRICS for the page's curve.
"""

# ruff: noqa: T201  what a job prints is its output
from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from digits import load  # type: ignore[import-not-found]  # it lies beside this file in the job

Array = npt.NDArray[np.float64]
HIDDEN, BATCH, RATE = 96, 32, 0.02
EPOCH_S = float(os.environ.get("EPOCH_S", "0"))
"""Shortest time for an epoch: with data this small, a person would not see them pass."""


def fresh(rng: np.random.Generator) -> dict[str, Array]:
    """Weights to begin with."""
    return {
        "w1": rng.normal(0, np.sqrt(2 / 64), (64, HIDDEN)),
        "b1": np.zeros(HIDDEN),
        "w2": rng.normal(0, np.sqrt(2 / HIDDEN), (HIDDEN, 10)),
        "b2": np.zeros(10),
    }


def forward(net: dict[str, Array], x: Array) -> tuple[Array, Array]:
    """Hidden activations and class probabilities of the images `x[n, 64]`."""
    hidden = np.maximum(x @ net["w1"] + net["b1"], 0)
    scores = hidden @ net["w2"] + net["b2"]
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return hidden, odds / odds.sum(axis=1, keepdims=True)


def learn(net: dict[str, Array], x: Array, y: npt.NDArray[np.int64]) -> float:
    """One step of gradient descent on a batch; returns its loss before the step."""
    hidden, odds = forward(net, x)
    rows = np.arange(len(y))
    loss = float(-np.log(odds[rows, y] + 1e-12).mean())
    odds[rows, y] -= 1
    odds /= len(y)
    back = (odds @ net["w2"].T) * (hidden > 0)
    for name, gradient in (("w2", hidden.T @ odds), ("b2", odds.sum(0)), ("w1", x.T @ back), ("b1", back.sum(0))):
        net[name] -= RATE * gradient
    return loss


def keep(path: Path, epoch: int, net: dict[str, Array]) -> None:
    """Replace the checkpoint in one step."""
    part = path.with_name(".part")
    with part.open("wb") as file:
        np.savez(file, epoch=np.int64(epoch), **net)  # type: ignore[arg-type]
    part.replace(path)


def main() -> None:
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    x, y = load()
    x /= 16.0
    train, held = slice(0, 1500), slice(1500, None)
    checkpoint = Path(os.environ["SUANWANG_CHECKPOINT_DIR"]) / "digits.npz"
    net, first = fresh(np.random.default_rng(7)), 1
    if checkpoint.exists():
        with np.load(checkpoint) as stored:
            first = int(stored["epoch"]) + 1
            net = {name: stored[name] for name in net}
        print(f"resumed from epoch {first - 1}", flush=True)
    else:
        print("fresh start", flush=True)
    with Path(os.environ["SUANWANG_METRICS"]).open("a", encoding="utf-8") as metrics:
        for epoch in range(first, epochs + 1):
            begun = time.monotonic()
            order = np.random.default_rng(epoch).permutation(len(x[train]))
            losses = [
                learn(net, x[train][batch], y[train][batch]) for batch in np.array_split(order, len(order) // BATCH)
            ]
            right = float((forward(net, x[held])[1].argmax(axis=1) == y[held]).mean())
            keep(checkpoint, epoch, net)
            metrics.write(json.dumps({"step": epoch, "loss": float(np.mean(losses)), "accuracy": right}) + "\n")
            metrics.flush()
            print(f"epoch {epoch} of {epochs}: loss {np.mean(losses):.4f}, {right:.1%} right", flush=True)
            time.sleep(max(0.0, EPOCH_S - (time.monotonic() - begun)))
    np.savez("model.npz", **net)  # type: ignore[arg-type]


main()
