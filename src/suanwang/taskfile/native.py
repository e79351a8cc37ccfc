"""The native task file read into tasks: parse, validate section by section, check across tasks, freeze.

Owns how a validated section becomes a value of the domain and how a validator's complaint becomes a problem. The other
readers write the same sections in their own words and come through here, so that one set of limits holds for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from rapidfuzz import process
from rapidfuzz.distance import OSA

from suanwang.domain.ids import SiteId
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
    SlurmOptions,
    Task,
)
from suanwang.taskfile import model, quantities, references
from suanwang.taskfile.devices import device_ids
from suanwang.taskfile.problems import Findings, Path, dotted, quoted
from suanwang.taskfile.submission import Submission, TaskFormat
from suanwang.taskfile.uploads import take_local_inputs
from suanwang.taskfile.words import parse_signal
from suanwang.taskfile.yamltext import Document, checked_text, load_documents

_EXPECTED = {
    "missing": "this is required",
    "string_type": "this must be text",
    "bool_type": "this must be true or false",
    "list_type": "this must be a list",
    "dict_type": "this must be a mapping of keys to values",
    "too_long": f"there are more than {model.MOST_ITEMS} entries",
    "model_type": "this must be a mapping of keys to values",
}


@dataclass(frozen=True, slots=True)
class Draft:
    """One task in the native words, not yet checked, and how to say where a value was written."""

    value: Mapping[str, object]
    locate: Callable[[Path], tuple[str, int | None]]
    """The field as its writer knows it, and its line."""


def read_native(text: str | bytes, *, filename: str = "task.yaml") -> Submission:
    """Tasks of a native YAML (or JSON) file. Raises `InvalidTask` with every problem, `TooLarge` above 1 MiB."""
    documents = load_documents(checked_text(text, filename=filename), filename=filename)
    return read_documents(documents, Findings(filename))


def read_documents(documents: Sequence[Document], findings: Findings) -> Submission:
    """Tasks of parsed native documents. Raises `InvalidTask`."""
    written = [document for document in documents if document.value is not None]
    if not written:
        findings.refuse("file", "there is no task in it", allowed="a mapping with at least name and run")
    drafts = []
    for position, document in enumerate(written):
        prefix: Path = ("tasks", position) if len(written) > 1 else ()
        if not isinstance(document.value, dict):
            findings.refuse(
                dotted(prefix),
                f"a task is a mapping of keys to values, not {quoted(document.value)}",
                allowed="a mapping with at least name and run",
                line=document.line(()),
            )
            continue
        drafts.append(Draft(_without_nulls(document), _locator(document, prefix)))
    return assemble(drafts, findings, written_as=TaskFormat.NATIVE)


def assemble(drafts: Sequence[Draft], findings: Findings, *, written_as: TaskFormat) -> Submission:
    """Check drafts alone and together and freeze them. Raises `InvalidTask` with every problem found."""
    tasks: list[Task] = []
    locators = []
    for draft in drafts:
        try:
            section = model.TaskSection.model_validate(draft.value)
        except ValidationError as error:
            for details in error.errors(include_url=False):
                _report(details, draft, findings)
            continue
        tasks.append(_task(section, draft, findings))
        locators.append(draft.locate)
    # With a task missing, names that refer to it would be complained of for nothing.
    if len(tasks) == len(drafts):
        tasks = references.check(tasks, locators, findings)
    findings.stop_if_any()
    frozen, uploads = take_local_inputs(tasks)
    return Submission(tasks=frozen, notes=tuple(findings.notes), uploads=uploads, format=written_as)


def nearest(word: str, allowed: Sequence[str]) -> str | None:
    """The allowed word that was probably meant."""
    found = process.extractOne(word[:100], allowed, scorer=OSA.normalized_similarity, score_cutoff=0.5)
    return found[0] if found else None


def _report(details: ErrorDetails, draft: Draft, findings: Findings) -> None:
    path: Path = tuple(part for part in details["loc"] if part != "[key]")
    context: dict[str, Any] = details.get("ctx", {})
    allowed = context.get("allowed")
    if details["type"] == "refused":
        message = str(context["message"])
    elif details["type"] == "extra_forbidden":
        keys = _keys_of(path[:-1])
        guess = nearest(str(path[-1]), keys)
        message = "unknown key" + (f": did you mean {guess}?" if guess else "")
        allowed = ", ".join(keys)
    else:
        message = _EXPECTED.get(details["type"], details["msg"])
    field, line = draft.locate(path)
    findings.refuse(field, message, allowed=allowed, line=line)


def _keys_of(path: Path) -> list[str]:
    section: type[BaseModel] = model.TaskSection
    for part in path:
        if isinstance(part, str):
            section = _SECTIONS.get(part, section)
    return [field.alias or name for name, field in section.model_fields.items()]


_SECTIONS: Mapping[str, type[BaseModel]] = MappingProxyType(
    {
        "resources": model.ResourcesSection,
        "devices": model.DevicesSection,
        "inputs": model.InputSection,
        "outputs": model.OutputSection,
        "constraints": model.ConstraintsSection,
        "circle": model.CircleSection,
        "objective": model.ObjectiveSection,
        "flexibility": model.FlexibilitySection,
        "slurm": model.SlurmSection,
    }
)


def _locator(document: Document, prefix: Path) -> Callable[[Path], tuple[str, int | None]]:
    def locate(path: Path) -> tuple[str, int | None]:
        return dotted((*prefix, *path)), document.line(path)

    return locate


def _without_nulls(document: Document) -> dict[str, object]:
    """The document without empty keys, and with environment values as they were written (`3.10` stays `3.10`)."""
    value = _pruned(document.value)
    assert isinstance(value, dict)
    env = value.get("env")
    if isinstance(env, dict):
        value["env"] = {key: _written(document, ("env", key), inner) for key, inner in env.items()}
    return value


def _pruned(value: object) -> object:
    if isinstance(value, dict):
        return {key: inner if key == "env" else _pruned(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_pruned(inner) for inner in value]
    return value


def _written(document: Document, path: Path, value: object) -> object:
    if isinstance(value, int | float):
        return document.texts.get(path, value)
    return value


def _task(section: model.TaskSection, draft: Draft, findings: Findings) -> Task:
    resources, constraints, circle = section.resources, section.constraints, section.constraints.circle
    if resources.expected is not None and resources.expected > resources.time_limit:
        field, line = draft.locate(("resources", "expected"))
        findings.refuse(field, "it is longer than time_limit, at which the run is stopped", line=line)
    signal = None if section.signal is None else parse_signal(section.signal)
    if signal is not None and signal.before_s is not None and signal.before_s >= resources.time_limit:
        field, line = draft.locate(("signal",))
        allowed = f"less than time_limit, {quantities.spell_duration(resources.time_limit)}"
        findings.refuse(field, "the run would be told at its start that its end is near", allowed=allowed, line=line)
    return Task(
        name=section.name,
        run=section.run,
        setup=section.setup,
        env=MappingProxyType(dict(section.env)),
        count=section.count,
        nodes=section.nodes,
        resources=Resources(
            cores=resources.cores,
            memory_gb=resources.memory,
            devices=_devices(resources.devices, draft, findings),
            time_limit_s=resources.time_limit,
            expected_s=resources.expected,
        ),
        inputs=tuple(Input(source=item.source, path=item.to) for item in section.inputs),
        outputs=tuple(Output(name=item.to, path=item.source) for item in section.outputs),
        checkpoint=None if section.checkpoint is None else Checkpoint(path=section.checkpoint),
        needs=_unique(section.needs),
        constraints=Constraints(
            deadline_at=constraints.deadline,
            budget_yuan=constraints.budget,
            circle=None if circle is None else Circle(place=circle.place, within_ms=circle.within_ms),
            regions=_unique(constraints.regions),
            residency=_unique(constraints.residency),
            providers=_unique(constraints.providers),
            sites=tuple(SiteId(site) for site in _unique(constraints.sites)),
        ),
        objective=Objective(
            price=section.objective.price, carbon=section.objective.carbon, finish=section.objective.finish
        ),
        flexibility=Flexibility(
            may_wait_s=section.flexibility.may_wait, may_be_interrupted=section.flexibility.may_be_interrupted
        ),
        slurm=SlurmOptions(partition=section.slurm.partition, account=section.slurm.account, qos=section.slurm.qos),
        signal=signal,
        max_attempts=section.max_attempts,
        priority=Priority(section.priority),
    )


def _devices(section: model.DevicesSection | None, draft: Draft, findings: Findings) -> DeviceRequest | None:
    if section is None:
        return None
    if not (section.kind or section.model or section.min_memory or section.precision):
        field, line = draft.locate(("resources", "devices"))
        findings.refuse(field, "say which devices", allowed="any of kind, model, min_memory, precision", line=line)
    return DeviceRequest(
        count=section.count,
        kind=None if section.kind is None else DeviceKind(section.kind),
        models=_unique([device for name in section.model for device in device_ids(name)]),
        min_memory_gb=section.min_memory,
        precisions=tuple(Precision(text) for text in _unique(section.precision)),
    )


def _unique(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
