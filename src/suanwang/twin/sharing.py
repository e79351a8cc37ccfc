"""Projects of an experiment: what each may have and how urgent its jobs are, as columns for the engine.

Owns which jobs make a project, and the turn from names to columns. The numbers of fair share are the live network's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from suanwang.control.rules import Rules
from suanwang.domain.allowance import Allowance
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.task import Priority
from suanwang.scheduling.columns import DEVICES, Ints, Sharing
from suanwang.twin.network import Pool
from suanwang.twin.trace import Trace

LIVE = Rules()
PLAIN = Allowance()
BY = ("groups", "homes")
NOBODY = "–"
"""The project of jobs that the log gives none."""
_NAMED = 8
"""So many names are told where one is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Projects:
    """Who is not named has weight 1, no quota and normal priority."""

    by: str = "groups"
    """What of the log makes a project."""
    allowances: Mapping[str, Allowance] = field(default_factory=dict)
    priorities: Mapping[str, Priority] = field(default_factory=dict)
    half_life_s: float = LIVE.half_life_s
    starved_after_s: float = LIVE.starved_after_s
    preempt: bool = True
    """Whether runs that may be interrupted end for jobs of higher priority."""
    notice_s: float = LIVE.notice_s
    protect_s: float = LIVE.protect_s
    most_interruptions: int = LIVE.most_interruptions


def names_of(projects: Projects, trace: Trace) -> tuple[str, ...]:
    """The projects of a trace. Raises `InvalidRequest` where one is named that has no jobs, or the log has none."""
    names = trace.homes if projects.by == "homes" else trace.groups
    if not names:
        raise InvalidRequest(f"{trace.name} has no {projects.by}", field="sharing.by", allowed=" or ".join(BY))
    wrong = sorted({*projects.allowances, *projects.priorities} - set(names))
    if wrong:
        some = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
        raise InvalidRequest(
            f"{trace.name} has nothing called {wrong[0]} among its {projects.by}: {some}",
            field=f"sharing.projects.{wrong[0]}",
            allowed=some,
        )
    return names


def project_of(projects: Projects, trace: Trace, source_job: Ints) -> Ints:
    """`[j]`: whose each job is. Jobs without a home are of one more project."""
    found = (trace.home if projects.by == "homes" else trace.group)[source_job]
    return np.where(found < 0, len(names_of(projects, trace)), found).astype(np.int64)


def order_of(projects: Projects, trace: Trace, source_job: Ints, order: Ints) -> Ints:
    """`[j]`: `order`, but for projects whose jobs have a priority by name."""
    names = names_of(projects, trace)
    of = np.full(len(names) + 1, -1, np.int64)
    for name, priority in projects.priorities.items():
        of[names.index(name)] = priority.rank
    said = of[project_of(projects, trace, source_job)]
    return np.where(said < 0, order, said)


def sharing(projects: Projects, trace: Trace, source_job: Ints, pools: Sequence[Pool]) -> Sharing:
    """`pools[r]` are the rows' own."""
    names = names_of(projects, trace)
    models = sorted({pool.model or "" for pool in pools if pool.devices > 0})
    unknown = sorted({model for one in projects.allowances.values() for model in one.devices} - set(models))
    if unknown:
        raise InvalidRequest(
            f"no pool of the network has {unknown[0]}", field="sharing.projects", allowed=", ".join(models) or "none"
        )
    every = [projects.allowances.get(name, PLAIN) for name in names] + [PLAIN]
    most = [[a.cores, a.memory_gb, *(a.devices.get(model) for model in models)] for a in every]
    return Sharing(
        project=project_of(projects, trace, source_job),
        weight=np.array([a.weight for a in every], np.float64),
        most=np.array([[np.inf if value is None else value for value in row] for row in most], np.float64),
        model=np.array(
            [DEVICES + models.index(pool.model or "") if pool.devices > 0 else -1 for pool in pools], np.int64
        ),
        half_life_ms=round(1000 * projects.half_life_s),
        mean_every_ms=round(1000 * LIVE.mean_every_s),
        starved_after_ms=round(1000 * projects.starved_after_s),
        notice_ms=round(1000 * projects.notice_s) if projects.preempt else -1,
        protect_ms=round(1000 * projects.protect_s),
        most_interruptions=projects.most_interruptions,
    )
