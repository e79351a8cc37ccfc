"""Commands about price lists: publish one, what is asked now, and every version there was."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suanwang.cli.options import Json, Project, network
from suanwang.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from suanwang.client import models, price_models
    from suanwang.sitefile.prices import PriceListDeclaration

app = typer.Typer(
    no_args_is_help=True, help="Prices: list (what is asked now), publish, history; packages, subscribe, plans."
)
SiteId = Annotated[str, typer.Argument(metavar="SITE", help="The site's identifier.")]
_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]


def read_list(path: Path) -> PriceListDeclaration:
    """The price list at `path`. Raises `InvalidRequest` naming the field, or the file that cannot be read."""
    from suanwang.sitefile.prices import read_prices

    try:
        text = path.read_bytes()
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be read: {error.strerror}", field=str(path), allowed="a price list"
        ) from error
    return read_prices(text, filename=path.name)


@app.command("list")
def list_prices(
    context: typer.Context,
    project: Project = None,
    interruptible: Annotated[bool, typer.Option("--interruptible", help="Of work that may be interrupted.")] = False,
    as_json: Json = False,
) -> None:
    """What every site asks you now, your project's discounts taken."""
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        rows = client.asked_prices(project or _own(client.whoami()), interruptible=interruptible)
    if as_json:
        emit(rows)
    else:
        console().print(_asked(rows))


def _own(caller: models.WhoAmI) -> str | None:
    return caller.projects[0] if caller.projects else None


@app.command()
def publish(
    context: typer.Context,
    site: SiteId,
    price_file: Annotated[Path, typer.Argument(metavar="PRICE_FILE", help="The price list.")],
    begin: Annotated[
        datetime | None,
        typer.Option("--from", formats=_FORMATS, help="From then on, local time, instead of what the file says."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Publish a new version of a site's price list. What was granted or quoted before keeps its price."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import emit, said, say

    declared = read_list(price_file)
    valid_from = declared.valid_from if begin is None else begin.astimezone(UTC)
    with network(context) as client:
        made = client.publish_prices(site, declared.asked, valid_from)
    if as_json:
        emit(made)
    else:
        say(said(f"{site}: price list {made.version} holds from {tables.instant(made.valid_from)} on"))


@app.command()
def history(context: typer.Context, site: SiteId, as_json: Json = False) -> None:
    """Every version of a site's price list, newest first."""
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        rows = list(client.price_history(site))
    if as_json:
        emit(rows)
        return
    from suanwang.cli import tables

    made = tables.table("version", "from", "core_price", "device_prices", "discounts", "published", "note")
    for row in rows:
        made.add_row(
            str(row.version),
            tables.instant(row.valid_from),
            f"{row.core_hour_yuan:f}",
            "\n".join(f"{model} {_formula(each)}" for model, each in row.device_hour.items()),
            "\n".join(_discount(each) for each in row.discounts),
            f"{tables.instant(row.published_at)} {row.published_by}",
            row.note,
        )
    console().print(made)


@app.command()
def packages(context: typer.Context, as_json: Json = False) -> None:
    """What may be subscribed to or committed to, at every site."""
    from suanwang.cli import tables
    from suanwang.cli.terminal import console, emit
    from suanwang.cli.words import word

    with network(context) as client:
        rows = client.packages()
    if as_json:
        emit(rows)
        return
    made = tables.table(
        *("site", "package", "plan", "device", "device_hours", "fee", "months"), right=("device_hours", "fee", "months")
    )
    for row in rows:
        each = row.package
        made.add_row(
            row.site, each.name, word(f"plan_{each.plan}"), each.device, str(each.device_hours),
            f"{each.fee_yuan:f}", f"≥ {each.months}",
        )  # fmt: skip
    console().print(made)


@app.command()
def subscribe(
    context: typer.Context,
    site: SiteId,
    package: Annotated[str, typer.Argument(help="A package of the site, as `price packages` names it.")],
    project: Project = None,
    months: Annotated[int | None, typer.Option(min=1, max=60, help="How many; by default its shortest term.")] = None,
    begin: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m"], help="The first month; by default this one.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Your own name for it: repeating it is harmless; by default one is made.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Buy a package: a subscription, or a commitment that is billed whether it is used or not."""
    import uuid
    from datetime import timedelta, timezone

    from suanwang.cli.terminal import console, emit
    from suanwang.client import price_models

    with network(context) as client:
        payer = project or _own(client.whoami())
        if payer is None:
            raise InvalidRequest("say which project pays", field="project", allowed="--project")
        wanted = price_models.NewPlan(
            plan=name or f"p-{uuid.uuid4().hex[:12]}",
            project=payer,
            site=site,
            package=package,
            months=months,
            begins=None if begin is None else begin.replace(tzinfo=timezone(timedelta(hours=8))),
        )
        rows = client.buy_plan(wanted)
    if as_json:
        emit(rows)
    else:
        console().print(_plans(rows))


@app.command()
def plans(context: typer.Context, project: Project = None, as_json: Json = False) -> None:
    """Months of plans: what they cost, whether they are paid, and what of their hours is used."""
    from suanwang.cli.terminal import console, emit

    with network(context) as client:
        rows = client.plans(project)
    if as_json:
        emit(rows)
    else:
        console().print(_plans(rows))


def _plans(rows: Sequence[price_models.PlanMonthView]) -> Table:
    from suanwang.cli import tables
    from suanwang.cli.words import word

    made = tables.table(
        *("plan", "project", "site", "package", "month", "used_hours", "amount", "paid"),
        right=("used_hours", "amount"),
    )
    for row in rows:
        used = f"{row.used_device_hours:.2f} / {row.package.device_hours}"
        paid = word("yes" if row.paid else "no")
        made.add_row(row.plan, row.project, row.site, row.package.name, row.month, used, tables.fen(row.fee_fen), paid)
    return made


def steps(pricing: price_models.PricingView) -> Table:
    """How the unit prices of a bill line came about: its list, its formula, and each discount on its own."""
    from suanwang.cli import tables

    made = tables.table("step", "percent", "core_price", "gb_price", "device_price", right=("percent",))
    for at, step in enumerate(pricing.steps):
        name = f"{step.name} {pricing.version}" if at == 0 else step.name
        percent = "" if at == 0 else f"−{step.percent:f} %"
        made.add_row(
            name, percent, f"{step.core_hour_yuan:f}", f"{step.memory_gb_hour_yuan:f}", f"{step.device_hour_yuan:f}"
        )
        if at == 0 and pricing.device.factor:
            made.add_row(f"  {_formula(pricing.device)}; {pricing.yuan_per_kwh:f} ¥/kWh × {pricing.kw:f} kW", *[""] * 4)
    return made


def _asked(rows: Sequence[price_models.AskingView]) -> Table:
    from suanwang.cli import tables

    made = tables.table(
        *("site", "device", "device_price", "core_price", "gb_price", "discounts", "version", "changes"),
        right=("device_price", "core_price", "gb_price"),
    )
    for row in rows:
        taken = () if row.pricing is None else row.pricing.steps[1:]
        made.add_row(
            row.site,
            row.device or "",
            "" if row.device is None else f"{row.device_hour_yuan:f}",
            f"{row.core_hour_yuan:f}",
            f"{row.memory_gb_hour_yuan:f}",
            ", ".join(f"{step.name} −{step.percent:f} %" for step in taken),
            "" if row.pricing is None else str(row.pricing.version),
            tables.instant(row.changes_at),
        )
    return made


def _formula(value: price_models.FormulaView) -> str:
    if not value.factor:
        return f"{value.base_yuan:f}"
    bounds = f"≥ {value.floor_yuan:f}" + ("" if value.cap_yuan is None else f", ≤ {value.cap_yuan:f}")
    return f"{value.base_yuan:f} + {value.factor:f} × ¥/kWh × kW ({bounds})"


def _discount(value: price_models.DiscountView) -> str:
    from suanwang.cli import tables

    parts = [*value.brands, *value.organisations, *value.projects]
    if value.interruptible:
        parts.append("interruptible")
    if value.above_device_hours is not None:
        parts.append(f"> {value.above_device_hours:,} h")
    if value.from_at is not None or value.until is not None:
        parts.append(f"{tables.instant(value.from_at)}…{tables.instant(value.until)}")
    return f"{value.name} −{value.percent:f} %" + (f" ({', '.join(parts)})" if parts else "")
