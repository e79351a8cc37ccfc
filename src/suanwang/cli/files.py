"""Commands about a project's files: put, get, list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suanwang.cli.options import Json, Limit, Project, network
from suanwang.cli.submitting import default_project, send, transfer_bars
from suanwang.domain.errors import Conflict, InvalidRequest

if TYPE_CHECKING:
    from suanwang.client import Client, models

app = typer.Typer(no_args_is_help=True, help="Files of a project: put, get, list.")


@app.command()
def put(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="A file or folder here.")],
    name: Annotated[
        str | None, typer.Argument(help="Its name in the project; by default its own.", show_default=False)
    ] = None,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Upload a file or folder; an upload that broke off goes on where it stopped."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    if not source.exists():
        raise InvalidRequest(f"{source} does not exist", field="SOURCE", allowed="an existing file or folder")
    with network(context) as client, transfer_bars() as bar:
        pays = project or default_project(client)
        made = send(client, source, project=pays, name=name or source.resolve().name, progress=bar)
    if as_json:
        emit(made)
    else:
        console().print(tables.files([made]))


@app.command()
def get(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name in the project.")],
    target: Annotated[
        Path | None, typer.Argument(help="Where to put it; by default its own name.", show_default=False)
    ] = None,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Download a file or folder, checked on arrival."""
    from suanwang.cli.terminal import emit, said, say

    with network(context) as client:
        record = client.file(project or default_project(client), name)
        if record.site is not None:
            raise InvalidRequest(
                f"{name} is held at {record.site} and may not leave it",
                field="NAME",
                allowed="files held by the network",
            )
        place = target or Path(name.rpartition("/")[2])
        if place.is_dir() and not record.content.folder:
            place = place / name.rpartition("/")[2]
        _fetch(client, record, place)
    if as_json:
        emit({"file": record, "path": str(place)})
    else:
        say(said(f"{record.name} version {record.version} → {place}"))


def _fetch(client: Client, record: models.FileView, place: Path) -> None:
    import tempfile

    from suanwang.domain.file import Content
    from suanwang.sensing.carrying import unpack

    if not record.content.folder:
        place.parent.mkdir(parents=True, exist_ok=True)
        with transfer_bars() as bar:
            client.download(record.content.sha256, place, progress=lambda done, total: bar(record.name, done, total))
        return
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise Conflict(f"{place} exists already: choose another place or remove it")
    with tempfile.TemporaryDirectory(prefix="suanwang-") as folder, transfer_bars() as bar:
        packed = Path(folder) / "packed"
        client.download(record.content.sha256, packed, progress=lambda done, total: bar(record.name, done, total))
        content = Content(sha256=record.content.sha256, size=record.content.size, folder=True)
        unpack(packed, content, place)


@app.command("list")
def list_files(context: typer.Context, project: Project = None, limit: Limit = 1000, as_json: Json = False) -> None:
    """List the project's files, the newest version of each."""
    from itertools import islice

    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        rows = list(islice(client.files(project or default_project(client)), limit))
    if as_json:
        emit(rows)
    else:
        console().print(tables.files(rows))
