"""A task written back as canonical YAML, defaults left out.

Owns the canonical spelling. Reading what is written here gives an equal task.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import yaml

from suanwang.domain.task import Constraints, DeviceRequest, Objective, Priority, Resources, Task
from suanwang.taskfile.quantities import spell_duration, spell_instant
from suanwang.taskfile.words import spell_signal
from suanwang.taskfile.yamltext import plain_scalar

_ODD_BREAKS = re.compile("[\r\x85\u2028\u2029\ufeff]")


def write_task(task: Task) -> str:
    """Canonical YAML of one task. Secrets in `env` are written too: hide them first where others may read it."""
    return yaml.dump(_sections(task), Dumper=_Writer, sort_keys=False, allow_unicode=True, width=110)


def write_tasks(tasks: Sequence[Task]) -> str:
    """Canonical YAML of a workflow, one document a task."""
    return "---\n".join(write_task(task) for task in tasks)


def task_document(task: Task) -> dict[str, object]:
    """One task in the words of the native file, as plain values for JSON, defaults left out; secrets in `env` too."""
    return _sections(task)


def _sections(task: Task) -> dict[str, object]:
    parts: dict[str, object] = {
        "name": task.name,
        "setup": task.setup,
        "run": task.run,
        "env": dict(task.env),
        "count": task.count if task.count != 1 else None,
        "nodes": task.nodes if task.nodes != 1 else None,
        "resources": _resources(task.resources),
        "inputs": [{"from": item.source, "to": item.path} for item in task.inputs],
        "outputs": [{"from": item.path, "to": item.name} for item in task.outputs],
        "checkpoint": task.checkpoint.path if task.checkpoint is not None else None,
        "needs": list(task.needs),
        "constraints": _constraints(task.constraints),
        "objective": _objective(task.objective),
        "flexibility": _kept(
            may_wait=spell_duration(task.flexibility.may_wait_s) if task.flexibility.may_wait_s else None,
            may_be_interrupted=task.flexibility.may_be_interrupted or None,
        ),
        "slurm": _kept(partition=task.slurm.partition, account=task.slurm.account, qos=task.slurm.qos),
        "signal": spell_signal(task.signal) if task.signal is not None else None,
        "priority": task.priority.value if task.priority is not Priority.NORMAL else None,
        "max_attempts": task.max_attempts if task.max_attempts != 3 else None,
    }
    return _kept(**parts)


def _resources(resources: Resources) -> dict[str, object]:
    default = Resources()
    return _kept(
        cores=resources.cores if resources.cores != default.cores else None,
        memory=resources.memory_gb if resources.memory_gb != default.memory_gb else None,
        devices=_devices(resources.devices),
        time_limit=spell_duration(resources.time_limit_s) if resources.time_limit_s != default.time_limit_s else None,
        expected=spell_duration(resources.expected_s) if resources.expected_s is not None else None,
    )


def _devices(devices: DeviceRequest | None) -> dict[str, object] | None:
    if devices is None:
        return None
    return _kept(
        count=devices.count,
        kind=devices.kind.value if devices.kind is not None else None,
        model=list(devices.models),
        min_memory=devices.min_memory_gb,
        precision=[precision.value for precision in devices.precisions],
    )


def _constraints(constraints: Constraints) -> dict[str, object]:
    circle = constraints.circle
    return _kept(
        deadline=spell_instant(constraints.deadline_at) if constraints.deadline_at is not None else None,
        budget=f"¥{constraints.budget_yuan:f}" if constraints.budget_yuan is not None else None,
        circle={"place": circle.place, "within_ms": circle.within_ms} if circle is not None else None,
        regions=list(constraints.regions),
        residency=list(constraints.residency),
        providers=list(constraints.providers),
        sites=list(constraints.sites),
    )


def _objective(objective: Objective) -> dict[str, object] | None:
    if objective == Objective():
        return None
    weights = {"price": objective.price, "carbon": objective.carbon, "finish": objective.finish}
    return {name: weight for name, weight in weights.items() if weight}


def _kept(**parts: object) -> dict[str, object]:
    return {key: value for key, value in parts.items() if value is not None and value not in ("", [], {})}


class _Writer(yaml.SafeDumper):
    """Writes text so that this package's own reader takes it for text, and scripts as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if not isinstance(plain_scalar(text), str) or _ODD_BREAKS.search(text):
        style = '"'
    elif "\n" in text:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Writer.add_representer(str, _text)
