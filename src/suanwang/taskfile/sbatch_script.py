"""The shell around an sbatch script: what Slurm would have told it, told by the network.

Owns the variables a script may count on and how a script in another language is started. Knows no options.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from suanwang.taskfile.problems import Findings, quoted

_PLAIN_SHELL = re.compile(r"#!\s*(/usr)?/bin/(env\s+)?(bash|sh)\s*")
_LONGEST_SHEBANG = 255
_SHEBANG = re.compile(r"#!\s*(/\S+)(?:[ \t]+(\S.*?))?\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the variables say."""

    name: str
    nodes: int
    tasks: int
    tasks_per_node: int | None
    cores_per_task: int | None
    cores: int
    devices: int
    indexes: range | tuple[int, ...] | None
    folder: str | None


def around(script: str, surroundings: Surroundings, findings: Findings) -> str:
    """`script` with its Slurm variables set before it; other interpreters than a shell get it as a file."""
    lines = [
        "# What Slurm would set, set by the network. The script itself follows, as it was.",
        *_variables(surroundings),
        *(_array(surroundings.indexes) if surroundings.indexes is not None else ()),
    ]
    if surroundings.folder is not None:
        folder = shlex.quote(surroundings.folder)
        lines.append(f"mkdir -p -- {folder} && cd -- {folder} || exit 1")
    first = script.split("\n", 1)[0]
    if len(first) > _LONGEST_SHEBANG:
        findings.refuse("#!", "the first line is too long", allowed=f"at most {_LONGEST_SHEBANG} characters", line=1)
        return script
    if not first.startswith("#!"):
        findings.note("The script has no #! line: bash runs it.")
        return "\n".join([*lines, script])
    if _PLAIN_SHELL.fullmatch(first):
        return "\n".join([*lines, script])
    return "\n".join([*lines, *_as_file(script, first, findings)])


def _variables(s: Surroundings) -> list[str]:
    lines = [
        f"export SLURM_JOB_NAME={shlex.quote(s.name)}",
        'export SLURM_SUBMIT_DIR="$PWD"',
        # Scripts compute ports and seeds with it, so it must be a number.
        'export SLURM_JOB_ID="${SLURM_JOB_ID:-$(printf %s "${SUANWANG_ALLOCATION_ID:-}" | cksum | cut -d" " -f1)}"',
        'export SLURM_JOBID="$SLURM_JOB_ID"',
        'export SLURM_JOB_NODELIST="${SLURM_JOB_NODELIST:-$(uname -n)}"',
        f"export SLURM_JOB_NUM_NODES={s.nodes} SLURM_NNODES={s.nodes}",
        f"export SLURM_NTASKS={s.tasks} SLURM_NPROCS={s.tasks}",
        f"export SLURM_CPUS_ON_NODE={s.cores}",
        "export SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0",
    ]
    if s.tasks_per_node is not None:
        lines.append(f"export SLURM_NTASKS_PER_NODE={s.tasks_per_node}")
    if s.cores_per_task is not None:
        lines.append(f"export SLURM_CPUS_PER_TASK={s.cores_per_task}")
    if s.devices:
        lines.append(f"export SLURM_GPUS_ON_NODE={s.devices}")
    if s.nodes > 1:
        # Slurm starts a batch script on its first node only; steps of the script share the cores of this one.
        lines.append('[ "${SUANWANG_NODE_RANK:-0}" = 0 ] || exit 0')
        lines.append("export SLURM_OVERLAP=1")
    return lines


def _array(indexes: range | tuple[int, ...]) -> list[str]:
    first, last = indexes[0], indexes[-1]
    if isinstance(indexes, range):
        index = f"$(({first} + ${{SUANWANG_ARRAY_INDEX:-0}} * {indexes.step}))"
        lines = [f"export SLURM_ARRAY_TASK_ID={index} SLURM_ARRAY_TASK_STEP={indexes.step}"]
    else:
        listed = " ".join(str(index) for index in indexes)
        lines = [
            f"slurm_array_indexes=({listed})",
            'export SLURM_ARRAY_TASK_ID="${slurm_array_indexes[${SUANWANG_ARRAY_INDEX:-0}]}"',
        ]
    lines.append(f"export SLURM_ARRAY_TASK_COUNT={len(indexes)} SLURM_ARRAY_TASK_MIN={first}")
    lines.append(f"export SLURM_ARRAY_TASK_MAX={last}")
    lines.append('export SLURM_ARRAY_JOB_ID="$(printf %s "${SUANWANG_JOB_ID:-}" | cksum | cut -d" " -f1)"')
    return lines


def _as_file(script: str, first: str, findings: Findings) -> list[str]:
    match = _SHEBANG.fullmatch(first)
    if match is None:
        findings.refuse("#!", f"{quoted(first)} names no interpreter", allowed="#!/bin/bash", line=1)
        return []
    # The kernel hands all that follows the interpreter over as one word; only env takes it apart.
    rest = match.group(2) or ""
    words = rest.split() if match.group(1).endswith("/env") else [rest] if rest else []
    command = " ".join(shlex.quote(word) for word in (match.group(1), *words))
    mark = "SUANWANG_SCRIPT_END"
    while mark in script:
        mark += "_"
    body = script if script.endswith("\n") else script + "\n"
    return [
        f"cat > .batch-script <<'{mark}' || exit 1",
        f"{body}{mark}",
        f"exec {command} ./.batch-script",
        "",
    ]
