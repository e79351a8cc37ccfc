"""What the live plan and the twin's kernels hold to alike, apart from both so that neither loads the other."""

from __future__ import annotations

WORTH_WAITING = 1.02
"""A job is kept for another hour or a full site only where that is better by more than this factor."""
DEPTH = 200
"""So many of the jobs in front may have room kept for them, where they are not bound to one row (as Slurm's
bf_max_job_test)."""
SLACK = 1e-6
"""Sums of decimal fractions are off by less; without it ten tenths would not fit into one."""
