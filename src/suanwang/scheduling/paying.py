"""Who pays for a job, as price lists see it."""

from __future__ import annotations

from suanwang.domain.job import Job
from suanwang.domain.pricing import Customer


def customer(job: Job, organisation: str) -> Customer:
    """What discounts look at in `job`, whose project is of `organisation`."""
    interruptible = job.task.flexibility.may_be_interrupted and job.task.checkpoint is not None
    return Customer(job.project, organisation, interruptible)
