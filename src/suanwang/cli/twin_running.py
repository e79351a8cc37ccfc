"""`suanwang twin run`, `check` and `demo`: experiments of the twin, their progress, and their table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanwang.cli.exits import JobFailed
from suanwang.cli.options import Json

if TYPE_CHECKING:
    from suanwang.twin.experiment import Experiment
    from suanwang.twin.findings import SiteFinding
    from suanwang.twin.results import Summary
    from suanwang.twin.running import Happened, Ran, Told

Out = Annotated[
    Path | None, typer.Option("--out", help="Folder of the results; by default one named after the experiment.")
]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, max=4096, help="Plays at a time; by default one per core.")]
DEMO = "national-week"


def check(
    file: Annotated[Path, typer.Argument(help="The experiment: a YAML file, or the name of a shipped one.")],
    as_json: Json = False,
) -> None:
    """Say what an experiment would play, or everything that is wrong with it."""
    from suanwang.cli.terminal import emit, say
    from suanwang.twin.experiment import plays, said
    from suanwang.twin.experimentfile import read_experiment

    experiment = read_experiment(file)
    found = plays(experiment)
    facts = {
        "experiment": experiment.name,
        "trace": str(experiment.trace.path or experiment.trace.name),
        "network": experiment.network.name,
        "policies": [said(one) for one in experiment.policies],
        "seeds": list(experiment.seeds),
        "vary": {name: list(values) for name, values in experiment.varied.items()},
        "plays": len(found),
    }
    if as_json:
        emit(facts)
        return
    say(_either(f"{file}: right, {len(found)} plays", f"{file}：正确，共 {len(found)} 次运行"))
    for name, value in facts.items():
        if name != "plays":
            say(f"  {name}: {_listed(value)}")


def run(
    file: Annotated[Path, typer.Argument(help="The experiment: a YAML file, or the name of a shipped one.")],
    out: Out = None,
    jobs: Jobs = None,
    ray: Annotated[
        str | None, typer.Option("--ray", help="Play on the Ray cluster at this address; `auto` finds a local one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Play an experiment; run again after a kill, it goes on where it was."""
    from suanwang.twin.experimentfile import read_experiment

    experiment = read_experiment(file)
    _play(experiment, out or Path(f"{experiment.name}-results"), jobs, ray, as_json)


def demo(
    out: Out = None,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of all that is drawn.")] = 1,
    trace: Annotated[
        Path | None,
        typer.Option("--trace", help="A log of your own instead of the generated week.", show_default=False),
    ] = None,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """A week of a federation on the national network: all policies, what each costs, and what nobody can beat."""
    from dataclasses import replace

    from suanwang.cli.terminal import say
    from suanwang.twin.experiment import TraceSource, file_digest
    from suanwang.twin.experimentfile import read_experiment
    from suanwang.twin.findings import find

    experiment = replace(read_experiment(Path(DEMO)), seeds=(seed,))
    if trace is not None:
        source = TraceSource(name=trace.name, path=trace.resolve(), days=7.0, digest=_digest(trace, file_digest))
        experiment = replace(experiment, trace=source)
    assert experiment.start_ms is not None
    found = find(experiment.network, experiment.start_ms)
    for line in (_when(found.noon, found.night), _where(found.dirtier_in_the_west, found.greenest)):
        say(line, as_json=as_json)
    _play(experiment, out or Path("twin-demo"), jobs, None, as_json)


def _digest(trace: Path, of: Any) -> str:
    from suanwang.domain.errors import NotFound

    if not trace.is_file():
        raise NotFound(f"the trace {trace} is not there", field="trace", allowed="a file")
    return str(of(trace))


def _play(experiment: Experiment, out: Path, jobs: int | None, ray: str | None, as_json: bool) -> None:
    from suanwang.cli.terminal import console, emit, say
    from suanwang.twin.report import write_report
    from suanwang.twin.results import summarised
    from suanwang.twin.running import run as run_plays

    with _progress(experiment) as told:
        ran = run_plays(experiment, out, jobs=jobs, ray=ray, told=told)
    summaries = summarised(ran.rows, list(experiment.varied))
    report = write_report(out) if ran.rows else None
    bounds = _bounds(out)
    if as_json:
        emit(_said(experiment, ran, summaries, bounds, report))
    else:
        if ran.found:
            say(_either(f"{ran.found} plays were there already", f"已有 {ran.found} 次运行的结果"))
        for case in dict.fromkeys(one.case for one in summaries):
            console().print(_table(experiment, [one for one in summaries if one.case == case], bounds))
        say(_either(f"work: {ran.source}", f"负载：{ran.source}"))
        say(_either(f"network: {experiment.network.note}", f"网络：{experiment.network.note}"))
        say(_either(f"results: {out}", f"结果：{out}"))
        if report is not None:
            say(_either(f"report: {report}", f"报告：{report}"))
    if ran.failed:
        play, error = ran.failed[0]
        raise JobFailed(f"{len(ran.failed)} plays failed, the others are kept; the first: {play}: {error}")


@contextmanager
def _progress(experiment: Experiment) -> Iterator[Told]:
    """A bar on standard error, and a line for each play that fails."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from suanwang.cli.terminal import console

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task(experiment.name, total=None)

        def told(happened: Happened) -> None:
            progress.update(task, total=happened.all, completed=happened.there, description=str(happened.play))
            if happened.error is not None:
                progress.console.print(f"{happened.play}: {happened.error}")

        yield told


def _bounds(out: Path) -> Sequence[Mapping[str, Any]]:
    import json

    from suanwang.twin.results import EXPERIMENT

    found: Sequence[Mapping[str, Any]] = json.loads((out / EXPERIMENT).read_text(encoding="utf-8"))["bounds"]
    return found


_COLUMNS = (
    ("cost_yuan", "yuan", "元", 2),
    ("energy_kwh", "kWh", "千瓦时", 0),
    ("carbon_location_kg", "kgCO2", "千克CO2", 1),
    ("waiting_mean_h", "wait h", "等待（时）", 2),
    ("waiting_p95_h", "p95", "p95", 2),
    ("firm_waiting_p95_h", "p95, may not wait", "p95（不可等待）", 2),
    ("slowdown_mean_ratio", "slowdown", "减速比", 1),
)
_COMPARED = ("cost_yuan", "carbon_location_kg")


def _table(experiment: Experiment, found: Sequence[Summary], bounds: Sequence[Mapping[str, Any]]) -> Any:
    """One case: each policy over the seeds, and how far it is from the baseline."""
    from suanwang.cli.tables import table
    from suanwang.cli.terminal import chinese

    heads: list[str] = [_either("policy", "策略")]
    for key, en, zh, _ in _COLUMNS:
        heads.append(zh if chinese() else en)
        if key in _COMPARED:
            heads.append(_either(f"{en}, % of {experiment.baseline}", f"{zh}，对 {experiment.baseline} %"))
    case = found[0].case
    title = ", ".join(f"{name} {value}" for name, value in case) or None
    made = table(*heads, right=heads[1:], title=title)
    base = next((one for one in found if one.name == experiment.baseline.removesuffix("+easy")), None)
    for one in found:
        cells = [one.name]
        for key, _, _, digits in _COLUMNS:
            cells.append(_number(one.measures[key], digits))
            if key in _COMPARED:
                cells.append(_percent(one.measures[key].estimate, base.measures[key].estimate if base else None))
        made.add_row(*cells)
    for bound in bounds:
        if (bound["case"] or {}) != dict(case):
            continue
        for name, values in (
            (_either("(bound)", "（下界）"), bound["values"]),
            (_either("(bound, both at once)", "（下界，兼顾两者）"), bound["both"]),
        ):
            cells = [name]
            for key, _, _, digits in _COLUMNS:
                value = values.get(key)
                cells.append("" if value is None else f"{value:,.{digits}f}")
                if key in _COMPARED:
                    cells.append(_percent(value, base.measures[key].estimate if base else None))
            made.add_row(*cells)
    return made


def _number(value: Any, digits: int) -> str:
    import math

    if not math.isfinite(value.estimate):
        return ""
    spread = f" ± {value.half:,.{digits}f}" if math.isfinite(value.half) else ""
    return f"{value.estimate:,.{digits}f}{spread}"


def _percent(value: float | None, base: float | None) -> str:
    return "" if not base or value is None else f"{100 * value / base:.1f}"


def _said(
    experiment: Experiment,
    ran: Ran,
    summaries: Sequence[Summary],
    bounds: Sequence[Mapping[str, Any]],
    report: Path | None,
) -> dict[str, Any]:
    import math

    return {
        "experiment": experiment.name,
        "folder": str(ran.folder),
        "report": None if report is None else str(report),
        "found": ran.found,
        "made": ran.made,
        "failed": [{"play": str(play), "error": error} for play, error in ran.failed],
        "source": ran.source,
        "baseline": experiment.baseline,
        "bounds": list(bounds),
        "results": [
            {
                "policy": one.name,
                "case": dict(one.case),
                "measures": {
                    key: {
                        "estimate": value.estimate,
                        "low": value.low if math.isfinite(value.low) else None,
                        "high": value.high if math.isfinite(value.high) else None,
                    }
                    for key, value in one.measures.items()
                    if math.isfinite(value.estimate)
                },
            }
            for one in summaries
        ],
    }


def _when(noon: Sequence[SiteFinding], night: Sequence[SiteFinding]) -> str:
    return _either(
        f"Electricity has its valley at noon in {_valleys(noon)}; at night in {_valleys(night)}.",
        f"电价低谷在中午：{_valleys(noon)}；在夜间：{_valleys(night)}。",
    )


def _valleys(found: Sequence[SiteFinding]) -> str:
    hours = [(one, ", ".join(f"{begin}-{end}" for begin, end in one.valley)) for one in found]
    return _either("; ", "；").join(f"{_name(one)} ({when})" for one, when in hours) or _either("no site", "无")


def _where(pairs: Sequence[tuple[SiteFinding, SiteFinding]], greenest: SiteFinding) -> str:
    if not pairs:
        return _either("Every western site emits less than every eastern one.", "所有西部站点的碳强度都低于东部。")
    east = pairs[0][1]
    west = _either(", ", "、").join(f"{_name(one)} {one.carbon_g_per_kwh:.0f}" for one, _ in pairs)
    return _either(
        f"West is not always greener: {west} gCO2/kWh, against {east.carbon_g_per_kwh:.0f} in {_name(east)} in the east; "
        f"least of all in {_name(greenest)}, {greenest.carbon_g_per_kwh:.0f}.",
        f"西部并不总是更绿：{west} 克CO2/千瓦时，东部的{_name(east)}为 {east.carbon_g_per_kwh:.0f}；"
        f"最低的是{_name(greenest)}，{greenest.carbon_g_per_kwh:.0f}。",
    )


def _name(one: SiteFinding) -> str:
    return _either(one.site.name_en, one.site.name_zh)


def _either(en: str, zh: str) -> str:
    from suanwang.cli.terminal import chinese

    return zh if chinese() else en


def _listed(value: object) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_listed(inner)}" for key, inner in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return str(value)
