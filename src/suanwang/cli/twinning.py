"""Commands about the digital twin's workloads; `app` is the group that all of the twin's commands hang on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from suanwang.cli.exits import UsageError
from suanwang.cli.options import Json

if TYPE_CHECKING:
    from suanwang.twin.profile import Profile
    from suanwang.twin.trace import Trace

app = typer.Typer(no_args_is_help=True, help="The digital twin: traces, generated work, experiments.")
_ENDINGS = (".parquet", ".csv")
CLOSENESS_JOBS = 20_000
"""As many are drawn, at most, to see how close a profile is."""


@app.callback()
def twin() -> None:
    """The digital twin: traces, generated work, experiments."""


@app.command()
def trace(
    file: Annotated[Path, typer.Argument(help="A trace as it was published: CSV, SWF, JSON, Parquet; also packed.")],
    format: Annotated[  # noqa: A002 - the option's own name
        str | None, typer.Option(help="Its format, where it is not recognised; `list` prints them.", show_default=False)
    ] = None,
    member: Annotated[str | None, typer.Option(help="The file to read in an archive.", show_default=False)] = None,
    zone: Annotated[
        str | None,
        typer.Option(help="What times without an offset are in: UTC, +08:00, Europe/Berlin.", show_default=False),
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="GAIA's files: `hours` or `seconds`, where it is not clear.", show_default=False)
    ] = None,
    lenient: Annotated[bool, typer.Option("--lenient", help="SWF: leave out jobs with a negative run time.")] = False,
    head: Annotated[int | None, typer.Option(min=1, help="Only so many jobs.", show_default=False)] = None,
    to: Annotated[
        Path | None, typer.Option(help="Write it in our own form: a .parquet or .csv file.", show_default=False)
    ] = None,
    profile: Annotated[
        Path | None, typer.Option("--fit", help="Fit a profile to it: a .yaml file to write.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Look at a trace, convert it, fit a profile to it."""
    from suanwang.twin.traces import read_trace, write_trace

    if str(file) == "list" or format == "list":
        _list_formats(as_json)
        return
    _check_ending(to)
    found = read_trace(file, format, member=member, zone=zone, unit=unit, lenient=lenient or None)
    if head is not None:
        found = found.head(head)
    if to is not None:
        write_trace(found, to)
    if profile is not None:
        from suanwang.twin.fitting import fit
        from suanwang.twin.profile import write_profile

        fitted = fit(found)
        write_profile(fitted, profile)
        _tell_closeness(found, fitted)
    _show(found, as_json, *(path for path in (to, profile) if path is not None))


@app.command()
def generate(
    profile: Annotated[str, typer.Argument(help="A shipped profile or a .yaml file; `list` prints the shipped ones.")],
    jobs: Annotated[int | None, typer.Option(min=1, help="How many jobs.", show_default=False)] = None,
    days: Annotated[float | None, typer.Option(help="Over how many days.", show_default=False)] = None,
    load: Annotated[float, typer.Option(help="How many times as fast they come.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same jobs.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A .parquet or .csv file to write.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw a trace from a profile: new work that is like old work."""
    from suanwang.cli.terminal import emit, say
    from suanwang.twin.profile import read_profile, shipped

    if profile == "list":
        told = {name: read_profile(name).source for name in shipped()}
        if as_json:
            emit(told)
        for name, source in {} if as_json else told.items():
            say(f"{name}: {source}")
        return
    if jobs is None and days is None:
        raise UsageError("say how much", field="jobs", allowed="--jobs N, --days D, or both")
    _check_ending(output)
    import numpy as np

    from suanwang.twin.generator import generate as draw
    from suanwang.twin.traces import write_trace

    made = draw(read_profile(profile), np.random.default_rng(seed), jobs=jobs, days=days, load=load)
    if output is not None:
        write_trace(made, output)
    _show(made, as_json, *(() if output is None else (output,)))


def _tell_closeness(found: Trace, fitted: Profile) -> None:
    """How far work drawn from the profile is from the work it was fitted to."""
    import numpy as np

    from suanwang.cli.terminal import note
    from suanwang.cli.words import word
    from suanwang.twin.generator import closeness
    from suanwang.twin.generator import generate as draw

    made = closeness(found, draw(fitted, np.random.default_rng(0), jobs=min(len(found), CLOSENESS_JOBS)))
    note(f"{word('closeness')}: {', '.join(f'{key} {value:.3f}' for key, value in made.items())}")


def _check_ending(path: Path | None) -> None:
    if path is not None and path.suffix not in _ENDINGS:
        raise UsageError(f"a trace is not written as {path.name}", field=str(path), allowed=", ".join(_ENDINGS))


def _list_formats(as_json: bool) -> None:
    from suanwang.cli.terminal import emit, say
    from suanwang.twin.traces import FORMATS

    if as_json:
        emit({made.name: {"title": made.title, "options": sorted(made.options)} for made in FORMATS.values()})
        return
    for made in FORMATS.values():
        options = sorted(made.options & {"zone", "unit", "lenient"})
        say(f"{made.name}: {made.title}" + (f" (--{', --'.join(options)})" if options else ""))


def _show(found: Trace, as_json: bool, *written: Path) -> None:
    from suanwang.cli.terminal import console, emit, note, say
    from suanwang.cli.words import word
    from suanwang.twin.traces.summary import summary

    told = summary(found)
    if as_json:
        emit(told)
    else:
        say(f"{found.name}: {found.source}")
        for made in _tables(told):
            console().print(made)
        for text in found.left_out:
            say(f"{word('left_out')}: {text}")
    for path in written:
        note(f"written to {path}")


def _tables(told: dict[str, Any]) -> list[Any]:
    from suanwang.cli import tables
    from suanwang.cli.words import word
    from suanwang.twin.traces.summary import QUANTILES

    facts = tables.table("figure", "value", right=("value",))
    for key in ("jobs", "begins", "days", "groups", "homes", "core_hours", "device_hours"):
        if told[key] is not None:
            facts.add_row(word(key if key != "homes" else "homes_named"), _number(told[key]))
    for key in ("core", "device"):
        facts.add_row(word(f"busy_{key}"), _number(told["load"][key]))
    headings = tuple("least_value" if name == "least" else name for name in (*QUANTILES, "mean"))
    spread = tables.table("figure", *headings, right=headings)
    for key, values in told["quantiles"].items():
        spread.add_row(word(f"trace_{key}"), *(_number(values.get(name)) for name in (*QUANTILES, "mean")))
    return [facts, spread]


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value or "")
