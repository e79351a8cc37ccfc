"""Commands about money: totals and lines of the bill."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from suanwang.cli.options import Json, Limit, network
from suanwang.trading.grouping import Export

app = typer.Typer(no_args_is_help=True, help="Bills: totals, lines, show (one of them).")
Projects = Annotated[list[str] | None, typer.Option("--project", help="Only these projects.", show_default=False)]
Job = Annotated[str | None, typer.Option(help="Only this job.")]
Site = Annotated[str | None, typer.Option(help="Only this site.")]
Provider = Annotated[str | None, typer.Option(help="Only this provider.")]
_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]
From = Annotated[datetime | None, typer.Option("--from", formats=_FORMATS, help="Not before, local time.")]
To = Annotated[datetime | None, typer.Option("--to", formats=_FORMATS, help="Before, local time.")]


def _aware(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC)


@app.command()
def totals(
    context: typer.Context,
    project: Projects = None,
    job: Job = None,
    site: Site = None,
    provider: Provider = None,
    from_at: From = None,
    to_at: To = None,
    as_json: Json = False,
) -> None:
    """Sums for each project and provider."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        found = client.bill_totals(
            projects=project or None,
            job=job,
            site=site,
            provider=provider,
            from_at=_aware(from_at),
            to_at=_aware(to_at),
        )
    if as_json:
        emit(found)
    else:
        console().print(tables.bill_totals(found))


@app.command()
def lines(
    context: typer.Context,
    project: Projects = None,
    job: Job = None,
    site: Site = None,
    provider: Provider = None,
    from_at: From = None,
    to_at: To = None,
    limit: Limit = 200,
    as_json: Json = False,
) -> None:
    """Each interval that was metered and what it costs, newest first."""
    from itertools import islice

    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        found = client.bill_lines(
            projects=project or None,
            job=job,
            site=site,
            provider=provider,
            from_at=_aware(from_at),
            to_at=_aware(to_at),
            page_size=min(limit, 200),
        )
        rows = list(islice(found, limit))
    if as_json:
        emit(rows)
    else:
        console().print(tables.bill_lines(rows))


@app.command()
def show(
    context: typer.Context,
    usage: Annotated[str, typer.Argument(help="A usage record, such as j-0123456789abcdef-1:1.")],
    as_json: Json = False,
) -> None:
    """One line, and how its unit prices came about: list, formula, and each discount on its own."""
    from suanwang.cli import prices, tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        row = client.bill_line(usage)
    if as_json:
        emit(row)
        return
    console().print(tables.bill_lines([row]))
    if row.pricing is not None:
        console().print(prices.steps(row.pricing))


@app.command()
def findings(context: typer.Context, limit: Limit = 200, as_json: Json = False) -> None:
    """Runs whose two meters, the scheduler's and the agent's, differed by more than the tolerance."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        found = client.findings(limit=min(limit, 500)).items
    if as_json:
        emit(found)
        return
    made = tables.table(
        *("at", "job", "site", "scheduler_s", "agent_s", "tolerance_s", "amount"),
        right=("scheduler_s", "agent_s", "tolerance_s", "amount"),
    )
    for row in found:
        seconds = (f"{row.scheduler_s:.0f}", f"{row.agent_s:.0f}", f"{row.tolerance_s:.0f}")
        made.add_row(tables.instant(row.at), row.job, row.site, *seconds, tables.fen(row.amount_fen))
    console().print(made)


@app.command()
def export(
    context: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    from_at: Annotated[datetime, typer.Option("--from", formats=_FORMATS, help="Used from then on, local time.")],
    to_at: Annotated[datetime, typer.Option("--to", formats=_FORMATS, help="Used before, local time.")],
    form: Annotated[
        Export,
        typer.Option("--format", help="FOCUS 1.2 (CSV), CloudEvents 1.0 (JSON) or OGF Usage Record 2.0 (XML)."),
    ] = Export.FOCUS,
    project: Projects = None,
    site: Site = None,
    job: Job = None,
) -> None:
    """Write what was billed in a form that other tools read."""
    from suanwang.cli.terminal import note

    with network(context) as client:
        pieces = client.export(
            from_at.astimezone(UTC), to_at.astimezone(UTC), form=form, projects=project or (), site=site, job=job
        )
        first = next(pieces, b"")  # An error comes before the file is touched.
        with output.open("wb") as file:
            file.write(first)
            file.writelines(pieces)
    note(f"written to {output}")
