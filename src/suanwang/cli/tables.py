"""Tables for people: jobs, sites, bills, credentials, files, samples.

Owns columns and formats. Takes the client's models and asks nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from suanwang.cli.terminal import chinese, said
from suanwang.cli.words import state_word, word

if TYPE_CHECKING:
    from suanwang.client import models

STATE_STYLES: Mapping[str, str] = {
    "succeeded": "green",
    "running": "cyan",
    "leased": "cyan",
    "failed": "red",
    "refused": "red",
    "lost": "red",
    "suspect": "yellow",
    "cancelling": "yellow",
    "held": "yellow",
    "reachable": "green",
}


def table(*columns: str, right: Iterable[str] = (), title: str | None = None) -> Table:
    """An empty table whose headings are the words of `columns`; those in `right` hold numbers."""
    made = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    numbers = frozenset(right)
    for column in columns:
        made.add_column(word(column), justify="right" if column in numbers else "left", overflow="fold")
    return made


ANSWERING = ("reachable", "suspect")


def state(value: str) -> Text:
    return Text(state_word(value), style=STATE_STYLES.get(value, ""))


def instant(at: datetime | None) -> str:
    """In the terminal's own time zone."""
    return "" if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def span(seconds: float | None) -> str:
    """A duration as people say it."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m{left:02d}s" if hours else f"{minutes}m{left:02d}s"


def figure(value: float | None, digits: int = 3) -> str:
    """A quantity, never in exponents for those people meet, and never a wrong zero."""
    if value is None:
        return ""
    return f"{value:,.{digits}f}" if value == 0 or abs(value) >= 10**-digits else f"{value:.1g}"


def yuan(value: Decimal) -> str:
    """Exact money, short: at most four decimals."""
    return f"{value:,.4f}" if value and abs(value) < 1 else f"{value:,.2f}"


def fen(amount: int) -> str:
    """Whole fen as yuan."""
    return f"{Decimal(amount) / 100:,.2f}"


def size(count: int) -> str:
    """Bytes."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def waited_s(job: models.JobView) -> float | None:
    """From being ready to the first start."""
    if job.ready_at is None or job.started_at is None:
        return None
    return max(0.0, (job.started_at - job.ready_at).total_seconds())


def jobs(rows: Iterable[models.JobView]) -> Table:
    made = table(
        "job", "name", "index", "state", "site", "submitted", "waited", "ran", "core_hours", "device_hours", "price",
        right=("index", "waited", "ran", "core_hours", "device_hours", "price"),
    )  # fmt: skip
    for job in rows:
        made.add_row(
            job.id,
            job.name,
            "" if job.array is None else f"{job.array.index}/{job.array.count}",
            state("held" if job.hold is not None and job.state == "queued" else job.state),
            job.site or "",
            instant(job.submitted_at),
            span(waited_s(job)),
            span(job.usage.wall_s) if job.started_at else "",
            figure(job.usage.core_hours),
            figure(job.usage.device_hours),
            yuan(job.usage.cost_yuan),
        )
    return made


def facts(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """Name and value, one a line; empty ones are left out."""
    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    for name, value in rows:
        if value:
            made.add_row(word(name), value)
    return made


def held(hold: models.HoldView, names: Mapping[str, str]) -> str:
    """For which hour or site a job is kept, and what that saves: one line."""
    at = hold.start_at.astimezone()
    today = at.date() == datetime.now().astimezone().date()
    line = word("held_room" if hold.start_at < hold.until else "held_until").format(
        at=at.strftime("%H:%M" if today else "%Y-%m-%d %H:%M"),
        site=names.get(hold.site, hold.site),
        price=f"¥{figure(hold.expect.price_yuan, 4)}{_by_voucher(hold.expect)}",
        carbon=figure(hold.expect.carbon_g),
    )
    if hold.instead is None:
        return line
    figures = hold.instead.figures
    return line + word("held_instead").format(
        site=names.get(hold.instead.site, hold.instead.site),
        price=f"¥{figure(figures.price_yuan, 4)}{_by_voucher(figures)}",
        carbon=figure(figures.carbon_g),
    )


def _by_voucher(figures: models.FiguresView) -> str:
    return "" if figures.voucher is None else f" ({word('by_voucher')} {vouched(figures.voucher)})"


def job(detail: models.JobView, names: Mapping[str, str] | None = None) -> Table:
    """One job in full; `names` are those of the sites."""
    usage = detail.usage
    return facts(
        (
            ("job", detail.id),
            ("name", detail.name),
            ("project", detail.project),
            ("owner", detail.owner),
            ("state", state(detail.state)),
            ("priority", "" if detail.priority == "normal" else word(f"priority_{detail.priority}")),
            ("hold", "" if detail.hold is None else held(detail.hold, names or {})),
            ("reason", said(detail.reason)),
            ("site", detail.site or ""),
            ("exit", "" if detail.exit_code is None else str(detail.exit_code)),
            ("needs", ", ".join(detail.needs)),
            ("submitted", instant(detail.submitted_at)),
            ("waited", span(waited_s(detail))),
            ("ran", span(usage.wall_s)),
            ("core_hours", figure(usage.core_hours)),
            ("device_hours", figure(usage.device_hours)),
            ("energy", figure(usage.energy_kwh, 6)),
            ("carbon", figure(usage.carbon_g)),
            ("price", yuan(usage.cost_yuan)),
        )
    )


def site_name(site: models.SiteView) -> str:
    return site.offering.name_zh if chinese() else site.offering.name_en


def site_names(rows: Iterable[models.SiteView]) -> dict[str, str]:
    """Identifier → name in the terminal's language."""
    return {site.id: site_name(site) for site in rows}


def sites(rows: Iterable[models.SiteView]) -> Table:
    made = table(
        "site", "name", "state", "open", "provider", "region", "cores", "devices", "core_price", "pue", "intensity",
        "seen", right=("cores", "core_price", "pue", "intensity"),
    )  # fmt: skip
    for site in rows:
        offer = site.offering
        made.add_row(
            site.id,
            site_name(site),
            _site_state(site),
            word("yes" if site.open else "no"),
            offer.provider,
            offer.region,
            _free(site, offer.nodes * offer.cores_per_node, site.held.cores),
            ", ".join(
                f"{_free(site, pool.count, site.held.devices.get(pool.model, 0))} {pool.model}"
                for pool in offer.devices
            ),
            yuan(_core_hour_yuan(offer.price)),
            figure(offer.pue, 2),
            figure(offer.carbon_g_per_kwh, 0),
            instant(site.seen_at),
        )
    return made


def _free(site: models.SiteView, whole: int, held: int) -> str:
    """Nothing is free where nobody answers."""
    return f"{whole - held if site.state in ANSWERING else '–'}/{whole}"


def _site_state(site: models.SiteView) -> Text:
    if site.state != "lost":
        return state(site.state)
    return Text(word("lost_since").format(at=instant(site.state_since)), style=STATE_STYLES.get(site.state, ""))


def _core_hour_yuan(price: models.PriceView) -> Decimal:
    """By the price list in force, where there is one."""
    return (_in_force(price) or price).core_hour_yuan


def _in_force(price: models.PriceView) -> models.PriceListView | None:
    now = datetime.now(UTC)
    return next((each for each in reversed(price.lists) if each.valid_from <= now), None)


def _prices(price: models.PriceView) -> list[str]:
    """What everybody is asked now: by the price list in force, which is named, else as declared."""
    listed = _in_force(price)
    asked = listed or price
    found = [f"core {asked.core_hour_yuan:f} ¥/h", f"GB {asked.memory_gb_hour_yuan:f} ¥/h"]
    for model, yuan_per_hour in price.device_hour_yuan.items():
        formula = None if listed is None else listed.device_hour.get(model)
        if formula is None or not formula.factor:
            each = yuan_per_hour if formula is None else formula.base_yuan
            found.append(f"{model} {each:f} ¥/h")
        else:
            found.append(f"{model} {word('by_electricity')}")
    return found if listed is None else [*found, word("by_list").format(listed.version)]


def site(view: models.SiteView) -> Table:
    """One site in full."""
    offer = view.offering
    prices = _prices(offer.price)
    return facts(
        (
            ("site", view.id),
            ("name", f"{offer.name_zh} / {offer.name_en}"),
            ("state", _site_state(view)),
            ("open", word("yes" if view.open else "no")),
            ("provider", offer.provider),
            ("owners", ", ".join(f"{name} {share}" for name, share in offer.owners.items())),
            ("region", f"{offer.region} ({offer.latitude:.2f}, {offer.longitude:.2f})"),
            ("cores", f"{offer.nodes} × {offer.cores_per_node}, {view.held.cores} held"),
            ("memory", f"{offer.nodes} × {offer.memory_gb_per_node:g} GB"),
            ("devices", ", ".join(f"{pool.count} × {pool.model}" for pool in offer.devices)),
            ("price", ", ".join(prices)),
            ("pue", figure(offer.pue, 2)),
            ("tariff", tariff(offer.price)),
            ("intensity", figure(offer.carbon_g_per_kwh, 0) + (f", {word('modelled')}" if offer.carbon_daily else "")),
            ("file", ", ".join(dataset.name for dataset in offer.datasets)),
            ("seen", instant(view.seen_at)),
            ("note", "; ".join(map(said, view.warnings))),
        )
    )


def bill_totals(totals: models.BillTotals) -> Table:
    made = table(
        "project", "provider", "jobs", "energy", "carbon", "amount", right=("jobs", "energy", "carbon", "amount")
    )
    for row in totals.items:
        made.add_row(
            row.project,
            row.provider,
            str(row.jobs),
            figure(row.energy_kwh, 6),
            figure(row.carbon_g),
            fen(row.amount_fen),
        )
    if len(totals.items) > 1:
        made.add_section()
        made.add_row(word("total"), "", "", "", "", fen(totals.amount_fen))
    return made


def bill_lines(rows: Iterable[models.BillLineView]) -> Table:
    made = table("usage", "site", "from", "to", "description", "price", "amount", right=("price", "amount"))
    for row in rows:
        made.add_row(
            row.usage_id,
            row.site,
            instant(row.from_at),
            instant(row.to_at),
            row.description,
            yuan(row.rated_yuan),
            fen(row.amount_fen),
        )
    return made


def tokens(rows: Iterable[models.TokenView]) -> Table:
    made = table("token", "name", "role", "project", "provider", "created", "expires", "note")
    for row in rows:
        expires = word("revoked") if row.revoked_at else instant(row.expires_at) or word("never")
        made.add_row(
            row.id, row.name, row.role, ", ".join(row.projects), row.provider or row.site or "", instant(row.created_at),
            expires, row.note,
        )  # fmt: skip
    return made


def projects(rows: Iterable[models.ProjectView]) -> Table:
    made = table("project", "title", "labels", "created")
    for row in rows:
        made.add_row(row.id, row.title, ", ".join(row.labels.values()), instant(row.created_at))
    return made


def allowance(of: models.AllowanceView) -> Table:
    made = table("resource", "in_use", "lately", "at_most", right=("in_use", "lately", "at_most"))
    models_ = sorted({*of.held.devices, *of.lately.devices, *of.devices})
    lines: list[tuple[str, float, float | None, float | None]] = [
        (word("core"), of.held.cores, of.lately.cores, of.cores),
        (word("memory"), of.held.memory_gb, of.lately.memory_gb, of.memory_gb),
        *((m, of.held.devices.get(m, 0), of.lately.devices.get(m, 0), of.devices.get(m)) for m in models_),
        (word("waiting_jobs"), of.waiting, None, of.queued),
    ]
    for name, used, mean, most in lines:
        made.add_row(name, f"{used:g}", "" if mean is None else f"{mean:.4g}", "–" if most is None else f"{most:g}")
    high = word("may_be_high" if of.may_be_high else "may_not_be_high")
    made.caption = f"{of.project} · {word('weight')} {of.weight:g} · {high}"
    return made


def files(rows: Iterable[models.FileView]) -> Table:
    made = table("file", "version", "size", "held_at", "job", "created", right=("version", "size"))
    for row in rows:
        held = row.site or word("network")
        made.add_row(
            row.name + ("/" if row.content.folder else ""), str(row.version), size(row.content.size), held, row.job or "",
            instant(row.created_at),
        )  # fmt: skip
    return made


def points(rows: Sequence[models.PointView]) -> Table:
    made = table("name", "step", "value", "created", right=("step", "value"))
    for row in rows:
        made.add_row(
            row.name,
            f"{row.step:g}" if row.step is not None else "",
            f"{row.value:g}" if row.value is not None else "",
            instant(row.at),
        )
    return made


def in_force(electricity: models.InForceView | None) -> str:
    """Price of a kWh and its tier, as of the decision."""
    return "" if electricity is None else f"{electricity.yuan_per_kwh:f} {word(electricity.tier)}"


def tariff(price: models.PriceView) -> str:
    """Whose schedule it is, its flat price, who pays, and what of it is an assumption."""
    of = price.electricity
    if of is None:
        return ""
    flat = of.fixed_yuan_per_kwh + of.flat_yuan_per_kwh
    parts = [f"{of.area} {of.document}".strip(), f"{word('flat')} {flat:f} ¥/kWh"]
    parts.append(word("passed_on" if price.electricity_passed_on else "in_price"))
    if "price" in of.assumed:
        parts.append(word("assumed_price"))
    return ", ".join(part for part in parts if part)


def vouched(found: models.VouchedView | None) -> str:
    """`0.30 (cd-001)`: what a voucher would pay."""
    return "" if found is None else f"{figure(found.yuan, 4)} ({found.voucher})"


def holds(found: models.StartHolds, project: str) -> str:
    """What a start holds, in a sentence."""
    if found.voucher is None:
        return word("holds_own").format(own=f"¥{found.own_fen / 100:.2f}", project=project)
    given = f"¥{found.voucher_fen / 100:.2f}"
    own = f"¥{found.own_fen / 100:.2f}"
    return word("holds_both").format(own=own, project=project, given=given, voucher=found.voucher)


def why(found: models.WhyView, names: Mapping[str, str]) -> Table:
    """Every site of a decision: the chosen one, those that also fit, and why the rest was out."""
    ranks = ([(found.chosen, "✓")] if found.chosen else []) + [(rank, word("others")) for rank in found.others]
    priced = any(rank.figures.electricity is not None for rank, _ in ranks)
    paid = any(rank.figures.voucher is not None for rank, _ in ranks)
    numbers = (
        "price",
        *(("by_voucher",) if paid else ()),
        *(("electricity",) if priced else ()),
        "carbon",
        "finish",
        "delay",
    )
    made = table("site", "verdict", *numbers, right=numbers)
    for rank, label in ranks:
        values = rank.figures
        made.add_row(
            names.get(rank.site, rank.site),
            Text(label, style="green" if label == "✓" else ""),
            figure(values.price_yuan, 4),
            *((vouched(values.voucher),) if paid else ()),
            *((in_force(values.electricity),) if priced else ()),
            figure(values.carbon_g),
            figure(values.finish_s, 0),
            figure(values.delay_ms, 1),
        )
    for exclusion in found.excluded:
        made.add_row(
            names.get(exclusion.site, exclusion.site), Text(exclusion.text, style="yellow"), *[""] * len(numbers)
        )
    hidden = found.excluded_total - len(found.excluded)
    if hidden > 0:
        made.add_row(f"+ {hidden}", "", *[""] * len(numbers))
    return made
