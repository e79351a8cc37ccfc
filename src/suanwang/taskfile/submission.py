"""What reading a task file gives: tasks, and what the reader has to tell the user.

Owns the value handed to whoever submits. Knows no file format and touches no file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from suanwang.domain.task import Task

HIDDEN = "***"


class TaskFormat(StrEnum):
    """Whose words the file was written in."""

    NATIVE = "native"
    SBATCH = "sbatch"
    SKYPILOT = "skypilot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file or folder of the submitting machine that a task reads.

    Only the program on the user's own machine may open `local_path` (relative to the folder it was started in, `~` is
    the user's home); a server that reads a task file never does.
    """

    local_path: str
    name: str
    """The artefact's name in the project; the task's input already refers to it."""
    to: str
    """Where it lands in the work folder; `.` for the folder's contents in the work folder itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """Tasks in file order. Several make a workflow through `needs`."""

    tasks: tuple[Task, ...]
    notes: tuple[str, ...] = ()
    """One sentence each: what was assumed and what could not be honoured, naming the field."""
    uploads: tuple[Upload, ...] = ()
    secret_names: tuple[str, ...] = ()
    """Environment variables whose values must never be shown."""
    format: TaskFormat = TaskFormat.NATIVE


def hide_secrets(task: Task, secret_names: tuple[str, ...]) -> Task:
    """`task` with the values of these environment variables replaced, to be shown or written."""
    if not any(name in task.env for name in secret_names):
        return task
    env = {name: HIDDEN if name in secret_names else value for name, value in task.env.items()}
    return replace(task, env=env)
