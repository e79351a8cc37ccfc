"""The forms a need file can take, one per kind of work. Owns field names; limits and meaning are the need's own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from suanwang.domain.precision import Precision
from suanwang.measuring.flops import Recompute
from suanwang.measuring.need import Method
from suanwang.needfile.amounts import Count

_NUMBERS = (
    "layers",
    "hidden",
    "vocab",
    "context",
    "zero",
    "micro_batch",
    "epochs",
    "rank",
    "prompt_tokens",
    "output_tokens",
    "requests_per_s",
    "output_tokens_per_s",
    "hours",
    "ttft_s",
    "tpot_s",
    "memory_gb",
    "serial_share",
    "reference_gflops",
)


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator(*_NUMBERS, mode="before", check_fields=False)
    @classmethod
    def _truth_is_no_number(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("true and false are no numbers")
        return value


class ModelForm(_Form):
    """A model by its `config` (the content of a Hugging Face `config.json`) or by few numbers."""

    name: str = Field(default="", max_length=200)
    config: dict[str, Any] | None = None
    parameters: Count | None = None
    active_parameters: Count | None = None
    layers: int | None = None
    hidden: int | None = None
    vocab: int | None = None


class _Training(_Form):
    model: ModelForm
    tokens: Count
    precision: Precision = Precision.BF16
    context: int | None = None
    global_batch_tokens: Count | None = None
    recompute: Recompute | None = None
    zero: Literal[0, 1, 2, 3] | None = None
    micro_batch: int = 1


class PretrainForm(_Training):
    """Pre-training of a language model."""

    work: Literal["pretrain"]


class FinetuneForm(_Training):
    """Fine-tuning of a language model, whole or by adapters."""

    work: Literal["finetune"]
    epochs: float = 1.0
    method: Method
    rank: int = 16
    weights_precision: Precision = Precision.BF16


class InferenceForm(_Form):
    """Serving of a language model."""

    work: Literal["inference"]
    model: ModelForm
    prompt_tokens: int
    output_tokens: int
    requests_per_s: float | None = None
    output_tokens_per_s: float | None = None
    hours: float = 1.0
    ttft_s: float | None = None
    tpot_s: float | None = None
    precision: Precision = Precision.BF16
    kv_precision: Precision | None = None


class NetworkForm(_Form):
    """A vision or other network by the operations of one sample, or by the name of a known one."""

    work: Literal["network"]
    network: str | None = None
    flops_per_sample: Count | None = None
    samples: Count
    epochs: float = 1.0
    training: bool = True
    precision: Precision = Precision.FP16
    bytes_per_sample: Count | None = None
    memory_gb: float | None = None


class SimulationForm(_Form):
    """A numerical simulation by operations and bytes moved."""

    work: Literal["simulation"]
    operations: Count
    bytes_moved: Count
    precision: Precision = Precision.FP64
    memory_gb: float | None = None


class CoreHoursForm(_Form):
    """General work by core-hours."""

    work: Literal["core_hours"]
    core_hours: Count
    serial_share: float = 0.0
    reference_gflops: float | None = None


Form = Annotated[
    PretrainForm | FinetuneForm | InferenceForm | NetworkForm | SimulationForm | CoreHoursForm,
    Field(discriminator="work"),
]
WORKS = ("pretrain", "finetune", "inference", "network", "simulation", "core_hours")
