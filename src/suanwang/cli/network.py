"""Commands that are the network: the control plane, an agent, both at once, and the demonstration."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanwang.cli.options import Json, Target
from suanwang.domain.errors import InvalidRequest, Unauthorized

if TYPE_CHECKING:
    from suanwang.settings import Settings
    from suanwang.sitefile import SiteDeclaration

Home = Annotated[
    Path | None,
    typer.Option(
        "--home", help="Folder of the network's state; by default SUANWANG_HOME or .suanwang.", show_default=False
    ),
]
Host = Annotated[
    str | None, typer.Option("--host", help="Address to listen on; by default 127.0.0.1.", show_default=False)
]
Port = Annotated[
    int | None,
    typer.Option(
        "--port", min=0, max=65535, help="Port to listen on; by default 8340, 0 takes a free one.", show_default=False
    ),
]
WithParent = Annotated[
    bool, typer.Option("--with-parent", hidden=True, help="End when the process that started this one is gone.")
]


def end_with_parent() -> None:
    """Send this process TERM once the one that started it is gone, however it went."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


@contextmanager
def until_told() -> Iterator[None]:
    """TERM and Ctrl-C end what runs inside, and everything it opened is closed again; further TERMs change nothing.

    The web server hands a signal on once it has stopped, and the default for TERM would cut the rest short.
    """

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


def settings_with(**said: Any) -> Settings:
    """The environment's settings, with what the command line says put over them."""
    from pydantic import ValidationError

    from suanwang.settings import Settings

    try:
        return Settings(**{name: value for name, value in said.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest(f"setting {field} cannot be used: {first['msg']}", field=field) from None


def serve(
    home: Home = None,
    host: Host = None,
    port: Port = None,
    database_url: Annotated[
        str | None,
        typer.Option("--database", help="A PostgreSQL server; without it one is embedded.", show_default=False),
    ] = None,
    files_url: Annotated[
        str | None, typer.Option("--files", help="Where files go, as fsspec writes it.", show_default=False)
    ] = None,
    with_parent: WithParent = False,
    as_json: Json = False,
) -> None:
    """Run the control plane: API, web page and control loop, until it is stopped."""
    from suanwang.cli.logs import log_to
    from suanwang.cli.terminal import emit_line, said, say
    from suanwang.serving import Serving
    from suanwang.serving import serve as run

    log_to(sys.stderr)
    settings = settings_with(home=home, host=host, port=port, database_url=database_url, files_url=files_url)
    if with_parent:
        end_with_parent()

    def ready(serving: Serving) -> None:
        if as_json:
            emit_line({"url": serving.url, "home": str(settings.home)})
            return
        say(said(f"the network is up at {serving.url}"))
        if settings.operator_token is None:
            say(said(f"the operator's token is in {settings.home / 'operator-token'}"))
        sys.stdout.flush()

    with until_told():
        run(settings, on_ready=ready)


def agent(
    context: typer.Context,
    site: Annotated[Path, typer.Option("--site", help="The provider's site.yaml.")],
    join: Annotated[
        str | None,
        typer.Option(
            "--join",
            envvar="SUANWANG_JOIN_TOKEN",
            help="The join token; needed the first time only.",
            show_default=False,
        ),
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", envvar="SUANWANG_URL", help="The network's address.", show_default=False)
    ] = None,
    home: Annotated[
        Path | None,
        typer.Option("--home", help="Folder of the agent's state; by default .suanwang/sites/ID.", show_default=False),
    ] = None,
    with_parent: WithParent = False,
) -> None:
    """Run a site's agent. It dials out only; when it stops, its runs go on and the next start takes them up again."""
    from suanwang.cli import login
    from suanwang.cli.logs import log_to
    from suanwang.cli.sites import read_declaration
    from suanwang.cli.terminal import note
    from suanwang.wiring.agent import run_agent

    log_to(sys.stderr)
    declaration = beside(read_declaration(site), site.resolve().parent)
    target = context.obj if isinstance(context.obj, Target) else Target()
    kept = login.stored()
    address = url or target.url or (kept.url if kept else None)
    if address is None:
        raise Unauthorized("say which network this site joins: --url or SUANWANG_URL", field="--url")
    # What the agent starts must not find the token in its environment.
    os.environ.pop("SUANWANG_JOIN_TOKEN", None)
    if with_parent:
        end_with_parent()
    run_agent(
        declaration,
        url=address,
        token=join,
        home=home or Path(".suanwang") / "sites" / declaration.id,
        on_event=lambda text: note(f"{declaration.id}: {text}"),
    )


def beside(declaration: SiteDeclaration, folder: Path) -> SiteDeclaration:
    """Data set paths of a site file begin at the file's own folder."""
    from dataclasses import replace

    return replace(declaration, datasets={name: str(folder / path) for name, path in declaration.datasets.items()})


def up(
    home: Home = None,
    port: Port = None,
    place: Annotated[str, typer.Option(help="The city this machine is in; used once, for its site file.")] = "北京",
    as_json: Json = False,
) -> None:
    """Run a whole network here: the control plane, and this machine as its first site. Until Ctrl-C."""
    from suanwang.cli.upping import run_up

    with until_told():
        run_up(settings_with(home=home, port=port), place=place, as_json=as_json)


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Exit when the work is done; non-zero if anything went wrong.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 takes a free one.")] = 0,
    home: Annotated[
        Path | None,
        typer.Option("--home", help="Keep all state here; by default a temporary folder.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Start three sites, give them real work, stop one in mid-run, and show what became of it all."""
    from suanwang.demo.driver import run_demo

    run_demo(once=once, port=port, home=home, as_json=as_json)
