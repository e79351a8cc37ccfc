"""What a plan keeps of one shape of job, and of what a project's quota or money keeps a job from.

Owns these values alone, as `placing` fills them from one job to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from suanwang.domain.allowance import Exceeded
from suanwang.domain.job import Exclusion, Rank
from suanwang.domain.site import DevicePool
from suanwang.scheduling.feasibility import Shape
from suanwang.scheduling.seating import Weighed
from suanwang.scheduling.snapshot import Bools, Floats, Rows

OVER = "its project's quota does not allow it now"


@dataclass(slots=True)
class Ranking:
    """What one shape of job comes to on every row of its kind."""

    shape: Shape
    rows: Rows
    fitting: Bools
    """`[r]`: large enough and allowed, whatever it costs and however long it takes."""
    possible: Bools
    """`[r]`: no hard limit speaks against them."""
    some: bool
    """Whether any is."""
    limit_yuan: Floats | None
    """`[r]`: what a run up to the time limit would cost at most; None where no budget is set."""
    hold_fen: Floats | None = None
    """`[r]`: what a start holds, once somebody asked."""
    weighed: Weighed | None = None
    """What a start now comes to, once somebody asked."""
    least_score: float | None = None
    """On the best row, were all empty, once somebody asked."""
    busy: dict[int, tuple[int, Exclusion]] = field(default_factory=dict)
    """Site → what it had taken when it was last found full, and the reason then."""
    ranks: dict[int, Rank] = field(default_factory=dict)
    """Row → its figures, once somebody asked."""
    lasting: dict[int, Exclusion] = field(default_factory=dict)
    """Site → why it can never take jobs of this shape, once somebody asked."""
    models: dict[str, Bools] = field(default_factory=dict)
    """Device model → `[r]`: the rows of its pools, once somebody asked."""

    def of_model(self, model: str) -> Bools:
        """`[r]`: rows of pools of `model`."""
        found = self.models.get(model)
        if found is None:
            same = [pool is not None and pool.model == model for pool in self.rows.pools]
            found = self.models[model] = np.array(same, np.bool_)
        return found


@dataclass(frozen=True, slots=True)
class Barred:
    """What a project's quota, or its money, keeps a job from."""

    rows: Bools
    """`[r]`"""
    over: Exceeded | None
    """Where it keeps the job from all of them, or is the same for all."""
    models: Mapping[str, Exceeded] = field(default_factory=dict)
    note: str = OVER
    asked: Floats | None = None
    """`[r]`, of money: fen that a start holds beside what a voucher pays."""

    def words(self, pool: DevicePool | None) -> Exceeded:
        """The quota that keeps it from a row of this pool."""
        if self.over is not None:
            return self.over
        assert pool is not None, "only quotas of devices differ between rows"
        return self.models[pool.model]
