"""自学习: finished runs correct what is expected of their device.

Owns which runs teach. A run that was interrupted tells nothing about speed; it is noted so that it is not looked at again.
"""

from __future__ import annotations

from datetime import datetime

from suanwang.domain.quote import Taught
from suanwang.measuring.calibration import Observation, learn
from suanwang.measuring.workclass import WorkClass
from suanwang.ports import Store

LIMIT = 200
LEAST_HOURS = 1e-6


def teach(store: Store, now: datetime) -> int:
    """Learn from the runs that have ended since; returns how many taught. Each run teaches once."""
    taught = 0
    for job, allocation in store.unlearnt(LIMIT):
        assert job.terms is not None, "unlearnt gives quoted jobs"
        prediction = job.terms.prediction
        assert prediction is not None, "unlearnt gives predicted jobs"
        state = store.beliefs()
        work_class = WorkClass(prediction.work_class)
        before = state.of(prediction.device, work_class)
        hours = max(LEAST_HOURS, allocation.usage.wall_s / 3600)
        lesson = None
        if job.attempts == 1:
            lesson = learn(
                state,
                Observation(
                    run=job.id,
                    device=prediction.device,
                    work_class=work_class,
                    predicted_hours=prediction.published_hours,
                    measured_hours=hours,
                ),
            )
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
        )
        taught += store.add_lesson(record, lesson.after if lesson else None)
    return taught
