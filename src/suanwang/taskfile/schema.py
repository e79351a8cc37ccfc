"""The JSON schema of the native task file, for editors and for the web page's form.

Owns how it is made and where the generated copy lies; `python -m suanwang.taskfile` writes it anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from suanwang.taskfile.model import TaskSection

SCHEMA_PATH = Path(__file__).with_name("task.schema.json")

_EXAMPLE: dict[str, Any] = {
    "name": "train-digits",
    "run": "python train.py",
    "resources": {"cores": 4, "memory": "16GB", "devices": "1 x nvidia-a100-80gb", "time_limit": "2h"},
    "inputs": {"train.py": "./train.py"},
    "outputs": {"model": "out/model.pt"},
    "checkpoint": "ckpt/",
    "objective": "cheapest",
}


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of one task: keys, friendly forms, limits, descriptions and examples."""
    schema = TaskSection.model_json_schema(by_alias=True)
    for section in (schema, *schema["$defs"].values()):
        section["description"] = " ".join(section.get("description", "").split())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Suanwang task",
        "examples": [_EXAMPLE],
    }


def schema_text() -> str:
    """The generated file's content."""
    return json.dumps(json_schema(), ensure_ascii=False, indent=2) + "\n"
