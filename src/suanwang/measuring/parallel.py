"""Splits of a model over cards: tensor × pipeline × data (× expert), and the least number of cards.

Owns which splits are sound and what they cost in memory and communication. Knows nothing of efficiency learnt from
runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.precision import Precision
from suanwang.measuring.fitness import DoesNotFit
from suanwang.measuring.flops import Recompute, adapter_parameters
from suanwang.measuring.memory import (
    Memory,
    Zero,
    adapter_memory,
    parameters_per_card,
    room_gb,
    training_memory,
)
from suanwang.measuring.models import Model
from suanwang.measuring.profile import DeviceProfile

MOST_CARDS = 1_000_000
_MOST_STAGES = 32
_UNEVEN = 1.05
"""Layers of the fullest stage times stages over layers, at most."""
_MOST_EXPERT_RANKS = 64
"""As DeepSeek-V3 2024, section 3.2 spreads them."""
_INTERLEAVED = 4
"""Pieces of the model on one stage, at most (Narayanan 2021, section 2.2.2)."""
_EXPOSED = 0.3
"""Share of the gradients' exchange that does not hide behind the backward pass (Rajbhandari 2020, section 7)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the split has to hold, and in which way."""

    model: Model
    context: int
    micro_batch: int
    precision: Precision
    zero: Zero | None
    """None lets the split choose the lowest stage that fits."""
    recompute: Recompute
    batch_sequences: int
    """Sequences of one optimizer step over all cards."""
    rank: int | None = None
    """Set for adapters on frozen weights."""
    weights_precision: Precision = Precision.BF16


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One sound way to lay a model on cards."""

    tensor: int
    pipeline: int
    data: int
    expert: int
    zero: Zero
    memory: Memory
    layers_per_stage: int

    @property
    def cards(self) -> int:
        """Cards in use; the experts lie on cards of the data-parallel ranks."""
        return self.tensor * self.pipeline * self.data


def least_cards(plan: Plan, device: DeviceProfile) -> Split:
    """The split of fewest cards that fits the memory. Raises `DoesNotFit` where none does."""
    best: Split | None = None
    for tensor, pipeline in _shapes(plan.model, device):
        if best is not None and tensor * pipeline > best.cards:
            continue
        for zero in _stages(plan):
            found = _least_data(plan, device, tensor, pipeline, zero, MOST_CARDS if best is None else best.cards)
            if found is not None and (best is None or _order(found) < _order(best)):
                best = found
    if best is None:
        raise _no_room(plan, device)
    return best


def split_over(plan: Plan, device: DeviceProfile, cards: int) -> Split:
    """The cheapest sound split over at most `cards`, using as many of them as possible.

    Raises `DoesNotFit` where `cards` are too few; the message names the least number.
    """
    if cards < 1 or cards > MOST_CARDS:
        message = f"count {cards} must be from 1 to {MOST_CARDS}"
        raise InvalidRequest(message, field="count", allowed=f"1 to {MOST_CARDS}")
    best: Split | None = None
    for tensor, pipeline in _shapes(plan.model, device):
        group = tensor * pipeline
        if group > cards:
            continue
        data = _whole_nodes(min(cards // group, max(1, plan.batch_sequences // plan.micro_batch)), group, cards, device)
        for zero in _stages(plan):
            found = _fitting(plan, device, tensor, pipeline, data, zero)
            if found is None:
                continue
            if best is None or _cost(plan, device, found, cards) < _cost(plan, device, best, cards):
                best = found
            break
    if best is None:
        least = least_cards(plan, device)
        message = (
            f"{cards} × {device.name} are too few for {plan.model.name}: it needs {least.cards}, "
            f"or full recomputation, a shorter context or cards with more memory"
        )
        raise DoesNotFit(message, field="count", allowed=f"at least {least.cards}")
    return best


def memory_of(plan: Plan, split: Split) -> Memory:
    """Memory of the fullest card when `plan` is laid out as `split`."""
    return _memory(plan, split.tensor, split.pipeline, split.data, split.expert, split.zero)


def bubble(split: Split, plan: Plan) -> float:
    """Idle share of the pipeline over its busy time: (p - 1)/(v·m) with interleaving (Narayanan 2021, section 2.2.2),
    and what stages with fewer layers wait for the fullest."""
    micro_batches = max(1, plan.batch_sequences // (split.data * plan.micro_batch))
    pieces = min(split.layers_per_stage, _INTERLEAVED)
    uneven = split.layers_per_stage * split.pipeline / plan.model.layers - 1
    return (split.pipeline - 1) / (pieces * micro_batches) + uneven


def communication_s(split: Split, plan: Plan, device: DeviceProfile) -> float | None:
    """Seconds per step that a card's links are busy, or None where the device's links are unknown."""
    parts = _communication(split, plan, device)
    return None if parts is None else sum(parts)


def _communication(split: Split, plan: Plan, device: DeviceProfile) -> tuple[float, float] | None:
    """Seconds of what computing waits for (tensor and expert parallel), and of what may hide behind it (data parallel).

    Tensor parallel: 4 all-reduces of b·s·h per layer and micro-batch (Narayanan 2021, section 3.2), ring cost 2(t-1)/t.
    Data parallel: one all-reduce of the gradients, 1.5 times that with ZeRO-3 (Rajbhandari 2020, section 7).
    Experts: 4 all-to-alls of the chosen tokens (Lepikhin 2020, section 2.2).
    """
    link = device.intra_link_gb_s if split.cards <= device.per_node else device.inter_link_gb_s
    intra = device.intra_link_gb_s
    if (split.tensor > 1 and intra is None) or (split.data > 1 and link is None):
        return None
    model, tokens = plan.model, plan.context * plan.batch_sequences / split.data
    waited = hidden = 0.0
    if split.tensor > 1 and intra is not None:
        ring = 2 * (split.tensor - 1) / split.tensor
        waited += 4 * tokens * model.hidden * 2 * split.layers_per_stage * ring / (intra * 1e9)
    if split.data > 1 and link is not None:
        held = parameters_per_card(model, tensor=split.tensor, pipeline=split.pipeline, expert=split.expert)
        trained = held if plan.rank is None else adapter_parameters(model, plan.rank) / (split.tensor * split.pipeline)
        factor = 1.5 if split.zero >= Zero.PARAMETERS else 1.0
        hidden += factor * 2 * (split.data - 1) / split.data * trained * 2 / (link * 1e9)
        if split.expert > 1 and model.experts is not None:
            sent = 4 * tokens * model.experts.per_token * model.hidden * 2 * model.experts.layers / split.pipeline
            waited += sent / split.tensor * (split.expert - 1) / split.expert / (link * 1e9)
    return waited, hidden


def _shapes(model: Model, device: DeviceProfile) -> Iterator[tuple[int, int]]:
    """Tensor degrees that divide the heads and a node, pipeline degrees that divide the layers or nearly do."""
    tensors = [
        t
        for t in _divisors(device.per_node)
        if model.heads % t == 0 and (model.kv_heads % t == 0 or t % model.kv_heads == 0)
    ]
    stages = {p for p in _divisors(model.layers) if p <= _MOST_STAGES}
    # 61 or 126 layers go over 16 stages with the embedding and the head as layers of the first and the last.
    stages |= {p for p in (2, 4, 8, 16, 32) if p < model.layers and -(-model.layers // p) * p <= _UNEVEN * model.layers}
    for tensor in tensors:
        for stage in sorted(stages):
            yield tensor, stage


def _stages(plan: Plan) -> tuple[Zero, ...]:
    if plan.zero is not None:
        return (plan.zero,)
    return (Zero.OPTIMIZER, Zero.GRADIENTS, Zero.PARAMETERS)


def _least_data(
    plan: Plan, device: DeviceProfile, tensor: int, pipeline: int, zero: Zero, most_cards: int
) -> Split | None:
    """The fewest data-parallel ranks up to `most_cards` that fit; memory only falls with their number."""
    group = tensor * pipeline
    most = min(max(1, plan.batch_sequences // plan.micro_batch), most_cards // group)
    if most < 1 or _fitting(plan, device, tensor, pipeline, most, zero) is None:
        return None
    for data in range(1, min(most, device.per_node // group) + 1):
        found = _fitting(plan, device, tensor, pipeline, data, zero)
        if found is not None:
            return found
    step = device.per_node // math.gcd(group, device.per_node)
    low, high = 0, most // step
    while high - low > 1:
        middle = (low + high) // 2
        fits = _fitting(plan, device, tensor, pipeline, middle * step, zero) is not None
        low, high = (low, middle) if fits else (middle, high)
    return _fitting(plan, device, tensor, pipeline, high * step, zero) if high else None


def _whole_nodes(data: int, group: int, cards: int, device: DeviceProfile) -> int:
    """The most data-parallel ranks up to `data` that fill whole nodes, where the cards themselves are whole nodes."""
    if cards % device.per_node or group * data < device.per_node:
        return data
    return next((d for d in range(data, 0, -1) if group * d % device.per_node == 0), data)


def _fitting(plan: Plan, device: DeviceProfile, tensor: int, pipeline: int, data: int, zero: Zero) -> Split | None:
    expert = _expert_degree(plan.model, data) if plan.rank is None else 1
    layers = -(-plan.model.layers // pipeline)
    memory = _memory(plan, tensor, pipeline, data, expert, zero)
    if memory.total_gb > room_gb(device.memory_gb):
        return None
    return Split(
        tensor=tensor, pipeline=pipeline, data=data, expert=expert, zero=zero, memory=memory, layers_per_stage=layers
    )


def _memory(plan: Plan, tensor: int, pipeline: int, data: int, expert: int, zero: Zero) -> Memory:
    if plan.rank is not None:
        return adapter_memory(
            plan.model, tensor=tensor, pipeline=pipeline, data=data, zero=zero, recompute=plan.recompute,
            micro_batch=plan.micro_batch, context=plan.context, rank=plan.rank,
            weights_precision=plan.weights_precision,
        )  # fmt: skip
    return training_memory(
        plan.model, tensor=tensor, pipeline=pipeline, data=data, expert=expert, zero=zero,
        recompute=plan.recompute, micro_batch=plan.micro_batch, context=plan.context, precision=plan.precision,
    )  # fmt: skip


def _expert_degree(model: Model, data: int) -> int:
    """Experts lie on as many data-parallel ranks as divide both."""
    if model.experts is None:
        return 1
    return max(
        d for d in range(1, min(data, _MOST_EXPERT_RANKS) + 1) if data % d == 0 and model.experts.routed % d == 0
    )


def _order(split: Split) -> tuple[int, int, int, int]:
    return (split.cards, int(split.zero), split.pipeline, split.tensor)


def _cost(plan: Plan, device: DeviceProfile, split: Split, cards: int) -> tuple[float, int, int, int]:
    """Unused cards first, then the step time that bubble and links add, then the simplest split."""
    unused = (cards - split.cards) / cards
    parts = _communication(split, plan, device)
    compute = _compute_s(plan, device, split)
    added = bubble(split, plan)
    if parts is not None and compute > 0:
        added += (parts[0] + _EXPOSED * parts[1]) / compute
    return (round(unused + added, 4), int(split.zero), split.pipeline, split.tensor)


def _compute_s(plan: Plan, device: DeviceProfile, split: Split) -> float:
    rate = device.training_rate or 0.0
    if rate == 0.0:
        return 0.0
    tokens = plan.context * plan.batch_sequences
    return 6 * plan.model.active_parameters * tokens / (split.cards * rate * 1e12 * 0.4)


def _divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]


def _no_room(plan: Plan, device: DeviceProfile) -> DoesNotFit:
    message = (
        f"{plan.model.name} ({plan.model.parameters:.3g} parameters, context {plan.context}) fits no sound split over "
        f"{device.name} with {device.memory_gb:g} GB; take full recomputation, a shorter context, a larger batch to split "
        f"over more cards, or cards with more memory"
    )
    return DoesNotFit(message, field="device", allowed="cards whose memory holds a layer with its activations")
