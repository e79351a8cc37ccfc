"""Any task file read: the native YAML, an sbatch script or a SkyPilot task, told apart by what is in it.

Owns how the format is recognised.
"""

from __future__ import annotations

import re

from suanwang.taskfile import native, skypilot
from suanwang.taskfile.problems import Findings
from suanwang.taskfile.sbatch import read_sbatch
from suanwang.taskfile.submission import Submission, TaskFormat
from suanwang.taskfile.yamltext import Document, checked_text, load_documents

_DIRECTIVE_FIRST = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n)*#SBATCH")

_SKYPILOT_KEYS = frozenset(
    (
        "num_nodes",
        "file_mounts",
        "envs",
        "secrets",
        "workdir",
        "service",
        "config",
        "volumes",
        "storage_mounts",
        "event_callback",
        "pool",
    )
)
_SKYPILOT_RESOURCES = frozenset(
    (
        "accelerators",
        "cpus",
        "use_spot",
        "cloud",
        "region",
        "zone",
        "infra",
        "instance_type",
        "disk_size",
        "disk_tier",
        "ports",
        "image_id",
        "any_of",
        "ordered",
        "job_recovery",
        "spot_recovery",
        "autostop",
        "accelerator_args",
        "network_tier",
        "labels",
    )
)
_NATIVE_KEYS = frozenset(
    (
        "env",
        "count",
        "nodes",
        "inputs",
        "outputs",
        "checkpoint",
        "needs",
        "constraints",
        "objective",
        "flexibility",
        "slurm",
        "priority",
        "max_attempts",
        "signal",
    )
)
_NATIVE_RESOURCES = frozenset(("cores", "devices", "time_limit", "expected"))


def read_tasks(text: str | bytes, *, filename: str = "task.yaml") -> Submission:
    """Tasks of a file in any of the three formats.

    Raises `InvalidTask` (every problem at once, with field, line and what is allowed) and `TooLarge` above 1 MiB.
    Nothing is opened: local inputs come back as `uploads` for the program on the user's machine.
    """
    content = checked_text(text, filename=filename)
    if looks_like_script(content):
        return read_sbatch(content, filename=filename)
    documents = load_documents(content, filename=filename)
    findings = Findings(filename)
    if format_of(documents) is TaskFormat.SKYPILOT:
        return skypilot.read_documents(documents, findings)
    return native.read_documents(documents, findings)


def looks_like_script(text: str) -> bool:
    """Whether it is a script: a `#!` at its start, or an `#SBATCH` line before anything else but comments."""
    return text.startswith("#!") or _DIRECTIVE_FIRST.match(text[:65_536]) is not None


def format_of(documents: list[Document]) -> TaskFormat:
    """SkyPilot's where a key only it has is used and none that only the native format has."""
    skypilot_found = native_found = False
    for document in documents:
        value = document.value
        if not isinstance(value, dict):
            continue
        resources = value.get("resources")
        inner = set(resources) if isinstance(resources, dict) else set()
        skypilot_found |= bool(_SKYPILOT_KEYS & set(value) or _SKYPILOT_RESOURCES & inner)
        native_found |= bool(_NATIVE_KEYS & set(value) or _NATIVE_RESOURCES & inner)
    return TaskFormat.SKYPILOT if skypilot_found and not native_found else TaskFormat.NATIVE
