"""What the report calls its figures, in English and Chinese, and how it writes them.

Owns names, units, digits and which way is better. Knows no play and no page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Words(NamedTuple):
    """The same in both languages."""

    en: str
    zh: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One figure of a play. `floor` is what counts as nothing: no percentage is taken of a baseline below it."""

    key: str
    name: Words
    unit: Words
    factor: float = 1.0
    """From the column's unit to the one that is shown."""
    more_is_better: bool = False
    floor: float = 1e-9
    """In the column's unit."""
    main: bool = False
    """Told in the summary."""
    share: bool = False
    """A part of one: written as a percentage, compared in percentage points."""


NONE = Words("", "")
HOURS = Words("h", "小时")
YUAN = Words("yuan", "元")
JOBS = Words("jobs", "个")
CORE_H = Words("core·h", "核时")
CARD_H = Words("card·h", "卡时")


def _measure(key: str, en: str, zh: str, unit: Words = NONE, **more: float | bool) -> Measure:
    return Measure(key=key, name=Words(en, zh), unit=unit, **more)  # type: ignore[arg-type]


KWH = Words("kWh", "千瓦时")
KW = Words("kW", "千瓦")
KG = Words("kgCO₂", "千克CO₂")
GB = Words("GB", "GB")
_MINUTE_H, _FEN, _WATT_HOUR = 1 / 60, 0.01, 1e-3

MEASURES: Sequence[Measure] = (
    _measure("cost_yuan", "Cost to users", "用户成本", YUAN, floor=_FEN, main=True),
    _measure("electricity_yuan", "Electricity, whoever pays", "电费（不论由谁支付）", YUAN, floor=_FEN),
    _measure("energy_kwh", "Energy", "用电量", KWH, floor=_WATT_HOUR, main=True),
    _measure("carbon_location_kg", "Carbon, location-based", "碳排放（基于位置）", KG, floor=_WATT_HOUR, main=True),
    _measure("carbon_market_kg", "Carbon, market-based", "碳排放（基于市场）", KG, floor=_WATT_HOUR),
    _measure(
        "peak_kw",
        "Highest quarter of an hour, whole network",
        "全网最大需量（15 分钟）",
        KW,
        floor=_WATT_HOUR,
        main=True,
    ),
    _measure(
        "peak_by_site_kw", "Highest quarters of an hour, sum over sites", "各站点最大需量之和", KW, floor=_WATT_HOUR
    ),
    _measure("completion_mean_h", "Completion time, mean", "完成时间，均值", HOURS, floor=_MINUTE_H),
    _measure("completion_p50_h", "Completion time, p50", "完成时间，p50", HOURS, floor=_MINUTE_H),
    _measure("completion_p95_h", "Completion time, p95", "完成时间，p95", HOURS, floor=_MINUTE_H),
    _measure("completion_p99_h", "Completion time, p99", "完成时间，p99", HOURS, floor=_MINUTE_H),
    _measure("waiting_mean_h", "Waiting, mean", "等待时间，均值", HOURS, floor=_MINUTE_H, main=True),
    _measure("waiting_p50_h", "Waiting, p50", "等待时间，p50", HOURS, floor=_MINUTE_H),
    _measure("waiting_p95_h", "Waiting, p95", "等待时间，p95", HOURS, floor=_MINUTE_H, main=True),
    _measure("waiting_p99_h", "Waiting, p99", "等待时间，p99", HOURS, floor=_MINUTE_H),
    _measure(
        "firm_waiting_mean_h",
        "Waiting of jobs that may not wait, mean",
        "不可等待作业的等待时间，均值",
        HOURS,
        floor=_MINUTE_H,
    ),
    _measure(
        "firm_waiting_p95_h",
        "Waiting of jobs that may not wait, p95",
        "不可等待作业的等待时间，p95",
        HOURS,
        floor=_MINUTE_H,
    ),
    _measure("began_late_count", "Jobs that began later than they allow", "启动晚于允许时刻的作业", JOBS, floor=0.5),
    _measure("slowdown_mean_ratio", "Bounded slowdown, mean", "有界减速比，均值", main=True),
    _measure("slowdown_p50_ratio", "Bounded slowdown, p50", "有界减速比，p50"),
    _measure("slowdown_p95_ratio", "Bounded slowdown, p95", "有界减速比，p95"),
    _measure("slowdown_p99_ratio", "Bounded slowdown, p99", "有界减速比，p99"),
    _measure("cores_busy_share", "Cores in use", "核利用率", share=True, more_is_better=True),
    _measure("devices_busy_share", "Devices in use", "加速卡利用率", share=True, more_is_better=True),
    _measure("deadlines_missed_count", "Deadlines missed", "错过截止时间的作业", JOBS, floor=0.5),
    _measure("deadlines_missed_share", "Deadlines missed, of those set", "错过截止时间的比例", share=True, main=True),
    _measure("moved_gb", "Data moved, over each link once", "迁移数据量（每经一段链路计一次）", GB, floor=1e-3),
    _measure(
        "detours_count", "Starts whose data came by way of another site", "数据经第三方站点中转的启动次数", floor=0.5
    ),
    _measure("link_waits_count", "Starts that waited for a cut link", "等待断链恢复后才启动的次数", floor=0.5),
    _measure("transfers_broken_count", "Transfers broken by a cut link", "因断链中断的传输次数", floor=0.5),
    _measure(
        "interruptions_count",
        "Interruptions: suspended, lost, ended for others",
        "中断次数（挂起、丢失或被抢占）",
        floor=0.5,
    ),
    _measure("preemptions_count", "Runs ended for jobs of higher priority", "被高优先级作业抢占的次数", floor=0.5),
    _measure("lost_core_h", "Core-hours lost with nodes and sites", "因故障损失的核时", CORE_H, floor=1e-3),
    _measure("lost_device_h", "Device-hours lost with nodes and sites", "因故障损失的卡时", CARD_H, floor=1e-3),
    _measure(
        "fair_slowdown_jain",
        "Fairness of slowdown over groups (Jain; 1 is equal)",
        "组间减速公平性（Jain，1 为均等）",
        more_is_better=True,
        main=True,
    ),
    _measure("fair_slowdown_spread_ratio", "Slowdown, worst group over best", "减速比，最差组与最好组之比"),
    _measure("fair_dominant_jain", "Fairness of dominant shares (Jain)", "主导份额公平性（Jain）", more_is_better=True),
    _measure(
        "fair_dominant_spread_ratio", "Dominant share, largest group over smallest", "主导份额，最大组与最小组之比"
    ),
    _measure(
        "fragmentation_share",
        "Fragmentation: free devices split over nodes too small for the usual job (seated after the fact)",
        "碎片率：分散在各节点、一般作业用不上的空闲卡（事后按节点排布）",
        share=True,
    ),
    _measure(
        "unseated_starts_count",
        "Starts that no node had room for (seated after the fact)",
        "没有节点容得下的启动次数（事后按节点排布）",
        floor=0.5,
    ),
    _measure("ended_count", "Jobs that ended", "已结束作业", JOBS, floor=0.5, more_is_better=True),
    _measure("open_count", "Jobs still running at the end", "结束时仍在运行的作业", JOBS, floor=0.5),
    _measure("never_started_count", "Jobs that never started", "从未启动的作业", JOBS, floor=0.5),
    _measure("jobs_count", "Jobs", "作业总数", JOBS, floor=0.5),
)


def plain_measure(key: str) -> Measure:
    """A column that has no entry: called by its own name."""
    return Measure(key=key, name=Words(key.replace("_", " "), key.replace("_", " ")), unit=NONE)


MOST_DIGITS = 5
"""Of a figure, however narrow its interval."""


class Number(NamedTuple):
    """A figure with the half width of its interval; NaN where one seed gives none."""

    mean: float
    half: float


def written(value: float, digits: int = 3) -> str:
    """`digits` significant digits with grouping; whole numbers from a thousand on."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    if decimals > 6:
        return f"{value:.{digits - 1}e}"
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def signed(value: float, digits: int = 3) -> str:
    return ("+" if value > 0 else "−" if value < 0 else "") + written(abs(value), digits)


def shown(measure: Measure, number: Number) -> str:
    """`12.3 ± 0.4`, in the unit of the measure; the mean carries the digits that its interval allows."""
    factor = 100 * measure.factor if measure.share else measure.factor
    mean, half = number.mean * factor, number.half * factor
    tail = " %" if measure.share else ""
    if not math.isfinite(half):
        return written(mean) + tail
    if half == 0:
        return f"{written(mean)} ± 0{tail}"
    decimals = max(0, 1 - math.floor(math.log10(abs(half))))
    if mean and decimals > MOST_DIGITS - 1 - math.floor(math.log10(abs(mean))):
        return f"{written(mean, MOST_DIGITS)} ± 0{tail}"  # As far as anybody reads.
    return f"{mean:,.{decimals}f} ± {half:,.{decimals}f}{tail}"


def joined(items: Sequence[str], *, chinese: bool) -> str:
    """`a, b and c`."""
    if len(items) < 2:
        return "".join(items)
    head, last = items[:-1], items[-1]
    return f"{'、'.join(head)}和{last}" if chinese else f"{', '.join(head)} and {last}"


def by_key(measures: Sequence[Measure]) -> Mapping[str, Measure]:
    return {measure.key: measure for measure in measures}
