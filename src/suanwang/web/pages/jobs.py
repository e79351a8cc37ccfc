"""The list of jobs: filtered, paged, arrays as one row, refreshed as they move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import Job
from suanwang.domain.lifecycle import ENDED, LIVE, JobState
from suanwang.ports import JobQuery
from suanwang.web.labels import N_
from suanwang.web.visiting import PageRoute, Visit, Visited

router = APIRouter(route_class=PageRoute)
PAGE = 50
ENOUGH_ROWS = 25
MOST_READS = 8
"""Store pages read for one shown page, so that a large array is a row and not the whole list."""

FILTERS: Mapping[str, tuple[str, frozenset[JobState] | None]] = {
    "": (N_("all states"), None),
    "active": (N_("not ended"), frozenset(JobState) - ENDED),
    "live": (N_("at a site"), LIVE),
    "ended": (N_("ended"), ENDED),
    **{str(state): ("", frozenset({state})) for state in JobState},
}


@dataclass(slots=True, kw_only=True)
class Row:
    """A job, or the members of an array that were read."""

    job: Job
    states: Counter[JobState] = field(default_factory=Counter)
    sites: set[SiteId] = field(default_factory=set)
    billed_fen: int = 0

    @property
    def members(self) -> int:
        return sum(self.states.values())

    def add(self, job: Job) -> None:
        self.states[job.state] += 1
        self.billed_fen += job.billed_fen
        if job.site_id is not None:
            self.sites.add(job.site_id)


@router.get("/jobs")
def show(
    visit: Visited,
    state: Annotated[str, Query(max_length=20)] = "",
    site: Annotated[str, Query(max_length=63)] = "",
    name: Annotated[str, Query(max_length=200)] = "",
    project: Annotated[str, Query(max_length=63)] = "",
    array: Annotated[str, Query(max_length=63)] = "",
    cursor: Annotated[str, Query(max_length=300)] = "",
) -> Response:
    visit.needs_login()
    if state not in FILTERS:
        raise InvalidRequest(f"there is no state {state!r}", field="state", allowed=", ".join(FILTERS).lstrip(", "))
    query = JobQuery(
        projects=(ProjectId(project),) if project else None,
        states=FILTERS[state][1],
        site_id=SiteId(site) if site else None,
        array_id=JobId(array) if array else None,
        name=name.strip() or None,
    )
    rows, after = _rows(visit, query, cursor or None, flat=bool(array))
    chosen = {"state": state, "site": site, "name": name, "project": project, "array": array}
    kept = {key: value for key, value in chosen.items() if value}
    context: dict[str, Any] = {
        "rows": rows,
        "names": visit.site_names(),
        "chosen": chosen,
        "filtered": bool(kept),
        "here": f"/jobs?{urlencode({**kept, **({'cursor': cursor} if cursor else {})})}",
        "first": f"/jobs?{urlencode(kept)}" if cursor else None,
        "next": f"/jobs?{urlencode({**kept, 'cursor': after})}" if after else None,
    }
    if visit.partial:
        return visit.page("jobs_list.html", **context)
    return visit.page(
        "jobs.html",
        **context,
        filters={key: sentence for key, (sentence, _) in FILTERS.items()},
        projects=visit.network.people.projects(visit.caller),
        counts=visit.network.jobs.counts(visit.caller),
    )


def _rows(visit: Visit, query: JobQuery, cursor: str | None, *, flat: bool) -> tuple[Sequence[Row], str | None]:
    """Rows of a page; whole store pages are read until there are enough. Raises `InvalidRequest` for a foreign cursor."""
    rows: list[Row] = []
    arrays: dict[JobId, Row] = {}
    for _ in range(MOST_READS):
        try:
            found, cursor = visit.network.jobs.page(visit.caller, query, cursor, PAGE)
        except (ValueError, LookupError):
            raise InvalidRequest("this page is not one of ours", field="cursor", allowed="follow the link") from None
        for job in found:
            known = None if flat or job.array_id is None else arrays.get(job.array_id)
            if known is None:
                known = Row(job=job)
                rows.append(known)
                if not flat and job.array_id is not None:
                    arrays[job.array_id] = known
            known.add(job)
        if cursor is None or len(rows) >= ENOUGH_ROWS:
            break
    return rows, cursor
