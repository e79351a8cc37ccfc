"""Number formats that accelerators compute in, and which one can stand in for which."""

from __future__ import annotations

from enum import StrEnum


class Precision(StrEnum):
    """A number format. `FP64_TENSOR` is the matrix-unit rate of FP64, kept apart because it is often twice the vector rate."""

    FP64 = "fp64"
    FP64_TENSOR = "fp64_tensor"
    FP32 = "fp32"
    TF32 = "tf32"
    FP16 = "fp16"
    BF16 = "bf16"
    FP8 = "fp8"
    INT8 = "int8"
    INT4 = "int4"


class DeviceKind(StrEnum):
    """The class of an accelerator."""

    GPU = "gpu"
    NPU = "npu"
    DCU = "dcu"
    TPU = "tpu"
    FPGA = "fpga"
    ASIC = "asic"
