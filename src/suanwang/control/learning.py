"""自学习: finished runs correct what is expected of their device.

Owns which runs teach. A run that was interrupted tells nothing about speed; it is noted so that it is not looked at again.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.job import Allocation, Job, Prediction
from suanwang.domain.quote import Taught
from suanwang.measuring.calibration import EfficiencyState, Observation, learn
from suanwang.measuring.calibration import Lesson as Learnt
from suanwang.measuring.workclass import WorkClass
from suanwang.ports import Store

LIMIT = 200
LEAST_HOURS = 1e-6


def teach(store: Store, now: datetime) -> int:
    """Learn from the runs that have ended since; returns how many were noted. Each run teaches once."""
    noted = 0
    for job, allocation in store.unlearnt(LIMIT):
        assert job.terms is not None, "unlearnt gives quoted jobs"
        prediction = job.terms.prediction
        assert prediction is not None, "unlearnt gives predicted jobs"
        state = store.beliefs()
        before = state.of(prediction.device, WorkClass(prediction.work_class))
        hours = _hours(allocation)
        lesson = _lesson(job, prediction, hours, state)
        record = Taught(
            job_id=job.id,
            site=allocation.site_id,
            prediction=prediction,
            measured_hours=hours,
            z=lesson.z if lesson else 0.0,
            outlier=lesson.outlier if lesson else False,
            factor_before=before.factor,
            factor_after=lesson.after.factor if lesson else before.factor,
            at=now,
            interrupted=job.attempts != 1,
        )
        noted += store.add_lesson(record, lesson.after if lesson else None)
    return noted


def _hours(allocation: Allocation) -> float:
    """From start to end; what is billed may be less, as nothing is beyond the time limit."""
    if allocation.started_at is None or allocation.ended_at is None:
        return LEAST_HOURS
    return max(LEAST_HOURS, (allocation.ended_at - allocation.started_at) / timedelta(hours=1))


def _lesson(job: Job, prediction: Prediction, hours: float, state: EfficiencyState) -> Learnt | None:
    if job.attempts != 1:
        return None
    try:
        observation = Observation(
            run=job.id,
            device=prediction.device,
            work_class=WorkClass(prediction.work_class),
            predicted_hours=prediction.published_hours,
            measured_hours=hours,
        )
    except InvalidRequest:
        # Figures that no run has: noted and not learnt from, so that the loop goes on.
        return None
    return learn(state, observation)
