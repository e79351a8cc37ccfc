"""Commands about rights that end early: giving back, taking back, deposits, terms of sale and the guarantee."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from suanwang.cli.exits import UsageError
from suanwang.cli.market import Count, From, Hours, Id, auctions, fen_of, hour_of, offers, orders
from suanwang.cli.options import Json, Limit, network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from suanwang.client import termination_models

__all__ = ["auctions", "offers", "orders"]


@orders.command("give-back")
def give_back(
    context: typer.Context,
    right: Annotated[str, typer.Argument(help="A right that you hold: see `suanwang order rights`.")],
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="Units; by default all.", show_default=False)
    ] = None,
    quote: Annotated[bool, typer.Option("--quote", help="Only say what would be given back.")] = False,
    key: Id = None,
    as_json: Json = False,
) -> None:
    """Cancel units of a right, over all its hours to come, for what its terms give back of the price."""
    with network(context) as client:
        _show([client.cancel_right(right, count=count, trial=quote, id=key)], as_json, one=True)


@orders.command("ended")
def ended(context: typer.Context, limit: Limit = 50, as_json: Json = False) -> None:
    """Rights that ended early, of your projects or sold by you: cancelled, taken back, or not delivered."""
    with network(context) as client:
        _show(list(islice(client.terminations(page_size=min(limit, 200)), limit)), as_json)


@offers.command()
def reclaim(
    context: typer.Context,
    site: Annotated[str, typer.Argument(help="Your site.")],
    device: Annotated[str, typer.Argument(help="A catalogue name, or `core`.")],
    count: Count,
    start: From,
    hours: Hours,
    key: Id = None,
    as_json: Json = False,
) -> None:
    """Take capacity back, on sale or sold, with the notice of its terms; holders get the price and the compensation."""
    first = hour_of(start)
    with network(context) as client:
        made = client.reclaim(
            site=site, device=device, count=count, start=first, end=first + timedelta(hours=hours), id=key
        )
        _show(made, as_json)


@offers.command()
def deposits(context: typer.Context, limit: Limit = 50, as_json: Json = False) -> None:
    """What is kept back of your sales until their hours were delivered."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit
    from suanwang.cli.words import word

    with network(context) as client:
        found = list(islice(client.deposits(page_size=min(limit, 200)), limit))
    if as_json:
        emit(found)
        return
    made = tables.table("transfer", "seller", "site", "until", "amount", "state", right=("amount",))
    for row in found:
        state = word("deposit_open" if row.open else "deposit_closed")
        made.add_row(row.trade, row.seller, row.site, tables.instant(row.until), tables.fen(row.amount_fen), state)
    console().print(made)


@auctions.command()
def terms(context: typer.Context, as_json: Json = False) -> None:
    """The terms of sale in force."""
    from suanwang.cli.terminal import emit

    with network(context) as client:
        found = client.sale_terms()
    if as_json:
        emit(found)
    else:
        _say_terms(found[0])


@auctions.command("set-terms")
def set_terms(
    context: typer.Context,
    refund: Annotated[
        list[str],
        typer.Option(help="`HOURS:PERCENT`: cancelled so many hours before, this part is given back; earliest first."),
    ],
    notice: Annotated[int, typer.Option(min=1, max=744, help="Hours of notice of a provider who takes back.")],
    compensation: Annotated[
        int, typer.Option(min=0, max=100_000, help="Paid on top for it, basis points of the price.")
    ],
    deposit: Annotated[int, typer.Option(min=0, max=100_000, help="Kept back of each sale, basis points.")],
    interruptible_notice: Annotated[int, typer.Option(min=1, max=744, help="The same of interruptible capacity.")] = 1,
    guarantee: Annotated[
        int, typer.Option(min=0, max=100_000, help="The most that the guarantee pays of the price.")
    ] = 10_000,
    replacement: Annotated[
        int, typer.Option(min=0, max=100_000, help="The most that hours bought instead may cost.")
    ] = 15_000,
    start: Annotated[
        str | None, typer.Option("--from", help="Sold from then on; by default now.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Set the terms of sale. What was sold keeps its own. For operators."""
    from suanwang.cli.terminal import emit
    from suanwang.client.termination_models import NewTerms, RefundStep

    asked = NewTerms(
        from_at=None if start is None else hour_of(start),
        refunds=[RefundStep(hours=hours, refund_bp=bp) for hours, bp in map(_step, refund)],
        notice_h=notice,
        interruptible_notice_h=interruptible_notice,
        compensation_bp=compensation,
        deposit_bp=deposit,
        pool_bp=guarantee,
        replace_bp=replacement,
    )
    with network(context) as client:
        made = client.set_sale_terms(asked)
    if as_json:
        emit(made)
    else:
        _say_terms(made)


@auctions.command()
def guarantee(
    context: typer.Context,
    add: Annotated[
        str | None, typer.Option(help="Move so many yuan of what the network earned into it.", show_default=False)
    ] = None,
    key: Id = None,
    as_json: Json = False,
) -> None:
    """What the network keeps for rights that are not delivered."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import emit, say

    with network(context) as client:
        found = client.guarantee() if add is None else client.fund_guarantee(fen_of(add, "add"), id=key)
    if as_json:
        emit(found)
    else:
        say(f"{found.account}: ¥{tables.fen(found.balance_fen)}")


def _step(text: str) -> tuple[int, int]:
    hours, colon, percent = text.partition(":")
    if not (colon and hours.isdecimal() and percent.isdecimal() and 0 < int(hours) <= 744 and int(percent) <= 100):
        raise UsageError(f"{text!r} is no step", field="refund", allowed="HOURS:PERCENT, such as 72:100")
    return int(hours), int(percent) * 100


def _say_terms(found: termination_models.TermsView) -> None:
    from suanwang.cli.terminal import say
    from suanwang.cli.words import word

    for step in found.refunds:
        say(word("terms_refund").format(hours=step.hours, part=f"{step.refund_bp / 100:g} %"))
    hours, interruptible = found.notice_h, found.interruptible_notice_h
    say(
        word("terms_notice").format(hours=hours, interruptible=interruptible, part=f"{found.compensation_bp / 100:g} %")
    )
    say(word("terms_deposit").format(part=f"{found.deposit_bp / 100:g} %"))
    say(word("terms_default").format(part=f"{found.replace_bp / 100:g} %", pool=f"{found.pool_bp / 100:g} %"))


def _show(rows: Sequence[termination_models.TerminationView], as_json: bool, *, one: bool = False) -> None:
    from suanwang.cli.terminal import console, emit

    if as_json:
        emit(rows[0] if one else rows)
    else:
        console().print(_table(rows))


def _table(rows: Sequence[termination_models.TerminationView]) -> Table:
    from suanwang.cli import tables
    from suanwang.cli.words import word

    right = ("quantity", "due", "by_deposit", "by_seller", "by_network", "by_pool")
    made = tables.table("at", "state", "right", "site", "from", "to", *right, "instead", right=right)
    for row in rows:
        least, most = min(row.counts), max(row.counts)
        made.add_row(
            tables.instant(row.at),
            word(f"right_{row.kind}"),
            row.right or word("on_sale"),
            row.site,
            *(f"{at.astimezone():%m-%d %H:%M}" for at in (row.start, row.end)),
            str(most) if least == most else f"{least} – {most}",
            *(
                tables.fen(each)
                for each in (row.due_fen, row.deposit_fen, row.seller_fen, row.network_fen, row.pool_fen)
            ),
            row.replacement or "",
        )
    return made
