"""Commands about vouchers (算力券): budgets, issuing, choosing one for a job, and the supervisor's report."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from suanwang.cli.exits import UsageError
from suanwang.cli.options import Json, network
from suanwang.cli.trading import fen_of

if TYPE_CHECKING:
    from rich.table import Table

    from suanwang.client import voucher_models

app = typer.Typer(no_args_is_help=True, help="Vouchers 算力券: list, use, issue, budget, report.")
_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]
Voucher = Annotated[str, typer.Argument(metavar="VOUCHER", help="The voucher's name.")]
Names = Annotated[list[str] | None, typer.Option(show_default=False, help="Only these; may be repeated.")]


@app.command("list")
def list_vouchers(context: typer.Context, as_json: Json = False) -> None:
    """The vouchers you hold; all for operators and regulators."""
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        rows = list(client.vouchers())
    if as_json:
        emit(rows)
    else:
        console().print(_vouchers(rows))


@app.command()
def use(
    context: typer.Context,
    voucher: Voucher,
    job: Annotated[str, typer.Argument(help="The job whose bill it pays from now on.")],
    as_json: Json = False,
) -> None:
    """Pay a job's bill with a voucher. A job has one voucher for good."""
    with network(context) as client:
        _shown(client.choose_voucher(voucher, job), as_json)


@app.command()
def budget(
    context: typer.Context,
    issuer: Annotated[str, typer.Argument(help="Who gives the vouchers.")],
    yuan: Annotated[str, typer.Argument(help="How much was paid in, in yuan.")],
    key: Annotated[
        str | None,
        typer.Option(help="Your own name for this payment: repeating it is harmless.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Enter budget that an issuer paid in. For operators."""
    from suanwang.cli.terminal import emit, say

    amount = fen_of(yuan)
    with network(context) as client:
        done = client.fund_vouchers(issuer, amount, key=key or uuid.uuid4().hex)
    if as_json:
        emit(done)
    else:
        say(f"{done.issuer}: ¥{Decimal(done.left_fen) / 100:.2f}")


@app.command()
def issue(
    context: typer.Context,
    voucher: Voucher,
    yuan: Annotated[str, typer.Argument(help="What it is worth, in yuan.")],
    issuer: Annotated[str, typer.Option(help="Out of whose budget.")],
    until: Annotated[datetime, typer.Option(formats=_FORMATS, help="Valid before this instant, local time.")],
    begin: Annotated[
        datetime | None, typer.Option("--from", formats=_FORMATS, help="Valid from then on; by default from now.")
    ] = None,
    title: Annotated[str, typer.Option(help="What people call it.")] = "",
    project: Names = None,
    organisation: Names = None,
    provider: Names = None,
    region: Names = None,
    device: Names = None,
    domestic: Annotated[bool, typer.Option("--domestic", help="For devices made in China alone.")] = False,
    share: Annotated[str, typer.Option(help="The most it pays of a job's bill, in percent.")] = "100",
    cap: Annotated[
        str | None, typer.Option(help="The most it pays of a job's bill, in yuan.", show_default=False)
    ] = None,
    related: Annotated[
        list[str] | None,
        typer.Option(help="A provider related to the holders, which it does not pay.", show_default=False),
    ] = None,
    by_choice: Annotated[bool, typer.Option("--by-choice", help="Only for jobs that its holders choose.")] = False,
    as_json: Json = False,
) -> None:
    """Issue a voucher out of an issuer's budget. For operators."""
    from suanwang.client import voucher_models

    wanted = voucher_models.NewVoucher(
        id=voucher,
        issuer=issuer,
        title=title,
        amount_fen=fen_of(yuan),
        projects=project or [],
        organisations=organisation or [],
        providers=provider or [],
        regions=region or [],
        devices=device or [],
        domestic=domestic,
        from_at=begin.astimezone(UTC) if begin is not None else datetime.now(UTC),
        until_at=until.astimezone(UTC),
        share_bp=_share(share),
        cap_fen=None if cap is None else fen_of(cap),
        automatic=not by_choice,
        related=related or [],
    )
    with network(context) as client:
        _shown(client.issue_voucher(wanted), as_json)


@app.command()
def report(context: typer.Context, as_json: Json = False) -> None:
    """What became of each voucher: issued, used, by whom and where, what is left. For operators and regulators."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        rows = list(client.voucher_report())
    if as_json:
        emit(rows)
        return
    console().print(_vouchers([row.voucher for row in rows]))
    made = tables.table(
        "voucher", "project", "provider", "site", "jobs", "amount", "billed", right=("jobs", "amount", "billed")
    )
    for row in rows:
        for each in row.uses:
            amounts = (tables.fen(each.amount_fen), tables.fen(each.billed_fen))
            made.add_row(row.voucher.id, each.project, each.provider, each.site, str(each.jobs), *amounts)
    console().print(made)


def _share(percent: str) -> int:
    """Percent as basis points."""
    try:
        points = Decimal(percent) * 100
        whole = int(points) if abs(points) <= 10_000 else -1
    except (ArithmeticError, ValueError):
        whole, points = -1, Decimal(0)
    if whole <= 0 or whole != points:
        raise UsageError(f"{percent!r} is no share", field="share", allowed="percent up to 100, at most two decimals")
    return whole


def _shown(voucher: voucher_models.VoucherView, as_json: bool) -> None:
    from suanwang.cli.terminal import console, emit

    if as_json:
        emit(voucher)
    else:
        console().print(_vouchers([voucher]))


def _vouchers(rows: list[voucher_models.VoucherView]) -> Table:
    from suanwang.cli import tables

    made = tables.table(
        *("voucher", "issuer", "holders", "worth", "used", "held", "left", "returned", "share", "until"),
        right=("worth", "used", "held", "left", "returned", "share"),
    )
    for row in rows:
        money = (row.amount_fen, row.used_fen, row.held_fen, row.left_fen, row.returned_fen)
        made.add_row(
            row.id,
            row.issuer,
            ", ".join((*row.projects, *row.organisations)),
            *(tables.fen(amount) for amount in money),
            f"{Decimal(row.share_bp) / 100:f} %",
            tables.instant(row.until_at),
        )
    return made
