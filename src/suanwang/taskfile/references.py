"""What only several tasks together can have wrong: names, needs, cycles, inputs that come from other tasks.

Owns the checks across a submission; each task alone is already checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from suanwang.domain.task import Task
from suanwang.taskfile.problems import Findings, Path
from suanwang.taskfile.words import is_local, looks_like_job

_MOST_CYCLES = 10

Locate = Callable[[Path], tuple[str, int | None]]


def check(tasks: Sequence[Task], locators: Sequence[Locate], findings: Findings) -> list[Task]:
    """Refuse what does not fit together; return the tasks with the needs that their inputs imply."""
    known = {task.name: task for task in tasks}
    _check_names(tasks, locators, findings)
    complete = [_with_implied_needs(task, known, findings) for task in tasks]
    for task, locate in zip(complete, locators, strict=True):
        _check_needs(task, known, locate, findings)
        _check_inputs(task, known, locate, findings)
        _check_outputs(task, locate, findings)
    for cycle in islice(_cycles({task.name: task for task in complete}), _MOST_CYCLES):
        position = next(index for index, task in enumerate(tasks) if task.name == cycle[0])
        field, line = locators[position](("needs",))
        findings.refuse(field, f"the tasks wait for each other: {' → '.join(cycle)}", line=line)
    return complete


def _check_names(tasks: Sequence[Task], locators: Sequence[Locate], findings: Findings) -> None:
    seen: set[str] = set()
    for task, locate in zip(tasks, locators, strict=True):
        if task.name in seen:
            field, line = locate(("name",))
            findings.refuse(field, f"another task of this file is already called {task.name}", line=line)
        seen.add(task.name)


def _with_implied_needs(task: Task, known: Mapping[str, Task], findings: Findings) -> Task:
    implied: list[str] = []
    for item in task.inputs:
        origin = _origin(item.source)
        reachable = origin is not None and (origin in known or looks_like_job(origin))
        if origin is not None and reachable and origin not in (task.name, *task.needs, *implied):
            implied.append(origin)
            findings.note(f"needs: {task.name} reads {item.source}, so it waits for {origin}.")
    return replace(task, needs=(*task.needs, *implied)) if implied else task


def _check_needs(task: Task, known: Mapping[str, Task], locate: Locate, findings: Findings) -> None:
    for position, need in enumerate(task.needs):
        field, line = locate(("needs", position))
        if need == task.name:
            findings.refuse(field, "a task cannot wait for itself", line=line)
        elif need not in known and not looks_like_job(need):
            others = ", ".join(sorted(name for name in known if name != task.name)[:20])
            findings.refuse(
                field,
                f"there is no task {need} in this file",
                allowed=(f"{others}, or " if others else "") + "a job that was submitted before (j-…)",
                line=line,
            )


def _check_inputs(task: Task, known: Mapping[str, Task], locate: Locate, findings: Findings) -> None:
    taken: set[str] = set()
    for position, item in enumerate(task.inputs):
        if item.path in taken and item.path != ".":
            field, line = locate(("inputs", position, "to"))
            findings.refuse(field, f"two inputs land on {item.path}", line=line)
        taken.add(item.path)
        origin = _origin(item.source)
        if origin is None or (origin not in known and looks_like_job(origin)):
            continue
        field, line = locate(("inputs", position, "from"))
        if origin not in known or origin == task.name:
            findings.refuse(field, f"there is no task {origin} in this file that could have written it", line=line)
            continue
        names = [output.name for output in known[origin].outputs]
        if item.source.partition("/")[2] not in names:
            findings.refuse(
                field,
                f"{origin} has no output {item.source.partition('/')[2]}",
                allowed=", ".join(names[:20]) or f"first give {origin} an output",
                line=line,
            )


def _check_outputs(task: Task, locate: Locate, findings: Findings) -> None:
    taken: set[str] = set()
    for position, output in enumerate(task.outputs):
        if output.name in taken:
            field, line = locate(("outputs", position, "to"))
            findings.refuse(field, f"two outputs are called {output.name}", line=line)
        taken.add(output.name)


def _origin(source: str) -> str | None:
    """The task part of `TASK/NAME`."""
    task, slash, _ = source.partition("/")
    return task if slash and not is_local(source) else None


def _cycles(tasks: Mapping[str, Task]) -> Iterator[tuple[str, ...]]:
    """Each cycle that a depth-first walk closes, from a task back to itself; a task waiting for itself is not one."""
    done: set[str] = set()
    for start in tasks:
        if start in done:
            continue
        trail = [start]
        pending = [iter(tasks[start].needs)]
        on_trail = {start}
        while pending:
            need = next(pending[-1], None)
            if need is None:
                pending.pop()
                done.add(trail[-1])
                on_trail.discard(trail.pop())
            elif need in on_trail:
                if need != trail[-1]:
                    yield (*trail[trail.index(need) :], need)
            elif need in tasks and need not in done:
                trail.append(need)
                on_trail.add(need)
                pending.append(iter(tasks[need].needs))
