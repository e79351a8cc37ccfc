"""How the demo looks in a terminal: a live table while it runs, the final table, and plain lines where nobody watches.

Owns columns, bars and sentences, in the terminal's language. Asks the network nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from suanwang.cli.tables import figure, span, state, table, waited_s, yuan
from suanwang.cli.words import word
from suanwang.demo.work import EPOCHS, IMPOSSIBLE, PIECES, SWEEP, TRAINING, Look, Piece
from suanwang.domain.lifecycle import ENDED, JobState

if TYPE_CHECKING:
    from suanwang.client import models
    from suanwang.demo.checking import Evidence

WIDE = 130
"""Columns from which on the reasons have room beside the figures."""
_LINES = 8
"""Of the story, under the live table."""


class Show:
    """What is on the screen. Use as a context manager; `tell` and `update` as things happen."""

    def __init__(self, out: Console, *, chinese: bool) -> None:
        self._out = out
        self._chinese = chinese
        self._begun = time.monotonic()
        self._story: list[str] = []
        self._look: Look | None = None
        self._live = Live(console=out, refresh_per_second=4, transient=True) if out.is_terminal else None

    def __enter__(self) -> Show:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            for line in self._story:
                self._out.print(line, style="dim")

    def tell(self, english: str, chinese: str) -> None:
        """One more line of the story."""
        line = f"{time.monotonic() - self._begun:5.1f}s  {chinese if self._chinese else english}"
        self._story.append(line)
        if self._live is None:
            self._out.print(line)
        else:
            self._refresh()

    def update(self, seen: Look) -> None:
        self._look = seen
        self._refresh()

    def _refresh(self) -> None:
        if self._live is None:
            return
        parts: list[RenderableType] = (
            [] if self._look is None else [live_table(self._look, chinese=self._chinese), Text()]
        )
        parts += [Text(line, style="dim") for line in self._story[-_LINES:]]
        self._live.update(Group(*parts))


def name_of(site: models.SiteView | None, *, chinese: bool) -> str:
    if site is None:
        return ""
    return site.offering.name_zh if chinese else site.offering.name_en


def live_table(seen: Look, *, chinese: bool) -> Table:
    """Sites in the title, a row for each piece of work."""
    title = Text("  ").join(
        Text.assemble(
            name_of(site, chinese=chinese),
            " ",
            state(site.state),
            f" {site.held.cores}/{site.offering.cores_per_node} ",
        )
        for site in seen.sites.values()
    )
    made = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, heading in enumerate(("#", "name", "state", "site", "ran", "price", "")):
        made.add_column(
            word(heading) if heading else "",
            justify="right" if heading in ("ran", "price") else "left",
            min_width=16 if number == 6 else None,
        )
    for number, piece in enumerate(PIECES, start=1):
        jobs = seen.of(piece)
        if not jobs:
            continue
        made.add_row(
            str(number),
            piece.title(chinese=chinese),
            _states(jobs),
            places(piece, seen, chinese=chinese),
            span(sum(job.usage.wall_s for job in jobs)),
            yuan(sum((job.usage.cost_yuan for job in jobs), start=jobs[0].usage.cost_yuan * 0)),
            _bar(piece, seen),
        )
    return made


def _states(jobs: Sequence[models.JobView]) -> Text:
    counts = Counter(job.state for job in jobs)
    parts = [Text.assemble(f"{count} " if len(jobs) > 1 else "", state(value)) for value, count in counts.items()]
    return Text(", ").join(parts)


def places(piece: Piece, seen: Look, *, chinese: bool) -> str:
    """Where a piece ran: the way of the training, the numbers of the sweep."""

    def name(site: str | None) -> str:
        return name_of(seen.sites.get(site or ""), chinese=chinese)

    if piece is TRAINING:
        return " → ".join(name(site) for site in seen.sites_of_training)
    jobs = [job for job in seen.of(piece) if job.site is not None]
    if piece is SWEEP:
        return ", ".join(
            f"{name(site)} {count}" for site, count in sorted(Counter(job.site for job in jobs).items(), key=str)
        )
    return " → ".join(name(job.site) for job in jobs)


def _bar(piece: Piece, seen: Look) -> RenderableType:
    jobs = seen.of(piece)
    if piece is IMPOSSIBLE:
        return Text()
    if piece is TRAINING:
        loss = "" if seen.loss is None else f" {seen.epoch}/{EPOCHS} loss {seen.loss:.3f}"
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_row(ProgressBar(total=EPOCHS, completed=seen.epoch, width=16), loss)
        return grid
    done = sum(job.state in ENDED for job in jobs)
    return ProgressBar(total=len(jobs), completed=done, width=16)


def final_report(found: Evidence, *, chinese: bool, width: int) -> RenderableType:
    """Where each job ran and why there, how long it waited and ran, and what that used and cost.

    The reasons are a column where the terminal is wide, else lines under the table.
    """
    wide = width >= WIDE
    columns = ["name", "site", "why", "waited", "ran", "device_hours", "core_hours", "energy", "carbon", "price"]
    if not wide:
        columns.remove("why")
    made = table(*columns, right=columns[3:] if wide else columns[2:])
    reasons = Table(
        box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0), title=word("why"), title_justify="left"
    )
    for piece in PIECES:
        for jobs in [found.look.of(piece)] if piece is SWEEP else [[job] for job in found.look.of(piece)]:
            name, where, *figures = _final_row(piece, jobs, found, chinese=chinese)
            why = why_there(piece, jobs, found, chinese=chinese)
            made.add_row(name, where, *([why] if wide else []), *figures)
            reasons.add_row(name, why)
        if wide:
            made.add_section()
    return made if wide else Group(made, Text(), reasons)


def _final_row(piece: Piece, jobs: Sequence[models.JobView], found: Evidence, *, chinese: bool) -> list[str]:
    first = jobs[0]
    usage = [job.usage for job in jobs]
    waits = [wait for job in jobs if (wait := waited_s(job)) is not None]
    one_place = name_of(found.look.sites.get(first.site or ""), chinese=chinese)
    where = places(piece, found.look, chinese=chinese) if piece in (TRAINING, SWEEP) else one_place
    return [
        f"{first.name} × {len(jobs)}" if len(jobs) > 1 else first.name,
        where or word("state_refused" if first.state is JobState.REFUSED else first.state),
        span(sum(waits) / len(waits)) if waits else "",
        span(sum(one.wall_s for one in usage)),
        figure(sum(one.device_hours for one in usage), 4),
        figure(sum(one.core_hours for one in usage), 4),
        figure(sum(one.energy_kwh for one in usage), 6),
        figure(sum(one.carbon_g for one in usage), 3),
        yuan(sum((one.cost_yuan for one in usage), start=usage[0].cost_yuan * 0)),
    ]


def why_there(piece: Piece, jobs: Sequence[models.JobView], found: Evidence, *, chinese: bool) -> str:
    """The decision in a sentence: against whom it won, and why the rest was out; for the training, both decisions."""
    names = {site.id: name_of(site, chinese=chinese) for site in found.look.sites.values()}
    if piece is TRAINING:
        runs = found.allocations[jobs[0].id]
        return "\n".join(f"{names.get(run.site, run.site)}: {_why(run.why, names, chinese=chinese)}" for run in runs)
    decisions = [why for job in jobs if (why := found.details[job.id].why) is not None]
    if not decisions:
        return ""
    text = _why(max(decisions, key=lambda why: len(why.others)), names, chinese=chinese)
    if piece is SWEEP:
        text += "；站点满后依次选次优" if chinese else "; then the next best as sites fill up"
    return text


def _why(why: models.WhyView, names: Mapping[str, str], *, chinese: bool) -> str:
    parts = []
    chosen = why.chosen
    if chosen is not None and why.others:
        others = ", ".join(f"{names.get(r.site, r.site)} ¥{figure(r.figures.price_yuan, 4)}" for r in why.others)
        mine = f"¥{figure(chosen.figures.price_yuan, 4)}"
        parts.append(f"价格最低 {mine}（{others}）" if chinese else f"cheapest at {mine} ({others})")
    if chosen is not None and chosen.figures.delay_ms is not None:
        delay = chosen.figures.delay_ms
        parts.append(f"单向 {delay:.1f} 毫秒" if chinese else f"{delay:.1f} ms one way")
    parts += [f"{names.get(out.site, out.site)} {out.text}" for out in why.excluded]
    return ("；" if chinese else "; ").join(parts)
