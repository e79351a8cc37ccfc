"""What a caller may ask about jobs, and have done to them.

Owns who may see and do what with a job. Everything here is a use case that the API and the pages share.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from suanwang.control import steps
from suanwang.control.admission import PLAIN, Admitted, admit, check_priorities
from suanwang.control.billing.budgets import check_order, used_of
from suanwang.control.billing.holding import money
from suanwang.control.people import check_project
from suanwang.control.rules import Rules
from suanwang.control.sharing import fairness
from suanwang.control.tick import snapshot
from suanwang.control.wording import resolve
from suanwang.domain.allowance import Allowance
from suanwang.domain.device import Position
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import Allocation, Event, Hold, Job, LogChunk, Point, Terms, UsageRecord, Why
from suanwang.domain.lifecycle import ENDED, LIVE, JobState
from suanwang.domain.site import Site
from suanwang.domain.task import Task
from suanwang.ports import Clock, Idempotency, Identities, JobQuery, Store
from suanwang.scheduling.margins import DEPTH
from suanwang.scheduling.placing import Judge, explain
from suanwang.scheduling.plan import Hopeless, Keep, Place, Stay
from suanwang.scheduling.purses import Money

TRIES = 5
FRESH = timedelta(milliseconds=250)
"""For how long admission takes the network to be as it was."""
PAGE_LIMIT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """`replayed`: this Idempotency-Key was used before; these are the jobs of that request."""

    jobs: tuple[Job, ...]
    replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Where a task would run now; nothing was submitted. `verdict` is `runs`, `held`, `waits` or `refused`."""

    task: Task
    verdict: str
    why: Why
    hold: Hold | None = None
    """For which hour it would be held."""
    place: Place | None = None
    """Where it runs now: with what the start holds of the project's money, and of a voucher."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """`why` answers for the present: for a job with a site the decision that put it there, for a queued one as of now."""

    job: Job
    verdict: str
    """`placed`, `runs` (next turn), `held` (for a better hour), `waits`, `refused`, `blocked` (by what it needs) or `ended`."""
    why: Why | None
    hold: Hold | None = None
    """For which hour it is held, or would be."""
    needs: Mapping[JobId, JobState]


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """What admission goes by, as of a moment ago: what a site is declared to have, and a project may have, seldom changes."""

    sites: Sequence[Site]
    judge: Judge
    allowances: Mapping[ProjectId, Allowance]
    at: datetime


class Jobs:
    def __init__(
        self,
        store: Store,
        clock: Clock,
        identities: Identities,
        places: Mapping[str, Position],
        rules: Rules | None = None,
    ) -> None:
        self._store = store
        self._rules = rules or Rules()
        self._clock = clock
        self._identities = identities
        self._places = places
        self._seen: _View | None = None

    def submit(
        self,
        caller: Principal,
        tasks: Sequence[Task],
        *,
        project: ProjectId | None = None,
        key: str | None = None,
        digest: str | None = None,
        terms: Terms | None = None,
    ) -> Submitted:
        """Accept `tasks` for `project` (the caller's first where None). `key` makes a repetition harmless;
        `terms` are those of an accepted quote.

        Raises `Forbidden`, `InvalidRequest`, `Conflict` (the key was used for another request).
        """
        owner_of = self.payer(caller, project)
        now = self._clock.now()
        idempotency = None
        if key is not None:
            idempotency = Idempotency(
                principal=caller.name, key=key, digest=digest or hashlib.sha256(repr(tasks).encode()).hexdigest()
            )

        def attempt(view: _View) -> Admitted:
            return admit(
                self._store,
                resolve(tasks, view.sites),
                project=owner_of,
                owner=caller.name,
                now=now,
                new_id=self._identities.job_id,
                judge=view.judge,
                terms=terms,
                allowance=view.allowances.get(owner_of, PLAIN),
            )

        try:
            if terms is None or terms.reservation is None:
                check_order(self._store, owner_of, caller.name, 0, now)
            admitted = self._judged(attempt, now)
        except (InvalidRequest, Conflict):
            # What was accepted once stays so, even where the network has changed and would not accept it now.
            known = self._store.jobs_of_key(idempotency) if idempotency is not None else None
            if known is None:
                raise
            return self._replayed(known)
        identifiers, replayed = self._store.add_jobs(admitted.jobs, admitted.events, idempotency)
        if not replayed:
            return Submitted(jobs=admitted.jobs, replayed=False)
        return self._replayed(identifiers)

    def _judged(self, attempt: Callable[[_View], Admitted], now: datetime) -> Admitted:
        """What `attempt` makes of the network as of a moment ago; before it says no it looks again, for a site may have
        joined since."""
        before = self._seen
        view = self._network(now)
        if self._seen is before:
            with suppress(InvalidRequest):
                admitted = attempt(view)
                if all(job.state is not JobState.REFUSED for job in admitted.jobs):
                    return admitted
            self._seen = None
            view = self._network(now)
        return attempt(view)

    def _network(self, now: datetime) -> _View:
        seen = self._seen
        if seen is None or not timedelta(0) <= now - seen.at < FRESH:
            network = snapshot(self._store, (), self._places, now)
            allowances = self._store.allowances()
            seen = self._seen = _View(sites=network.sites, judge=Judge(network), allowances=allowances, at=now)
        return seen

    def _replayed(self, identifiers: Sequence[JobId]) -> Submitted:
        known = self._store.jobs_by_id(identifiers)
        return Submitted(jobs=tuple(known[job_id] for job_id in identifiers), replayed=True)

    def preview(
        self, caller: Principal, tasks: Sequence[Task], *, project: ProjectId | None = None
    ) -> tuple[Preview, ...]:
        """What `submit` would find, without submitting."""
        owner_of = self.payer(caller, project)
        now = self._clock.now()
        seen = replace(
            snapshot(self._store, (), self._places, now, projects=(owner_of,)),
            fairness=fairness(self._store, self._rules, {owner_of}),
        )
        allowance = self._store.allowances().get(owner_of, PLAIN)
        check_priorities(tasks, owner_of, allowance)
        judge = Judge(seen)
        found: list[Preview] = []
        purses: Money | None = None
        for task in resolve(tasks, seen.sites):
            job = Job(
                id=JobId("j-preview"),
                project=owner_of,
                owner=caller.name,
                task=task,
                state=JobState.QUEUED,
                submitted_at=now,
                ready_at=now,
            )
            beyond = judge.beyond(job, allowance)
            if beyond is not None:
                found.append(Preview(task=task, verdict="refused", why=beyond[0]))
                continue
            if purses is None:
                purses = money(self._store, self._rules, [job], used_of(self._store, self._store.budgets(), now), now)
            decision = explain(replace(seen, jobs=(job,), money=purses), job)
            hold = decision.hold if isinstance(decision, Keep) else None
            place = decision if isinstance(decision, Place) else None
            found.append(Preview(task=task, verdict=_verdict(decision), why=decision.why, hold=hold, place=place))
        return tuple(found)

    def get(self, caller: Principal, job_id: JobId) -> Job:
        """Raises `NotFound` also for another project's job: its existence is nobody else's business."""
        job = self._store.job(job_id)
        if job is None or not self._sees(caller, job):
            raise NotFound(f"no job {job_id!r}", field="job", allowed="a job of your projects")
        return job

    def page(
        self, caller: Principal, query: JobQuery, cursor: str | None, limit: int
    ) -> tuple[Sequence[Job], str | None]:
        """Newest first, only what the caller may see."""
        return self._store.jobs(self._narrowed(caller, query), cursor, _bounded(limit))

    def counts(self, caller: Principal) -> Mapping[JobState, int]:
        return self._store.count_jobs(self._visible(caller))

    def cancel(self, caller: Principal, job_id: JobId, *, whole_array: bool = False) -> tuple[Job, ...]:
        """End a job, or every member of its array. Ended ones stay as they are."""
        job = self.get(caller, job_id)
        if not caller.may_change(job.project):
            raise Forbidden(f"{caller.role} {caller.name!r} may not cancel jobs of {job.project}", field="token")
        members = [job]
        if whole_array and job.array_id is not None:
            members = []
            cursor: str | None = None
            while True:
                page, cursor = self._store.jobs(JobQuery(array_id=job.array_id), cursor, PAGE_LIMIT)
                members.extend(page)
                if cursor is None:
                    break
        return tuple(self._cancel(caller, member) for member in members)

    def _cancel(self, caller: Principal, job: Job) -> Job:
        for _ in range(TRIES):
            if job.state in ENDED or job.state is JobState.CANCELLING:
                return job
            step = steps.cancel(job, caller.name, self._clock.now())
            if not self._store.apply([step]):
                return step.job
            again = self._store.job(job.id)
            assert again is not None, "jobs are never deleted"
            job = again
        raise Conflict(f"job {job.id} is moving too fast; try again")

    def explain(self, caller: Principal, job_id: JobId) -> Explanation:
        """Why here, why now, why not elsewhere."""
        job = self.get(caller, job_id)
        needs = {need.id: need.state for need in self._store.jobs_by_id(job.needs).values()}
        if job.state is JobState.WAITING:
            return Explanation(job=job, verdict="blocked", why=None, needs=needs)
        if job.state is JobState.QUEUED:
            now = self._clock.now()
            # Room may be kept for those in front.
            front = [other for other in self._store.queued(DEPTH) if other.id != job.id]
            decision = explain(snapshot(self._store, (*front, job), self._places, now, rules=self._rules), job)
            if job.hold is not None and job.hold.until > now:
                return Explanation(job=job, verdict="held", why=decision.why, hold=job.hold, needs=needs)
            hold = decision.hold if isinstance(decision, Keep) else None
            return Explanation(job=job, verdict=_verdict(decision), why=decision.why, hold=hold, needs=needs)
        verdict = "refused" if job.state is JobState.REFUSED else "placed" if job.state in LIVE else "ended"
        return Explanation(job=job, verdict=verdict, why=job.why, needs=needs)

    def allocations(self, caller: Principal, job_id: JobId) -> Sequence[Allocation]:
        return self._store.allocations(self.get(caller, job_id).id)

    def logs(self, caller: Principal, job_id: JobId, after: int, limit: int) -> Sequence[tuple[int, LogChunk]]:
        return self._store.logs(self.get(caller, job_id).id, after, min(limit, 1000))

    def points(self, caller: Principal, job_id: JobId) -> Sequence[Point]:
        return self._store.points(self.get(caller, job_id).id)

    def usage(self, caller: Principal, job_id: JobId) -> Sequence[UsageRecord]:
        return self._store.usage_records(self.get(caller, job_id).id)

    def events(
        self,
        caller: Principal,
        after: int,
        limit: int,
        *,
        job_id: JobId | None = None,
        site_id: SiteId | None = None,
        kind: str | None = None,
    ) -> Sequence[Event]:
        """The record, oldest first, only what the caller may see."""
        if job_id is not None:
            self.get(caller, job_id)
        return self._store.events(
            after,
            min(limit, 1000),
            projects=None if job_id is not None else self._visible(caller),
            job_id=job_id,
            site_id=site_id,
            kind=kind,
        )

    def last_seq(self) -> int:
        return self._store.last_seq()

    def payer(self, caller: Principal, project: ProjectId | None) -> ProjectId:
        """The project that pays: the one named, else the caller's first. Raises `InvalidRequest`, `Forbidden`, `NotFound`."""
        chosen = project or (caller.projects[0] if caller.projects else None)
        if chosen is None:
            raise InvalidRequest("say which project pays for this", field="project", allowed="one of your projects")
        if not caller.may_change(chosen):
            raise Forbidden(
                f"{caller.role} {caller.name!r} may not submit to project {chosen!r}",
                field="project",
                allowed=", ".join(caller.projects) or "none",
            )
        if chosen not in caller.projects:
            check_project(self._store, chosen)
        return chosen

    def _sees(self, caller: Principal, job: Job) -> bool:
        if caller.may_see(job.project):
            return True
        if caller.role is Role.PROVIDER and job.site_id is not None:
            site = self._store.site(job.site_id)
            return site is not None and site.offering.provider == caller.provider
        return False

    def _visible(self, caller: Principal) -> tuple[ProjectId, ...] | None:
        return None if caller.role in (Role.OPERATOR, Role.REGULATOR) else caller.projects

    def _narrowed(self, caller: Principal, query: JobQuery) -> JobQuery:
        if caller.role is Role.PROVIDER and query.site_id is not None:
            site = self._store.site(query.site_id)
            if site is not None and site.offering.provider == caller.provider:
                return query
        visible = self._visible(caller)
        if visible is None:
            return query
        asked = visible if query.projects is None else tuple(p for p in query.projects if p in visible)
        return replace(query, projects=asked)


def _verdict(decision: Place | Stay | Keep | Hopeless) -> str:
    return {Place: "runs", Hopeless: "refused", Keep: "held"}.get(type(decision), "waits")


def _bounded(limit: int) -> int:
    if not 1 <= limit <= PAGE_LIMIT:
        raise InvalidRequest(f"a page of {limit} is not possible", field="limit", allowed=f"1 to {PAGE_LIMIT}")
    return limit
