"""How a chapter of `benchmarks/TWIN.md` looks, and how one is put in place of its older self.

Owns the layout alone. A chapter is a module `benchmarks.twin.NAME` with a `TITLE` and

    def measure(data: Path | None, *, quick: bool) -> Iterator[Table]

`data` is the folder of published traces and results, which this repository does not hold; without it a table says in
`absent` what it needs. `quick` tries the benchmark itself on a part of the data.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.report import Part, amount, verdict

HEAD = """# What the twin is worth

Written by `python -m benchmarks.twin`; every figure stands beside its target. The published traces and results are not
in this repository: `--data` says where they are.
"""
NAMES = ("shifting", "online", "power", "queues", "fragmentation", "speed", "china")
"""The chapters in their order; one that has no module yet is passed over."""


@dataclass(slots=True)
class Table(Part):
    """One table of a chapter: its figures, and what must be known to read them."""

    notes: list[str] = field(default_factory=list)


def chapter(title: str, machine: Sequence[tuple[str, str]], tables: Sequence[Table]) -> str:
    """The chapter's Markdown."""
    lines = [f"## {title}", "", "; ".join(f"{what}: {value}" for what, value in machine)]
    for table in tables:
        lines += ["", f"### {table.title}", ""]
        lines += [line for note in table.notes for line in (note, "")]
        if table.absent:
            lines += [f"No figure: {table.absent}", ""]
        if table.figures:
            lines += ["| what | measured | target | |", "| --- | ---: | --- | --- |"]
            lines += [
                f"| {figure.name} | {amount(figure.value)} {figure.unit} | {figure.bound} | {verdict(figure)} |"
                for figure in table.figures
            ]
            lines += [""]
        lines += [f"Took {table.took_s:.0f} s."]
    return "\n".join(lines) + "\n"


def put(file: Path, name: str, text: str) -> None:
    """Writes one chapter, and leaves the others as they stand."""
    held = dict(_chapters(file.read_text(encoding="utf-8"))) if file.exists() else {}
    held[name] = text
    order = [known for known in NAMES if known in held]
    body = "\n".join(f"<!-- {known} -->\n{held[known].rstrip()}\n<!-- /{known} -->\n" for known in order)
    file.write_text(f"{HEAD}\n{body}", encoding="utf-8")


def _chapters(text: str) -> list[tuple[str, str]]:
    return re.findall(r"<!-- (\w+) -->\n(.*?)\n<!-- /\1 -->", text, re.DOTALL)
