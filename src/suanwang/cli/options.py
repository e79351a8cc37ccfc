"""Options that several commands share, and the state the root command leaves for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from suanwang.cli import login

if TYPE_CHECKING:
    from suanwang.client import Client

Json = Annotated[
    bool, typer.Option("--json", help="Print JSON on standard output; what is for people goes to standard error.")
]
Project = Annotated[
    str | None, typer.Option("--project", help="The project; by default your first.", show_default=False)
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="Most rows to print.")]


@dataclass(frozen=True, slots=True)
class Target:
    """What was said before the command: `suanwang --url … --token …`, or the environment."""

    url: str | None = None
    token: str | None = None


@contextmanager
def network(context: typer.Context) -> Iterator[Client]:
    """The client for the network this command line is logged in to."""
    target = context.obj if isinstance(context.obj, Target) else Target()
    found = login.find(target.url, target.token)
    with open_client(found.url, found.token) as client:
        yield client


def open_client(url: str, token: str | None) -> Client:
    """A client that asks for texts in the terminal's language."""
    from suanwang.cli.terminal import chinese
    from suanwang.client import Client

    return Client(url, token, chinese=chinese())
