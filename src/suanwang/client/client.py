"""The typed client of the API, which the command line itself uses.

Owns how each use case is asked for. Calls that change nothing when repeated are repeated within the patience given;
others are sent once. Every method raises the product's own error kinds.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from suanwang.client import models, quote_models
from suanwang.client.agreements import AgreementCalls
from suanwang.client.disputes import DisputeCalls
from suanwang.client.events import ServerEvent, parse
from suanwang.client.invoices import InvoiceCalls
from suanwang.client.ledger import LedgerCalls
from suanwang.client.line import parsed, read
from suanwang.client.listings import ListingCalls
from suanwang.client.market import MarketCalls
from suanwang.client.prices import PriceCalls
from suanwang.client.terminations import TerminationCalls
from suanwang.client.twin import TwinCalls
from suanwang.client.vouchers import VoucherCalls
from suanwang.client.wire import Patience, Wire
from suanwang.domain.errors import Conflict, InvalidRequest, OutcomeUnknown, Unavailable, UnreadableReply
from suanwang.domain.identity import Role
from suanwang.domain.lifecycle import JobState
from suanwang.domain.site import Offering
from suanwang.domain.task import Task
from suanwang.taskfile.writing import task_document

PART_BYTES = 4 * 2**20
_LISTEN_S = 45.0
"""Heartbeats come more often than this; a line silent for longer is dead."""
_MOST_BREAKS = 10
_SAFE = "-._~@"

M = TypeVar("M", bound=BaseModel)
Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


class Client(
    LedgerCalls,
    InvoiceCalls,
    VoucherCalls,
    AgreementCalls,
    DisputeCalls,
    ListingCalls,
    MarketCalls,
    PriceCalls,
    TerminationCalls,
    TwinCalls,
):
    """One caller's line to the network at `url`; close it, or use it as a context manager."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
        timeout_s: float = 30.0,
        patience: Patience | None = None,
        chinese: bool = False,
    ) -> None:
        self.url = url.rstrip("/")
        self._patience = patience or Patience()
        self._wire = Wire(
            url,
            token,
            transport=transport,
            timeout_s=timeout_s,
            patience=self._patience,
            headers={"Accept-Language": "zh" if chinese else "en"},
        )

    def close(self) -> None:
        self._wire.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # jobs

    def submit(
        self,
        work: str | Sequence[Task],
        *,
        project: str | None = None,
        key: str | None = None,
        quote: str | None = None,
        offer: int | None = None,
        reservation: str | None = None,
    ) -> models.Submitted:
        """Submit a task file's text, or tasks. `key` makes repetition harmless; one is made where none is given.

        With `quote`, the one task runs as its offer number `offer` (the first by default) says, at the prices quoted;
        with `reservation` on a right to capacity that was bought.
        """
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        terms = {"quote": quote, "offer": offer, "reservation": reservation}
        return self._tasks("/v1/jobs", work, project, headers, models.Submitted, terms)

    def preview(self, work: str | Sequence[Task], *, project: str | None = None) -> models.Preview:
        """What `submit` would find; nothing is submitted. Problems of the file are in the answer, not raised."""
        return self._tasks("/v1/jobs/preview", work, project, {}, models.Preview)

    def _tasks(
        self,
        path: str,
        work: str | Sequence[Task],
        project: str | None,
        headers: Mapping[str, str],
        kind: type[M],
        terms: Mapping[str, Any] | None = None,
    ) -> M:
        if isinstance(work, str):
            reply = self._wire.call(
                "POST",
                path,
                params={"project": project, **(terms or {})},
                content=work.encode(),
                headers={**headers, "Content-Type": "text/plain; charset=utf-8"},
                harmless=True,
            )
        else:
            body = {"tasks": [task_document(task) for task in work], "project": project}
            reply = self._wire.call("POST", path, params=terms, json=body, headers=headers, harmless=True)
        return read(kind, reply)

    def jobs(
        self,
        *,
        states: Iterable[JobState] | None = None,
        site: str | None = None,
        owner: str | None = None,
        name: str | None = None,
        array: str | None = None,
        projects: Iterable[str] | None = None,
        page_size: int = 100,
    ) -> Iterator[models.JobView]:
        """Jobs, newest first, fetched page by page as they are taken."""
        params = {
            "state": None if states is None else [state.value for state in states],
            "site": site,
            "owner": owner,
            "name": name,
            "array": array,
            "project": None if projects is None else list(projects),
            "limit": page_size,
        }
        for page in self._pages("/v1/jobs", params, models.JobPage):
            yield from page.items

    def counts(self) -> Mapping[JobState, int]:
        return self._get("/v1/jobs/counts", models.Counts).counts

    def job(self, job_id: str) -> models.JobDetail:
        return self._get(f"/v1/jobs/{_part(job_id)}", models.JobDetail)

    def cancel(self, job_id: str, *, array: bool = False) -> models.Cancelled:
        params = {"array": "true"} if array else None
        reply = self._wire.call("POST", f"/v1/jobs/{_part(job_id)}/cancel", params=params, harmless=True)
        return read(models.Cancelled, reply)

    def explain(self, job_id: str) -> models.Explanation:
        return self._get(f"/v1/jobs/{_part(job_id)}/explain", models.Explanation)

    def allocations(self, job_id: str) -> Sequence[models.AllocationView]:
        return self._get(f"/v1/jobs/{_part(job_id)}/allocations", models.Allocations).items

    def points(self, job_id: str) -> Sequence[models.PointView]:
        return self._get(f"/v1/jobs/{_part(job_id)}/points", models.Points).items

    def usage(self, job_id: str) -> Sequence[models.UsageRecordView]:
        return self._get(f"/v1/jobs/{_part(job_id)}/usage", models.UsageRecords).items

    def logs(self, job_id: str, *, after: int = 0, limit: int = 1000) -> models.Logs:
        return self._get(f"/v1/jobs/{_part(job_id)}/logs", models.Logs, {"after": after, "limit": limit})

    def follow_logs(self, job_id: str, *, after: int = 0) -> Iterator[models.LogView | models.StateView]:
        """Output and moves of a job as they come, until it has ended; a broken line is taken up where it broke.

        The last value is the `StateView` of the end. Raises `Unavailable` where the line stays broken.
        """
        for event in self._follow(f"/v1/jobs/{_part(job_id)}/logs", {"follow": "true"}, after):
            match event.kind:
                case "log":
                    yield parsed(models.LogView, event.data)
                case "state":
                    yield parsed(models.StateView, event.data)
                case "end":
                    yield parsed(models.StateView, event.data)
                    return
                case _:
                    pass

    # requirements, quotes, learning

    def requirement(
        self, need: str | Mapping[str, Any], *, devices: Sequence[str] = (), count: int | None = None
    ) -> quote_models.RequirementView:
        """What a need (its file's text, or its values) takes on `devices`, by default those the network has."""
        params = {"devices": list(devices) or None, "count": count}
        return read(quote_models.RequirementView, self._work("/v1/needs", need, params))

    def quote(
        self,
        work: str | Task | Mapping[str, Any],
        *,
        project: str | None = None,
        objective: str | None = None,
        devices: Sequence[str] = (),
        title: str = "",
    ) -> quote_models.QuoteView:
        """Offers for a need (text or values) or a task (text or `Task`), kept; their unit prices bind until it expires.

        `objective`: `cheapest`, `greenest`, `fastest`, `balanced`, or weights such as `price=2,carbon=1`. `devices`: offer
        a need only on these.
        """
        params = {"project": project, "objective": objective, "devices": list(devices) or None, "title": title or None}
        return read(quote_models.QuoteView, self._work("/v1/quotes", work, params))

    def preview_quote(
        self,
        work: str | Task | Mapping[str, Any],
        *,
        project: str | None = None,
        objective: str | None = None,
        devices: Sequence[str] = (),
    ) -> quote_models.QuotePreview:
        """What `quote` would say; nothing is kept. Problems of the text are in the answer, not raised."""
        params = {"project": project, "objective": objective, "devices": list(devices) or None}
        return read(quote_models.QuotePreview, self._work("/v1/quotes/preview", work, params))

    def quoted(self, quote_id: str) -> quote_models.QuoteView:
        """A quote that was made before."""
        return self._get(f"/v1/quotes/{_part(quote_id)}", quote_models.QuoteView)

    def extrapolate(self, job_id: str, steps: float) -> quote_models.ExtrapolationView:
        """How long `steps` take, from those that a trial job wrote to its metrics file."""
        path = f"/v1/jobs/{_part(job_id)}/extrapolate"
        return read(
            quote_models.ExtrapolationView, self._wire.call("POST", path, params={"steps": steps}, harmless=True)
        )

    def lessons(self, *, limit: int = 200) -> Sequence[quote_models.LessonView]:
        return self._get("/v1/lessons", quote_models.Lessons, {"limit": limit}).items

    def beliefs(self) -> Sequence[quote_models.BeliefView]:
        return self._get("/v1/beliefs", quote_models.Beliefs).items

    def capability(self, site_id: str | None = None) -> quote_models.CapabilityView:
        """Nominal, measured and sold figures of a site, or of the network."""
        path = "/v1/capability" if site_id is None else f"/v1/sites/{_part(site_id)}/capability"
        return self._get(path, quote_models.CapabilityView)

    def accelerators(self, search: str = "") -> Sequence[quote_models.AcceleratorRow]:
        """The catalogue's accelerators, or those that `search` may mean."""
        return self._get("/v1/catalog/accelerators", quote_models.AcceleratorList, {"q": search or None}).items

    def accelerator(self, name: str) -> quote_models.AcceleratorView:
        """One accelerator by any of its names, each figure with its source."""
        return self._get(f"/v1/catalog/accelerators/{_part(name)}", quote_models.AcceleratorView)

    def processors(self) -> Sequence[quote_models.ProcessorRow]:
        return self._get("/v1/catalog/processors", quote_models.ProcessorList).items

    def _work(self, path: str, work: str | Task | Mapping[str, Any], params: Mapping[str, Any]) -> httpx.Response:
        """Asking again makes at most another quote, which nobody has to use."""
        if isinstance(work, str):
            headers = {"Content-Type": "text/plain; charset=utf-8"}
            return self._wire.call("POST", path, params=params, content=work.encode(), headers=headers, harmless=True)
        body = task_document(work) if isinstance(work, Task) else work
        return self._wire.call("POST", path, params=params, json=body, harmless=True)

    # the record

    def events(
        self,
        *,
        after: int = 0,
        limit: int = 200,
        job: str | None = None,
        site: str | None = None,
        kind: str | None = None,
    ) -> models.Events:
        params = {"after": after, "limit": limit, "job": job, "site": site, "kind": kind}
        return self._get("/v1/events", models.Events, params)

    def follow_events(
        self, *, after: int = 0, job: str | None = None, site: str | None = None, kind: str | None = None
    ) -> Iterator[models.EventView]:
        """The record as it grows, without end; a broken line is taken up where it broke."""
        params = {"follow": "true", "job": job, "site": site, "kind": kind}
        for event in self._follow("/v1/events", params, after):
            if event.number:
                yield parsed(models.EventView, event.data)

    # sites

    def sites(self) -> Sequence[models.SiteView]:
        return self._get("/v1/sites", models.SiteList).items

    def site(self, site_id: str) -> models.SiteView:
        return self._get(f"/v1/sites/{_part(site_id)}", models.SiteView)

    def invite_site(self, site_id: str, offering: Offering) -> models.Invited:
        """Register a site; the answer has the join token of its agent."""
        reply = self._wire.call("POST", "/v1/sites", json={"id": site_id, "offering": offering})
        return read(models.Invited, reply)

    def change_site(self, site_id: str, offering: Offering) -> models.SiteView:
        reply = self._wire.call("PUT", f"/v1/sites/{_part(site_id)}", json=offering, harmless=True)
        return read(models.SiteView, reply)

    def drain_site(self, site_id: str) -> models.SiteView:
        return read(models.SiteView, self._wire.call("POST", f"/v1/sites/{_part(site_id)}/drain", harmless=True))

    def open_site(self, site_id: str) -> models.SiteView:
        return read(models.SiteView, self._wire.call("POST", f"/v1/sites/{_part(site_id)}/open", harmless=True))

    def join_token(self, site_id: str) -> str:
        """A new join token for a site's agent."""
        reply = self._wire.call("POST", f"/v1/sites/{_part(site_id)}/join-token")
        return read(models.JoinToken, reply).join_token

    def samples(self, site_id: str) -> Sequence[models.SampleView]:
        return self._get(f"/v1/sites/{_part(site_id)}/samples", models.Samples).items

    # bills

    def bill_lines(self, *, page_size: int = 200, **wanted: Any) -> Iterator[models.BillLineView]:
        """Bill lines, newest first. `wanted` as for `bill_totals`."""
        for page in self._pages("/v1/bills/lines", {**_bill_params(**wanted), "limit": page_size}, models.BillLinePage):
            yield from page.items

    def bill_line(self, usage: str) -> models.BillLineView:
        """One bill line, by its usage record."""
        return self._get(f"/v1/bills/lines/{_part(usage)}", models.BillLineView)

    def findings(self, *, after: int = 0, limit: int = 100) -> models.Findings:
        """Runs whose two meters differed by more than the tolerance, oldest first, with `seq` above `after`."""
        return self._get("/v1/bills/findings", models.Findings, {"after": after, "limit": limit})

    def bill_totals(self, **wanted: Any) -> models.BillTotals:
        """Sums for each project and provider.

        `wanted` may name `projects` (several), `job`, `site`, `provider`, and `from_at` and `to_at` (with an offset).
        """
        return self._get("/v1/bills/totals", models.BillTotals, _bill_params(**wanted))

    # people

    def whoami(self) -> models.WhoAmI:
        return self._get("/v1/whoami", models.WhoAmI)

    def tokens(self) -> Sequence[models.TokenView]:
        return self._get("/v1/tokens", models.TokenList).items

    def create_token(
        self,
        name: str,
        role: Role,
        *,
        projects: Sequence[str] = (),
        provider: str | None = None,
        ttl_s: float | None = None,
        note: str = "",
    ) -> models.CreatedToken:
        body = {
            "name": name,
            "role": role.value,
            "projects": list(projects),
            "provider": provider,
            "ttl_s": ttl_s,
            "note": note,
        }
        return read(models.CreatedToken, self._wire.call("POST", "/v1/tokens", json=body))

    def revoke_token(self, token_id: str) -> None:
        self._wire.call("DELETE", f"/v1/tokens/{_part(token_id)}", harmless=True)

    def projects(self) -> Sequence[models.ProjectView]:
        return self._get("/v1/projects", models.ProjectList).items

    def create_project(self, project_id: str, title: str = "") -> models.ProjectView:
        reply = self._wire.call("POST", "/v1/projects", json={"id": project_id, "title": title}, harmless=True)
        return read(models.ProjectView, reply)

    def label_project(
        self,
        project_id: str,
        *,
        organisation: str | None = None,
        department: str | None = None,
        team: str | None = None,
    ) -> models.ProjectView:
        """Say whose a project is; what is None is forgotten. For operators."""
        body = {"organisation": organisation, "department": department, "team": team}
        path = f"/v1/projects/{_part(project_id)}/labels"
        return read(models.ProjectView, self._wire.call("PUT", path, json=body, harmless=True))

    def allowance(self, project_id: str) -> models.AllowanceView:
        """What a project may have, beside what it has."""
        return self._get(f"/v1/projects/{_part(project_id)}/allowance", models.AllowanceView)

    def allow(self, project_id: str, allowance: models.NewAllowance) -> models.AllowanceView:
        """Say what a project may have from now on. For operators."""
        path, body = f"/v1/projects/{_part(project_id)}/allowance", allowance.model_dump(exclude_none=True)
        return read(models.AllowanceView, self._wire.call("PUT", path, json=body, harmless=True))

    def health(self) -> models.Health:
        return self._get("/v1/health", models.Health)

    # files

    def files(self, project: str, *, page_size: int = 200) -> Iterator[models.FileView]:
        """The project's files by name, the newest version of each."""
        for page in self._pages(f"/v1/projects/{_part(project)}/files", {"limit": page_size}, models.FilePage):
            yield from page.items

    def file(self, project: str, name: str) -> models.FileView:
        return self._get(_file_path(project, name), models.FileView)

    def upload(
        self, path: Path, *, project: str, name: str, folder: bool = False, progress: Progress | None = None
    ) -> models.FileView:
        """Send a file and give it `name` in `project`; bytes the network has are not sent again.

        `folder` says that the file is a packed folder. Raises `InvalidRequest` for a file that changes meanwhile.
        """
        sha256, size = _hashed(path)
        self._send(path, sha256, size, progress)
        body = {"sha256": sha256, "size": size, "folder": folder}
        return read(models.FileView, self._wire.call("PUT", _file_path(project, name), json=body, harmless=True))

    def download(self, sha256: str, target: Path, *, progress: Progress | None = None) -> None:
        """Fetch a content to `target`, going on where an earlier try stopped (`target` + `.part`); checked on arrival."""
        partial = target.with_name(target.name + ".part")
        for attempt in range(_MOST_BREAKS):
            start = partial.stat().st_size if partial.exists() else 0
            try:
                self._fetch(sha256, partial, start, progress)
                break
            except Unavailable:
                if attempt == _MOST_BREAKS - 1:
                    raise
                self._patience.pause(self._patience.first_pause_s)
        found, _ = _hashed(partial)
        if found != sha256:
            partial.unlink()
            raise UnreadableReply("the bytes that arrived are not those asked for: fetch them again")
        partial.replace(target)

    def _send(self, path: Path, sha256: str, size: int, progress: Progress | None) -> None:
        at, breaks = self._received(sha256), 0
        with path.open("rb") as data:
            while at < size:
                if progress is not None:
                    progress(at, size)
                data.seek(at)
                block = data.read(PART_BYTES)
                if not block:
                    raise InvalidRequest(f"{path} became shorter while it was sent", field="path")
                try:
                    reply = self._wire.call(
                        "PATCH", f"/v1/blobs/{sha256}", content=block, headers={"Upload-Offset": str(at)}
                    )
                    at = _offset(reply)
                except (Conflict, OutcomeUnknown):
                    # Someone sends the same bytes, or an answer was lost: the network knows how far it is.
                    breaks += 1
                    if breaks > _MOST_BREAKS:
                        raise
                    at = self._received(sha256)
        self._wire.call("POST", f"/v1/blobs/{sha256}/finish", params={"size": size}, harmless=True)
        if progress is not None:
            progress(size, size)

    def _received(self, sha256: str) -> int:
        return _offset(self._wire.call("HEAD", f"/v1/blobs/{sha256}"))

    def _fetch(self, sha256: str, partial: Path, start: int, progress: Progress | None) -> None:
        headers = {"Range": f"bytes={start}-"} if start else {}
        try:
            with self._wire.streaming(f"/v1/blobs/{sha256}", headers=headers) as reply, partial.open("ab") as out:
                size = start + int(reply.headers.get("Content-Length", "0"))
                for block in reply.iter_bytes():
                    start += out.write(block)
                    if progress is not None:
                        progress(start, size)
        except InvalidRequest as error:
            # Nothing lies beyond what is here already; the hash decides.
            if error.field != "Range":
                raise

    # what goes on

    def _follow(self, path: str, params: Mapping[str, Any], after: int) -> Iterator[ServerEvent]:
        seen, breaks = str(after), 0
        while True:
            try:
                with self._listening(path, params, seen) as events:
                    for event in events:
                        seen, breaks = event.number or seen, 0
                        yield event
                continue  # The server ends long streams; there may be more.
            except Unavailable:
                breaks += 1
                if breaks > self._patience.retries:
                    raise
            self._patience.pause(self._patience.first_pause_s * 2**breaks)

    @contextmanager
    def _listening(self, path: str, params: Mapping[str, Any], seen: str) -> Iterator[Iterator[ServerEvent]]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": seen}
        with self._wire.streaming(path, params=params, headers=headers, read_timeout_s=_LISTEN_S) as reply:
            yield parse(reply.iter_lines())


def _part(name: str) -> str:
    """A name as one part of a path. Raises `InvalidRequest` for the few that no path can carry."""
    if name in ("", ".", ".."):
        raise InvalidRequest(f"{name!r} is no name", field="name", allowed="a name")
    return quote(name, safe=_SAFE)


def _file_path(project: str, name: str) -> str:
    return f"/v1/projects/{_part(project)}/files/" + "/".join(_part(part) for part in name.split("/"))


def _offset(reply: httpx.Response) -> int:
    text = reply.headers.get("Upload-Offset", "")
    if not text.isdecimal():
        raise UnreadableReply("the network did not say how many bytes it has")
    return int(text)


def _hashed(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as data:
        while block := data.read(2**20):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size


def _bill_params(
    *,
    projects: Iterable[str] | None = None,
    job: str | None = None,
    site: str | None = None,
    provider: str | None = None,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
) -> dict[str, Any]:
    return {
        "project": None if projects is None else list(projects),
        "job": job,
        "site": site,
        "provider": provider,
        "from_at": None if from_at is None else from_at.isoformat(),
        "to_at": None if to_at is None else to_at.isoformat(),
    }
