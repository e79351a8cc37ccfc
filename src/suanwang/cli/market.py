"""Commands about the market: what is on sale, what is ordered, rights, calls and prices."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanwang.cli.exits import UsageError
from suanwang.cli.options import Json, Limit, Project, network
from suanwang.trading.market.values import Plan, Way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from suanwang.client import market_models

offers = typer.Typer(no_args_is_help=True, help="Offers: what is on sale, and putting capacity or rights on sale.")
orders = typer.Typer(no_args_is_help=True, help="Orders: buy now, or stand for a call; the rights that come of it.")
auctions = typer.Typer(no_args_is_help=True, help="Calls: when they are made, what they came to, depth and prices.")

Devices = Annotated[
    list[str] | None,
    typer.Option("--device", help="A catalogue name, `gpu`, `npu`, or `core`; several are any of.", show_default=False),
]
Places = Annotated[
    list[str] | None, typer.Option("--place", help="A site or region; several are any of.", show_default=False)
]
Count = Annotated[int, typer.Option("--count", "-n", min=1, help="Units.")]
From = Annotated[
    str,
    typer.Option("--from", help="The first hour: `now`, `+3` (hours from this one), or an instant with its offset."),
]
Hours = Annotated[int, typer.Option("--hours", min=1, max=744, help="How many hours.")]
Price = Annotated[
    str, typer.Option("--price", help="Yuan per unit and hour that you get; the commission comes on top.")
]
Max = Annotated[
    str | None,
    typer.Option(
        "--limit-price", help="The most you pay, yuan per unit and hour, commission included.", show_default=False
    ),
]
Id = Annotated[
    str | None,
    typer.Option(
        "--id", help="Your own name for it: repeating it is harmless; by default one is made.", show_default=False
    ),
]
Divisible = Annotated[bool, typer.Option("--divisible", help="Fewer units will do.")]
Interruptible = Annotated[bool, typer.Option("--interruptible", help="Capacity that may be taken back will do.")]
_AHEAD = re.compile(r"\+([0-9]{1,4})")


@offers.command("list")
def list_offers(
    context: typer.Context,
    device: Devices = None,
    site: Annotated[list[str] | None, typer.Option("--site", help="At this site.", show_default=False)] = None,
    closed: Annotated[bool, typer.Option("--all", help="Also what was withdrawn or is sold out.")] = False,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """What is on sale, newest first."""
    with network(context) as client:
        found = client.offers(sites=site or (), devices=device or (), closed=closed, page_size=min(limit, 200))
        _show(list(islice(found, limit)), as_json, _offers)


@offers.command("put")
def put_offer(
    context: typer.Context,
    site: Annotated[str, typer.Argument(help="Your site.")],
    device: Annotated[str, typer.Argument(help="A catalogue name, or `core`.")],
    count: Count,
    start: From,
    hours: Hours,
    price: Price,
    plan: Annotated[Plan, typer.Option(help="How it is sold.")] = Plan.ON_DEMAND,
    least_hours: Annotated[int, typer.Option(min=1, max=744, help="Least term of committed use, in hours.")] = 1,
    key: Id = None,
    as_json: Json = False,
) -> None:
    """Put capacity of your site on sale."""
    first = hour_of(start)
    with network(context) as client:
        made = client.list_offer(
            site=site,
            device=device,
            count=count,
            start=first,
            end=first + timedelta(hours=hours),
            price_fen=fen_of(price, "price"),
            plan=plan,
            least_hours=least_hours,
            id=key,
        )
        _show([made], as_json, _offers, one=True)


@offers.command()
def resell(
    context: typer.Context,
    right: Annotated[str, typer.Argument(help="A right that you hold: see `suanwang order rights`.")],
    price: Price,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="Units; by default all.", show_default=False)
    ] = None,
    key: Id = None,
    as_json: Json = False,
) -> None:
    """Put a right that you hold on sale, over all its hours."""
    with network(context) as client:
        held = next((each for each in client.rights() if each.id == right), None)
        if held is None:
            raise UsageError(f"you hold no right {right!r}", field="right", allowed="see `suanwang order rights`")
        made = client.list_offer(
            reservation=right,
            count=count or max(1, min(held.counts)),
            start=held.start,
            end=held.end,
            price_fen=fen_of(price, "price"),
            id=key,
        )
        _show([made], as_json, _offers, one=True)


@offers.command()
def withdraw(
    context: typer.Context, offer: Annotated[str, typer.Argument(help="Your offer.")], as_json: Json = False
) -> None:
    """Take off sale what is not sold of an offer."""
    with network(context) as client:
        _show([client.withdraw_offer(offer)], as_json, _offers, one=True)


@orders.command()
def buy(
    context: typer.Context,
    device: Devices,
    count: Count,
    start: From,
    hours: Hours,
    place: Places = None,
    limit_price: Max = None,
    divisible: Divisible = False,
    interruptible: Interruptible = False,
    quote: Annotated[bool, typer.Option("--quote", help="Only say what it would cost.")] = False,
    project: Project = None,
    key: Id = None,
    as_json: Json = False,
) -> None:
    """Buy at posted prices now; with a limit and --divisible as many units as the limit allows."""
    from suanwang.cli.terminal import emit, said, say

    way = Way.NOW if limit_price is None or not divisible else Way.IOC
    order = _order(way, device, count, start, hours, place, limit_price, divisible, interruptible, project, key)
    with network(context) as client:
        if not quote:
            _show([client.place_order(order)], as_json, _orders, one=True)
            return
        found = client.quote_order(order)
    if as_json:
        emit(found)
    else:
        yuan = f"¥{Decimal(found.amount_fen) / 100:.2f}"
        say(said(f"{found.units} of {count} units at posted prices: {yuan}, commission included"))


@orders.command()
def bid(
    context: typer.Context,
    device: Devices,
    count: Count,
    start: From,
    hours: Hours,
    limit_price: Annotated[str, typer.Option("--limit-price", help="The most you pay, yuan per unit and hour.")],
    place: Places = None,
    divisible: Divisible = False,
    interruptible: Interruptible = False,
    lot: Annotated[
        bool, typer.Option("--lot", help="For exactly one standard lot, by McAfee's rule: one unit, in one region.")
    ] = False,
    project: Project = None,
    key: Id = None,
    as_json: Json = False,
) -> None:
    """Stand, sealed, for the call of the first hour. The most it can come to is held on the account until then."""
    way = Way.LOT if lot else Way.STANDING
    order = _order(way, device, count, start, hours, place, limit_price, divisible, interruptible, project, key)
    with network(context) as client:
        _show([client.place_order(order)], as_json, _orders, one=True)


@orders.command("list")
def list_orders(context: typer.Context, limit: Limit = 50, as_json: Json = False) -> None:
    """Orders of your projects, newest first."""
    with network(context) as client:
        _show(list(islice(client.orders(page_size=min(limit, 200)), limit)), as_json, _orders)


@orders.command("show")
def show_order(
    context: typer.Context, order: Annotated[str, typer.Argument(help="The order.")], as_json: Json = False
) -> None:
    """One order, and what it got of whom."""
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        found, trades = client.order(order), list(client.trades(order=order))
    if as_json:
        emit({"order": found, "trades": trades})
    else:
        console().print(_orders([found]))
        console().print(_trades(trades))


@orders.command("cancel")
def cancel_order(
    context: typer.Context, order: Annotated[str, typer.Argument(help="The order.")], as_json: Json = False
) -> None:
    """Take a standing order back, until its no-cancel phase."""
    with network(context) as client:
        _show([client.cancel_order(order)], as_json, _orders, one=True)


@orders.command()
def approvals(context: typer.Context, as_json: Json = False) -> None:
    """Orders that wait for approval: of your projects, or for yours."""
    with network(context) as client:
        _show(client.approvals(), as_json, _waiting)


@orders.command()
def approve(
    context: typer.Context, order: Annotated[str, typer.Argument(help="The order.")], as_json: Json = False
) -> None:
    """Say yes to an order that waits for you; the last yes buys, or lets it stand."""
    with network(context) as client:
        _show([client.approve_order(order)], as_json, _orders, one=True)


@orders.command()
def decline(
    context: typer.Context, order: Annotated[str, typer.Argument(help="The order.")], as_json: Json = False
) -> None:
    """Say no to an order that waits for you: it ends."""
    with network(context) as client:
        _show([client.decline_order(order)], as_json, _orders, one=True)


@orders.command()
def rights(context: typer.Context, limit: Limit = 50, as_json: Json = False) -> None:
    """Rights to capacity that your projects hold, newest first."""
    with network(context) as client:
        _show(list(islice(client.rights(page_size=min(limit, 200)), limit)), as_json, _rights)


@auctions.command("list")
def list_auctions(context: typer.Context, limit: Limit = 24, as_json: Json = False) -> None:
    """Calls that were made, latest window first."""
    with network(context) as client:
        _show(list(client.auctions(limit=min(limit, 500))), as_json, _auctions)


@auctions.command("show")
def show_auction(
    context: typer.Context,
    window: Annotated[str, typer.Argument(help="Its hour: `+1`, or an instant with its offset.")],
    as_json: Json = False,
) -> None:
    """The call of one hour: its phase, and its prices or, near it, those it would have now."""
    from suanwang.cli.terminal import console, emit, say
    from suanwang.cli.words import word

    with network(context) as client:
        found = client.call(hour_of(window))
    if as_json:
        emit(found)
        return
    say(f"{word('call_' + found.phase)}: {found.call_at.astimezone():%Y-%m-%d %H:%M:%S}")
    if found.auction is not None:
        console().print(_auctions([found.auction]))
    prices = found.auction.prices if found.auction is not None else found.indication
    if prices:
        console().print(_prices(prices))


@auctions.command()
def depth(
    context: typer.Context,
    device: Annotated[str, typer.Argument(help="A catalogue name, or `core`.")],
    window: Annotated[str, typer.Argument(help="The hour: `+1`, or an instant with its offset.")],
    place: Annotated[str | None, typer.Option(help="A site or region.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """The supply that stands open for one hour, cheapest first."""
    from suanwang.cli import tables

    def steps(rows: Sequence[market_models.DepthStep]) -> Table:
        made = tables.table(
            "site", "unit_price", "units_left", "total", "offer", right=("unit_price", "units_left", "total")
        )
        for row in rows:
            made.add_row(row.site, tables.fen(row.price_fen), str(row.units), str(row.total), row.offer)
        return made

    with network(context) as client:
        _show(client.depth(device, hour_of(window), place=place).steps, as_json, steps)


@auctions.command()
def prices(
    context: typer.Context,
    device: Annotated[str, typer.Argument(help="A catalogue name, or `core`.")],
    site: Annotated[str | None, typer.Option(help="At this site.", show_default=False)] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """What a device was traded at, newest first."""
    from suanwang.cli import tables

    def points(rows: Sequence[market_models.PricePoint]) -> Table:
        made = tables.table("at", "site", "from", "to", "unit_h", "unit_price", right=("unit_h", "unit_price"))
        for row in rows:
            price = f"{row.price_fen / 100:.4f}"
            made.add_row(tables.instant(row.at), row.site, _hour(row.start), _hour(row.end), str(row.unit_hours), price)
        return made

    with network(context) as client:
        _show(list(client.prices(device, site=site, limit=min(limit, 500))), as_json, points)


# words to values


def hour_of(text: str) -> datetime:
    """The hour that a word means. Raises `UsageError`."""
    this = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    ahead = _AHEAD.fullmatch(text)
    if text == "now" or ahead is not None:
        return this + timedelta(hours=int(ahead[1]) if ahead else 0)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.utcoffset() is None:
        raise UsageError(
            f"{text!r} is no hour", field="from", allowed="now, +3, or an instant such as 2026-03-01T14:00+08:00"
        )
    return at


def fen_of(yuan: str, field: str) -> int:
    """Whole fen of a price in yuan. Raises `UsageError`."""
    try:
        amount = Decimal(yuan) * 100
        whole = int(amount) if abs(amount) <= 10**12 else -1
    except (ArithmeticError, ValueError):
        whole, amount = -1, Decimal(0)
    if whole <= 0 or whole != amount:
        raise UsageError(f"{yuan!r} is no price", field=field, allowed="yuan with at most two decimals, such as 12.50")
    return whole


def _order(
    way: Way,
    device: Sequence[str] | None,
    count: int,
    start: str,
    hours: int,
    place: Sequence[str] | None,
    limit_price: str | None,
    divisible: bool,
    interruptible: bool,
    project: str | None,
    key: str | None,
) -> market_models.NewOrder:
    from suanwang.client.market import new_order

    if not device:
        raise UsageError("name at least one device", field="device", allowed="--device NAME")
    first = hour_of(start)
    values: dict[str, Any] = {} if key is None else {"id": key}
    return new_order(
        **values,
        project=project,
        devices=list(device),
        places=list(place or ()),
        count=count,
        start=first,
        end=first + timedelta(hours=hours),
        limit_fen=None if limit_price is None else fen_of(limit_price, "limit-price"),
        divisible=divisible,
        interruptible=interruptible,
        way=way,
    )


# tables


def _show(rows: Sequence[Any], as_json: bool, made: Any, *, one: bool = False) -> None:
    from suanwang.cli.terminal import console, emit

    if as_json:
        emit(rows[0] if one else rows)
    else:
        console().print(made(rows))


def _hour(at: datetime) -> str:
    return at.astimezone().strftime("%m-%d %H:%M")


def _offers(rows: Sequence[market_models.OfferView]) -> Table:
    from suanwang.cli import tables

    right = ("units_left", "unit_price", "buyer_price")
    made = tables.table(
        "offer", "site", "device", "from", "to", "units_left", "unit_price", "buyer_price", "plan", right=right
    )
    for row in rows:
        left = str(row.left[0]) if len(set(row.left)) == 1 else f"{min(row.left)} – {max(row.left)}"
        price, paid = tables.fen(row.price_fen), tables.fen(row.buyer_price_fen)
        plan = _word(f"plan_{row.plan}")
        made.add_row(row.id, row.site, row.device, _hour(row.start), _hour(row.end), left, price, paid, plan)
    return made


def _orders(rows: Sequence[market_models.OrderView]) -> Table:
    from suanwang.cli import tables

    right = ("quantity", "unit_price", "amount", "held")
    made = tables.table(
        "order", "state", "device", "from", "to", "quantity", "unit_price", "amount", "held", right=right
    )
    for row in rows:
        limit = "" if row.limit_fen is None else tables.fen(row.limit_fen)
        made.add_row(
            row.id,
            _word(f"order_{row.state}"),
            ", ".join(row.devices),
            *(_hour(row.start), _hour(row.end)),
            *(f"{row.filled}/{row.count}", limit, tables.fen(row.paid_fen), tables.fen(row.held_fen)),
        )
    return made


def _waiting(rows: Sequence[market_models.OrderView]) -> Table:
    from suanwang.cli import tables

    made = tables.table("order", "project", "device", "from", "held", "until", "waits_for", right=("held",))
    for row in rows:
        names = "; ".join(f"{each.side}: {' / '.join(each.names)}" for each in row.consents if each.by is None)
        until = "" if row.waits_until is None else tables.instant(row.waits_until)
        made.add_row(
            row.id, row.project, ", ".join(row.devices), _hour(row.start), tables.fen(row.held_fen), until, names
        )
    return made


def _rights(rows: Sequence[market_models.RightView]) -> Table:
    from suanwang.cli import tables

    made = tables.table(
        "right", "project", "site", "device", "from", "to", "quantity", "amount", right=("quantity", "amount")
    )
    for row in rows:
        left = str(row.counts[0]) if len(set(row.counts)) == 1 else f"{min(row.counts)} – {max(row.counts)}"
        hours = (_hour(row.start), _hour(row.end))
        made.add_row(
            row.id, row.project, row.site, row.device, *hours, f"{left}/{row.bought}", tables.fen(row.paid_fen)
        )
    return made


def _trades(rows: Sequence[market_models.TradeView]) -> Table:
    from suanwang.cli import tables

    made = tables.table("at", "with", "site", "device", "unit_h", "amount", right=("unit_h", "amount"))
    for row in rows:
        made.add_row(
            *(tables.instant(row.at), row.seller, row.site, row.device, str(row.unit_hours), tables.fen(row.amount_fen))
        )
    return made


def _auctions(rows: Sequence[market_models.AuctionView]) -> Table:
    from suanwang.cli import tables

    right = ("orders_count", "filled", "surplus", "bound", "of_bound")
    made = tables.table("from", "at", *right, right=right)
    for row in rows:
        part = f"{row.surplus_fen / row.bound_fen:.1%}" if row.bound_fen else ""
        made.add_row(
            *(_hour(row.window), tables.instant(row.called_at), str(row.orders), str(row.filled)),
            *(tables.fen(row.surplus_fen), tables.fen(row.bound_fen), part),
        )
    return made


def _prices(rows: Sequence[market_models.ZonePrice]) -> Table:
    from suanwang.cli import tables

    made = tables.table("from", "site", "device", "unit_price", "quantity", "lot", right=("unit_price", "quantity"))
    for row in rows:
        lot = "" if row.lot_hours is None else f"{row.lot_hours} h"
        made.add_row(_hour(row.start), row.site, row.device, tables.fen(row.price_fen), str(row.units), lot)
    return made


def _word(key: str) -> str:
    from suanwang.cli.words import word

    return word(key)
