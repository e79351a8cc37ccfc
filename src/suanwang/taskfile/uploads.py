"""Local files that a task reads: named for the project, so that the submitting program can upload them first.

Owns the naming. It opens no file and must not: a server reads task files too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from suanwang.domain.task import Input, Task
from suanwang.taskfile.submission import Upload
from suanwang.taskfile.words import artefact_from, is_local


def take_local_inputs(tasks: Sequence[Task]) -> tuple[tuple[Task, ...], tuple[Upload, ...]]:
    """Tasks whose local sources are replaced by artefact names, and what to upload under those names.

    A name is made of the task's and the file's own name, never of the content, so that the next submission of the same
    file makes a new version of the same artefact.
    """
    taken: set[str] = set()
    uploads: list[Upload] = []
    named: list[Task] = []
    for task in tasks:
        inputs = []
        for item in task.inputs:
            if not is_local(item.source):
                inputs.append(item)
                continue
            name = _free_name(f"{task.name}.{artefact_from(_own_name(item.source))}", taken)
            uploads.append(Upload(local_path=item.source, name=name, to=item.path))
            inputs.append(Input(source=name, path=item.path))
        named.append(replace(task, inputs=tuple(inputs)) if inputs else task)
    return tuple(named), tuple(uploads)


def _own_name(source: str) -> str:
    parts = [part for part in source.split("/") if part not in ("", ".", "..", "~")]
    return parts[-1] if parts else "folder"


def _free_name(wanted: str, taken: set[str]) -> str:
    wanted = wanted[:120]
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    taken.add(name)
    return name
