"""The report as one HTML file that needs nothing else: styles, scripts, figures and licences are in it.

Owns how the page is put together. Names come from files, so every text is escaped and the figures are data, not script.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import suanwang
from suanwang.twin.report.comparing import Difference, difference, mean_of
from suanwang.twin.report.drawing import MOST_CASES, drawn, largest_projects
from suanwang.twin.report.results import Case, Contender, Results
from suanwang.twin.report.telling import case_name, summary
from suanwang.twin.report.words import MEASURES, Measure, Number, Words, by_key, shown, signed

MOST_ROWS = 20
"""Projects of a table."""
NO_NUMBER = float("nan")
HERE = Path(__file__).parent
VENDOR = Path(suanwang.__file__).parent / "web" / "static" / "vendor"
ECHARTS = "echarts-5.6.0.common.min.js"
LICENCES = ("echarts-notice.txt", "echarts.txt", "LICENSE-d3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One figure of the table: `apart` is the difference to the baseline, where the seeds tell it."""

    text: str
    apart: str
    best: bool
    zero: bool


def page(results: Results) -> str:
    """The whole document."""
    cases = results.cases
    return (
        _environment()
        .get_template("report.html")
        .render(
            results=results,
            cases=[_section(results, case) for case in cases[:MOST_CASES]],
            left_out=max(0, len(cases) - MOST_CASES),
            css=(HERE / "report.css").read_text(encoding="utf-8"),
            script=_script((HERE / "report.js").read_text(encoding="utf-8")),
            echarts=_script((VENDOR / ECHARTS).read_text(encoding="utf-8")),
            figures=embedded(drawn(results)),
            licences=[(VENDOR / "licences" / name).read_text(encoding="utf-8") for name in LICENCES],
        )
    )


def embedded(value: object) -> str:
    """JSON that no parser of HTML takes for a tag."""
    text = orjson.dumps(value).decode()
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _script(text: str) -> str:
    assert "</script" not in text.lower(), "our own scripts never end their element"
    return text


def _section(results: Results, case: Case) -> dict[str, Any]:
    contenders = results.contenders(case)
    baseline = results.baseline_of(case)
    rows = [(measure, _row(results, case, measure, contenders, baseline)) for measure in results.measures]
    return {
        "name": case_name(case),
        "summary": summary(results, case),
        "contenders": contenders,
        "baseline": baseline,
        "rows": [(measure, cells) for measure, cells in rows if not all(cell.zero for cell in cells)],
        "shares": _shares(results, case, contenders),
        "zero": [measure for measure, cells in rows if all(cell.zero for cell in cells)],
    }


def _shares(results: Results, case: Case, contenders: list[Contender]) -> dict[str, Any] | None:
    """By project what it held on average and what it was entitled to, for each policy; and how fair that was. None where
    projects took no turns."""
    of = {shares.play: shares for shares in results.shares}
    found = [of.get(results.of(case, contender)[0].id) for contender in contenders]
    if not any(found):
        return None
    projects = largest_projects(results, MOST_ROWS + 1)
    means = {
        project: [(NO_NUMBER, NO_NUMBER) if shares is None else shares.means(project) for shares in found]
        for project in projects[:MOST_ROWS]
    }
    jain = by_key(MEASURES)["fair_dominant_jain"]
    return {
        "rows": [(name, [(_percent(a), _percent(b)) for a, b in pairs]) for name, pairs in means.items()],
        "more": len(projects) > MOST_ROWS,
        "jain": (jain, [shown(jain, mean_of(list(results.values(case, c, jain.key).values()))) for c in contenders]),
    }


def _percent(share: float) -> str:
    return "–" if share != share else f"{100 * share:.1f} %"


def _row(
    results: Results, case: Case, measure: Measure, contenders: list[Contender], baseline: Contender
) -> list[Cell]:
    values = {contender: results.values(case, contender, measure.key) for contender in contenders}
    means = {contender: mean_of(list(found.values())) for contender, found in values.items()}
    known = [number.mean for number in means.values() if number.mean == number.mean]
    top = (max if measure.more_is_better else min)(known) if known else None
    # Where most share the best figure it tells them apart from few: a mark on it would tell nothing.
    marked = 1 <= known.count(top) <= max(1, len(contenders) // 2) if top is not None and len(known) > 1 else False
    return [
        Cell(
            text=shown(measure, means[contender]),
            apart="" if contender == baseline else _apart(measure, difference(measure, found, values[baseline])),
            best=marked and means[contender].mean == top,
            zero=means[contender].mean == 0,
        )
        for contender, found in values.items()
    ]


def _apart(measure: Measure, found: Difference) -> str:
    """In percent, in percentage points of a share, or as the amount where percentages would say nothing."""
    if not found.told:
        return ""
    if found.percent is not None:
        return f"{signed(found.percent.mean)} %{_half(found.percent)}"
    amount = found.amount.mean * measure.factor
    return f"{signed(100 * amount)} pp" if measure.share else signed(amount)


def _half(number: Number) -> str:
    return f" ± {abs(number.half):.1f}" if number.half == number.half else ""


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters["both"] = _both
    return environment


def _both(words: Words | Mapping[str, str] | tuple[str, str]) -> Markup:
    """The text in both languages, of which the page shows one."""
    en, zh = words.values() if isinstance(words, Mapping) else words
    if en == zh:
        return Markup("{}").format(en)
    return Markup('<span lang="en">{}</span><span lang="zh-Hans">{}</span>').format(en, zh)
