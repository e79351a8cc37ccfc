"""Microsoft's Philly in its own form, `cluster_job_log`: a JSON list of jobs, each with its attempts.

Schema after https://github.com/msr-fiddle/philly-traces (CC-BY-4.0): `status`, `vc`, `jobid`, `attempts` (each
`start_time`, `end_time`, `detail` with the GPUs it had), `submitted_time`, `user`; times are naive.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa

from suanwang.domain.errors import InvalidRequest, TooLarge
from suanwang.twin.trace import Trace, trace_of
from suanwang.twin.traces import clock
from suanwang.twin.traces.philly_sia import ZONE
from suanwang.twin.traces.source import Given, open_source

_FORM = "%Y-%m-%d %H:%M:%S"
MOST_JSON = 2**28
"""As values of the language it takes some ten times as much."""
_SECOND = timedelta(seconds=1)


def read(path: Given, *, member: str | None = None, zone: str | None = ZONE) -> Trace:
    """A job ran as long as its attempts together, with the most GPUs any of them had; groups are the virtual clusters."""
    source = open_source(path, member=member)
    if len(source.data) > MOST_JSON:
        raise TooLarge(f"{source.name} is too large", field=source.name, allowed=f"up to {MOST_JSON:,} bytes of JSON")
    try:
        jobs = json.loads(source.data)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(
            f"{source.name} is no JSON: {error}", field=source.name, allowed="a list of jobs"
        ) from None
    if not isinstance(jobs, list) or not jobs:
        raise InvalidRequest(f"{source.name} is no list of jobs", field=source.name, allowed="a list of jobs")
    submitted: list[str] = []
    run_s: list[float] = []
    gpus: list[int] = []
    clusters: list[str] = []
    seen: set[str] = set()
    never = running = 0
    for index, job in enumerate(jobs):
        where = f"{source.name}: job {index}"
        at, identity, cluster, attempts = (
            _field(where, job, key) for key in ("submitted_time", "jobid", "vc", "attempts")
        )
        if identity in seen:
            _refuse(where, "jobid", identity, "unique")
        seen.add(identity)
        if not isinstance(attempts, list):
            _refuse(where, "attempts", attempts, "a list")
        ran, most, open_end = _attempts(where, attempts)
        if open_end or ran is None:
            running += open_end
            never += not open_end
            continue
        _time(where, "submitted_time", at)
        submitted.append(at)
        run_s.append(ran)
        gpus.append(most)
        clusters.append(str(cluster))
    notes = [
        f"{count} {what}" for count, what in ((never, "jobs that never ran"), (running, "jobs still running")) if count
    ]
    if not submitted:
        raise InvalidRequest(f"{source.name} has no job that ran", field=source.name, allowed="one job or more")

    def refuse(row: int, allowed: str) -> NoReturn:
        _refuse(source.name, "submitted_time", submitted[row], allowed)

    found = clock.of_text(pa.chunked_array([pa.array(submitted)]), zone, refuse)
    groups = tuple(dict.fromkeys(clusters))
    first = int(found.unix_ms.min())
    return trace_of(
        name=source.stem,
        source="msr-fiddle/philly-traces, CC-BY-4.0",
        submit_ms=found.unix_ms - first,
        run_ms=np.rint(np.array(run_s) * 1000).astype(np.int64),
        devices=np.array(gpus, np.float64),
        group=np.array([groups.index(name) for name in clusters], np.int64),
        groups=groups,
        epoch_ms=first,
        left_out=(*notes, *found.notes()),
    )


def _attempts(where: str, attempts: list[Any]) -> tuple[float | None, int, bool]:
    """Seconds of all attempts whose both ends are known, the most GPUs of one, and whether the last still runs."""
    ran: float | None = None
    most = 0
    open_end = False
    for attempt in attempts:
        begins, ends = _field(where, attempt, "start_time"), _field(where, attempt, "end_time")
        open_end = begins not in (None, "None") and ends in (None, "None")
        if begins in (None, "None") or ends in (None, "None"):
            continue
        spent = (_time(where, "end_time", ends) - _time(where, "start_time", begins)) / _SECOND
        if spent < 0:
            _refuse(where, "end_time", ends, f"a time after {begins}")
        ran = (ran or 0.0) + spent
        most = max(most, _gpus(where, attempt.get("detail") or []))
    return ran, most, open_end


def _gpus(where: str, detail: Any) -> int:
    """How many GPUs the machines of an attempt gave it."""
    count = 0
    for machine in detail if isinstance(detail, list) else [None]:
        gpus = machine.get("gpus") if isinstance(machine, dict) else None
        if not isinstance(gpus, list):
            _refuse(where, "detail", detail, "a list of machines with their gpus")
        count += len(gpus)
    return count


def _field(where: str, record: Any, key: str) -> Any:
    if not isinstance(record, dict) or key not in record:
        _refuse(where, key, "nothing", "an entry with this field")
    return record[key]


def _time(where: str, field: str, text: Any) -> datetime:
    try:
        return datetime.strptime(text, _FORM)  # noqa: DTZ007 - naive as the log is; only differences are taken
    except (TypeError, ValueError):
        _refuse(where, field, text, "a time such as 2017-10-07 01:11:39")


def _refuse(where: str, field: str, found: object, allowed: str) -> NoReturn:
    raise InvalidRequest(f"{where}, {field}: {found!r:.80} is not {allowed}", field=field, allowed=allowed)
