"""Kimi's language-model requests as Mooncake published them: one JSON object a line.

`timestamp` in ms from the beginning, `input_length` and `output_length` in tokens, `hash_ids` of the prompt's blocks of
512 tokens; kvcache-ai/Mooncake (Apache-2.0; Qin et al., FAST '25).
"""

from __future__ import annotations

import io
from typing import Any, NoReturn

import numpy as np
import orjson

from suanwang.domain.errors import InvalidRequest, TooLarge
from suanwang.twin.trace import Trace, trace_of
from suanwang.twin.traces.azure_llm import MOST_TOKENS
from suanwang.twin.traces.demand import Demand
from suanwang.twin.traces.source import Given, open_source
from suanwang.twin.traces.table import MOST_ROWS

FIELDS = ("timestamp", "input_length", "output_length")
_MOST_MS = 1e13
_FIELD_SET = frozenset((*FIELDS, "hash_ids"))


def read(path: Given, *, member: str | None = None, demand: Demand | None = None) -> Trace:
    """Run time and devices follow from the tokens by `demand`; blocks that a cache could have kept are worked through."""
    source = open_source(path, member=member)
    rows: list[tuple[float, float, float]] = []
    for number, line in enumerate(io.BytesIO(source.data), start=1):
        if number > MOST_ROWS:
            raise TooLarge(f"{source.name} is too long", field=source.name, allowed=f"up to {MOST_ROWS:,} lines")
        if not line.strip():
            continue
        where = f"{source.name}: line {number}"
        try:
            request: Any = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise InvalidRequest(f"{where} is no JSON: {error}", field=where, allowed=", ".join(FIELDS)) from None
        if not isinstance(request, dict):
            _refuse(where, "timestamp", request, "an object with " + ", ".join(FIELDS))
        for key in request.keys() - _FIELD_SET:
            _refuse(where, str(key), request[key], "one of the fields " + ", ".join((*FIELDS, "hash_ids")))
        at, prompt, generated = (_number(where, request, key) for key in FIELDS)
        rows.append((at, prompt, generated))
    if not rows:
        raise InvalidRequest(f"{source.name} has no requests", field=source.name, allowed="one line or more")
    columns = np.array(rows)
    run_ms, devices = (demand or Demand()).of(columns[:, 1], columns[:, 2])
    return trace_of(
        name=source.stem,
        source="kvcache-ai/Mooncake, Apache-2.0; run times and devices are modelled",
        submit_ms=np.rint(columns[:, 0]).astype(np.int64),
        run_ms=run_ms,
        devices=devices,
    )


def _number(where: str, request: dict[str, Any], key: str) -> float:
    value = request.get(key)
    most = _MOST_MS if key == "timestamp" else MOST_TOKENS
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        _refuse(where, key, value, f"a number from 0 to {most:g}")
    return float(value)


def _refuse(where: str, field: str, found: object, allowed: str) -> NoReturn:
    raise InvalidRequest(f"{where}, {field}: {found!r:.80} is not {allowed}", field=field, allowed=allowed)
