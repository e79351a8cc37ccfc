"""A report of figures beside what they are held to, for the terminal and as Markdown.

Owns when a bound is reached and how a report looks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.store import Figure
from rich.console import Console
from rich.table import Table

_BOUND = re.compile("([≥≤]) *([0-9][0-9,.]*)")
HEAD = "# How fast it is\n\nWritten by `make bench`; single runs unless a line says median. Every figure stands beside its target.\n"


@dataclass(slots=True)
class Part:
    """One benchmark's figures, or why there are none."""

    title: str
    figures: list[Figure] = field(default_factory=list)
    absent: str = ""
    took_s: float = 0.0


def reached(figure: Figure) -> bool | None:
    """Whether the bound is kept; None without one."""
    found = _BOUND.match(figure.bound)
    if found is None:
        return None
    bound = float(found[2].replace(",", ""))
    return figure.value >= bound if found[1] == "≥" else figure.value <= bound


def verdict(figure: Figure) -> str:
    return {True: "reached", False: "missed", None: ""}[reached(figure)]


def amount(value: float) -> str:
    """Three digits that matter, thousands apart."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def print_to(console: Console, parts: Sequence[Part]) -> None:
    """One table of all parts."""
    table = Table(title="Figures", title_justify="left")
    for column in ("what", "measured", "target", ""):
        table.add_column(column, justify="right" if column == "measured" else "left", overflow="fold")
    for part in parts:
        table.add_section()
        for figure in part.figures:
            style = {True: "green", False: "red", None: ""}[reached(figure)]
            table.add_row(
                figure.name,
                f"{amount(figure.value)} {figure.unit}",
                figure.bound,
                f"[{style}]{verdict(figure)}" if style else "",
            )
        if part.absent:
            table.add_row(part.title, "—", "", part.absent)
    console.print(table)


def markdown(machine: Sequence[tuple[str, str]], parts: Sequence[Part]) -> str:
    """The text of RESULTS.md."""
    lines = [HEAD]
    lines += [f"- {what}: {value}" for what, value in machine]
    for part in parts:
        lines += ["", f"## {part.title}", ""]
        if part.absent:
            lines += [f"No figure: {part.absent}", ""]
        if part.figures:
            lines += ["| what | measured | target | |", "| --- | ---: | --- | --- |"]
            lines += [
                f"| {figure.name} | {amount(figure.value)} {figure.unit} | {figure.bound} | {verdict(figure)} |"
                for figure in part.figures
            ]
        lines += ["", f"Took {part.took_s:.0f} s."]
    return "\n".join(lines) + "\n"
