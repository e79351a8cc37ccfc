"""Memory of language models on one card, in GB of 10^9 bytes. Owns the formulas; knows nothing of devices or time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from suanwang.domain.precision import Precision
from suanwang.measuring.flops import Recompute, adapter_parameters
from suanwang.measuring.models import Model

RESERVED_GB = 2.0
"""Driver, communication buffers and kernels' workspace on every card."""
USABLE = 0.94
"""Share of the rest that an allocator fills before fragments stop it."""

BYTES: dict[Precision, float] = {
    Precision.FP64: 8,
    Precision.FP64_TENSOR: 8,
    Precision.FP32: 4,
    Precision.TF32: 4,
    Precision.FP16: 2,
    Precision.BF16: 2,
    Precision.FP8: 1,
    Precision.INT8: 1,
    Precision.INT4: 0.5,
}


class Zero(IntEnum):
    """What is split over the data-parallel cards (Rajbhandari 2020, figure 1)."""

    NOTHING = 0
    OPTIMIZER = 1
    GRADIENTS = 2
    PARAMETERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """GB on the fullest card."""

    weights_gb: float
    gradients_gb: float = 0.0
    optimizer_gb: float = 0.0
    activations_gb: float = 0.0
    kv_cache_gb: float = 0.0

    @property
    def total_gb(self) -> float:
        """All parts."""
        return self.weights_gb + self.gradients_gb + self.optimizer_gb + self.activations_gb + self.kv_cache_gb


def room_gb(memory_gb: float) -> float:
    """What of a card's memory a job can plan with."""
    return max(0.0, (memory_gb - RESERVED_GB) * USABLE)


def state_bytes(precision: Precision) -> tuple[float, float, float]:
    """Bytes per parameter of weights, gradients and Adam's states: 2 + 2 + 12 in mixed precision (Rajbhandari 2020,
    section 3.1, K = 12), 4 + 4 + 8 in FP32. FP8 training keeps 16-bit weights and gradients (DeepSeek-V3 2024, section 3.3)."""
    if precision in (Precision.FP32, Precision.TF32):
        return 4.0, 4.0, 8.0
    return 2.0, 2.0, 12.0


def parameters_per_card(model: Model, *, tensor: int, pipeline: int, expert: int) -> float:
    """Parameters a card holds before ZeRO splits them; the experts are spread over `expert` cards as well."""
    total = model.parameters
    if model.experts is None or expert == 1:
        return total / (tensor * pipeline)
    matrices = 3 if model.gated else 2
    routed = model.experts.layers * matrices * model.hidden * model.experts.width * model.experts.routed
    routed_share = min(float(routed), total)
    return (total - routed_share + routed_share / expert) / (tensor * pipeline)


def activation_bytes_per_layer(
    model: Model, *, micro_batch: int, context: int, tensor: int, recompute: Recompute
) -> float:
    """Bytes of one layer's activations for one micro-batch with tensor and sequence parallelism.

    Korthikanti 2022: eq. 4, s·b·h·(34/t + 5·a·s/(h·t)), without recomputation; eq. 6, 34·s·b·h/t, with selective
    recomputation; section 5, 2·s·b·h/t, with full recomputation. Of the 34 bytes, the feed-forward layer's 19 follow
    its real width and the keys' and values' 4 their heads. Gated layers, which are newer, have no dropout and so no
    masks.
    """
    tokens = context * micro_batch
    if recompute is Recompute.FULL:
        return 2 * tokens * model.hidden / tensor
    width = float(model.ffn)
    if model.experts is not None:
        width = max(width, model.experts.per_token * model.experts.width + model.experts.shared_width)
    keys = min(1.0, model.kv_heads / model.heads) if model.latent is None else 0.0
    masks = 0 if model.gated else 2
    per_token = (4 + 6 + 4 * keys + 2 + masks) * model.hidden + 2 * (3 if model.gated else 2) * width
    scores = 5 * model.heads * context if recompute is Recompute.NONE else 0.0
    return tokens * (per_token + scores) / tensor


def head_bytes(model: Model, *, micro_batch: int, context: int, tensor: int) -> float:
    """Bytes of the output head's activations: FP32 logits and the normed input (Korthikanti 2022, section 4.3)."""
    return micro_batch * context * (4 * model.hidden + 4 * model.vocab) / tensor


def training_memory(
    model: Model,
    *,
    tensor: int,
    pipeline: int,
    data: int,
    expert: int,
    zero: Zero,
    recompute: Recompute,
    micro_batch: int,
    context: int,
    precision: Precision,
) -> Memory:
    """Memory of full training on the fullest card.

    States by ZeRO stage (Rajbhandari 2020, figure 1). The first stage of a 1F1B pipeline keeps `pipeline`
    micro-batches of its L/p layers, so activations do not shrink with the pipeline (Korthikanti 2022, section 4.2.3).
    """
    held = parameters_per_card(model, tensor=tensor, pipeline=pipeline, expert=expert)
    weight, gradient, state = state_bytes(precision)
    spread = [data if zero >= stage else 1 for stage in (Zero.PARAMETERS, Zero.GRADIENTS, Zero.OPTIMIZER)]
    return Memory(
        weights_gb=held * weight / spread[0] / 1e9 + _gathered_gb(model, tensor, weight, zero),
        gradients_gb=held * gradient / spread[1] / 1e9,
        optimizer_gb=held * state / spread[2] / 1e9,
        activations_gb=_activations_gb(
            model, tensor=tensor, pipeline=pipeline, recompute=recompute, micro_batch=micro_batch, context=context
        ),
    )


def adapter_memory(
    model: Model,
    *,
    tensor: int,
    pipeline: int,
    data: int,
    zero: Zero,
    recompute: Recompute,
    micro_batch: int,
    context: int,
    rank: int,
    weights_precision: Precision,
) -> Memory:
    """Memory of training adapters on frozen weights of `weights_precision` (Hu 2021; 4-bit weights: Dettmers 2023)."""
    spread = data if zero >= Zero.PARAMETERS else 1
    trained = adapter_parameters(model, rank) / (tensor * pipeline)
    frozen = model.parameters * BYTES[weights_precision] / (tensor * pipeline * spread) / 1e9
    return Memory(
        weights_gb=frozen + trained * 2 / 1e9 + _gathered_gb(model, tensor, BYTES[weights_precision], zero),
        gradients_gb=trained * 2 / 1e9,
        optimizer_gb=trained * 12 / (data if zero >= Zero.OPTIMIZER else 1) / 1e9,
        activations_gb=_activations_gb(
            model, tensor=tensor, pipeline=pipeline, recompute=recompute, micro_batch=micro_batch, context=context
        ),
    )


def kv_bytes_per_token(model: Model, precision: Precision) -> float:
    """Bytes cached for one token over all layers (Pope 2022, section 3.3)."""
    return model.kv_values_per_token * BYTES[precision]


def _gathered_gb(model: Model, tensor: int, weight: float, zero: Zero) -> float:
    """Two layers' weights that ZeRO-3 gathers at a time: the one in use and the one fetched ahead."""
    if zero < Zero.PARAMETERS:
        return 0.0
    return 2 * model.parameters / model.layers * weight / tensor / 1e9


def _activations_gb(
    model: Model, *, tensor: int, pipeline: int, recompute: Recompute, micro_batch: int, context: int
) -> float:
    layers_held = -(-model.layers // pipeline) * pipeline
    per_layer = activation_bytes_per_layer(
        model, micro_batch=micro_batch, context=context, tensor=tensor, recompute=recompute
    )
    total = layers_held * per_layer
    if recompute is Recompute.FULL:
        # One layer at a time is held whole while its backward pass runs.
        total += activation_bytes_per_layer(
            model, micro_batch=micro_batch, context=context, tensor=tensor, recompute=Recompute.SELECTIVE
        )
    head = head_bytes(model, micro_batch=micro_batch, context=context, tensor=tensor)
    return (total + head) / 1e9
