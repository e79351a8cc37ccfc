"""What a request to a language model asks of accelerators, from its tokens alone.

Owns the rule, which is a model and no measurement of the trace: `run = prompt × per prompt token + generated × per token`.
While the prompt is worked through, the request has the devices to itself; while it generates, it shares them with the
others of its batch. The devices it is given are the mean over its run, so that run time and device time both hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from suanwang.domain.errors import InvalidRequest
from suanwang.twin.trace import Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """By default Llama 2 70B in 16 bits on two H100 of 80 GB in batches of 16: 1,192 ms for 16 × 512 prompt tokens and
    42.0 ms for each token, medians measured by Patel et al. (ISCA 2024; Mutinifni/splitwise-sim, data/perf_model.csv)."""

    prompt_ms: float = 1192 / (16 * 512)
    token_ms: float = 42.0
    devices: float = 2.0
    batch: int = 16

    def __post_init__(self) -> None:
        if not (self.prompt_ms >= 0 and self.token_ms >= 0 and self.devices > 0 and self.batch >= 1):
            raise InvalidRequest(
                "a demand below 0", field="demand", allowed="times from 0, devices above 0, batch from 1"
            )

    def of(self, prompt: Floats, generated: Floats) -> tuple[Ints, Floats]:
        """`run_ms[j]` and `devices[j]` of requests with so many tokens."""
        reads, writes = prompt * self.prompt_ms, generated * self.token_ms
        run = np.maximum(1, np.rint(reads + writes)).astype(np.int64)
        return run, self.devices * np.minimum(1.0, (reads + writes / self.batch) / run)
