"""SkyPilot's optimizer before a choice of ours: which of many regions, at different prices, for eight accelerators.

    python skypilot_choice.py FOLDER PRICES.json

Runs in SkyPilot's own environment and imports nothing of ours. Its price lists normally come from the project's site on
the net; here one is written into FOLDER in the same form, as a cloud with one region per price. Prints JSON: the region
chosen, the first choice's seconds and the later ones'.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import sys
import time
from pathlib import Path

REPEATS = 3
_GPU = {"Gpus": [{"Name": "A100", "Manufacturer": "NVIDIA", "Count": 8, "MemoryInfo": {"SizeInMiB": 81920}}]}


def write_catalogue(folder: Path, version: str, prices: dict[str, float]) -> None:
    """One instance type of eight A100 in every region; `prices` are per hour of an instance."""
    lists = folder / ".sky/catalogs" / version
    for name in ("lambda", "common"):
        (lists / name).mkdir(parents=True, exist_ok=True)
    with (lists / "lambda/vms.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(
            [
                "InstanceType",
                "AcceleratorName",
                "AcceleratorCount",
                "vCPUs",
                "MemoryGiB",
                "Price",
                "Region",
                "GpuInfo",
                "SpotPrice",
            ]
        )
        for region, price in prices.items():
            rows.writerow(["gpu_8x_a100", "A100", 8, 64, 256, price, region, repr(_GPU), ""])
    with (lists / "common/accelerators.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["AcceleratorName", "Memory", "Clouds", "AcceleratorManufacturer"])
        rows.writerow(["A100", "80GB", "['Lambda']", "NVIDIA"])


def main() -> None:
    folder, prices = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    os.environ.update(HOME=str(folder), SKY_RUNTIME_DIR=str(folder), SKYPILOT_DISABLE_USAGE_COLLECTION="1")
    from sky.skylet import constants

    write_catalogue(folder, constants.CATALOG_SCHEMA_VERSION, prices)
    import sky
    from sky import check, clouds, optimizer

    # Which clouds a user has accounts with is asked of the clouds themselves; here it is given.
    check.get_cached_enabled_clouds_or_refresh = lambda *_, **__: [clouds.Lambda()]

    def choose() -> str:
        with sky.Dag() as dag:
            task = sky.Task(run="true")
            task.set_resources(sky.Resources(accelerators="A100:8"))
        with contextlib.redirect_stdout(io.StringIO()):
            optimizer.Optimizer.optimize(dag, quiet=True)
        return str(dag.tasks[0].best_resources.region)

    took: list[float] = []
    for _ in range(1 + REPEATS):
        begun = time.perf_counter()
        region = choose()
        took.append(time.perf_counter() - begun)
    print(json.dumps({"version": sky.__version__, "region": region, "first_s": took[0], "later_s": took[1:]}))


if __name__ == "__main__":
    main()
