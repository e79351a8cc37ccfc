"""All commands under one name, and the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from suanwang.cli import (
    agreements,
    bills,
    budgets,
    disputes,
    exits,
    files,
    invoices,
    jobs,
    listings,
    network,
    people,
    prices,
    probing,
    quoting,
    sites,
    submitting,
    terminating,
    trading,
    twin_power,
    twin_replay,
    twin_running,
    twinning,
    vouchers,
)
from suanwang.cli.options import Json, Target

app = typer.Typer(
    name="suanwang",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Suanwang 算网: one computing-power network. Start here: suanwang demo",
)


@app.callback()
def root(
    context: typer.Context,
    url: Annotated[
        str | None, typer.Option(envvar="SUANWANG_URL", help="The network's address.", show_default=False)
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="SUANWANG_TOKEN", help="Your token; better in the environment.", show_default=False),
    ] = None,
) -> None:
    """Suanwang 算网: one computing-power network. Start here: suanwang demo"""
    context.obj = Target(url=url or None, token=token or None)


def version(as_json: Json = False) -> None:
    """Print the version."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    from suanwang.cli.terminal import emit, say

    try:
        found = installed("suanwang")
    except PackageNotFoundError:
        found = _version_of_checkout()
    if as_json:
        emit({"version": found, "python": sys.version.split()[0]})
    else:
        say(f"suanwang {found}")


def _version_of_checkout() -> str:
    """`make` uses the package where it lies, without installing it: its version stands in the project's own file."""
    import tomllib
    from pathlib import Path

    import suanwang

    try:
        text = (Path(suanwang.__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
        return str(tomllib.loads(text)["project"]["version"])
    except (OSError, KeyError, ValueError):
        return "of unknown version"


def schema() -> None:
    """Print the JSON schema of the task file, for editors."""
    from suanwang.cli.terminal import emit
    from suanwang.taskfile import json_schema

    emit(json_schema())


app.command()(network.demo)
app.command()(network.up)
app.command()(network.serve)
app.command()(network.agent)
app.command()(submitting.submit)
app.command()(quoting.need)
app.command()(quoting.quote)
app.command()(quoting.trial)
app.add_typer(jobs.app, name="job")
app.command()(jobs.logs)
app.command()(jobs.explain)
app.command()(jobs.cancel)
bills.app.command()(trading.evidence)
app.add_typer(bills.app, name="bill")
app.add_typer(invoices.app, name="invoice")
app.command()(invoices.statement)
app.add_typer(trading.app, name="wallet")
app.add_typer(budgets.app, name="budget")
app.add_typer(vouchers.app, name="voucher")
app.add_typer(agreements.app, name="agreement")
app.add_typer(disputes.app, name="dispute")
app.add_typer(listings.app, name="listing")
# What ends early stands beside what is ordered: `terminating` adds its commands to these.
app.add_typer(terminating.offers, name="offer")
app.add_typer(terminating.orders, name="order")
app.add_typer(terminating.auctions, name="auction")
app.command("evidence")(trading.paper)
app.command()(trading.trace)
app.command()(trading.verify)
app.add_typer(prices.app, name="price")
app.add_typer(files.app, name="file")
app.add_typer(sites.app, name="site")
app.add_typer(quoting.devices, name="device")
app.add_typer(quoting.lessons, name="lesson")
app.add_typer(people.projects, name="project")
app.add_typer(people.tokens, name="token")
app.command()(people.login)
app.command()(people.logout)
app.command()(people.whoami)
app.command()(probing.probe)
app.add_typer(probing.testbed, name="testbed")
twinning.app.command()(twin_running.run)
twinning.app.command()(twin_running.check)
twinning.app.command()(twin_running.demo)
twinning.app.command()(twin_replay.replay)
twinning.app.command()(twin_power.power)
app.add_typer(twinning.app, name="twin")
app.command()(schema)
app.command()(version)


def run() -> None:
    """Run the command in `sys.argv`; whatever ends it becomes one message and an exit code, never a traceback."""
    try:
        # What Typer says of wrong options is said here too, in the terminal's language.
        ended = app(prog_name="suanwang", standalone_mode=False)
        sys.exit(ended if isinstance(ended, int) else 0)
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        sys.stderr.close()
        sys.exit(0)
    except (Exception, KeyboardInterrupt) as error:
        sys.exit(exits.report(error))
