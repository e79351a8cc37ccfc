"""Whether what a play is given fits together, and can be reckoned with.

Owns the checks of columns. What they mean is `scheduling.columns`'s, what is played with them the engine's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from suanwang.domain.errors import InvalidRequest
from suanwang.scheduling.columns import RESOURCES, Bools, JobColumns, Outlook, RowColumns, Sharing, Ways

if TYPE_CHECKING:
    from suanwang.twin.engine import Faults, Truth

FARTHEST_MS = 1 << 58
"""Of instants and durations: a few of them summed stay within 64 bits."""


def check(
    jobs: JobColumns, truth: Truth, rows: RowColumns, allowed: Bools, outlook: Outlook, faults: Faults, ways: Ways
) -> None:
    """Kernels check no bounds: everything they index with is checked here, once. Raises `InvalidRequest`."""
    count, width, places = len(jobs.ready_ms), len(rows.site), len(rows.delay_ms)
    if not width:
        raise InvalidRequest("a network without rows plays nothing", field="rows", allowed="1 or more")
    three = {"need": (count, RESOURCES), "expect_ms": (count, 3), "weight": (count, 3)}
    signed = ("order",)
    for name, column in {**jobs._asdict(), **truth._asdict()}.items():
        _check_column(name, column, three.get(name, (count,)), signed)
    if count and (jobs.weight.sum(axis=1) <= 0).any():
        raise InvalidRequest("weights sum to nothing", field="weight", allowed="above 0")
    if count and (jobs.limit_ms < 1).any():
        raise InvalidRequest("a limit is 0", field="limit_ms", allowed="above 0")
    wide = dict.fromkeys(("capacity", "power_w", "yuan_hour"), (width, RESOURCES))
    wide |= dict.fromkeys(("delay_ms", "transfer_ms_per_gb", "transfer_yuan_per_gb"), (places, width))
    hall = np.arange(width) if rows.hall is None else rows.hall
    for name, column in rows._replace(hall=hall)._asdict().items():
        _check_column(name, column, wide.get(name, (width,)), ("yuan_hour", "transfer_yuan_per_gb"))
    if (rows.slowness <= 0).any():
        raise InvalidRequest("a row takes no time", field="slowness", allowed="above 0")
    if allowed.shape[1:] != (width,):
        raise InvalidRequest(f"allowed has shape {allowed.shape} for {width} rows", field="allowed")
    _check_outlook(outlook)
    if len({len(column) for column in faults}) > 1 or (np.diff(faults.at_ms) < 0).any():
        raise InvalidRequest("faults are not as long as one another, or not in the order of time", field="faults")
    told = faults.way[(faults.place >= 0) & (faults.way != -1)]
    for name, index, size in (
        ("kind", jobs.kind, allowed.shape[0]),
        ("place", jobs.place, places),
        ("site", rows.site, outlook.yuan.shape[1]),
        ("hall", hall, width),
        ("fault row", faults.rows, width),
        ("fault place", faults.place[faults.place >= 0], places),
        ("way", np.concatenate((ways.first.ravel(), told)), len(ways.links)),
    ):
        if len(index) and (index.min() < 0 or index.max() >= size):
            raise InvalidRequest(f"{name} {int(index.max())} is not among the {size} there are", field=name)
    for name, column in ways._asdict().items():
        shape = {"links": (len(ways.links), ways.links.shape[-1]), "first": (places, width)}.get(
            name, (len(ways.links),)
        )
        _check_column(name, column, shape, ("links", "first", "yuan_per_gb"))


def check_sharing(sharing: Sharing, count: int, width: int) -> None:
    """Likewise of projects."""
    projects, kinds = sharing.most.shape
    for name, column, size, least, most in (
        ("project", sharing.project, count, 0, projects),
        ("model", sharing.model, width, -1, kinds),
    ):
        _check_column(name, column, (size,), ("model",))
        if size and (column.min() < least or column.max() >= most):
            raise InvalidRequest(f"{name} {int(column.max())} is not among the {most} there are", field=name)
    if kinds < RESOURCES - 1 or ((sharing.model >= 0) & (sharing.model < RESOURCES - 1)).any():
        raise InvalidRequest("quotas name cores, memory and models of devices", field="most")
    _check_column("weight", sharing.weight, (projects,), ())
    if (sharing.weight <= 0).any() or np.isnan(sharing.most).any() or (sharing.most < 0).any():
        raise InvalidRequest("a weight is not above 0, or a quota below it", field="sharing", allowed="above 0")
    if min(sharing.protect_ms, sharing.most_interruptions) < 0 or sharing.notice_ms == 0:
        raise InvalidRequest("a notice is 0, or a protection below it", field="sharing", allowed="above 0")
    if min(sharing.half_life_ms, sharing.mean_every_ms) < 1 or sharing.starved_after_ms < 0:
        raise InvalidRequest("a time of sharing is 0", field="sharing", allowed="above 0")


def _check_column(name: str, column: npt.NDArray[Any], shape: tuple[int, ...], signed: tuple[str, ...]) -> None:
    if column.shape != shape:
        raise InvalidRequest(f"{name} has shape {column.shape}, not {shape}", field=name)
    if column.dtype.kind == "f" and not np.isfinite(column).all():
        raise InvalidRequest(f"{name} has values that are no numbers", field=name)
    if not column.size or column.dtype.kind == "b":
        return
    if name not in signed and (column < 0).any():
        raise InvalidRequest(f"{name} has values below 0", field=name, allowed="0 or more")
    if column.dtype.kind == "i" and name != "due_ms" and int(column.max()) > FARTHEST_MS:
        raise InvalidRequest(f"{name} has values too large to reckon with", field=name, allowed=f"up to {FARTHEST_MS}")


def _check_outlook(outlook: Outlook) -> None:
    shape = outlook.yuan.shape
    if shape != outlook.carbon_g.shape or len(shape) != 3 or shape[0] < 1 or shape[2] < 2:
        raise InvalidRequest("an outlook needs one or more steps of price and carbon", field="outlook")
    if outlook.step_ms < 1 or outlook.issue_ms < 1 or outlook.issue_ms % outlook.step_ms:
        raise InvalidRequest("issues do not fall on steps", field="issue_ms", allowed="a multiple of step_ms")
