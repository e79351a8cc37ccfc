"""scikit-learn's bundled handwritten digits, read without importing scikit-learn: these jobs last a second or two."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt


def load() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Images `x[1797, 64]` with ink from 0 to 16, and the digits `y[1797]` they show."""
    found = importlib.util.find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("scikit-learn is not installed")
    table = np.loadtxt(Path(found.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    return table[:, :-1], table[:, -1].astype(np.int64)
