"""Commands about machines: measure this host, bring up a testbed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suanwang.cli.exits import UsageError
from suanwang.cli.options import Json

if TYPE_CHECKING:
    from suanwang.sensing.probing import ProbeReport
    from suanwang.testbed.slurm import SlurmTestbed

testbed = typer.Typer(no_args_is_help=True, help="Real schedulers on this one machine, to try things with.")


def probe(
    folder: Annotated[Path, typer.Option(help="The disk under this folder is measured.")] = Path(),
    budget_s: Annotated[float, typer.Option("--budget", min=1, help="Seconds to spend, about.")] = 120.0,
    repeats: Annotated[int, typer.Option(min=1, max=100, help="Measurements of each figure.")] = 5,
    link: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=URL", help="Another site's echo to measure the way to.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure what this host really does: arithmetic, memory, disk, accelerators, links."""
    from suanwang.adapters.clock import SystemClock
    from suanwang.cli.terminal import emit
    from suanwang.sensing.probing import Progress
    from suanwang.sensing.probing import probe as measure

    links = dict(_named(text) for text in link or [])
    if sys.stderr.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        from suanwang.cli.terminal import console

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Bars(*columns, console=console(stderr=True), transient=True) as shown:
            bar = shown.add_task("probe", total=None)

            def move(progress: Progress) -> None:
                shown.update(bar, completed=progress.done, total=progress.total, description=progress.label)

            report = measure(
                folder=folder, clock=SystemClock(), budget_s=budget_s, repeats=repeats, links=links, on_progress=move
            )
    else:
        report = measure(folder=folder, clock=SystemClock(), budget_s=budget_s, repeats=repeats, links=links)
    if as_json:
        from dataclasses import asdict

        emit(_jsonable(asdict(report)))
    else:
        _print(report)


def _named(text: str) -> tuple[str, str]:
    name, separator, url = text.partition("=")
    if not separator or not name or not url:
        raise UsageError(f"--link {text!r} is not NAME=URL")
    return name, url


def _jsonable(value: object) -> object:
    from datetime import datetime
    from math import isfinite

    match value:
        case dict():
            return {str(key): _jsonable(item) for key, item in value.items()}
        case list() | tuple():
            return [_jsonable(item) for item in value]
        case datetime():
            return value.isoformat()
        case float() if not isfinite(value):
            return None
    return value


def _print(report: ProbeReport) -> None:
    from suanwang.cli import tables
    from suanwang.cli.terminal import console

    out = console()
    host = report.host
    out.print(f"{host.name}: {host.processor}, {host.processors} processors, {host.memory_gb:.1f} GB; {host.software}")
    made = tables.table("metric", "median", "spread", "unit", right=("median", "spread"))
    spreads = {sample.metric_type: sample.value for sample in report.samples if sample.statistic == "iqr"}
    for sample in report.samples:
        if sample.statistic != "iqr":
            spread = spreads.get(sample.metric_type)
            made.add_row(
                sample.metric_type, f"{sample.value:,.4g}", "" if spread is None else f"{spread:,.3g}", sample.unit
            )
    out.print(made)
    for metric, reason in report.skipped.items():
        out.print(f"{metric}: {reason}", style="dim")


@testbed.command("slurm")
def slurm_testbed(
    folder: Annotated[Path, typer.Option(help="Where its files go.")] = Path(".suanwang/slurm"),
    cluster: Annotated[
        list[str] | None, typer.Option(help="A cluster's name; by default gz and nm.", show_default=False)
    ] = None,
    nodes: Annotated[int, typer.Option(min=1, max=64, help="Virtual nodes in each cluster.")] = 2,
    cores: Annotated[int, typer.Option(min=1, max=1024, help="Cores of each node.")] = 4,
    rest: Annotated[bool, typer.Option("--rest", help="Start slurmrestd too.")] = False,
    as_json: Json = False,
) -> None:
    """Bring up real Slurm clusters with accelerators on this machine, until Ctrl-C. Needs root and Slurm's packages."""
    import signal

    from suanwang.cli.terminal import emit, said, say
    from suanwang.testbed.slurm import ClusterSpec, run

    specs = [ClusterSpec(name=name, nodes=nodes, cores=cores) for name in cluster or ["gz", "nm"]]

    def ready(running: SlurmTestbed) -> None:
        rows = [
            {"name": name, "conf": str(one.conf), "nodes": list(one.spec.node_names), "rest_url": one.rest_url}
            for name, one in running.clusters.items()
        ]
        if as_json:
            emit(rows)
            sys.stdout.flush()
            return
        for row in rows:
            say(
                f"{row['name']}: export SLURM_CONF={row['conf']}"
                + (f"  slurmrestd {row['rest_url']}" if row["rest_url"] else "")
            )
            say(
                f"  join it: suanwang site template --slurm --conf {row['conf']} --id {row['name']} > {row['name']}.yaml"
            )
        say(said("up until Ctrl-C"))
        sys.stdout.flush()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)
    folder.mkdir(parents=True, exist_ok=True)
    run(folder, clusters=specs, rest=rest, on_ready=ready)
