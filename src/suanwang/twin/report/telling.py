"""The summary in words: who is best by what, how far from the baseline, and how sure that is.

Owns the sentences, in both languages. Every figure in them is in the table as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from suanwang.twin.report.comparing import Difference, difference, mean_of, unbeaten
from suanwang.twin.report.results import Bound, Case, Contender, Results
from suanwang.twin.report.words import Measure, Number, Words, by_key, joined, shown, signed, written

COST, CARBON, WAITING = "cost_yuan", "carbon_location_kg", "waiting_mean_h"
DETOURS = "detours_count"
MOST_ON_FRONT = 4
VARIANT = "variant"
"""What is varied where one network is played as it is and changed."""
VARIANTS = {"as it is": Words("as it is", "现状"), "what if": Words("what if", "假如")}


def case_name(case: Case) -> Words:
    """`load 1.5, noise 0.05`; empty where nothing was varied. A variant is called by its name alone."""
    said = [
        VARIANTS.get(value, Words(value, value)) if key == VARIANT else Words(*[f"{key} {value}"] * 2)
        for key, value in case
    ]
    return Words(", ".join(one.en for one in said), "，".join(one.zh for one in said))


def summary(results: Results, case: Case) -> list[Words]:
    """Sentences about one case, most telling first."""
    contenders = results.contenders(case)
    baseline = results.baseline_of(case)
    said = [_frame(results, case, contenders, baseline)]
    if len(contenders) > 1:
        said += [
            line for measure in results.measures if measure.main for line in _best(results, case, measure, baseline)
        ]
        said += _front(results, case, contenders)
    said += _bounds(results, case, contenders)
    return said + _detours(results, case, contenders)


def _frame(results: Results, case: Case, contenders: Sequence[Contender], baseline: Contender) -> Words:
    seeds = len({play.seed for play in results.plays if play.case == case})
    if seeds > 1:
        sure = Words(
            f"{seeds} seeds, intervals of 95 % (Student's t over the seeds)",
            f"{seeds} 个随机种子，95% 置信区间（按种子的 t 分布）",
        )
    else:
        sure = Words("one seed, so no intervals", "仅一个随机种子，因此没有置信区间")
    if len(contenders) == 1:
        return Words(
            f"One policy was played: {baseline.name}; {sure.en}.", f"只运行了一种策略：{baseline.name}；{sure.zh}。"
        )
    return Words(
        f"{len(contenders)} policies were played; {sure.en}. The baseline is {baseline.name}.",
        f"共运行 {len(contenders)} 种策略；{sure.zh}。基线为 {baseline.name}。",
    )


def _best(results: Results, case: Case, measure: Measure, baseline: Contender) -> list[Words]:
    means = {
        contender: mean_of(list(results.values(case, contender, measure.key).values()))
        for contender in results.contenders(case)
    }
    known = {contender: number for contender, number in means.items() if math.isfinite(number.mean)}
    if len(known) < 2:
        return []
    top = (max if measure.more_is_better else min)(number.mean for number in known.values())
    best = [contender for contender, number in known.items() if number.mean == top]
    if len(best) == len(known):
        return [
            Words(f"{measure.name.en}: no difference between the policies.", f"{measure.name.zh}：各策略没有差别。")
        ]
    names = Words(
        joined([contender.name for contender in best], chinese=False),
        joined([contender.name for contender in best], chinese=True),
    )
    figure, unit = shown(measure, known[best[0]]), measure.unit
    head = Words(
        f"{measure.name.en}: best is {names.en} with {figure} {unit.en}".rstrip(),
        f"{measure.name.zh}：最好的是 {names.zh}，为 {figure} {unit.zh}".rstrip(),
    )
    if baseline in best and len(best) > 1:
        return [Words(f"{head.en}; the baseline is among them.", f"{head.zh}；基线在其中。")]
    if baseline in best:
        return [Words(f"{head.en}; it is the baseline.", f"{head.zh}；即基线本身。")]
    if baseline not in known:
        return [Words(f"{head.en}.", f"{head.zh}。")]
    values = results.values(case, best[0], measure.key), results.values(case, baseline, measure.key)
    apart = compared(measure, difference(measure, *values), baseline.name)
    return [Words(f"{head.en}, {apart.en}.", f"{head.zh}，{apart.zh}。")]


def compared(measure: Measure, found: Difference, baseline: str) -> Words:
    """`31.2 % less than nearest + easy (30.1 to 32.3)`, or that the seeds show no difference."""
    if not found.told:
        return Words(f"which the seeds do not tell apart from {baseline}", f"与 {baseline} 的差别在种子间不显著")
    less = found.amount.mean < 0
    if found.percent is None:
        factor = (100 if measure.share else 1) * measure.factor
        unit = Words("percentage points", "个百分点") if measure.share else measure.unit
        span = Number(found.amount.mean * factor, found.amount.half * factor)
    else:
        unit, span = Words("%", "%"), found.percent
    return Words(
        f"{written(abs(span.mean))} {unit.en} {'less' if less else 'more'} than {baseline}{_between(span, unit.en, ' to ')}",
        f"比 {baseline} {'少' if less else '多'} {written(abs(span.mean))} {unit.zh}{_between(span, unit.zh, ' 至 ')}",
    )


def _between(span: Number, unit: str, to: str) -> str:
    if not math.isfinite(span.half) or span.half == 0:
        return ""
    low, high = sorted((abs(span.mean) - span.half, abs(span.mean) + span.half))
    decimals = min(6, max(0, 1 - math.floor(math.log10(span.half))))
    return f" ({low:,.{decimals}f}{to}{high:,.{decimals}f} {unit})"


def _front(results: Results, case: Case, contenders: Sequence[Contender]) -> list[Words]:
    points = [
        (
            mean_of(list(results.values(case, c, COST).values())).mean,
            mean_of(list(results.values(case, c, CARBON).values())).mean,
        )
        for c in contenders
    ]
    front = [contenders[at] for at in unbeaten(points)]
    if not front:
        return []
    names = [contender.name for contender in front]
    said = [
        Words(
            f"Nobody else has both less cost and less carbon than {joined(names, chinese=False)}.",
            f"没有其他策略在成本和碳排放上同时优于{joined(names, chinese=True)}。",
        )
    ]
    return said + [_against(results, case, one) for one in front if one != results.baseline_of(case)][:MOST_ON_FRONT]


def _against(results: Results, case: Case, contender: Contender) -> Words:
    """A contender beside the baseline, by cost, carbon and waiting."""
    baseline, measures = results.baseline_of(case), by_key(results.measures)
    parts: list[Words] = []
    for key in (COST, CARBON, WAITING):
        if key in measures:
            values = results.values(case, contender, key), results.values(case, baseline, key)
            change = changed(measures[key], difference(measures[key], *values))
            parts.append(Words(f"{measures[key].name.en.lower()} {change.en}", f"{measures[key].name.zh} {change.zh}"))
    return Words(
        f"{contender.name} against {baseline.name}: {'; '.join(part.en for part in parts)}.",
        f"{contender.name} 对比 {baseline.name}：{'；'.join(part.zh for part in parts)}。",
    )


def changed(measure: Measure, found: Difference) -> Words:
    """`−31.2 %`, `+0.8 h`, or that it is the same as far as the seeds tell."""
    if not found.told:
        return Words("no different", "无显著差别")
    if found.percent is not None:
        return Words(f"{signed(found.percent.mean)} %", f"{signed(found.percent.mean)}%")
    amount = signed(found.amount.mean * measure.factor)
    return Words(f"{amount} {measure.unit.en}", f"{amount} {measure.unit.zh}")


def _detours(results: Results, case: Case, contenders: Sequence[Contender]) -> list[Words]:
    if DETOURS not in by_key(results.measures):
        return []
    means = {one.name: mean_of(list(results.values(case, one, DETOURS).values())).mean for one in contenders}
    some = {name: mean for name, mean in means.items() if mean > 0}
    if not some:
        return []
    en = joined([f"{written(mean)} starts of {name}" for name, mean in some.items()], chinese=False)
    zh = joined([f"{name} 有 {written(mean)} 次启动" for name, mean in some.items()], chinese=True)
    return [
        Words(
            f"Data came by way of another site, as their direct link was cut, slower or not there: for {en}.",
            f"直连链路中断、更慢或不存在时，数据经其他站点中转：{zh}。",
        )
    ]


def _bounds(results: Results, case: Case, contenders: Sequence[Contender]) -> list[Words]:
    measures, said = by_key(results.measures), []
    for bound in bounds_of(results, case):
        for key, value in bound.values.items():
            if key not in measures or not measures[key].main or not math.isfinite(value):
                continue
            near = min(
                ((mean_of(list(results.values(case, c, key).values())).mean, c) for c in contenders),
                key=lambda pair: pair[0] if math.isfinite(pair[0]) else math.inf,
            )
            said += _to_bound(measures[key], bound, value, *near)
    return said


def _to_bound(measure: Measure, bound: Bound, value: float, mean: float, contender: Contender) -> list[Words]:
    if not math.isfinite(mean) or abs(value) <= measure.floor:
        return []
    above, level = 100 * (mean / value - 1), written(value * measure.factor)
    return [
        Words(
            f"{measure.name.en}: {bound.name.en} is {level} {measure.unit.en}; {contender.name} is {signed(above)} % from it.",
            f"{measure.name.zh}：{bound.name.zh}为 {level} {measure.unit.zh}；{contender.name} 与其相差 {signed(above)}%。",
        )
    ]


def bounds_of(results: Results, case: Case) -> list[Bound]:
    return [bound for bound in results.bounds if bound.case in (None, case)]
