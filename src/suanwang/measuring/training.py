"""Training and fine-tuning of language models: hours, split, memory and energy on one kind of card.

Owns how the parts of this room come together for training. Formulas are those of `flops`, `memory`, `parallel`,
`regression`; this module names none of its own but the step time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from suanwang.domain.precision import Precision
from suanwang.measuring.calibration import EfficiencyState
from suanwang.measuring.efficiency import Efficiency, training_efficiency, training_peak_tflops
from suanwang.measuring.fitness import DoesNotFit, Waste, fit, serves
from suanwang.measuring.flops import FLOPS_PER_PD, Recompute, TrainingWork, adapter_work, training_work
from suanwang.measuring.interval import Interval
from suanwang.measuring.memory import room_gb
from suanwang.measuring.need import FineTuneNeed, Method, TrainingNeed
from suanwang.measuring.outcome import Estimate, Site, hours_from
from suanwang.measuring.parallel import (
    Plan,
    Split,
    bubble,
    communication_s,
    least_cards,
    memory_of,
    split_over,
)
from suanwang.measuring.profile import REFERENCE, DeviceProfile
from suanwang.measuring.workclass import SUFFICIENT, WorkClass

TYPICAL_CONTEXT = 4096
LONGEST_DEFAULT_CONTEXT = 8192
TYPICAL_BUBBLE = 0.15
"""Pipeline bubble that well-set published runs live with; only what exceeds it is added to the learnt efficiency."""

_BATCH_BY_SIZE = ((1e9, 0.5e6), (5e9, 1e6), (50e9, 4e6), (200e9, 8e6), (math.inf, 16e6))
"""Tokens of one step by active parameters: GPT-3 2020, table 2.1; LLaMA 2023, table 2; Llama 3 2024, section 3.4.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    """A need with every gap filled."""

    need: TrainingNeed | FineTuneNeed
    work_class: WorkClass
    context: int
    batch_tokens: float
    recompute: Recompute
    precision: Precision
    peak_tflops: float
    recomputed: float = 0.0
    """Share of the layers that are computed again whole because their activations do not fit."""


def estimate_training(
    need: TrainingNeed | FineTuneNeed,
    device: DeviceProfile,
    count: int | None,
    state: EfficiencyState,
    site: Site,
) -> Estimate:
    """The estimate of pre-training or fine-tuning on `count` cards, the least number where None.

    Raises `DoesNotFit` where the precision or the memory does not allow it.
    """
    assumptions = list(need.model.assumptions)
    setting, split, least = _settle(need, device, count, assumptions)
    cards = split.cards if count is None else count
    if split.cards < cards:
        assumptions.append(f"{cards - split.cards} of {cards} cards stay idle: no sound split uses them all")
    work = _work(setting)
    efficiency = training_efficiency(
        device,
        setting.work_class,
        active_parameters=need.model.active_parameters,
        context=setting.context,
        state=state,
        recompute_known=need.recompute is not None,
    )
    assumptions += efficiency.assumptions
    slowing = _slowing(setting, split, device, work, efficiency, assumptions)
    share = efficiency.share.times(1 / slowing)
    ideal_hours = work.hardware / (split.cards * setting.peak_tflops * 1e12) / 3600
    hours = hours_from(ideal_hours, share)
    card_hours = hours.times(cards)
    steps = need.tokens * (need.epochs if isinstance(need, FineTuneNeed) else 1) / setting.batch_tokens
    result = Estimate(
        work_class=setting.work_class,
        device=device.name,
        precision=setting.precision,
        cards=cards,
        least_cards=min(least, split.cards),
        work_pd=work.simple / FLOPS_PER_PD,
        counted_pd=work.model / FLOPS_PER_PD,
        hours=hours,
        card_hours=card_hours,
        unit_hours=_unit_hours(setting, state),
        energy_kwh=site.energy(card_hours, device.power_w, setting.work_class, assumptions),
        efficiency=share,
        mfu=share.times(work.model / work.hardware),
        step_s=hours.times(3600 / max(steps, 1.0)),
        split=split,
        memory=split.memory,
        assumptions=tuple(assumptions),
    )
    return replace(result, waste=_waste(need, device, count, state, site, result))


def work_class_of(need: TrainingNeed | FineTuneNeed) -> WorkClass:
    """The class a need belongs to."""
    if isinstance(need, FineTuneNeed):
        return WorkClass.ADAPTER_TUNING if need.method is Method.LORA else WorkClass.FINE_TUNING
    sparse = need.model.experts is not None or need.model.stated_active is not None
    return WorkClass.SPARSE_TRAINING if sparse else WorkClass.DENSE_TRAINING


def _settle(
    need: TrainingNeed | FineTuneNeed, device: DeviceProfile, count: int | None, assumptions: list[str]
) -> tuple[_Setting, Split, int]:
    """Fill the gaps and split; where activations do not fit, so many layers are recomputed that they do."""
    used = fit(need.precision, device)
    if used.too_high:
        assumptions.append(f"{device.name} has no {used.needed}: computed in {used.used}")
    peak, note = training_peak_tflops(device, used.used)
    if note is not None:
        assumptions.append(note)
    context = _context(need, assumptions)
    setting = _Setting(
        need=need,
        work_class=work_class_of(need),
        context=context,
        batch_tokens=_batch(need, context, assumptions),
        recompute=need.recompute or Recompute.SELECTIVE,
        precision=used.used,
        peak_tflops=peak,
    )
    if need.recompute is None:
        setting, split, least = _split_recomputing(setting, device, count, assumptions)
    else:
        plan = _plan(setting)
        fewest = least_cards(plan, device)
        least = fewest.cards
        split = fewest if count is None else split_over(plan, device, count)
    _tell_split(need, split, count, assumptions)
    return setting, split, least


def _split_recomputing(
    setting: _Setting, device: DeviceProfile, count: int | None, assumptions: list[str]
) -> tuple[_Setting, Split, int]:
    """A split without whole-layer recomputation where one fits, else the least share of recomputed layers that fits
    (Megatron's block method: Korthikanti 2022, section 5, applied to as many layers as needed)."""
    plan, whole = _plan(setting), replace(_plan(setting), recompute=Recompute.FULL)
    fewest = least_cards(whole, device)
    try:
        split = least_cards(plan, device) if count is None else split_over(plan, device, count)
    except DoesNotFit:
        split = fewest if count is None else split_over(whole, device, count)
    kept = memory_of(plan, split)
    room = room_gb(device.memory_gb)
    if kept.total_gb <= room:
        assumptions.append("selective recomputation taken, as fused attention has it")
        return setting, replace(split, memory=kept), fewest.cards
    least = memory_of(whole, split)
    share = min(1.0, (kept.total_gb - room) / (kept.total_gb - least.total_gb))
    share = math.ceil(share * setting.need.model.layers) / setting.need.model.layers
    assumptions.append(f"{share:.0%} of the layers recomputed, since their activations do not fit")
    activations = kept.activations_gb + share * (least.activations_gb - kept.activations_gb)
    memory = replace(kept, activations_gb=activations)
    return replace(setting, recomputed=share), replace(split, memory=memory), fewest.cards


def _tell_split(need: TrainingNeed | FineTuneNeed, split: Split, count: int | None, assumptions: list[str]) -> None:
    adapters = isinstance(need, FineTuneNeed) and need.method is Method.LORA
    if count is None:
        assumptions.append(f"{split.cards} cards taken, the least that hold the work at full speed")
    if need.zero is None and not adapters:
        assumptions.append(f"ZeRO stage {int(split.zero)} taken")
    if need.model.layers % split.pipeline:
        assumptions.append(
            f"{need.model.layers} layers over {split.pipeline} stages: up to {split.layers_per_stage} on a stage"
        )


def _plan(setting: _Setting) -> Plan:
    need = setting.need
    adapters = isinstance(need, FineTuneNeed) and need.method is Method.LORA
    return Plan(
        model=need.model,
        context=setting.context,
        micro_batch=need.micro_batch,
        precision=setting.precision,
        zero=need.zero,
        recompute=setting.recompute,
        batch_sequences=max(1, int(setting.batch_tokens / setting.context)),
        rank=need.rank if isinstance(need, FineTuneNeed) and adapters else None,
        weights_precision=need.weights_precision if isinstance(need, FineTuneNeed) else Precision.BF16,
    )


def _work(setting: _Setting) -> TrainingWork:
    kept = _work_with(setting, setting.recompute)
    if setting.recomputed == 0:
        return kept
    whole = _work_with(setting, Recompute.FULL)
    return replace(kept, hardware=kept.hardware + setting.recomputed * (whole.hardware - kept.hardware))


def _work_with(setting: _Setting, recompute: Recompute) -> TrainingWork:
    need = setting.need
    if isinstance(need, FineTuneNeed):
        tokens = need.tokens * need.epochs
        if need.method is Method.LORA:
            return adapter_work(need.model, tokens=tokens, context=setting.context, rank=need.rank, recompute=recompute)
        return training_work(need.model, tokens=tokens, context=setting.context, recompute=recompute)
    return training_work(need.model, tokens=need.tokens, context=setting.context, recompute=recompute)


def _slowing(
    setting: _Setting,
    split: Split,
    device: DeviceProfile,
    work: TrainingWork,
    efficiency: Efficiency,
    assumptions: list[str],
) -> float:
    """Factor over the learnt step time, 1 for a split like those of published runs.

    A step lasts as long as computing or the links, whichever is longer (roofline with a third roof, Williams 2009),
    and its pipeline bubble counts beyond what published runs have.
    """
    plan = _plan(setting)
    beyond = max(0.0, bubble(split, plan) - TYPICAL_BUBBLE)
    factor = 1.0 + beyond
    busy = communication_s(split, plan, device)
    if busy is None:
        assumptions.append("links of the device are unknown: communication taken as in published runs")
        return factor
    need = setting.need
    tokens = need.tokens * (need.epochs if isinstance(need, FineTuneNeed) else 1)
    per_token = work.hardware / tokens
    tokens_per_step = plan.batch_sequences * setting.context
    compute = per_token * tokens_per_step / (split.cards * setting.peak_tflops * 1e12 * efficiency.share.mid)
    if busy > compute:
        assumptions.append(f"links are the limit: {busy / compute:.1f} times as long busy as the cards compute")
        factor *= busy / compute
    return factor


def _unit_hours(setting: _Setting, state: EfficiencyState) -> Interval:
    """Hours of the reference card for the same operations in 16 bits; what this device recomputes for want of memory is
    its own affair and not part of the work."""
    work = _work_with(setting, setting.recompute)
    reference = training_efficiency(
        REFERENCE,
        setting.work_class,
        active_parameters=setting.need.model.active_parameters,
        context=setting.context,
        state=state,
    )
    peak = REFERENCE.rates[Precision.BF16]
    return hours_from(work.hardware / (peak * 1e12) / 3600, reference.share)


def _context(need: TrainingNeed | FineTuneNeed, assumptions: list[str]) -> int:
    if need.context is not None:
        return need.context
    longest = need.model.max_context
    if longest is None:
        assumptions.append(f"sequence length {TYPICAL_CONTEXT} assumed")
        return TYPICAL_CONTEXT
    if longest <= LONGEST_DEFAULT_CONTEXT:
        assumptions.append(f"sequence length {longest} taken from max_position_embeddings")
        return longest
    assumptions.append(
        f"sequence length {LONGEST_DEFAULT_CONTEXT} assumed: training at the full {longest} is a late and short stage"
    )
    return LONGEST_DEFAULT_CONTEXT


def _batch(need: TrainingNeed | FineTuneNeed, context: int, assumptions: list[str]) -> float:
    if need.global_batch_tokens is not None:
        return max(need.global_batch_tokens, float(context * need.micro_batch))
    if isinstance(need, FineTuneNeed):
        batch = float(max(need.micro_batch, 128) * context)
    else:
        batch = next(tokens for size, tokens in _BATCH_BY_SIZE if need.model.active_parameters <= size)
    batch = max(batch, float(context * need.micro_batch))
    assumptions.append(f"global batch of {batch:,.0f} tokens assumed")
    return batch


def _waste(
    need: TrainingNeed | FineTuneNeed,
    device: DeviceProfile,
    count: int | None,
    state: EfficiencyState,
    site: Site,
    result: Estimate,
) -> Waste | None:
    sufficient = SUFFICIENT[result.work_class]
    if need.precision is sufficient or not serves(need.precision, sufficient) or sufficient not in device.rates:
        return None
    frugal = estimate_training(replace(need, precision=sufficient), device, count, state, site)
    over = result.card_hours.mid - frugal.card_hours.mid
    if over <= 0:
        return None
    energy = None
    if result.energy_kwh is not None and frugal.energy_kwh is not None:
        energy = result.energy_kwh.mid - frugal.energy_kwh.mid
    return Waste(used=result.precision, sufficient=sufficient, card_hours=over, energy_kwh=energy)
