"""Commands about who you are: login, whoami, tokens, projects."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from suanwang.cli import login as logins
from suanwang.cli.exits import UsageError
from suanwang.cli.options import Json, Target, network, open_client
from suanwang.domain.identity import Role

tokens = typer.Typer(no_args_is_help=True, help="Tokens: create, list, revoke.")
projects = typer.Typer(no_args_is_help=True, help="Projects: create, list.")


def login(
    context: typer.Context,
    url: Annotated[str | None, typer.Argument(metavar="URL", help="The network's address.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Keep a network's address and your token for the next commands.

    The token is read from SUANWANG_TOKEN, from standard input, or asked for without showing it.
    """
    from suanwang.cli.terminal import emit, said, say

    target = context.obj if isinstance(context.obj, Target) else Target()
    address = url or target.url
    if address is None:
        raise UsageError("say which network: `suanwang login URL`")
    secret = target.token
    if secret is None:
        secret = typer.prompt("Token", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    found = logins.Login(url=address.rstrip("/"), token=secret.strip())
    with open_client(found.url, found.token) as client:
        me = client.whoami()
    path = logins.store(found)
    if as_json:
        emit({"url": found.url, "path": str(path), "caller": me})
    else:
        say(said(f"logged in to {found.url} as {me.name} ({me.role}); kept in {path}"))


def logout() -> None:
    """Forget the address and the token that were kept."""
    from suanwang.cli.terminal import said, say

    say(said("logged out" if logins.forget() else "you were not logged in"))


def whoami(context: typer.Context, as_json: Json = False) -> None:
    """Say which network this is and who you are there."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        me = client.whoami()
    if as_json:
        emit(me)
        return
    rows = (
        ("name", me.name),
        ("role", str(me.role)),
        ("project", ", ".join(me.projects)),
        ("provider", me.provider or ""),
    )
    console().print(tables.facts((*rows, ("site", me.site or ""))))


@tokens.command("create")
def create_token(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Whose it is: lower-case letters, digits and . _ @ -")],
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.USER,
    project: Annotated[
        list[str] | None, typer.Option(help="A project it belongs to; the first is its default.", show_default=False)
    ] = None,
    provider: Annotated[str | None, typer.Option(help="The organisation a provider's token speaks for.")] = None,
    days: Annotated[
        float | None, typer.Option(min=0.0001, max=366, help="How long it lives; without it, until revoked.")
    ] = None,
    note: Annotated[str, typer.Option(help="A reminder for yourself.")] = "",
    as_json: Json = False,
) -> None:
    """Make a token; its secret is printed this once."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        made = client.create_token(
            name,
            role,
            projects=project or (),
            provider=provider,
            ttl_s=None if days is None else max(1.0, days * 86400),
            note=note,
        )
    if as_json:
        emit(made)
        return
    sys.stdout.write(made.secret + "\n")
    console(stderr=True).print(tables.tokens([made.token]))


@tokens.command("list")
def list_tokens(context: typer.Context, as_json: Json = False) -> None:
    """List tokens without their secrets: yours, or all for an operator."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        rows = client.tokens()
    if as_json:
        emit(rows)
    else:
        console().print(tables.tokens(rows))


@tokens.command("revoke")
def revoke_token(
    context: typer.Context,
    token: Annotated[
        str, typer.Argument(metavar="TOKEN_ID", help="The token's identifier, from `suanwang token list`.")
    ],
    as_json: Json = False,
) -> None:
    """End a token at once."""
    from suanwang.cli.terminal import emit, said, say

    with network(context) as client:
        client.revoke_token(token)
    if as_json:
        emit({"token": token, "revoked": True})
    else:
        say(said(f"{token} is revoked"))


@projects.command("create")
def create_project(
    context: typer.Context,
    project: Annotated[str, typer.Argument(help="Lower-case letters, digits and dashes.")],
    title: Annotated[str, typer.Option(help="What people call it.")] = "",
    as_json: Json = False,
) -> None:
    """Make a project, which pays for jobs."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        made = client.create_project(project, title)
    if as_json:
        emit(made)
    else:
        console().print(tables.projects([made]))


@projects.command("label")
def label_project(
    context: typer.Context,
    project: Annotated[str, typer.Argument(help="The project.")],
    organisation: Annotated[str | None, typer.Option(help="Whose it is.", show_default=False)] = None,
    department: Annotated[str | None, typer.Option(help="Which part of the organisation.", show_default=False)] = None,
    team: Annotated[str | None, typer.Option(help="Which team of it.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Say whose a project is; what is not said any more is forgotten. For operators."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        done = client.label_project(project, organisation=organisation, department=department, team=team)
    if as_json:
        emit(done)
    else:
        console().print(tables.projects([done]))


@projects.command("allow")
def allow_project(
    context: typer.Context,
    project: Annotated[str, typer.Argument(help="The project.")],
    weight: Annotated[
        float | None, typer.Option(help="Of its share beside other projects'.", show_default=False)
    ] = None,
    cores: Annotated[str | None, typer.Option(help="Most in use at once, or `none`.", show_default=False)] = None,
    memory_gb: Annotated[str | None, typer.Option(help="Most in use at once, or `none`.", show_default=False)] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL=N", help="Most of a model in use at once, or MODEL=none.", show_default=False),
    ] = None,
    queued: Annotated[
        str | None, typer.Option(help="Most jobs that wait at once, or `none`.", show_default=False)
    ] = None,
    high: Annotated[
        bool | None, typer.Option("--high/--no-high", help="Whether jobs may be of high priority.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what a project may have; what is not said stays. For operators."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit
    from suanwang.client import models

    with network(context) as client:
        had = client.allowance(project)
        devices = dict(had.devices)
        for written in device or ():
            model, _, most = written.partition("=")
            limit = _limit(most, f"--device {written}")
            devices.pop(model, None)
            if limit is not None:
                devices[model] = int(limit)
        most_cores, most_queued = _limit(cores, "--cores"), _limit(queued, "--queued")
        asked = models.NewAllowance(
            weight=had.weight if weight is None else weight,
            cores=had.cores if cores is None else None if most_cores is None else int(most_cores),
            memory_gb=had.memory_gb if memory_gb is None else _limit(memory_gb, "--memory-gb"),
            devices=devices,
            queued=had.queued if queued is None else None if most_queued is None else int(most_queued),
            may_be_high=had.may_be_high if high is None else high,
        )
        done = client.allow(project, asked)
    if as_json:
        emit(done)
    else:
        console().print(tables.allowance(done))


@projects.command("show")
def show_project(
    context: typer.Context,
    project: Annotated[str, typer.Argument(help="The project.")],
    as_json: Json = False,
) -> None:
    """Show what a project may have, beside what it has."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        found = client.allowance(project)
    if as_json:
        emit(found)
    else:
        console().print(tables.allowance(found))


def _limit(written: str | None, option: str) -> float | None:
    """A limit as a user writes it. Raises `UsageError`."""
    if written is None or written == "none":
        return None
    try:
        number = float(written)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 10**9 or (number != int(number) and option != "--memory-gb"):
        raise UsageError(f"{option}: {written!r} is no limit; say a number, or none")
    return number


@projects.command("list")
def list_projects(context: typer.Context, as_json: Json = False) -> None:
    """List the projects you may see."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        rows = client.projects()
    if as_json:
        emit(rows)
    else:
        console().print(tables.projects(rows))
