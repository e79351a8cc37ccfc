"""Commands about the digital twin's workloads; `app` is the group that all of the twin's commands hang on."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="The digital twin: traces, generated work, experiments.")


@app.callback()
def twin() -> None:
    """The digital twin: traces, generated work, experiments."""
