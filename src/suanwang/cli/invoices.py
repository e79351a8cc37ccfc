"""Commands about invoices and statements."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from suanwang.cli.options import Json, network
from suanwang.domain.errors import InvalidRequest
from suanwang.trading.grouping import By

app = typer.Typer(no_args_is_help=True, help="Invoices: show, get (JSON or PDF), rerate.")
Project = Annotated[str, typer.Argument(help="The project.")]
Month = Annotated[str, typer.Argument(help="Such as 2026-03, of China's time.")]


@app.command()
def show(context: typer.Context, project: Project, month: Month, as_json: Json = False) -> None:
    """A project's month: what each job came to, what vouchers paid, and what is due."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        found = client.invoice(project, month)
    if as_json:
        emit(found.model_dump(mode="json", exclude_unset=True))  # The invoice's own fields.
        return
    made = tables.table(
        *("job", "name", "owner", "site", "core_hours", "device_hours", "amount", "voucher"),
        right=("core_hours", "device_hours", "amount", "voucher"),
    )
    for row in found.lines:
        money = (tables.fen(row.amount_fen), tables.fen(row.voucher_fen))
        made.add_row(row.job, row.task, row.owner, row.site, row.core_hours, row.device_hours, *money)
    for bought in found.purchases:
        made.add_row(bought.order, bought.device, "", bought.site, "", "", tables.fen(bought.amount_fen), "")
    for back in found.credits:
        money = (tables.fen(back.amount_fen), tables.fen(back.voucher_fen))
        made.add_row(back.job, back.task, back.owner, back.site, "", "", *money)
    out = console()
    out.print(made)
    credited = {"credited": found.credited_fen} if found.credits else {}
    names = {**credited, "total": found.amount_fen, "voucher": found.voucher_fen, "due": found.due_fen}
    out.print(tables.facts(tuple((name, tables.fen(amount)) for name, amount in names.items())))


@app.command()
def get(
    context: typer.Context,
    project: Project,
    month: Month,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write: `.json` or `.pdf`.")],
) -> None:
    """Fetch an invoice as a file: JSON, or PDF in the terminal's language."""
    from suanwang.cli.terminal import chinese, note

    if output.suffix not in (".json", ".pdf"):
        raise InvalidRequest(f"{output} is neither", field="output", allowed="a name that ends with .json or .pdf")
    with network(context) as client:
        data = client.invoice_file(project, month, pdf=output.suffix == ".pdf", chinese=chinese())
    output.write_bytes(data)
    note(f"written to {output}")


@app.command()
def rerate(context: typer.Context, project: Project, month: Month, as_json: Json = False) -> None:
    """Rate a month anew from its usage records and prices, and compare the invoices byte by byte."""
    from suanwang.cli.terminal import emit, said, say

    with network(context) as client:
        found = client.rerated(project, month)
    if as_json:
        emit(found)
    elif found.identical:
        say(said(f"{found.lines} lines rated anew: identical, SHA-256 {found.billed_sha256}"))
    if not found.identical:
        raise InvalidRequest(f"rating {found.lines} lines anew gives another invoice", field="month")


def statement(
    context: typer.Context,
    month: Month,
    by: Annotated[By, typer.Option(help="What has a row of its own.")] = By.PROJECT,
    as_json: Json = False,
) -> None:
    """What a month came to, by organisation, department, team, project, person, provider or site."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        found = client.statement(month, by)
    if as_json:
        emit(found)
        return
    made = tables.table(
        *("name", "jobs", "core_hours", "device_hours", "energy", "amount", "voucher"),
        right=("jobs", "core_hours", "device_hours", "energy", "amount", "voucher"),
    )
    for row in found.items:
        money = (tables.fen(row.amount_fen), tables.fen(row.voucher_fen))
        made.add_row(row.name, str(row.jobs), row.core_hours, row.device_hours, row.energy_kwh, *money)
    console().print(made)
