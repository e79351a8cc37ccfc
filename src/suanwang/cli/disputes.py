"""Commands about disputes: opening one about a bill line, saying something, deciding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from suanwang.cli.exits import UsageError
from suanwang.cli.options import Json, network
from suanwang.cli.trading import fen_of
from suanwang.cli.words import word

if TYPE_CHECKING:
    from suanwang.client import dispute_models

app = typer.Typer(no_args_is_help=True, help="Disputes about bill lines 账单争议: open, say, decide, show, list.")
Usage = Annotated[str, typer.Argument(metavar="LINE", help="The bill line's usage record, as `bill lines` shows it.")]
Why = Annotated[str, typer.Argument(metavar="TEXT", help="Why, in a few sentences.")]


@app.command("open")
def open_dispute(context: typer.Context, usage: Usage, text: Why, as_json: Json = False) -> None:
    """Say that a line is wrong: for the project that pays it, and the provider that ran it."""
    with network(context) as client:
        _shown(client.open_dispute(usage, text), as_json)


@app.command()
def say(context: typer.Context, usage: Usage, text: Why, as_json: Json = False) -> None:
    """Add a statement of your side, while it is open."""
    with network(context) as client:
        _shown(client.state_dispute(usage, text), as_json)


@app.command()
def decide(
    context: typer.Context,
    usage: Usage,
    text: Why,
    credit: Annotated[
        str | None, typer.Option(help="Give back this much of the line, in yuan.", show_default=False)
    ] = None,
    reject: Annotated[bool, typer.Option("--reject", help="Give nothing back.")] = False,
    as_json: Json = False,
) -> None:
    """Decide a dispute for good. For operators."""
    amount = 0 if credit is None else fen_of(credit)
    if (amount > 0) == reject:
        raise UsageError("say what is decided", field="decision", allowed="--credit YUAN or --reject")
    with network(context) as client:
        _shown(client.decide_dispute(usage, amount, text), as_json)


@app.command()
def show(context: typer.Context, usage: Usage, as_json: Json = False) -> None:
    """What was said and decided about a line."""
    with network(context) as client:
        _shown(client.dispute(usage), as_json)


@app.command("list")
def list_disputes(
    context: typer.Context,
    undecided: Annotated[bool, typer.Option("--open", help="Only those that are not decided.")] = False,
    as_json: Json = False,
) -> None:
    """The disputes of your side; all for operators and regulators."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        rows = list(client.disputes(undecided=undecided))
    if as_json:
        emit(rows)
        return
    made = tables.table("line", "project", "provider", "state", "amount", "given_back", right=("amount", "given_back"))
    for row in rows:
        money = (tables.fen(row.amount_fen), tables.fen(row.credit_fen))
        made.add_row(row.usage, row.project, row.provider, word(f"dispute_{row.state}"), *money)
    console().print(made)


def _shown(dispute: dispute_models.DisputeView, as_json: bool) -> None:
    from rich.text import Text

    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    if as_json:
        emit(dispute)
        return
    made = tables.table("at", "side", "what", "by", "text", "amount", "leaf", right=("amount", "leaf"))
    for step in dispute.steps:
        made.add_row(
            tables.instant(step.at),
            word(f"side_{step.side or 'operator'}"),
            word(f"dispute_{step.act}"),
            step.by,
            Text(step.text),
            tables.fen(step.credit_fen) if step.credit_fen else "",
            str(step.leaf),
        )
    console().print(made)
