"""What a user needs computed, as frozen values. Owns their meaning and limits; a file becomes one in `needfile`.

Tokens and operations are counts, durations seconds, sizes GB of 10^9 bytes. None means "not said": the estimate then
assumes and says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.precision import Precision
from suanwang.measuring.checks import number, whole
from suanwang.measuring.flops import Recompute
from suanwang.measuring.memory import Zero
from suanwang.measuring.models import Model

MOST_TOKENS = 1e17
MOST_FLOPS = 1e32
MOST_CONTEXT = 100_000_000

TRAINABLE = (Precision.BF16, Precision.FP16, Precision.FP8, Precision.TF32, Precision.FP32)
SERVABLE = (Precision.BF16, Precision.FP16, Precision.FP8, Precision.INT8, Precision.INT4, Precision.FP32)


class Method(StrEnum):
    """How a model is fine-tuned."""

    FULL = "full"
    LORA = "lora"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingNeed:
    """Pre-training of a language model from nothing."""

    model: Model
    tokens: float
    precision: Precision = Precision.BF16
    context: int | None = None
    global_batch_tokens: float | None = None
    recompute: Recompute | None = None
    zero: Zero | None = None
    micro_batch: int = 1

    def __post_init__(self) -> None:
        _check_training(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuneNeed:
    """Further training of a model on `tokens`, seen `epochs` times, of the whole or of adapters."""

    model: Model
    tokens: float
    epochs: float = 1.0
    method: Method = Method.FULL
    rank: int = 16
    """Of the adapters."""
    weights_precision: Precision = Precision.BF16
    """Of frozen weights under adapters; `int4` is QLoRA."""
    precision: Precision = Precision.BF16
    context: int | None = None
    global_batch_tokens: float | None = None
    recompute: Recompute | None = None
    zero: Zero | None = None
    micro_batch: int = 1

    def __post_init__(self) -> None:
        _check_training(self)
        number(self.epochs, "epochs", most=1e5)
        whole(self.rank, "rank", most=min(65_536, self.model.hidden))
        _check_precision(self.weights_precision, "weights_precision", SERVABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceNeed:
    """Serving a language model at a rate of requests, within latency targets, for some hours."""

    model: Model
    prompt_tokens: int
    output_tokens: int
    requests_per_s: float
    hours: float = 1.0
    ttft_s: float | None = None
    """First token at the latest this long after the request."""
    tpot_s: float | None = None
    """A further token at the latest this long after the last."""
    precision: Precision = Precision.BF16
    """Of the weights."""
    kv_precision: Precision | None = None

    def __post_init__(self) -> None:
        whole(self.prompt_tokens, "prompt_tokens", most=MOST_CONTEXT)
        whole(self.output_tokens, "output_tokens", most=MOST_CONTEXT)
        number(self.requests_per_s, "requests_per_s", most=1e9)
        number(self.hours, "hours", most=1e6)
        _check_precision(self.precision, "precision", SERVABLE)
        if self.kv_precision is not None:
            _check_precision(self.kv_precision, "kv_precision", SERVABLE)
        for name in ("ttft_s", "tpot_s"):
            if getattr(self, name) is not None:
                number(getattr(self, name), name, most=1e5)
        _check_context(self.model, self.prompt_tokens + self.output_tokens, "prompt_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleNeed:
    """A vision or other network known by the forward operations of one sample."""

    flops_per_sample: float
    samples: float
    epochs: float = 1.0
    training: bool = True
    precision: Precision = Precision.FP16
    bytes_per_sample: float | None = None
    """Traffic to and from a card's memory for one sample's forward pass, where it is known."""
    memory_gb: float | None = None
    """Needed on each card."""

    def __post_init__(self) -> None:
        number(self.flops_per_sample, "flops_per_sample", most=MOST_FLOPS)
        number(self.samples, "samples", most=1e15)
        number(self.epochs, "epochs", most=1e6)
        _check_optional(self, ("bytes_per_sample", "memory_gb"), 1e18)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationNeed:
    """A numerical simulation by its operations and its traffic to memory."""

    operations: float
    bytes_moved: float
    precision: Precision = Precision.FP64
    memory_gb: float | None = None
    """Of the whole problem, spread evenly over the cards."""

    def __post_init__(self) -> None:
        number(self.operations, "operations", most=MOST_FLOPS)
        number(self.bytes_moved, "bytes_moved", most=MOST_FLOPS)
        _check_optional(self, ("memory_gb",), 1e12)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreHoursNeed:
    """General work known by its core-hours, on cores of `reference_gflops` FP64 each where that is said."""

    core_hours: float
    serial_share: float = 0.0
    """Of the work, the part that one core must do alone (Amdahl 1967)."""
    reference_gflops: float | None = None

    def __post_init__(self) -> None:
        number(self.core_hours, "core_hours", most=1e15)
        number(self.serial_share, "serial_share", most=1.0, zero_allowed=True)
        _check_optional(self, ("reference_gflops",), 1e6)


Need = TrainingNeed | FineTuneNeed | InferenceNeed | SampleNeed | SimulationNeed | CoreHoursNeed


def _check_training(need: TrainingNeed | FineTuneNeed) -> None:
    number(need.tokens, "tokens", most=MOST_TOKENS)
    _check_precision(need.precision, "precision", TRAINABLE)
    whole(need.micro_batch, "micro_batch", most=1_000_000)
    if need.context is not None:
        whole(need.context, "context", most=MOST_CONTEXT)
        if need.model.positions:
            _check_context(need.model, need.context, "context")
    if need.global_batch_tokens is not None:
        number(need.global_batch_tokens, "global_batch_tokens", most=MOST_TOKENS)
        if need.context is not None and need.global_batch_tokens < need.context * need.micro_batch:
            message = (
                f"global_batch_tokens {need.global_batch_tokens:g} is less than one sequence of {need.context} tokens"
            )
            raise InvalidRequest(message, field="global_batch_tokens", allowed=f"at least {need.context}")


def _check_precision(precision: Precision, field: str, allowed: tuple[Precision, ...]) -> None:
    if precision not in allowed:
        names = ", ".join(allowed)
        raise InvalidRequest(
            f"{field} {precision} does not serve this work; choose {names}", field=field, allowed=names
        )


def _check_context(model: Model, context: int, field: str) -> None:
    if model.max_context is not None and context > model.max_context:
        message = f"{field}: {context} tokens are over the {model.max_context} that {model.name} is made for"
        raise InvalidRequest(message, field=field, allowed=f"up to {model.max_context} tokens in all")


def _check_optional(need: object, names: tuple[str, ...], most: float) -> None:
    for name in names:
        if getattr(need, name) is not None:
            number(getattr(need, name), name, most=most)
