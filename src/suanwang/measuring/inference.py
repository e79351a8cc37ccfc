"""Serving of language models to a rate of requests and latency targets.

Owns the roofline of prefill and decode and the search for the smallest set of replicas. Prefill is bound by computing,
decode by memory bandwidth (Pope 2022, section 2).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from suanwang.measuring.calibration import EfficiencyState
from suanwang.measuring.efficiency import class_efficiency
from suanwang.measuring.fitness import DoesNotFit, Waste, fit, serves
from suanwang.measuring.flops import FLOPS_PER_PD, forward_flops_per_token
from suanwang.measuring.interval import Interval, exact
from suanwang.measuring.memory import BYTES, Memory, kv_bytes_per_token, room_gb
from suanwang.measuring.models import Model
from suanwang.measuring.need import InferenceNeed
from suanwang.measuring.outcome import Estimate, Serving, Site
from suanwang.measuring.profile import REFERENCE, DeviceProfile
from suanwang.measuring.workclass import SUFFICIENT, WorkClass

HEADROOM = 0.8
"""Share of a replica's capacity that is planned with; the rest keeps queues short."""
LARGEST_BATCH = 1024
ALL_REDUCE_LATENCY_S = 10e-6
"""Of one small all-reduce within a node (Pope 2022, section 3.1 ranks it as the floor of small batches)."""
_MOST_REPLICAS = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """One replica's layout on one device, with efficiencies fixed."""

    need: InferenceNeed
    device: DeviceProfile
    tensor: int
    pipeline: int
    rate: float
    """Operations a second of one card in the format used."""
    prefill_share: float
    decode_share: float

    @property
    def cards(self) -> int:
        return self.tensor * self.pipeline

    @property
    def weight_bytes(self) -> float:
        return self.need.model.parameters * BYTES[self.need.precision]

    @property
    def kv_bytes(self) -> float:
        """Of one token on all cards of the replica; what cannot be split by heads is held on every tensor rank."""
        model = self.need.model
        copies = self.tensor if model.latent is not None else max(1.0, self.tensor / model.kv_heads)
        return kv_bytes_per_token(model, self.need.kv_precision or self.need.precision) * copies

    @property
    def largest_batch(self) -> int:
        """Sequences whose cache fits beside the weights."""
        room = room_gb(self.device.memory_gb) * 1e9 * self.cards - self.weight_bytes
        per_sequence = self.kv_bytes * (self.need.prompt_tokens + self.need.output_tokens)
        return int(min(LARGEST_BATCH * self.pipeline, room // per_sequence)) if room > 0 else 0

    def prefill_s(self) -> float:
        """Of one prompt: operations over rate (Pope 2022, section 2), and the all-reduces."""
        model, tokens = self.need.model, self.need.prompt_tokens
        flops = tokens * forward_flops_per_token(model, tokens / 2)
        return flops / (self.rate * self.tensor * self.prefill_share) + self._reduce_s(tokens)

    def step_s(self, batch: int) -> float:
        """Of one decode step for `batch` sequences: the longer of traffic and operations (roofline, Williams 2009)."""
        in_flight = max(1, batch // self.pipeline)
        model = self.need.model
        attended = self.need.prompt_tokens + self.need.output_tokens / 2
        traffic = _touched_bytes(model, in_flight, BYTES[self.need.precision]) + in_flight * self.kv_bytes * attended
        bandwidth = self.device.memory_bandwidth_gb_s * 1e9 * self.tensor * self.decode_share
        flops = in_flight * forward_flops_per_token(model, attended)
        compute = flops / (self.rate * self.tensor * self.prefill_share)
        return max(traffic / bandwidth, compute) + self._reduce_s(in_flight)

    def requests_per_s(self, batch: int) -> float:
        """Capacity: every request takes one prefill and its share of the decode steps."""
        in_flight = max(1, batch // self.pipeline)
        seconds = self.prefill_s() + self.need.output_tokens * self.step_s(batch) / in_flight
        return HEADROOM * self.pipeline / seconds

    def _reduce_s(self, tokens: int) -> float:
        if self.tensor == 1:
            return 0.0
        model, link = self.need.model, self.device.intra_link_gb_s
        volume = 2 * (self.tensor - 1) / self.tensor * tokens * model.hidden * 2
        transfer = 0.0 if link is None else volume / (link * 1e9)
        return 2 * model.layers * (ALL_REDUCE_LATENCY_S + transfer)


def estimate_inference(
    need: InferenceNeed, device: DeviceProfile, count: int | None, state: EfficiencyState, site: Site
) -> Estimate:
    """The smallest set of replicas that serves the rate within the targets, or those that `count` cards make.

    Raises `DoesNotFit` where the model, a target or the rate cannot be met, naming the field.
    """
    assumptions = list(need.model.assumptions)
    prefill = class_efficiency(device, WorkClass.PREFILL, state)
    decode = class_efficiency(device, WorkClass.DECODE, state)
    assumptions += (f"prefill: {note}" for note in prefill.assumptions)
    assumptions += (f"decode: {note}" for note in decode.assumptions)
    assumptions.append(
        f"replicas planned to {HEADROOM:.0%} of capacity; targets kept by the median, not by every request"
    )
    used = fit(need.precision, device)
    if used.too_high:
        assumptions.append(f"weights stay in {used.needed}; {device.name} computes them in {used.used}")
    if device.intra_link_gb_s is None:
        assumptions.append("links of the device are unknown: only the latency of an all-reduce is counted")
    best, batch = _smallest(need, device, used.rate * 1e12, prefill.share.mid, decode.share.mid)
    replicas = math.ceil(need.requests_per_s / best.requests_per_s(batch))
    least = replicas * best.cards
    cards = least if count is None else count
    if cards < least:
        message = f"{cards} × {device.name} serve too few requests: {need.requests_per_s:g} a second take {least}"
        raise DoesNotFit(message, field="count", allowed=f"at least {least}")
    slow = _at(best, prefill.share.low, decode.share.low)
    quick = _at(best, prefill.share.high, decode.share.high)
    spread = Interval(
        low=best.requests_per_s(batch) / quick.requests_per_s(batch), mid=1.0,
        high=best.requests_per_s(batch) / slow.requests_per_s(batch),
    )  # fmt: skip
    card_hours = spread.times(cards * need.hours)
    work = _work_flops(need) * need.requests_per_s * need.hours * 3600
    return Estimate(
        work_class=WorkClass.DECODE,
        device=device.name,
        precision=need.precision,
        cards=cards,
        least_cards=least,
        work_pd=work / FLOPS_PER_PD,
        counted_pd=work / FLOPS_PER_PD,
        hours=exact(need.hours),
        card_hours=card_hours,
        unit_hours=_unit_hours(need, state, spread),
        energy_kwh=site.energy(card_hours, device.power_w, WorkClass.DECODE, assumptions),
        efficiency=decode.share,
        serving=_serving(need, best, batch, cards // best.cards, slow, quick),
        memory=_memory(best, batch),
        waste=_waste(need, device, best, batch, cards, site),
        assumptions=tuple(assumptions),
    )


def _smallest(
    need: InferenceNeed, device: DeviceProfile, rate: float, prefill: float, decode: float
) -> tuple[_Shape, int]:
    """The shape and batch that need the fewest cards; among equals the one with the fewest per replica."""
    best: tuple[int, _Shape, int] | None = None
    fits_memory = meets_ttft = False
    for tensor, pipeline in _layouts(need.model, device):
        shape = _Shape(
            need=need, device=device, tensor=tensor, pipeline=pipeline, rate=rate, prefill_share=prefill,
            decode_share=decode,
        )  # fmt: skip
        most = shape.largest_batch
        if most < pipeline:
            continue
        fits_memory = True
        if need.ttft_s is not None and shape.prefill_s() + shape.step_s(pipeline) > need.ttft_s:
            continue
        meets_ttft = True
        batch = _largest_within(shape, most)
        if batch is None:
            continue
        cards = math.ceil(need.requests_per_s / shape.requests_per_s(batch)) * shape.cards
        if best is None or cards < best[0]:
            best = (cards, shape, batch)
    if best is None:
        raise _unmet(need, device, fits_memory, meets_ttft)
    if best[0] > _MOST_REPLICAS:
        message = f"{need.requests_per_s:g} requests a second would take {best[0]} cards; check the rate"
        raise DoesNotFit(message, field="requests_per_s", allowed="a rate that some network could serve")
    return best[1], best[2]


def _layouts(model: Model, device: DeviceProfile) -> Iterator[tuple[int, int]]:
    """Tensor within a node, and stages over nodes for what one node does not hold."""
    tensors = [t for t in range(1, device.per_node + 1) if device.per_node % t == 0 and model.heads % t == 0]
    for tensor in tensors:
        yield tensor, 1
    for pipeline in (2, 4, 8, 16, 32):
        if pipeline <= model.layers:
            yield tensors[-1], pipeline


def _largest_within(shape: _Shape, most: int) -> int | None:
    """The largest batch up to `most` whose steps keep both targets; steps only grow with the batch."""

    def keeps(batch: int) -> bool:
        step, need = shape.step_s(batch), shape.need
        in_time = need.tpot_s is None or step * 1.0 <= need.tpot_s
        return in_time and (need.ttft_s is None or shape.prefill_s() + step <= need.ttft_s)

    low, high = shape.pipeline, most
    if not keeps(low):
        return None
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if keeps(middle) else (low, middle - 1)
    return low


def _touched_bytes(model: Model, batch: int, per_value: float) -> float:
    """Weights read for one step: with experts, those that at least one of `batch` tokens chooses, E·(1 - (1 -
    k/E)^B)."""
    experts = model.experts
    if experts is None:
        share = (
            min(1.0, batch)
            if model.stated_active is None
            else min(1.0, batch * model.active_parameters / model.parameters)
        )
        return model.parameters * per_value * share
    matrices = 3 if model.gated else 2
    one = matrices * model.hidden * experts.width * experts.layers
    always = max(0.0, model.parameters - one * experts.routed)
    touched = experts.routed * (1 - (1 - experts.per_token / experts.routed) ** batch)
    return (always + one * touched) * per_value


def _work_flops(need: InferenceNeed) -> float:
    """Operations of one request."""
    model = need.model
    prompt = need.prompt_tokens * forward_flops_per_token(model, need.prompt_tokens / 2)
    attended = need.prompt_tokens + need.output_tokens / 2
    return prompt + need.output_tokens * forward_flops_per_token(model, attended)


def _at(shape: _Shape, prefill: float, decode: float) -> _Shape:
    return _Shape(
        need=shape.need, device=shape.device, tensor=shape.tensor, pipeline=shape.pipeline, rate=shape.rate,
        prefill_share=prefill, decode_share=decode,
    )  # fmt: skip


def _serving(need: InferenceNeed, shape: _Shape, batch: int, replicas: int, slow: _Shape, quick: _Shape) -> Serving:
    capacity = Interval(
        low=slow.requests_per_s(batch), mid=shape.requests_per_s(batch), high=quick.requests_per_s(batch)
    )
    first = [s.prefill_s() + s.step_s(batch) for s in (quick, shape, slow)]
    return Serving(
        tensor=shape.tensor,
        pipeline=shape.pipeline,
        replicas=replicas,
        batch=batch,
        ttft_s=Interval(low=first[0], mid=first[1], high=first[2]),
        tpot_s=Interval(low=quick.step_s(batch), mid=shape.step_s(batch), high=slow.step_s(batch)),
        requests_per_s=capacity,
        output_tokens_per_s=capacity.times(need.output_tokens * replicas),
    )


def _memory(shape: _Shape, batch: int) -> Memory:
    tokens = shape.need.prompt_tokens + shape.need.output_tokens
    return Memory(
        weights_gb=shape.weight_bytes / shape.cards / 1e9,
        kv_cache_gb=shape.kv_bytes * tokens * batch / shape.cards / 1e9,
    )


def _unit_hours(need: InferenceNeed, state: EfficiencyState, spread: Interval) -> Interval:
    """Reference-card-hours of the same service. Latency targets are the user's, not the work's: they are left out."""
    free = InferenceNeed(
        model=need.model, prompt_tokens=need.prompt_tokens, output_tokens=need.output_tokens,
        requests_per_s=need.requests_per_s, hours=need.hours, precision=need.precision, kv_precision=need.kv_precision,
    )  # fmt: skip
    prefill = class_efficiency(REFERENCE, WorkClass.PREFILL, state).share.mid
    decode = class_efficiency(REFERENCE, WorkClass.DECODE, state).share.mid
    shape, batch = _smallest(free, REFERENCE, fit(need.precision, REFERENCE).rate * 1e12, prefill, decode)
    cards = need.requests_per_s / shape.requests_per_s(batch) * shape.cards
    return spread.times(cards * need.hours)


def _waste(
    need: InferenceNeed, device: DeviceProfile, shape: _Shape, batch: int, cards: int, site: Site
) -> Waste | None:
    """Cards that the same service would save with weights and cache in the sufficient format."""
    sufficient = SUFFICIENT[WorkClass.DECODE]
    if need.precision is sufficient or not serves(need.precision, sufficient) or sufficient not in device.rates:
        return None
    frugal = InferenceNeed(
        model=need.model, prompt_tokens=need.prompt_tokens, output_tokens=need.output_tokens,
        requests_per_s=need.requests_per_s, hours=need.hours, ttft_s=need.ttft_s, tpot_s=need.tpot_s,
        precision=sufficient,
    )  # fmt: skip
    rate = fit(sufficient, device).rate * 1e12
    other, other_batch = _smallest(frugal, device, rate, shape.prefill_share, shape.decode_share)
    needed = math.ceil(need.requests_per_s / other.requests_per_s(other_batch)) * other.cards
    if needed >= cards:
        return None
    hours = (cards - needed) * need.hours
    energy = site.energy(exact(hours), device.power_w, WorkClass.DECODE, [])
    return Waste(
        used=need.precision, sufficient=sufficient, card_hours=hours, energy_kwh=None if energy is None else energy.mid
    )


def _unmet(need: InferenceNeed, device: DeviceProfile, fits_memory: bool, meets_ttft: bool) -> DoesNotFit:
    if not fits_memory:
        message = (
            f"{need.model.name} in {need.precision} with {need.prompt_tokens + need.output_tokens} tokens fits no layout of "
            f"{device.name} with {device.memory_gb:g} GB; take a smaller format, fewer tokens or cards with more memory"
        )
        return DoesNotFit(message, field="device", allowed="cards that hold the weights and one sequence")
    field = "tpot_s" if meets_ttft else "ttft_s"
    what = "a further token" if meets_ttft else "the first token"
    message = f"{device.name} cannot give {what} within {getattr(need, field):g} s for {need.model.name}"
    return DoesNotFit(message, field=field, allowed="a longer target, fewer prompt tokens or a faster device")
