"""The work a question is about, as a request carries it: a need or one task, in JSON or as a file's text.

Owns which of the two a body is, and the spelling of an objective in a query. What is a correct need or task is their
files' business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from suanwang.api.asking import REF, json_of
from suanwang.api.submitting import JSON_TYPES, TEXT_TYPES
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.task import Objective, Task
from suanwang.measuring.need import Need
from suanwang.needfile import is_need, need_from, need_schemas, read_need
from suanwang.taskfile import read_tasks
from suanwang.taskfile.native import read_documents
from suanwang.taskfile.problems import Findings
from suanwang.taskfile.yamltext import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A need or a task, and the text it was read from."""

    of: Need | Task
    source: str


class WorkReader:
    """Describes the bodies; `Need` and `Work` are the components."""

    def schemas(self) -> Mapping[str, Any]:
        """JSON schemas by the name of their component."""
        task = {
            "type": "object",
            "description": "A task in the words of the task file; see /v1/task-schema",
            "properties": {"name": {"type": "string"}, "run": {"type": "string"}},
            "required": ["name", "run"],
        }
        return {**need_schemas(REF), "Work": {"anyOf": [{"$ref": REF.format(model="Need")}, task]}}


def read_work(content_type: str, body: bytes) -> Work:
    """The need or the one task of a body. Raises `InvalidTask` or `InvalidRequest` naming the field, `TooLarge`."""
    if _is_text(content_type):
        if is_need(body):
            return Work(of=read_need(body), source=_text(body))
        return Work(of=_one(read_tasks(body, filename="task").tasks), source=_text(body))
    value = json_of(body)
    if isinstance(value, dict) and "work" not in value and ("run" in value or "name" in value):
        found = read_documents([Document(value=value)], Findings("task"))
        return Work(of=_one(found.tasks), source=_text(body))
    return Work(of=need_from(value), source=_text(body))


def read_only_need(content_type: str, body: bytes) -> Need:
    """As `read_work`, for a question that only a need can ask."""
    return read_need(body) if _is_text(content_type) else need_from(json_of(body))


def objective_of(text: str | None) -> Objective | None:
    """`cheapest`, `greenest`, `fastest`, `balanced`, or weights such as `price=2,carbon=1`. Raises `InvalidRequest`."""
    if text is None or not text.strip():
        return None
    value: object = text.strip()
    if "=" in text:
        pairs = [part.partition("=") for part in text.split(",")[:10]]
        value = {name.strip(): _weight(weight) for name, _, weight in pairs}
    document = Document(value={"name": "objective", "run": "true", "objective": value})
    (task,) = read_documents([document], Findings("objective")).tasks
    return task.objective


def with_objective(task: Task, objective: Objective | None) -> Task:
    """`task` ranked by `objective` instead of its own where one is asked for."""
    return task if objective is None else replace(task, objective=objective)


def _weight(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text.strip()[:40]


def _is_text(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in TEXT_TYPES:
        return True
    if media_type not in JSON_TYPES:
        raise InvalidRequest(
            f"nobody here reads {media_type[:80]!r}",
            field="Content-Type",
            allowed="application/json, application/yaml, text/plain",
        )
    return False


def _one(tasks: tuple[Task, ...]) -> Task:
    if len(tasks) != 1:
        message = f"{len(tasks)} tasks in the file: a quote is for one"
        raise InvalidRequest(message, field="tasks", allowed="exactly one task, or a need")
    return tasks[0]


def _text(body: bytes) -> str:
    return body.decode("utf-8-sig", errors="replace").replace("\0", "")
