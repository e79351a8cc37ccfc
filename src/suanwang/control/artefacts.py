"""Files of projects: who may send, name and read which bytes.

Owns access to content. Bytes are addressed by their hash, but knowing a hash opens nothing: a reader's project must have
a record of it, or the reader's site a live lease that stages it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from suanwang.control.leasing import files_of
from suanwang.control.people import NAME
from suanwang.domain.errors import Forbidden, InvalidRequest, NotFound
from suanwang.domain.file import Content, FileRecord, checked_content, checked_sha256
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import ProjectId
from suanwang.domain.job import Event, Job
from suanwang.ports import Clock, Files, Store


class Artefacts:
    def __init__(self, store: Store, clock: Clock, files: Files) -> None:
        self._store = store
        self._clock = clock
        self._files = files

    def received(self, caller: Principal, sha256: str) -> int:
        """Bytes of an upload the network has."""
        self._may_send(caller)
        return self._files.received(checked_sha256(sha256))

    def append(self, caller: Principal, sha256: str, offset: int, data: bytes) -> int:
        """The next bytes of an upload; returns the new offset."""
        self._may_send(caller)
        return self._files.append(checked_sha256(sha256), offset, data)

    def finish(self, caller: Principal, sha256: str, size: int) -> None:
        """Check the hash and publish. An agent's content becomes readable through the report that names it."""
        self._may_send(caller)
        self._files.finish(checked_sha256(sha256), size)

    def name(self, caller: Principal, project: ProjectId, name: str, content: Content) -> FileRecord:
        """Give uploaded content a name in `project`: a new version unless it is the same content."""
        if not caller.may_change(project):
            raise Forbidden(f"{caller.name!r} may not add files to {project!r}", field="project")
        if not NAME.fullmatch(name):
            raise InvalidRequest(
                f"{name!r} is no file name", field="name", allowed="lower-case letters, digits, . _ - @"
            )
        content = checked_content(content.sha256, content.size, content.folder)
        if self._files.size(content.sha256) != content.size:
            raise InvalidRequest(
                "the bytes of this content are not here, or not of this size: upload them first",
                field="sha256",
                allowed="uploaded content",
            )
        self._check_not_for_sale(project, content.sha256)
        now = self._clock.now()
        record = self._store.add_file(
            FileRecord(project=project, name=name, version=0, content=content, created_at=now)
        )
        event = Event(
            kind="file.added",
            at=now,
            project=project,
            actor=caller.name,
            data={"name": name, "version": record.version, "sha256": content.sha256},
        )
        self._store.append_events((event,))
        return record

    def _check_not_for_sale(self, project: ProjectId, sha256: str) -> None:
        """The hash of what is sold is told to everybody: by itself it gives nobody the content."""
        sold = self._store.sold_content(sha256)
        if sold is not None and project not in self._store.file_readers(sha256):
            raise InvalidRequest(
                f"this content is sold as {sold.name}: buy it, or read it as an input",
                field="sha256",
                allowed=sold.source,
            )

    def find(self, caller: Principal, project: ProjectId, name: str) -> FileRecord:
        record = self._store.file(project, name) if caller.may_see(project) else None
        if record is None:
            raise NotFound(f"project {project!r} has no file {name!r}", field="name")
        return record

    def page(
        self, caller: Principal, project: ProjectId, cursor: str | None, limit: int
    ) -> tuple[Sequence[FileRecord], str | None]:
        if not caller.may_see(project):
            raise NotFound(f"no project {project!r}", field="project")
        return self._store.files(project, cursor, min(limit, 500))

    def read(self, caller: Principal, sha256: str, start: int = 0) -> Iterator[bytes]:
        """The bytes from `start`. Raises `NotFound` for what is not there or not the caller's to read."""
        digest = checked_sha256(sha256)
        size = self._files.size(digest)
        if size is None or not self._may_read(caller, digest):
            raise NotFound("no such content, or not yours to read", field="sha256")
        if not 0 <= start <= size:
            raise InvalidRequest("the start lies outside the content", field="Range", allowed=f"0 to {size}")
        return self._files.open(digest, start)

    def size(self, caller: Principal, sha256: str) -> int:
        digest = checked_sha256(sha256)
        size = self._files.size(digest)
        if size is None or not self._may_read(caller, digest):
            raise NotFound("no such content, or not yours to read", field="sha256")
        return size

    def _may_send(self, caller: Principal) -> None:
        caller.must_be(Role.USER, Role.OPERATOR, Role.AGENT)

    def _may_read(self, caller: Principal, sha256: str) -> bool:
        if caller.role is Role.AGENT and caller.site_id is not None:
            for job, _ in self._store.live_at(caller.site_id):
                if job.checkpoint is not None and job.checkpoint.sha256 == sha256:
                    return True
                if sha256 in self._staged(job):
                    return True
            return False
        return any(caller.may_see(project) for project in self._store.file_readers(sha256))

    def _staged(self, job: Job) -> frozenset[str]:
        """What the job reads; nothing where an input is gone, which its own lease tells."""
        try:
            return frozenset(record.content.sha256 for record, _ in files_of(self._store, job))
        except InvalidRequest:
            return frozenset()
