"""`suanwang twin power`: a site's meter beside what its jobs had, and what to write into files of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from suanwang.cli.options import Json

if TYPE_CHECKING:
    from suanwang.electricity.series import Series
    from suanwang.twin.metered import Floats, Metered


def power(
    load: Annotated[
        Path, typer.Argument(help="The jobs that ran, a trace with dates; or, with --busy, a table of what was busy.")
    ],
    meter: Annotated[Path, typer.Argument(help="The meter's readings: a table of times and watts.")],
    busy: Annotated[
        bool, typer.Option("--busy", help="LOAD has a time and the columns cores, devices or both: units in use.")
    ] = False,
    column: Annotated[
        str | None, typer.Option(help="The meter's column, where it has several.", show_default=False)
    ] = None,
    unit: Annotated[Literal["W", "kW"], typer.Option(help="What the meter says.")] = "W",
    every_minutes: Annotated[int, typer.Option("--every", min=1, help="Calibrate every so many minutes.")] = 60,
    fill: Annotated[
        Literal["hold", "linear"] | None,
        typer.Option(help="How to close gaps; else they are refused.", show_default=False),
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option(help="What times without an offset are in: UTC, +08:00, Europe/Berlin.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Calibrate a site's power against its meter: watts of a busy core and device, and their error by day."""
    from dataclasses import replace

    from suanwang.cli.terminal import emit
    from suanwang.twin.metered import busy_of, metered
    from suanwang.twin.traces import read_trace
    from suanwang.twin.traces.series import read_series

    readings = read_series(meter, value=column, zone=zone, fill=fill)
    if unit == "kW":
        readings = replace(readings, values=readings.values * 1000)
    units = _table_of(load, readings, zone, fill) if busy else busy_of(read_trace(load, zone=zone), readings)
    found = metered(units, readings, every_minutes * 60_000)
    if as_json:
        emit(asdict(found))
    else:
        _show(found, every_minutes)


def _table_of(load: Path, readings: Series, zone: str | None, fill: Literal["hold", "linear"] | None) -> Floats:
    """`[t, 2]` at the meter's instants."""
    import numpy as np

    from suanwang.domain.errors import InvalidRequest
    from suanwang.twin.metered import LOADS
    from suanwang.twin.traces.series import read_areas

    found = read_areas(load, zone=zone, fill=fill)
    wrong = sorted(set(found) - set(LOADS))
    if wrong:
        raise InvalidRequest(f"{load} has a column {wrong[0]}", field=wrong[0], allowed=f"a time, {', '.join(LOADS)}")
    for one in found.values():
        if one.start_ms > readings.start_ms or one.end_ms < readings.end_ms:
            raise InvalidRequest(f"{load} does not cover the meter's times", field="load", allowed="all of them")
    edges = readings.start_ms + readings.step_ms * np.arange(len(readings.values))
    hours = readings.step_ms / 3_600_000
    nothing = np.zeros(len(edges))
    return np.stack(
        [found[name].integral(edges, edges + readings.step_ms) / hours if name in found else nothing for name in LOADS],
        axis=1,
    )


def _show(found: Metered, every: int) -> None:
    from suanwang.cli.tables import table
    from suanwang.cli.terminal import chinese, console, say

    def either(english: str, chinese_words: str) -> str:
        return chinese_words if chinese() else english

    heads = (
        either("day", "第几天"),
        either("mean kW", "平均功率 kW"),
        either(f"error, calibrated every {every} min", f"误差（每 {every} 分钟校准）"),
        either("error, watts of the days before", "误差（只用此前各天的瓦数）"),
    )
    made = table(*heads, right=heads[1:])
    for one in found.days:
        made.add_row(str(one.day), f"{one.mean_kw:,.2f}", _percent(one.online_percent), _percent(one.watts_percent))
    made.add_row(either("from day 2", "第 2 天起"), "", _percent(found.online_percent), _percent(found.watts_percent))
    console().print(made)
    watts = found.watts
    say(
        either(
            f"Idle: {watts.idle_w:,.0f} W whatever runs. The files below have no place for it: it is no job's, and it is not in them.",
            f"空闲功率：{watts.idle_w:,.0f} W，与运行的作业无关。下列文件没有这一项，其瓦数也不含它。",
        )
    )
    said = f"watts: {{core: {watts.core_w:.4g}" + (f", device: {watts.device_w:.4g}}}" if watts.device_w else "}")
    say(either("In a network file, under the pool:", "写入网络文件的资源池："))
    say(f"  {said}")
    say(either("In a site file:", "写入站点文件："))
    say(f"  core_power_w: {watts.core_w:.4g}")
    if watts.device_w:
        say(either(f"  and power_w: {watts.device_w:.4g} of its device", f"  其加速卡：power_w: {watts.device_w:.4g}"))


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} %"
