"""The twin against published results, closed forms and other simulators: tables, and `benchmarks/TWIN.md`.

    python -m benchmarks.twin [--only shifting,power] [--data FOLDER] [--quick]

Owns the order of the chapters. A chapter that is run replaces its older self in the file; the others stay. A target that
is missed is told by the exit status.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.machine import described
from benchmarks.report import print_to, reached
from benchmarks.twin.chapters import NAMES, Table, chapter, put
from rich.console import Console

FILE = Path(__file__).parents[1] / "TWIN.md"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="comma-separated chapters; by default all there are")
    parser.add_argument("--data", type=Path, help="folder of the published traces and results")
    parser.add_argument("--quick", action="store_true", help="a part of the data; TWIN.md is left alone")
    arguments = parser.parse_args()
    every = [name for name in NAMES if importlib.util.find_spec(f"benchmarks.twin.{name}")]
    wanted = [name for name in arguments.only.split(",") if name] or every
    unknown = sorted(set(wanted) - set(every))
    if unknown:
        parser.error(f"no chapter {', '.join(unknown)}: there are {', '.join(every)}")
    if arguments.data and not arguments.data.is_dir():
        parser.error(f"--data {arguments.data}: no such folder")
    console, missed = Console(), False
    for name in wanted:
        module = importlib.import_module(f"benchmarks.twin.{name}")
        machine = [pair for pair in described("") if pair[1]]
        tables = []
        for table in _timed(module.measure(arguments.data, quick=arguments.quick)):
            _show(console, table)
            tables.append(table)
        if not arguments.quick:
            put(FILE, name, chapter(module.TITLE, machine, tables))
            console.print(f"{name}: written to {FILE}")
        missed |= any(reached(figure) is False for table in tables for figure in table.figures)
    return int(missed)


def _timed(tables: Iterator[Table]) -> Iterator[Table]:
    begun = time.perf_counter()
    for table in tables:
        table.took_s = time.perf_counter() - begun
        yield table
        begun = time.perf_counter()


def _show(console: Console, table: Table) -> None:
    console.print(f"\n{table.title}", style="bold", highlight=False)
    for note in table.notes:
        console.print(note, highlight=False)
    print_to(console, [table])


if __name__ == "__main__":
    sys.exit(main())
