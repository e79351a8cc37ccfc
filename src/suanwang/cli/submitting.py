"""`suanwang submit`: read a task file here, upload what it names, submit, and watch.

Owns the one place where local files named by a task file are opened. What is a correct task is the task file's business.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suanwang.cli.exits import JobFailed, UsageError
from suanwang.cli.options import Json, Project, network
from suanwang.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from suanwang.client import Client, models
    from suanwang.taskfile import Submission, Upload

Transfer = Callable[[str, int, int], None]
"""Called with a file's name, bytes done and bytes in all."""
WATCH_S = 1.0
"""Pause between two looks at several jobs."""


def submit(
    context: typer.Context,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A task file (native YAML, sbatch script or SkyPilot task); - reads standard input."
        ),
    ],
    project: Project = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Stay until all jobs have ended; 8 unless all succeed.")
    ] = False,
    preview: Annotated[bool, typer.Option("--preview", help="Only say where it would run and what is wrong.")] = False,
    key: Annotated[str | None, typer.Option("--key", help="Idempotency key: the same key submits once.")] = None,
    quote: Annotated[
        str | None, typer.Option(help="Run as an offer of this quote says, at its prices.", show_default=False)
    ] = None,
    offer: Annotated[
        int | None, typer.Option(min=1, help="Which offer of the quote; by default the first.", show_default=False)
    ] = None,
    reservation: Annotated[
        str | None, typer.Option(help="Run on this right to capacity: see `suanwang order rights`.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Submit a task file; local files it names are uploaded first."""
    from suanwang.cli.terminal import note
    from suanwang.taskfile import read_tasks

    if watch and preview:
        raise UsageError("--watch and --preview do not go together: a preview submits nothing")
    if preview and quote:
        raise UsageError("--preview and --quote do not go together: the quote says where it runs")
    if reservation and (preview or quote):
        raise UsageError("--reservation goes with neither --preview nor --quote: the right says where it runs")
    if offer and not quote:
        raise UsageError("--offer goes with --quote")
    text, name = read_input(file)
    submission = read_tasks(text, filename=name)
    for line in submission.notes:
        note(f"note: {line}")
    with network(context) as client:
        if preview:
            _preview(client, submission, project or default_project(client), as_json=as_json)
            return
        pays = project or _payer(client, quote, reservation)
        with transfer_bars() as bar:
            upload_inputs(client, submission.uploads, project=pays, folder=Path.cwd(), progress=bar)
        done = client.submit(submission.tasks, project=pays, key=key, quote=quote, offer=offer, reservation=reservation)
        _say(done, as_json=as_json, watched=watch)
        _refuse(client, done)
        if watch:
            _watch(client, done, as_json=as_json)


def _payer(client: Client, quote: str | None, reservation: str | None) -> str:
    """The project of the quote or right, else the caller's first."""
    if quote is not None:
        return client.quoted(quote).project
    if reservation is not None:
        found = next((right for right in client.rights() if right.id == reservation), None)
        if found is None:
            raise UsageError(f"you hold no right {reservation!r}", field="reservation", allowed="see `order rights`")
        return found.project
    return default_project(client)


def read_input(file: str) -> tuple[bytes, str]:
    """The bytes of FILE, or of standard input for `-`, and a name for messages."""
    if file == "-":
        return sys.stdin.buffer.read(), "standard input"
    path = Path(file)
    try:
        return path.read_bytes(), path.name
    except OSError as error:
        raise InvalidRequest(
            f"{file} cannot be read: {error.strerror}", field="FILE", allowed="a file, or -"
        ) from error


def default_project(client: Client) -> str:
    mine = client.whoami().projects or tuple(project.id for project in client.projects())
    if not mine:
        raise InvalidRequest("no project is known to pay for this", field="--project", allowed="a project's identifier")
    return mine[0]


def upload_inputs(
    client: Client,
    uploads: Sequence[Upload],
    *,
    project: str,
    folder: Path,
    progress: Transfer | None = None,
) -> None:
    """Send the local files and folders that tasks name; relative paths begin at `folder`.

    `progress(name, done, total)` in bytes. Raises `InvalidRequest` for one that cannot be read.
    """
    for upload in uploads:
        source = Path(upload.local_path).expanduser()
        source = source if source.is_absolute() else folder / source
        if not source.exists():
            raise InvalidRequest(
                f"{upload.local_path} does not exist here",
                field=f"inputs.{upload.to}",
                allowed="an existing file or folder",
            )
        send(client, source, project=project, name=upload.name, progress=progress)


def send(
    client: Client,
    source: Path,
    *,
    project: str,
    name: str,
    progress: Transfer | None = None,
) -> models.FileView:
    """Upload one file, or a folder packed as an archive, under `name`."""
    import tempfile

    from suanwang.sensing.carrying import pack

    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress(name, done, total)

    if not source.is_dir():
        return client.upload(source, project=project, name=name, progress=tell)
    with tempfile.TemporaryDirectory(prefix="suanwang-") as into:
        packed = pack(source, Path(into))
        return client.upload(packed.path, project=project, name=name, folder=True, progress=tell)


@contextmanager
def transfer_bars() -> Iterator[Transfer]:
    """A progress bar per file on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _name, _done, _total: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

    from suanwang.cli.terminal import console

    bars: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as shown:

        def move(name: str, done: int, total: int) -> None:
            if name not in bars:
                bars[name] = shown.add_task(name, total=total)
            shown.update(bars[name], completed=done, total=total)

        yield move


def _say(done: models.Submitted, *, as_json: bool, watched: bool) -> None:
    """The identifiers; as JSON at once, unless the jobs are watched and their ends are the result."""
    from suanwang.cli.terminal import emit, note, say

    for line in done.notes:
        note(f"note: {line}")
    if as_json and not watched:
        emit(done)
        return
    for job in done.jobs:
        if job.array is None or job.array.index == 0:
            members = f", array of {job.array.count}" if job.array else ""
            say(f"{job.id}  {job.name}{members}", as_json=as_json)
    sys.stdout.flush()


def _refuse(client: Client, done: models.Submitted) -> None:
    """Raises `JobFailed` with the reason of every site for jobs that no site can run."""
    from suanwang.cli.terminal import said
    from suanwang.domain.lifecycle import JobState

    refused = [
        job for job in done.jobs if job.state is JobState.REFUSED and (job.array is None or job.array.index == 0)
    ]
    if not refused:
        return
    lines = []
    for job in refused:
        found = client.explain(job.id).why
        reasons = [f"{out.site}: {out.text}" for out in found.excluded] if found is not None else []
        lines.append("\n    ".join([said(f"no site of the network can run {job.name!r} ({job.id}):"), *reasons]))
    raise JobFailed("\n".join(lines))


def _preview(client: Client, submission: Submission, project: str, *, as_json: bool) -> None:
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit, said
    from suanwang.cli.words import verdict_word

    found = client.preview(submission.tasks, project=project)
    if as_json:
        emit(found)
    else:
        names = tables.site_names(client.sites())
        out = console()
        for problem in found.problems:
            allowed = f" ({said(problem.allowed)})" if problem.allowed else ""
            out.print(f"{problem.field}: {said(problem.message)}{allowed}")
        for task in found.tasks:
            chosen = task.why.chosen
            place = f" {names.get(chosen.site, chosen.site)}" if chosen and task.verdict == "runs" else ""
            out.print(f"{task.name} × {task.count}: {verdict_word(task.verdict)}{place}")
            if task.hold is not None:
                out.print(f"  {tables.held(task.hold, names)}")
            if task.holds is not None:
                out.print(f"  {tables.holds(task.holds, project)}")
            out.print(tables.why(task.why, names))
    if found.problems:
        raise InvalidRequest("the task file has problems; nothing was submitted", field=found.problems[0].field)
    if any(task.verdict == "refused" for task in found.tasks):
        raise JobFailed("no site of the network can run it; nothing was submitted")


def _watch(client: Client, done: models.Submitted, *, as_json: bool) -> None:
    from suanwang.cli import tables
    from suanwang.cli.jobs import follow_output
    from suanwang.cli.terminal import console, emit, note
    from suanwang.domain.lifecycle import JobState

    if done.count == 1:
        follow_output(client, done.jobs[0].id, to_stderr=as_json)
    ended = _until_all_ended(client, done)
    if as_json:
        emit(ended)
    elif len(ended) > 1:
        console().print(tables.jobs(ended))
    bad = [job for job in ended if job.state is not JobState.SUCCEEDED]
    if bad:
        first = bad[0]
        ending = first.state if first.exit_code is None else f"{first.state} with exit code {first.exit_code}"
        raise JobFailed(
            f"{len(bad)} of {len(ended)} jobs did not succeed; {first.name} ({first.id}) {ending}"
            + (f": {first.reason}" if first.reason else "")
            + f"; see `suanwang logs {first.id}` and `suanwang explain {first.id}`"
        )
    if not as_json:
        note(f"{len(ended)} of {len(ended)} jobs succeeded")


def _until_all_ended(client: Client, done: models.Submitted) -> list[models.JobView]:
    import time

    from suanwang.domain.lifecycle import ENDED

    single = [job.id for job in done.jobs if job.array is None]
    arrays = sorted({job.array.id for job in done.jobs if job.array is not None})
    with _counting(done.count) as tell:
        while True:
            found: list[models.JobView] = [client.job(job) for job in single]
            for array in arrays:
                found += sorted(client.jobs(array=array), key=lambda job: job.id)
            over = sum(job.state in ENDED for job in found)
            tell(over)
            if over == len(found):
                return found
            time.sleep(WATCH_S)


@contextmanager
def _counting(total: int) -> Iterator[Callable[[int], None]]:
    if total == 1 or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from suanwang.cli.terminal import console

    columns = (TextColumn("jobs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as shown:
        bar = shown.add_task("jobs", total=total)
        yield lambda over: shown.update(bar, completed=over)
