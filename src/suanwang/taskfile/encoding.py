"""Tasks as plain JSON values, for storage: exact, small and quick.

Owns the stored form: the domain's own field names, defaults left out, `Decimal` and instants as text. Rows written by
an earlier release must stay readable, so keys are only ever added.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

from suanwang.domain.errors import UnreadableReply
from suanwang.domain.precision import DeviceKind, Precision
from suanwang.domain.task import (
    Checkpoint,
    Circle,
    Constraints,
    DeviceRequest,
    Flexibility,
    Input,
    Objective,
    Output,
    Priority,
    Resources,
    Signal,
    SlurmOptions,
    Task,
)

_RESOURCES = Resources()
_CONSTRAINTS = Constraints()
_OBJECTIVE = Objective()
_FLEXIBILITY = Flexibility()
_SLURM = SlurmOptions()
_NO_ENV: Mapping[str, str] = MappingProxyType({})


def task_to_json(task: Task) -> dict[str, Any]:
    """The stored form of `task`, without defaults; `task_from_json` gives an equal task back."""
    row: dict[str, Any] = {"name": task.name, "run": task.run}
    _add_numbers(task, row)
    _add_files(task, row)
    _add_sections(task, row)
    return row


def _add_numbers(task: Task, row: dict[str, Any]) -> None:
    if task.count != 1:
        row["count"] = task.count
    if task.nodes != 1:
        row["nodes"] = task.nodes
    if task.priority is not Priority.NORMAL:
        row["priority"] = task.priority.value
    if task.max_attempts != 3:
        row["max_attempts"] = task.max_attempts
    if task.needs:
        row["needs"] = list(task.needs)


def _add_files(task: Task, row: dict[str, Any]) -> None:
    if task.setup:
        row["setup"] = task.setup
    if task.env:
        row["env"] = dict(task.env)
    if task.inputs:
        row["inputs"] = [[item.source, item.path] for item in task.inputs]
    if task.outputs:
        row["outputs"] = [[item.name, item.path] for item in task.outputs]
    if task.checkpoint is not None:
        row["checkpoint"] = task.checkpoint.path


def _add_sections(task: Task, row: dict[str, Any]) -> None:
    if task.resources != _RESOURCES:
        row["resources"] = _resources_to_json(task.resources)
    if task.constraints != _CONSTRAINTS:
        row["constraints"] = _constraints_to_json(task.constraints)
    if task.objective != _OBJECTIVE:
        row["objective"] = [task.objective.price, task.objective.carbon, task.objective.finish]
    if task.flexibility != _FLEXIBILITY:
        row["flexibility"] = [task.flexibility.may_wait_s, task.flexibility.may_be_interrupted]
    if task.slurm != _SLURM:
        row["slurm"] = [task.slurm.partition, task.slurm.account, task.slurm.qos]
    if task.signal is not None:
        row["signal"] = [task.signal.name, task.signal.before_s, task.signal.shell_only]


def task_from_json(row: Mapping[str, Any]) -> Task:
    """The task whose stored form is `row`. Raises `UnreadableReply` where the row is not one."""
    try:
        return _task(row)
    except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
        raise UnreadableReply(f"a stored task cannot be read ({type(error).__name__}: {error})") from error


def _task(row: Mapping[str, Any]) -> Task:
    get = row.get
    resources, constraints, objective = get("resources"), get("constraints"), get("objective")
    flexibility, slurm, checkpoint, env = get("flexibility"), get("slurm"), get("checkpoint"), get("env")
    signal = get("signal")
    return Task(
        name=row["name"],
        run=row["run"],
        setup=get("setup", ""),
        env=MappingProxyType(dict(env)) if env else _NO_ENV,
        count=get("count", 1),
        nodes=get("nodes", 1),
        resources=_resources(resources) if resources else _RESOURCES,
        inputs=tuple([Input(source=source, path=path) for source, path in get("inputs", ())]),
        outputs=tuple([Output(name=name, path=path) for name, path in get("outputs", ())]),
        checkpoint=Checkpoint(path=checkpoint) if checkpoint is not None else None,
        needs=tuple(get("needs", ())),
        constraints=_constraints(constraints) if constraints else _CONSTRAINTS,
        objective=_objective(*objective) if objective else _OBJECTIVE,
        flexibility=_flexibility(*flexibility) if flexibility else _FLEXIBILITY,
        slurm=_slurm(*slurm) if slurm else _SLURM,
        signal=_signal(*signal) if signal else None,
        max_attempts=get("max_attempts", 3),
        priority=Priority(get("priority", Priority.NORMAL)),
    )


def _resources_to_json(resources: Resources) -> dict[str, Any]:
    row: dict[str, Any] = {
        "cores": resources.cores,
        "memory_gb": resources.memory_gb,
        "time_limit_s": resources.time_limit_s,
    }
    if resources.expected_s is not None:
        row["expected_s"] = resources.expected_s
    if resources.devices is not None:
        asked = resources.devices
        devices: dict[str, Any] = {"count": asked.count}
        if asked.kind is not None:
            devices["kind"] = asked.kind.value
        if asked.models:
            devices["models"] = list(asked.models)
        if asked.min_memory_gb is not None:
            devices["min_memory_gb"] = asked.min_memory_gb
        if asked.precisions:
            devices["precisions"] = [precision.value for precision in asked.precisions]
        row["devices"] = devices
    return row


def _resources(row: Mapping[str, Any]) -> Resources:
    devices = row.get("devices")
    return Resources(
        cores=row.get("cores", 1),
        memory_gb=float(row.get("memory_gb", 1.0)),
        devices=_devices(devices) if devices else None,
        time_limit_s=row.get("time_limit_s", 3600),
        expected_s=row.get("expected_s"),
    )


def _devices(row: Mapping[str, Any]) -> DeviceRequest:
    kind, least = row.get("kind"), row.get("min_memory_gb")
    return DeviceRequest(
        count=row["count"],
        kind=DeviceKind(kind) if kind is not None else None,
        models=tuple(row.get("models", ())),
        min_memory_gb=float(least) if least is not None else None,
        precisions=tuple([Precision(text) for text in row.get("precisions", ())]),
    )


def _constraints_to_json(constraints: Constraints) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if constraints.deadline_at is not None:
        row["deadline_at"] = constraints.deadline_at.isoformat()
    if constraints.budget_yuan is not None:
        row["budget_yuan"] = str(constraints.budget_yuan)
    if constraints.circle is not None:
        row["circle"] = [constraints.circle.place, constraints.circle.within_ms]
    if constraints.regions:
        row["regions"] = list(constraints.regions)
    if constraints.residency:
        row["residency"] = list(constraints.residency)
    if constraints.providers:
        row["providers"] = list(constraints.providers)
    if constraints.sites:
        row["sites"] = list(constraints.sites)
    return row


def _constraints(row: Mapping[str, Any]) -> Constraints:
    deadline, budget, circle = row.get("deadline_at"), row.get("budget_yuan"), row.get("circle")
    return Constraints(
        deadline_at=datetime.fromisoformat(deadline) if deadline is not None else None,
        budget_yuan=Decimal(budget) if budget is not None else None,
        circle=_circle(*circle) if circle else None,
        regions=tuple(row.get("regions", ())),
        residency=tuple(row.get("residency", ())),
        providers=tuple(row.get("providers", ())),
        sites=tuple(row.get("sites", ())),
    )


def _circle(place: str, within_ms: float) -> Circle:
    return Circle(place=place, within_ms=float(within_ms))


def _objective(price: float, carbon: float, finish: float) -> Objective:
    return Objective(price=float(price), carbon=float(carbon), finish=float(finish))


def _flexibility(may_wait_s: int, may_be_interrupted: bool) -> Flexibility:
    return Flexibility(may_wait_s=may_wait_s, may_be_interrupted=may_be_interrupted)


def _signal(name: str, before_s: int | None, shell_only: bool) -> Signal:
    return Signal(name=name, before_s=before_s, shell_only=shell_only)


def _slurm(partition: str | None, account: str | None, qos: str | None) -> SlurmOptions:
    return SlurmOptions(partition=partition, account=account, qos=qos)
