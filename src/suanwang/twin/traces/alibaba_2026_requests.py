"""Alibaba's image generation with adapters of 2026: `lora_request_trace.csv`.

Columns after https://github.com/alibaba/clusterdata, cluster-trace-v2026-GenAI; cite Lin et al., SoCC '25. The times are
shifted by an unknown offset.
"""

from __future__ import annotations

import numpy as np

from suanwang.domain.errors import InvalidRequest
from suanwang.twin.trace import Trace, trace_of
from suanwang.twin.traces.source import Given, open_source
from suanwang.twin.traces.table import read_csv

NEEDS = (
    "gmt_create", "predict_type", "predict_status", "exec_time_seconds", "groupId", "prompt_length",
    "negative_prompt_length", "num_images_per_prompt", "num_inference_steps", "checkpoint_model_version_id", "num_lora",
)  # fmt: skip
ENDED = ("SUCCEED", "FAILED")


def read(path: Given, *, member: str | None = None, zone: str | None = "UTC") -> Trace:
    """One GPU for each request: assumed, the trace does not say."""
    source = open_source(path, member=member)
    table = read_csv(source, needs=NEEDS)
    states = np.array(table.words("predict_status"))
    ended = np.isin(states, ENDED) & table.filled("exec_time_seconds")
    notes = [f"{int((~ended).sum())} requests that had not ended"] if not ended.all() else []
    table = table.taken(ended)
    if not len(table):
        raise InvalidRequest(f"{source.name} has no request that ended", field=source.name, allowed="one or more")
    at = table.instants("gmt_create", zone=zone)
    group, groups = table.coded("groupId")
    first = int(at.unix_ms.min())
    return trace_of(
        name=source.stem,
        source="alibaba/clusterdata, cluster-trace-v2026-GenAI; cite Lin et al., SoCC '25",
        submit_ms=at.unix_ms - first,
        run_ms=np.rint(table.numbers("exec_time_seconds") * 1000).astype(np.int64),
        devices=np.ones(len(table)),
        group=group,
        groups=groups,
        epoch_ms=first,
        left_out=(*notes, *at.notes()),
    )
