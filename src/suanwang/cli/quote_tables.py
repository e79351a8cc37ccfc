"""Tables for people: requirements, offers, devices, lessons.

Owns their columns. Takes the client's models and asks nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from suanwang.cli.tables import facts, figure, instant, table, vouched
from suanwang.cli.terminal import said
from suanwang.cli.words import word

if TYPE_CHECKING:
    from suanwang.client import quote_models as models


def significant(value: float) -> str:
    """Three significant digits, as what is estimated deserves."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


def interval(value: models.SpanView | None, scale: float = 1.0) -> str:
    """The middle, and the bounds that hold it eight times in ten where it has any."""
    if value is None:
        return ""
    middle = significant(value.mid * scale)
    if value.low == value.high:
        return middle
    return f"{middle} ({significant(value.low * scale)}–{significant(value.high * scale)})"


def split(value: models.SplitView | None, serving: models.ServingView | None) -> str:
    """`t8 p4 d16 z1`, or replicas of a served model."""
    if serving is not None:
        return f"{serving.replicas} × (t{serving.tensor} p{serving.pipeline}, batch {serving.batch})"
    if value is None:
        return ""
    expert = f" e{value.expert}" if value.expert > 1 else ""
    return f"t{value.tensor} p{value.pipeline} d{value.data}{expert} z{value.zero}"


def requirement(found: models.RequirementView) -> Table:
    numbers = ("cards", "least", "hours", "card_hours", "work_pd", "unit_hours", "energy", "mfu", "memory")
    made = table("device", "cards", "least", "split", *numbers[2:], right=numbers)
    for row in found.estimates:
        made.add_row(
            row.device,
            f"{row.cards:,}",
            f"{row.least_cards:,}",
            split(row.split, row.serving),
            interval(row.hours),
            interval(row.card_hours),
            significant(row.work_pd),
            significant(row.unit_hours.mid),
            interval(row.energy_kwh),
            f"{row.mfu.mid:.0%}" if row.mfu else "",
            f"{row.memory.total_gb:.0f} GB" if row.memory else "",
        )
    for unfit in found.unfit:
        made.add_row(unfit.device, Text(said(unfit.reason), style="yellow"))
    return made


def offers(rows: Sequence[models.OfferView], names: Mapping[str, str]) -> Table:
    """The best offers; hours, money and energy with their interval."""
    paid = any(row.voucher is not None for row in rows)
    numbers = ("hours", "price", *(("by_voucher",) if paid else ()), "energy", "carbon")
    made = table("offer", "site", "chips", "start", *numbers, "finish_at", right=("offer", *numbers))
    for row in rows:
        made.add_row(
            str(row.number),
            names.get(row.site, row.site),
            chips(row),
            instant(row.start_at),
            interval(row.hours),
            interval(row.price_yuan),
            *((vouched(row.voucher),) if paid else ()),
            interval(row.energy_kwh),
            interval(row.carbon_g),
            instant(row.finish_at),
        )
    return made


def parts(row: models.OfferView) -> Table:
    """How the price of an offer comes about."""
    made = table("parts", "hours", "price", right=("hours", "price"))
    for part in row.parts:
        made.add_row(f"{row.number}. {part.text}", figure(part.hours, 4), figure(part.yuan, 4))
    return made


def chips(row: models.OfferView) -> str:
    """`2 × 8 nvidia-a100-sxm-80gb` for two nodes of eight, or cores."""
    each = f"{row.devices_per_node} {row.device_model}" if row.device_model else f"{row.cores_per_node} {word('core')}"
    return each if row.nodes == 1 else f"{row.nodes} × {each}"


def excluded(rows: Iterable[tuple[str, str]]) -> Table:
    """Sites that have no offer, with the reason."""
    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column()
    made.add_column(overflow="fold", style="yellow")
    for site, reason in rows:
        made.add_row(f"✕ {site}", reason)
    return made


def trial(found: models.ExtrapolationView, costs: Mapping[str, float]) -> Table:
    """The whole run as far as the trial tells; `costs` are a second's price, energy and carbon."""
    rows: list[tuple[str, str | Text]] = [
        ("hours", interval(found.seconds, 1 / 3600)),
        ("step_s", interval(found.step_s)),
        ("startup", f"{significant(found.startup_s)} s"),
        ("reach", f"{significant(found.reach)} ×"),
    ]
    rows += [(name, interval(found.seconds, each)) for name, each in costs.items() if each]
    sure = Text(word("yes" if found.sure else "no"), style="green" if found.sure else "yellow")
    return facts([*rows, ("sure", sure), ("note", found.remark)])


def devices(rows: Iterable[models.AcceleratorRow]) -> Table:
    made = table(
        "device", "name", "fp64", "bf16", "fp8", "int8", "memory", "bandwidth", "power", "released", "domestic",
        right=("fp64", "bf16", "fp8", "int8", "memory", "bandwidth", "power"),
    )  # fmt: skip
    for row in rows:
        rates = {precision.value: rate for precision, rate in row.rates.items()}
        made.add_row(
            row.id,
            f"{row.vendor} {row.model}",
            _rate(rates.get("fp64")),
            _rate(rates.get("bf16", rates.get("fp16"))),
            _rate(rates.get("fp8")),
            _rate(rates.get("int8")),
            f"{row.memory_gb:g} GB" if row.memory_gb else "",
            f"{row.memory_bandwidth_gb_s:,.0f} GB/s" if row.memory_bandwidth_gb_s else "",
            f"{row.power_w:,.0f} W" if row.power_w else "",
            row.released or "",
            word("yes") if row.domestic else "",
        )
    return made


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:,g}"


def device(view: models.AcceleratorView) -> Table:
    """Every figure of one device: dense, with sparsity, as printed; each with its source."""
    made = table("figure", "dense", "sparse", "printed", "unit", "source", right=("dense", "sparse", "printed"))
    printed = dict(view.printed)
    for precision, dense in view.rates.items():
        sparse, as_printed = view.sparse_rates.get(precision), printed.pop(precision.value, None)
        unit = "TOPS" if precision.value.startswith("int") else "TFLOPS"
        cited = [f for f in (dense, sparse, as_printed) if f is not None]
        made.add_row(
            precision.value.upper(), _rate(dense.value), _figure(sparse), _figure(as_printed), unit, _cited(cited)
        )
    others = (
        ("memory", "memory_gb", view.memory_gb, "GB"),
        ("bandwidth", "memory_bandwidth_gb_s", view.memory_bandwidth_gb_s, "GB/s"),
        ("power", "power_w", view.power_w, "W"),
        ("process", "process_nm", view.process_nm, "nm"),
    )
    for label, field, known, unit in others:
        as_printed = printed.pop(field, None)
        if known or as_printed:
            cited = [f for f in (known, as_printed) if f is not None]
            made.add_row(word(label), _figure(known), "", _figure(as_printed), unit, _cited(cited))
    for link in view.links:
        way = link.bandwidth_gb_s
        unit = f"GB/s, {word(link.direction.value)}"
        made.add_row(link.name, _rate(way.value), "", "", unit, _cited([way]))
    for field, left in printed.items():
        made.add_row(field, "", "", _rate(left.value), "", _cited([left]))
    return made


def device_facts(view: models.AcceleratorView) -> Table:
    units = ", ".join(f"{unit.work_class.value} {interval(unit.units)}" for unit in view.units)
    names = ", ".join(dict.fromkeys((*view.aliases, *view.families, *view.slurm_gres, *view.kubernetes)))
    return facts(
        (
            ("device", view.id),
            ("name", f"{view.vendor} {view.model}"),
            ("kind", view.kind.value),
            ("domestic", word("yes" if view.domestic else "no")),
            ("released", view.released.value if view.released else ""),
            ("software", ", ".join(view.software)),
            ("names", names),
            ("units", units),
            ("note", view.note),
        )
    )


def sources(rows: Iterable[models.ReferenceView]) -> Table:
    made = table("source", "title", "published", "locator")
    for row in rows:
        made.add_row(row.key, f"{row.publisher}: {row.title}", row.published_on, row.locator)
    return made


def _figure(value: models.FigureView | None) -> str:
    return "" if value is None else _rate(value.value)


def _cited(figures: Sequence[models.FigureView]) -> str:
    notes = dict.fromkeys(figure.note for figure in figures if figure.note)
    keys = ", ".join(dict.fromkeys(figure.source for figure in figures))
    return keys + (f" ({'; '.join(notes)})" if notes else "")


def lessons(rows: Iterable[models.LessonView]) -> Table:
    numbers = ("predicted", "measured", "deviation", "factor")
    made = table("job", "site", "device", "class", *numbers, "note", right=numbers)
    for row in rows:
        note = Text(word("outlier"), style="red") if row.outlier else Text("")
        if row.interrupted:
            note = Text(word("interrupted"), style="yellow")
        made.add_row(
            row.job or "–",
            row.site,
            row.device,
            row.work_class,
            interval(row.predicted_hours),
            significant(row.measured_hours),
            f"{row.z:+.1f} σ",
            f"{row.factor_before:.3f} → {row.factor_after:.3f}",
            note,
        )
    return made


def beliefs(rows: Iterable[models.BeliefView]) -> Table:
    made = table("device", "class", "factor", "runs_count", "outliers", right=("factor", "runs_count", "outliers"))
    for row in rows:
        made.add_row(row.device, row.work_class, interval(row.factor), figure(row.runs, 0), figure(row.outliers, 0))
    return made
