"""Commands about algorithms, models and data sets for sale (算法、模型与数据): list, show, buy, sell, withdraw, look at uses."""

from __future__ import annotations

import uuid
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from suanwang.cli.exits import UsageError
from suanwang.cli.options import Json, Limit, Project, network
from suanwang.cli.submitting import default_project
from suanwang.cli.trading import fen_of
from suanwang.trading.listings import Charge, Kind

if TYPE_CHECKING:
    from rich.table import Table

    from suanwang.client import listing_models

app = typer.Typer(no_args_is_help=True, help="Algorithms, models and data sets for sale 算法、模型与数据.")
Listing = Annotated[str, typer.Argument(metavar="ID[@VERSION]", help="The listing.")]
Key = Annotated[
    str | None,
    typer.Option(
        "--id", help="Your own name for it: repeating it is harmless; by default one is made.", show_default=False
    ),
]


@app.command("list")
def list_listings(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="Only those that say this.")] = "",
    kind: Annotated[Kind | None, typer.Option(help="Only of this kind.", show_default=False)] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only what you sell.")] = False,
    closed: Annotated[bool, typer.Option("--all", help="Also what was withdrawn.")] = False,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """What is for sale, newest first."""
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        found = client.listings(text=text, kind=kind, mine=mine, closed=closed, page_size=min(limit, 200))
        rows = list(islice(found, limit))
    if as_json:
        emit(rows)
    else:
        console().print(_listings(rows))


@app.command()
def show(context: typer.Context, listing: Listing, as_json: Json = False) -> None:
    """One listing in full."""
    from suanwang.cli.terminal import console, emit, say

    name, version = _named(listing)
    with network(context) as client:
        found = client.listing(name, version)
    if as_json:
        emit(found)
        return
    console().print(_listings([found]))
    say(f"{found.title_zh}\n{found.title_en}")
    if found.description:
        say(found.description)
    say(f"sha256 {found.sha256}" if found.sha256 else f"dataset {found.dataset} @ {found.site}")
    say(found.source)


@app.command()
def add(
    context: typer.Context,
    listing: Annotated[str, typer.Argument(metavar="ID@VERSION", help="Its name and version.")],
    title_en: Annotated[str, typer.Option("--title", help="Its title in English.")],
    title_zh: Annotated[str, typer.Option("--title-zh", help="Its title in Chinese.")],
    kind: Annotated[Kind, typer.Option(help="What it is.")],
    licence: Annotated[str, typer.Option(help="An SPDX identifier such as Apache-2.0, or the name of other terms.")],
    price: Annotated[str, typer.Option(help="Yuan that a buyer pays, the commission included.")],
    charge: Annotated[Charge, typer.Option("--per", help="For each use by a job, or once for a copy.")],
    sha256: Annotated[str | None, typer.Option(help="A file of your project.", show_default=False)] = None,
    file: Annotated[str | None, typer.Option(help="The same by its name.", show_default=False)] = None,
    dataset: Annotated[str | None, typer.Option(help="A data set of your site.", show_default=False)] = None,
    site: Annotated[str | None, typer.Option(help="The site that holds it.", show_default=False)] = None,
    description: Annotated[str, typer.Option(help="What it is good for.")] = "",
    invite: Annotated[
        list[str] | None,
        typer.Option(help="Only for this project; may be repeated. By default for all.", show_default=False),
    ] = None,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Put a version on sale. Versions do not change; list the next one under another."""
    from suanwang.cli.terminal import emit, say

    name, version = _named(listing)
    if version is None:
        raise UsageError("name a version", field="listing", allowed="ID@VERSION, such as my-model@1.0")
    with network(context) as client:
        pays = None if dataset is not None else project or default_project(client)
        if file is not None and pays is not None:
            sha256 = client.file(pays, file).content.sha256
        made = client.add_listing(
            name,
            version,
            title_en=title_en,
            title_zh=title_zh,
            description=description,
            kind=kind,
            licence=licence,
            project=pays,
            sha256=sha256,
            site=site,
            dataset=dataset,
            charge=charge,
            price_fen=fen_of(price),
            invited=invite or None,
        )
    if as_json:
        emit(made)
    else:
        say(made.source)


@app.command()
def buy(
    context: typer.Context,
    listing: Listing,
    project: Project = None,
    price: Annotated[
        str | None,
        typer.Option(
            help="What you saw it for, in yuan: another price is refused. By default as it is now.", show_default=False
        ),
    ] = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Buy a copy: it is a file of your project from then on."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import emit, say

    name, version = _named(listing)
    with network(context) as client:
        amount = client.listing(name, version).price_fen if price is None else fen_of(price)
        done = client.buy_copy(name, price_fen=amount, version=version, project=project, id=key or uuid.uuid4().hex)
    if as_json:
        emit(done)
    else:
        say(f"{done.project}/{done.name}  ¥{tables.fen(done.price_fen)}")


@app.command()
def withdraw(context: typer.Context, listing: Listing, as_json: Json = False) -> None:
    """Take a version, or all of them, off sale. Copies that were bought stay."""
    from suanwang.cli.terminal import emit, say

    name, version = _named(listing)
    with network(context) as client:
        done = client.withdraw_listing(name, version)
    if as_json:
        emit({"listing": name, "versions": done})
    else:
        say(f"{listing}: {done}")


@app.command()
def uses(
    context: typer.Context,
    listing: Annotated[str | None, typer.Argument(help="Only of this listing.", show_default=False)] = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """Who used it: jobs of your projects, and jobs that used what you sell; newest first."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        rows = list(islice(client.listing_uses(listing=listing, page_size=min(limit, 200)), limit))
    if as_json:
        emit(rows)
        return
    made = tables.table("listing", "job", "project", "site", "seller", "amount", "state", "at", right=("amount",))
    for row in rows:
        made.add_row(
            f"{row.listing}@{row.version}",
            *(row.job, row.project, row.site, row.seller, tables.fen(row.price_fen), row.state.value),
            tables.instant(row.at),
        )
    console().print(made)


@app.command()
def copies(context: typer.Context, limit: Limit = 100, as_json: Json = False) -> None:
    """Copies that your projects bought, or that you sold; newest first."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        rows = list(islice(client.copies(page_size=min(limit, 200)), limit))
    if as_json:
        emit(rows)
        return
    made = tables.table("listing", "project", "file", "seller", "amount", "at", right=("amount",))
    for row in rows:
        name = f"{row.listing}@{row.version}"
        made.add_row(name, row.project, row.name, row.seller, tables.fen(row.price_fen), tables.instant(row.at))
    console().print(made)


def _named(text: str) -> tuple[str, str | None]:
    name, at, version = text.removeprefix("listing:").partition("@")
    return name, version if at else None


def _listings(rows: list[listing_models.ListingView]) -> Table:
    from suanwang.cli import tables
    from suanwang.cli.terminal import chinese

    zh = chinese()
    made = tables.table("listing", "title", "kind", "licence", "seller", "price", "per", "state", right=("price",))
    for row in rows:
        state = "withdrawn" if row.withdrawn_at is not None else "invited" if row.invited is not None else "open"
        title = row.title_zh if zh else row.title_en
        name = f"{row.id}@{row.version}"
        made.add_row(
            name, title, row.kind.value, row.licence, row.seller, tables.fen(row.price_fen), row.charge.value, state
        )
    return made
