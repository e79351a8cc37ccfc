"""Commands about budgets: what a person, a project or an organisation may spend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from suanwang.cli.options import Json, network
from suanwang.cli.trading import fen_of
from suanwang.trading.budgets import Period, Scope

if TYPE_CHECKING:
    from suanwang.client import ledger_models

app = typer.Typer(no_args_is_help=True, help="Budgets 预算: what may be spent, by person, project and organisation.")
Of = Annotated[Scope, typer.Argument(help="Whose budget it is.")]
Name = Annotated[str, typer.Argument(help="The person (as his credential is named), project or organisation.")]


@app.command("list")
def list_budgets(context: typer.Context, as_json: Json = False) -> None:
    """The budgets that bind you, with what is spent, held and left; all for operators and regulators."""
    with network(context) as client:
        _shown(client.spending_budgets(), as_json)


@app.command("set")
def set_budget(
    context: typer.Context,
    scope: Of,
    name: Name,
    yuan: Annotated[str, typer.Argument(help="How much may be spent, in yuan.")],
    period: Annotated[Period, typer.Option(help="In each month (UTC+8), or in all.")] = Period.MONTH,
    as_json: Json = False,
) -> None:
    """Set a budget; what is spent already counts, and what runs is ended in time. For operators."""
    amount = fen_of(yuan)
    with network(context) as client:
        _shown(client.set_budget(scope, name, amount, period=period), as_json)


@app.command()
def remove(context: typer.Context, scope: Of, name: Name, as_json: Json = False) -> None:
    """Take a budget away. For operators."""
    with network(context) as client:
        _shown(client.set_budget(scope, name, None), as_json)


def _shown(rows: list[ledger_models.SpendingBudget], as_json: bool) -> None:
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit
    from suanwang.cli.words import word

    if as_json:
        emit(rows)
        return
    amounts = ("limit_yuan", "spent", "in_flight", "left")
    made = tables.table("budget", "name", "period", *amounts, right=amounts)
    for row in rows:
        figures = (row.limit_fen, row.spent_fen, row.held_fen, row.left_fen)
        kind, period = word(f"budget_{row.scope}"), word(f"period_{row.period}")
        made.add_row(kind, row.name, period, *(tables.fen(fen) for fen in figures))
    console().print(made)
