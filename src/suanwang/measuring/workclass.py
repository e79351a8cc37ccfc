"""Classes of work that one unit is defined for. Owns their names and what each is usually done in."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from suanwang.domain.precision import Precision


class WorkClass(StrEnum):
    """Work of one kind meets the same limits on every chip: a chip's worth is stated per class, never as one number."""

    DENSE_TRAINING = "dense_training"
    SPARSE_TRAINING = "sparse_training"
    """Of a mixture of experts."""
    FINE_TUNING = "fine_tuning"
    ADAPTER_TUNING = "adapter_tuning"
    PREFILL = "prefill"
    DECODE = "decode"
    VISION_TRAINING = "vision_training"
    VISION_INFERENCE = "vision_inference"
    FP64_SIMULATION = "fp64_simulation"
    CPU = "cpu"


SUFFICIENT: Mapping[WorkClass, Precision] = {
    WorkClass.DENSE_TRAINING: Precision.BF16,
    WorkClass.SPARSE_TRAINING: Precision.BF16,
    WorkClass.FINE_TUNING: Precision.BF16,
    WorkClass.ADAPTER_TUNING: Precision.BF16,
    WorkClass.PREFILL: Precision.INT8,
    WorkClass.DECODE: Precision.INT8,
    WorkClass.VISION_TRAINING: Precision.FP16,
    WorkClass.VISION_INFERENCE: Precision.INT8,
    WorkClass.FP64_SIMULATION: Precision.FP64,
    WorkClass.CPU: Precision.FP64,
}
"""The format that practice finds good enough: mixed precision for training (Micikevicius 2017, section 3), INT8 for
inference (Dettmers 2022, section 4; Jacob 2017, section 4), FP64 for simulation."""
