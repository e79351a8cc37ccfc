"""Accelerators as people write them: `2 x nvidia-a100-80gb`, `8 npu`, or a mapping.

Owns the short forms and the one call into the catalogue, which alone knows the models.
"""

from __future__ import annotations

import re

from suanwang.domain.precision import DeviceKind
from suanwang.taskfile.problems import quoted

DEVICE_FORMS = (
    "such as '2 x nvidia-a100-80gb', '4 x npu', or a mapping of count with kind, model, min_memory or precision"
)

_COUNTED = re.compile(r"(\d{1,6})\s*(?:[x\u00d7*]\s*|\s+)(\S.*)", re.ASCII | re.IGNORECASE)
_LONGEST = 200
_COLON = re.compile(r"([^:]+):(\d{1,6})", re.ASCII)


def device_ids(name: str) -> tuple[str, ...]:
    """Catalogue identifiers of every model that `name` may mean (`a100` is any A100).

    Raises `InvalidRequest` with suggestions when the catalogue knows none.
    """
    from suanwang.catalog import accelerators_named  # it reads its data on import; only device requests pay for that

    return tuple(device.id for device in accelerators_named(name))


def expand_devices(value: object) -> object:
    """The mapping that a short form stands for; a mapping passes unchanged. Raises `ValueError`."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{quoted(value)} does not say which devices")
    text = value.strip()[:_LONGEST]
    count, what = 1, text
    if counted := _COUNTED.fullmatch(text):
        count, what = int(counted.group(1)), counted.group(2).strip()
    elif colon := _COLON.fullmatch(text):
        what, count = colon.group(1).strip(), int(colon.group(2))
    elif text.isdigit() or not text:
        raise ValueError(f"{quoted(value)} does not say which devices")
    if what.lower() in set(DeviceKind):
        return {"count": count, "kind": what.lower()}
    return {"count": count, "model": [what]}
