"""Commands about jobs: look, follow, explain, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from suanwang.cli.options import Json, Limit, network
from suanwang.domain.lifecycle import JobState

if TYPE_CHECKING:
    from suanwang.client import Client, models

app = typer.Typer(no_args_is_help=True, help="Jobs: list, show, cancel, points.")
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's identifier.")]
ArrayOption = Annotated[bool, typer.Option("--array", help="Every member of the job's array.")]


@app.command("list")
def list_jobs(
    context: typer.Context,
    state: Annotated[list[JobState] | None, typer.Option(help="Only these states.", show_default=False)] = None,
    site: Annotated[str | None, typer.Option(help="Only jobs at this site.")] = None,
    name: Annotated[str | None, typer.Option(help="Only jobs of this exact name.")] = None,
    array: Annotated[str | None, typer.Option(help="Only the array with this first job.")] = None,
    project: Annotated[list[str] | None, typer.Option(help="Only these projects.", show_default=False)] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    from itertools import islice

    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        found = client.jobs(
            states=state or None, site=site, name=name, array=array, projects=project or None, page_size=min(limit, 100)
        )
        rows = list(islice(found, limit))
    if as_json:
        emit(rows)
    else:
        console().print(tables.jobs(rows))


@app.command()
def show(context: typer.Context, job: JobId, as_json: Json = False) -> None:
    """Show one job in full."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        detail = client.job(job)
        names = {} if as_json or detail.hold is None else tables.site_names(client.sites())
    if as_json:
        emit(detail)
    else:
        console().print(tables.job(detail, names))


@app.command()
def cancel(context: typer.Context, job: JobId, array: ArrayOption = False, as_json: Json = False) -> None:
    """End a job; one that has ended stays as it is."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        done = client.cancel(job, array=array)
    if as_json:
        emit(done)
    else:
        console().print(tables.jobs(done.jobs))


@app.command()
def points(context: typer.Context, job: JobId, as_json: Json = False) -> None:
    """Print the figures a job wrote to its metrics file."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        found = client.points(job)
    if as_json:
        emit(found)
    else:
        console().print(tables.points(found))


def logs(
    context: typer.Context,
    job: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay until the job has ended.")] = False,
    as_json: Json = False,
) -> None:
    """Print a job's output. With --json, one JSON value a line."""
    with network(context) as client:
        if follow:
            follow_output(client, job, as_json=as_json)
        else:
            _all_output(client, job, as_json=as_json)


def _all_output(client: Client, job: str, *, as_json: bool) -> None:
    after = 0
    while True:
        page = client.logs(job, after=after)
        for piece in page.items:
            _put(piece, as_json=as_json)
        if not page.items:
            return
        after = page.next


def follow_output(client: Client, job: str, *, as_json: bool = False, to_stderr: bool = False) -> models.StateView:
    """Print a job's output as it comes; returns how it ended."""
    from suanwang.cli.terminal import emit_line
    from suanwang.client.models import LogView
    from suanwang.domain.errors import Unavailable

    last: models.StateView | None = None
    for seen in client.follow_logs(job):
        if isinstance(seen, LogView):
            _put(seen, as_json=as_json, to_stderr=to_stderr)
        else:
            last = seen
            if as_json:
                emit_line({"kind": "state", **seen.model_dump(mode="json")})
    if last is None:
        raise Unavailable("the stream ended before the job did; follow it again")
    return last


def _put(piece: models.LogView, *, as_json: bool, to_stderr: bool = False) -> None:
    import sys

    from suanwang.cli.terminal import emit_line

    if as_json:
        emit_line({"kind": "log", **piece.model_dump(mode="json")})
        return
    stream = sys.stderr if to_stderr or piece.stream == "stderr" else sys.stdout
    stream.write(piece.text)
    stream.flush()


def explain(context: typer.Context, job: JobId, as_json: Json = False) -> None:
    """Say why a job is where it is: why here, why now, why not elsewhere."""
    from suanwang.cli.terminal import emit

    with network(context) as client:
        found = client.explain(job)
        if as_json:
            emit(found)
            return
        from suanwang.cli import tables

        names = tables.site_names(client.sites())
    _print_explanation(found, names)


def _print_explanation(found: models.Explanation, names: dict[str, str]) -> None:
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, said
    from suanwang.cli.words import state_word, verdict_word, word

    out = console()
    job = found.job
    place = names.get(job.site, job.site) if job.site else ""
    verdict = verdict_word(found.verdict) + (f" {place}" if place and found.verdict in ("placed", "ended") else "")
    out.print(f"{job.name} ({job.id}): {state_word(job.state)}; {verdict}")
    if found.hold is not None:
        out.print(f"  {tables.held(found.hold, names)}")
    if job.reason:
        out.print(f"  {said(job.reason)}")
    for need, state in found.needs.items():
        out.print(f"  {word('needs')} {need}: {state_word(state)}")
    if found.why is not None:
        if found.why.note:
            out.print(f"  {said(found.why.note)}")
        out.print(tables.why(found.why, names))
