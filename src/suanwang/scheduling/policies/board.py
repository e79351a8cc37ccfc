"""The board: all that policies look at and change, packed for compiled kernels.

Owns the layout. One record per job, row and hall (rows that share cores and memory) keeps what a decision reads
together in memory; the columns of
`scheduling.columns` are where it comes from. Instants and durations are integer milliseconds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from suanwang.scheduling.columns import NEVER_MS, Bools, Floats, Ints, JobColumns, Outlook, RowColumns
from suanwang.scheduling.margins import SLACK

QUEUED, STARTED, HELD, SINCE, PAUSABLE, UNSEEN, AGAIN_MS = 0, 1, 2, 3, 4, 5, 6
PRICE, CARBON, FINISH = 0, 1, 2
ANY, FRESH = -1, -2
DELAY, TRANSFER_MS, TRANSFER_YUAN, WAY_MS, WAY = 0, 1, 2, 3, 4
FAR = 1e300

JOB = np.dtype(
    [
        # Looked at in every pass: together in one line of the processor's cache.
        ("cores", "f8"),
        ("memory_gb", "f8"),
        ("devices", "f8"),
        ("until_ms", "i8"),  # when it is looked at again, where it is held
        ("limit_ms", "i8"),
        ("done_ms", "i8"),  # run time that need not be repeated
        ("kind", "i8"),
        ("place", "i8"),
        ("data_gb", "f8"),
        ("aim_row", "i8"),
        ("ready_ms", "i8"),
        ("rank", "i8"),  # its turn among all jobs
        ("wait_ms", "i8"),
        ("due_ms", "i8"),
        ("row", "i8"),  # where it runs, or ran last; -1 before
        ("aim_ms", "i8"),  # when a held job is meant to start, -1 before it ever was
        ("early_ms", "i8"),  # how long it is expected to run: the 10 % point
        ("middle_ms", "i8"),
        ("late_ms", "i8"),
        ("by_price", "f8"),  # weights, of sum 1
        ("by_carbon", "f8"),
        ("by_finish", "f8"),
        ("interruptible", "i8"),
        ("end_ms", "i8"),  # of its run at the latest
    ]
)
ROW = np.dtype(
    [
        ("site", "i8"),
        ("hall", "i8"),
        ("cores", "f8"),
        ("memory_gb", "f8"),
        ("devices", "f8"),
        ("free_devices", "f8"),
        ("awake", "i8"),  # takes new work
        ("core_kw", "f8"),
        ("memory_kw", "f8"),
        ("device_kw", "f8"),
        ("core_yuan", "f8"),
        ("memory_yuan", "f8"),
        ("device_yuan", "f8"),
        ("slowness", "f8"),
        ("electricity_share", "f8"),
    ]
)
HALL = np.dtype(
    [
        ("free_cores", "f8"),
        ("free_memory_gb", "f8"),
        ("first", "i8"),  # where its part of `ends` and `running` begins
        ("busy", "i8"),  # jobs that run there
        (
            "reserved",
            "i8",
        ),  # the first job that waits for room there, or -1: nothing that starts behind it may delay it
        ("reserved_row", "i8"),  # and on which row
        ("shadow_ms", "i8"),  # when that job will have room at the latest
        ("extra_cores", "f8"),  # free beside it then
        ("extra_memory_gb", "f8"),
        ("extra_devices", "f8"),  # on its row
        ("was_reserved", "i8"),  # the same, before the present look
        ("was_row", "i8"),
        ("was_shadow_ms", "i8"),
        ("was_extra_cores", "f8"),
        ("was_extra_memory_gb", "f8"),
        ("was_extra_devices", "f8"),
    ]
)
Records = npt.NDArray[Any]


class Board(NamedTuple):
    jobs: Records
    """`[j]` of `JOB`."""
    rows: Records
    """`[r]` of `ROW`."""
    halls: Records
    """`[h]` of `HALL`."""
    allowed: Bools
    """`[kind, r]`"""
    near: Floats
    """`[DELAY | TRANSFER_MS | TRANSFER_YUAN | WAY_MS | WAY, place, r]`: the second and third per GB; `WAY_MS` beside for any
    data at all; `WAY` numbers the way that data take now, and is -1 while they have none."""
    ahead: Floats
    """`[PRICE | CARBON, issue, site, k]`: the outlooks, cumulative."""
    clock: Ints
    """Start of the first issue, ms between issues, ms between values."""
    counts: Ints
    """`[QUEUED | STARTED | HELD]`: used lengths of the three lists that follow; `[SINCE]`: looks since `least` was
    measured; `[PAUSABLE]`: interruptible jobs that run; `[UNSEEN]`: fresh jobs in
    the queue; `[AGAIN_MS]`: when one of them is decided anew, where that is not where a step begins."""
    queue: Ints
    """Jobs that want a place now, by rank."""
    started: Ints
    """Jobs that this look started, in order."""
    held: Ints
    """Jobs that wait for a better hour, in no order."""
    watch: Ints
    """`[j]` of queued jobs: the only row it can start on, or `ANY`; `FRESH` where it was not looked at since it came."""
    interrupted: Ints
    """`[j]`: how often a run of it was ended for a better hour or for others."""
    cores: Floats
    """`[j]`, beside the record: queues are gone through by it, and it is an eighth of a record's first line."""
    dirty: Ints
    """`[r]`: 1 where the row has more room than when the queue was last looked through."""
    ends: Ints
    """When running jobs end at the latest, ascending within each hall's part."""
    running: Ints
    """The jobs of `ends`."""
    least: Floats
    """No queued job needs fewer cores, GB, devices; it may be that none needs as few."""
    figures: Floats
    """`[PRICE | CARBON | FINISH, r]`: yuan, gCO2 and ms of a start now, of the job that was reckoned last; behind the last
    row the least of each over all rows that could run it, 0 where none was reckoned yet."""
    scores: Floats
    """`[r]`: what these come to for the job that was weighed last; `FAR` where it may not start now."""


class Listed(list[Any]):
    """What kernels that run as plain Python take for an array of one dimension: its items are had in a tenth of the time."""

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self),)


def listed(board: Board) -> Board:
    """The same values for `compiled.plain`."""
    return board._replace(**{name: _listed(field) for name, field in board._asdict().items() if field.ndim == 1})


def _listed(field: npt.NDArray[Any]) -> Any:
    names = field.dtype.names
    return Listed(
        field.tolist() if names is None else (_Item(zip(names, each, strict=True)) for each in field.tolist())
    )


class _Item(dict[str, Any]):
    """One record: `item.name` and `item["name"]`, as of the arrays."""

    def __init__(self, *values: Any) -> None:
        super().__init__(*values)
        self.__dict__ = self


def altered(records: Any, first: int, **values: npt.NDArray[Any]) -> Any:
    """A copy of the records, listed or not, that has these values from the record `first` on."""
    if isinstance(records, Listed):
        found: Any = Listed(_Item(each) for each in records)
        for name, column in values.items():
            for each, value in zip(found[first:], column.tolist(), strict=True):
                each[name] = value
        return found
    found = records.copy()
    for name, column in values.items():
        found[name][first:] = column
    return found


def copy_column(records: Any, others: Any, name: str) -> None:
    """Let `others` have what the records, listed or not, have under this name."""
    if isinstance(records, Listed):
        for each, other in zip(records, others, strict=True):
            other[name] = each[name]
    else:
        others[name] = records[name]


def unlisted(board: Board) -> Board:
    """Arrays again."""
    records = {"jobs": JOB, "rows": ROW, "halls": HALL}
    lists = {name: field for name, field in board._asdict().items() if isinstance(field, Listed)}
    return board._replace(**{name: _unlisted(field, records.get(name)) for name, field in lists.items()})


def _unlisted(field: Listed, dtype: np.dtype[Any] | None) -> npt.NDArray[Any]:
    if dtype is None:
        return np.array(field)
    found = aligned(len(field), dtype)
    found[:] = [tuple(each.values()) for each in field]
    return found


def board_for(jobs: JobColumns, rows: RowColumns, allowed: Bools, outlook: Outlook) -> Board:
    """Everything free, nothing queued."""
    count, width = len(jobs.ready_ms), len(rows.site)
    hall = np.arange(width) if rows.hall is None else rows.hall
    records, halls = _row_records(rows, hall), _hall_records(jobs, rows, hall)
    parts = int(halls["first"][-1] + halls["busy"][-1]) if width else 0
    halls["busy"] = 0
    return Board(
        jobs=_job_records(jobs),
        rows=records,
        halls=halls,
        allowed=np.ascontiguousarray(allowed, np.bool_),
        near=np.stack(
            (
                rows.delay_ms,
                rows.transfer_ms_per_gb,
                rows.transfer_yuan_per_gb,
                *(np.zeros_like(rows.delay_ms) for _ in range(2)),
            )
        ).astype(np.float64),
        ahead=np.stack((outlook.yuan, outlook.carbon_g)).astype(np.float64),
        clock=np.array([outlook.start_ms, outlook.issue_ms, outlook.step_ms], np.int64),
        counts=np.array([0, 0, 0, 0, 0, 0, NEVER_MS], np.int64),
        queue=np.zeros(count + 1, np.int64),
        started=np.zeros(count + 1, np.int64),
        held=np.zeros(count + 1, np.int64),
        watch=np.full(count, FRESH, np.int64),
        interrupted=np.zeros(count, np.int64),
        cores=np.ascontiguousarray(jobs.need[:, 0], np.float64),
        dirty=np.zeros(width, np.int64),
        ends=np.zeros(parts, np.int64),
        running=np.zeros(parts, np.int64),
        least=np.full(3, FAR),
        figures=np.zeros((3, width + 1)),
        scores=np.zeros(width),
    )


def _job_records(jobs: JobColumns) -> Records:
    count = len(jobs.ready_ms)
    found = aligned(count, JOB)
    order = np.lexsort((np.arange(count), jobs.ready_ms, jobs.order))
    found["rank"][order] = np.arange(count)
    for name in ("ready_ms", "limit_ms", "kind", "place", "wait_ms", "due_ms", "data_gb", "interruptible"):
        found[name] = getattr(jobs, name)
    for k, name in enumerate(("cores", "memory_gb", "devices")):
        found[name] = jobs.need[:, k]
    for k, name in enumerate(("early_ms", "middle_ms", "late_ms")):
        found[name] = jobs.expect_ms[:, k]
    whole = jobs.weight.sum(axis=1)
    for k, name in enumerate(("by_price", "by_carbon", "by_finish")):
        found[name] = jobs.weight[:, k] / whole
    for name in ("row", "until_ms", "aim_ms", "aim_row"):
        found[name] = -1
    return found


def aligned(count: int, dtype: np.dtype[Any]) -> Records:
    """Zeroed records that begin where a line of the processor's cache does."""
    line = 64
    raw = np.zeros(count * dtype.itemsize + line, np.uint8)
    begin = -raw.ctypes.data % line
    return raw[begin : begin + count * dtype.itemsize].view(dtype)


def _row_records(rows: RowColumns, hall: Ints) -> Records:
    found = np.zeros(len(rows.site), ROW)
    for name in ("site", "slowness", "electricity_share"):
        found[name] = getattr(rows, name)
    for k, name in enumerate(("cores", "memory_gb", "devices")):
        found[name] = rows.capacity[:, k]
    for k, name in enumerate(("core", "memory", "device")):
        found[f"{name}_kw"] = rows.power_w[:, k] / 1000
        found[f"{name}_yuan"] = rows.yuan_hour[:, k]
    found["free_devices"] = rows.capacity[:, 2]
    found["hall"] = hall
    found["awake"] = 1
    return found


def _hall_records(jobs: JobColumns, rows: RowColumns, hall: Ints) -> Records:
    """With as much room for running jobs as each may need, its size in `busy` for the moment."""
    found = np.zeros(int(hall.max()) + 1 if len(hall) else 0, HALL)
    size = np.ones(len(found), np.int64)
    np.add.at(size, hall, _most_at_once(jobs, rows))
    size = np.minimum(size, len(jobs.ready_ms) + 1)
    found["busy"] = size
    found["first"] = np.concatenate(([0], np.cumsum(size)[:-1])) if len(size) else 0
    for k, name in enumerate(("free_cores", "free_memory_gb")):
        np.maximum.at(found[name], hall, rows.capacity[:, k])
    found["reserved"] = found["was_reserved"] = -1
    return found


def _most_at_once(jobs: JobColumns, rows: RowColumns) -> Ints:
    """`[r]`: no more of these jobs can run there at once."""
    count = len(jobs.ready_ms)
    most = np.full(len(rows.site), count, np.int64)
    if not count:
        return most
    least = jobs.need.min(axis=0)
    for resource in range(len(least)):
        if least[resource] > 0:
            room = np.floor(rows.capacity[:, resource] / least[resource] + SLACK).astype(np.int64)
            most = np.minimum(most, room)
    return most
