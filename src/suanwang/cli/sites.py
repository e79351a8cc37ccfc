"""Commands about sites: look, invite, change, drain, open, and a draft of a site file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suanwang.cli.options import Json, network
from suanwang.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from suanwang.client import Client, models
    from suanwang.sitefile import SiteDeclaration

app = typer.Typer(no_args_is_help=True, help="Sites: list, show, invite, change, drain, open, template.")
SiteId = Annotated[str, typer.Argument(metavar="SITE", help="The site's identifier.")]
SiteFile = Annotated[Path, typer.Argument(metavar="SITE_FILE", help="The provider's site.yaml.")]


def read_declaration(path: Path) -> SiteDeclaration:
    """The site file at `path`. Raises `InvalidRequest` naming the field, or the file that cannot be read."""
    from suanwang.sitefile import read_site

    try:
        text = path.read_bytes()
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be read: {error.strerror}", field=str(path), allowed="a site file"
        ) from error
    return read_site(text, filename=path.name)


@app.command("list")
def list_sites(context: typer.Context, as_json: Json = False) -> None:
    """List the network's sites."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        rows = client.sites()
    if as_json:
        emit(rows)
    else:
        console().print(tables.sites(rows))


@app.command()
def show(context: typer.Context, site: SiteId, as_json: Json = False) -> None:
    """Show one site, with what was sensed there."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        view = client.site(site)
        samples = client.samples(site)
    if as_json:
        emit({"site": view, "samples": samples})
        return
    out = console()
    out.print(tables.site(view))
    if samples:
        made = tables.table("metric", "value", "unit", "note", "seen", right=("value",))
        for row in samples:
            value = "" if row.value is None else f"{row.value:,.6g}"
            made.add_row(
                row.metric_type, value, row.unit, f"{row.source} {row.statistic}", tables.instant(row.observed_at)
            )
        out.print()
        out.print(made)


@app.command()
def invite(context: typer.Context, site_file: SiteFile, as_json: Json = False) -> None:
    """Register a site; prints the join token for its agent, this once."""
    from suanwang.cli.terminal import emit, note

    declaration = read_declaration(site_file)
    with network(context) as client:
        done = client.invite_site(declaration.id, declaration.offering)
        publish_prices(client, declaration)
    if as_json:
        emit(done)
        return
    sys.stdout.write(done.join_token + "\n")
    note(f"{declaration.id} is invited. On the site: suanwang agent --join TOKEN --site {site_file.name} --url URL")


@app.command("join-token")
def join_token(context: typer.Context, site: SiteId, as_json: Json = False) -> None:
    """Print a new join token for a site's agent, this once; it is valid for a week."""
    from suanwang.cli.terminal import emit

    with network(context) as client:
        token = client.join_token(site)
    if as_json:
        emit({"site": site, "join_token": token})
    else:
        sys.stdout.write(token + "\n")


@app.command()
def change(context: typer.Context, site_file: SiteFile, as_json: Json = False) -> None:
    """Declare a site anew: price, capacity, data sets. Leases that stand keep their price."""
    declaration = read_declaration(site_file)
    with network(context) as client:
        view = client.change_site(declaration.id, declaration.offering)
        publish_prices(client, declaration)
    _print(view, as_json=as_json)


def publish_prices(client: Client, declaration: SiteDeclaration) -> None:
    """The price list of a site file; nothing changes where the site's newest one says the same."""
    from suanwang.cli.terminal import note

    if declaration.price_list is not None:
        made = client.publish_prices(declaration.id, declaration.price_list.asked, declaration.price_list.valid_from)
        note(f"{declaration.id}: price list {made.version} holds from {made.valid_from.isoformat()} on")


@app.command()
def drain(context: typer.Context, site: SiteId, as_json: Json = False) -> None:
    """Give a site no new work; what runs there runs on."""
    with network(context) as client:
        view = client.drain_site(site)
    _print(view, as_json=as_json)


@app.command("open")
def open_site(context: typer.Context, site: SiteId, as_json: Json = False) -> None:
    """Give a drained site work again."""
    with network(context) as client:
        view = client.open_site(site)
    _print(view, as_json=as_json)


def _print(view: models.SiteView, *, as_json: bool) -> None:
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    if as_json:
        emit(view)
    else:
        console().print(tables.site(view))


@app.command()
def template(
    slurm: Annotated[bool, typer.Option("--slurm", help="Ask this machine's sinfo what there is.")] = False,
    partition: Annotated[str | None, typer.Option(help="Only this Slurm partition.")] = None,
    conf: Annotated[str | None, typer.Option(help="Path of slurm.conf, where it is not the default one.")] = None,
    site: Annotated[str, typer.Option("--id", help="The site's identifier.")] = "my-site",
    place: Annotated[str, typer.Option(help="A city the catalogue knows.")] = "北京",
) -> None:
    """Write a draft of a site file to standard output; look at it before you use it."""
    from suanwang.cli import drafting

    if slurm:
        sys.stdout.write(drafting.of_slurm(site, place=place, partition=partition, conf=conf))
    else:
        sys.stdout.write(drafting.of_this_host(site, place=place))
