"""All benchmarks in one go, the machine named: a table, and `benchmarks/RESULTS.md`.

    python -m benchmarks [--only plan,submit] [--quick]

Owns the order of the parts. A part that cannot run here says why in the report; a target that is missed is told by the
exit status.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from benchmarks import elsewhere, leasing, ledger, market, plan, quotes, serving
from benchmarks.elsewhere import Absent
from benchmarks.machine import described
from benchmarks.report import Part, markdown, print_to, reached
from benchmarks.store import Figure
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from suanwang.adapters.store.embedded import EmbeddedPostgres

RESULTS = Path(__file__).with_name("RESULTS.md")
Run = Callable[[leasing.Say], Iterator[Figure]]


def parts(arguments: argparse.Namespace) -> Mapping[str, tuple[str, Run]]:
    """Name → title and work, in the order they run."""
    less = 10 if arguments.quick else 1
    return {
        "plan": ("Plans", lambda say: plan.measure(10_000 // less, 1000 // less, say)),
        "live": (
            "Accepted to leased, and what a control plane weighs",
            lambda say: serving.live(100_000 // less, say),
        ),
        "submit": ("Submitting", lambda say: serving.submits(30 // less, say)),
        "page": ("Pages of many jobs", lambda say: serving.pages(1_000_000 // less, say)),
        "quote": ("Quotes", _quotes),
        "ledger": ("The ledger", lambda _: iter(ledger.measure(transfers=50_000 // less, lines=10_000 // less))),
        "market": ("The market", lambda _: market.measure(auctions=1_000_000 // less, whole=5_000 // less)),
        "slurm": ("Beside it: Slurm on this machine", lambda _: elsewhere.slurm()),
        "skypilot": (
            "Beside it: SkyPilot's optimizer on the same choice",
            lambda _: elsewhere.skypilot(arguments.skypilot, 1000 // less),
        ),
    }


def _quotes(_: leasing.Say) -> Iterator[Figure]:
    found = quotes.measure()
    many = f"{found.offers:,} offers"
    yield Figure(name=f"{many} ranked, median", value=found.rank_ms, unit="ms", bound="≤ 50")
    yield Figure(name=f"{many} estimated, priced and ranked, median", value=found.offers_ms, unit="ms")
    yield Figure(name="one estimate, median", value=found.estimate_ms, unit="ms", bound="≤ 20")
    yield Figure(name="one estimate, slowest need and device", value=found.slowest_estimate_ms, unit="ms", bound="≤ 20")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="comma-separated parts; by default all, and RESULTS.md is written")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, to try the benchmarks themselves")
    parser.add_argument(
        "--skypilot",
        type=Path,
        default=Path(tempfile.gettempdir()) / "suanwang-bench-skypilot",
        help="virtual environment for SkyPilot; made where it is not there",
    )
    arguments = parser.parse_args()
    every = parts(arguments)
    wanted = [name for name in arguments.only.split(",") if name] or list(every)
    unknown = sorted(set(wanted) - set(every))
    if unknown:
        parser.error(f"no part {', '.join(unknown)}: there are {', '.join(every)}")
    console = Console()
    machine = described(_database())
    done: list[Part] = []
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console
    ) as progress:
        bar = progress.add_task("", total=len(wanted))
        for name in wanted:
            title, run = every[name]
            progress.update(bar, description=title)
            done.append(_one(title, run, partial(_tell, progress, bar, title)))
            progress.advance(bar)
    for what, value in machine:
        console.print(f"{what}: {value}", highlight=False)
    print_to(console, done)
    if not arguments.only and not arguments.quick:
        RESULTS.write_text(markdown(machine, done), encoding="utf-8")
        console.print(f"written to {RESULTS}")
    return int(any(reached(figure) is False for part in done for figure in part.figures))


def _tell(progress: Progress, bar: TaskID, title: str, what: str) -> None:
    progress.update(bar, description=f"{title}: {what}")


def _one(title: str, run: Run, say: leasing.Say) -> Part:
    part, begun = Part(title), time.perf_counter()
    try:
        part.figures.extend(run(say))
    except Absent as error:
        part.absent = str(error)
    part.took_s = time.perf_counter() - begun
    return part


def _database() -> str:
    """The embedded server's own version."""
    import psycopg

    with tempfile.TemporaryDirectory(prefix="suanwang-bench-") as folder:
        server = EmbeddedPostgres(Path(folder))
        try:
            with psycopg.connect(server.start()) as connection:
                row = connection.execute("SHOW server_version").fetchone()
        finally:
            server.stop()
    assert row is not None
    return str(row[0])


if __name__ == "__main__":
    sys.exit(main())
