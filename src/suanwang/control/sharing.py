"""Projects beside each other: what each may have, holds, and held lately.

Owns the reading of it for a decision, and the means over time. Who comes first is `scheduling.fairness`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from suanwang.control.rules import Rules
from suanwang.domain.allowance import Allowance, Amounts, Standing
from suanwang.domain.ids import ProjectId
from suanwang.ports import Lately, Store
from suanwang.scheduling.fairness import Fairness, averaged

NOTHING = Amounts()
PLAIN = Allowance()


def fairness(store: Store, rules: Rules, projects: Collection[ProjectId]) -> Fairness | None:
    """What a decision about jobs of `projects` goes by; None where nothing limits them and none waits beside another."""

    def lately() -> Mapping[ProjectId, Amounts]:
        found = store.lately()
        return {} if found is None else found.of

    return standings(store.allowances(), rules, projects, store.held_by_project, lately)


def standings(
    allowances: Mapping[ProjectId, Allowance],
    rules: Rules,
    projects: Collection[ProjectId],
    holds_of: Callable[[], Mapping[ProjectId, Amounts]],
    lately_of: Callable[[], Mapping[ProjectId, Amounts]],
) -> Fairness | None:
    """Likewise, of what is known; what projects hold and held lately is asked for only where it counts."""
    by_share = rules.fair_share and len(projects) > 1
    if not by_share and not any(allowances.get(project, PLAIN).limits_use for project in projects):
        return None
    holds, lately = holds_of(), lately_of() if by_share else {}
    return Fairness(
        standings={
            project: Standing(
                allowance=allowances.get(project, PLAIN),
                holds=holds.get(project, NOTHING),
                lately=lately.get(project, NOTHING),
            )
            for project in projects
        },
        by_share=by_share,
        starved_after=rules.starved_after,
    )


def keep_means(store: Store, rules: Rules, now: datetime) -> bool:
    """Add what projects hold to what they held lately, where that is due; whether it was.

    What is held now stands for all the time since the last mean.
    """
    before = store.lately() if rules.fair_share else None
    passed_s = 0.0 if before is None else (now - before.at).total_seconds()
    if not rules.fair_share or (before is not None and passed_s < rules.mean_every_s):
        return False
    had, holds = {} if before is None else before.of, store.held_by_project()
    means = {
        project: averaged(had.get(project, NOTHING), holds.get(project, NOTHING), passed_s, rules.half_life_s)
        for project in sorted({*had, *holds})
    }
    after = Lately(at=now, of={project: mean for project, mean in means.items() if mean != NOTHING})
    return store.put_lately(after, None if before is None else before.at)
