"""AccaSim 1.1.3 on one SWF file, by the Python it is installed in: `accasim_run.py FILE FOLDER NODES` prints its seconds.

Owns the names that it expects of older versions of Python and NumPy. It imports nothing of the product.
"""

from __future__ import annotations

import collections
import collections.abc
import json
import os
import sys
import time
from pathlib import Path

import numpy as np


def main() -> None:
    for name in collections.abc.__all__:
        setattr(collections, name, getattr(collections.abc, name))
    for name, kind in (("int", int), ("float", float), ("bool", bool), ("object", object)):
        setattr(np, name, kind)
    setattr(time, "clock", time.perf_counter)  # noqa: B010 - gone since 3.8
    from accasim.base.allocator_class import FirstFit  # type: ignore[import-not-found]
    from accasim.base.scheduler_class import EASYBackfilling  # type: ignore[import-not-found]
    from accasim.base.simulator_class import Simulator  # type: ignore[import-not-found]

    trace, folder, nodes = sys.argv[1:]
    os.chdir(folder)
    config = Path("system.json")
    config.write_text(
        json.dumps({"groups": {"node": {"core": 1, "mem": 1_000_000}}, "resources": {"node": int(nodes)}}),
        encoding="utf-8",
    )
    begun = time.perf_counter()
    Simulator(
        trace,
        str(config),
        EASYBackfilling(FirstFit()),
        scheduling_output=False,
        pprint_output=False,
        benchmark_output=False,
        statistics_output=False,
        show_statistics=False,
    ).start_simulation()
    print("SECONDS", time.perf_counter() - begun)


if __name__ == "__main__":
    main()
