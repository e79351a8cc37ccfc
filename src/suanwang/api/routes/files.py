"""Routes about files: names in projects, and bytes by their hash, sent in pieces and read from anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from suanwang.api import answering
from suanwang.api.answering import answer
from suanwang.api.asking import Asked, Body, Chunk, Cursor, Limit, Route, model_of, paged
from suanwang.api.describing import FAULT, takes, takes_bytes
from suanwang.client import models
from suanwang.client.problems import MEDIA_TYPE, to_problem
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.file import MAX_CONTENT_BYTES, Content
from suanwang.domain.identity import Role
from suanwang.domain.ids import ProjectId

router = APIRouter(prefix="/v1", tags=["files"], route_class=Route, responses=FAULT)

_SENDERS = (Role.USER, Role.OPERATOR, Role.AGENT)
_RANGE = re.compile(r"bytes=([0-9]{1,15})-([0-9]{0,15})")
_OFFSET = {"Upload-Offset": {"description": "Bytes the network has", "schema": {"type": "integer"}}}
_BYTES = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}


@router.get("/projects/{project}/files", response_model=models.FilePage)
def page(ask: Asked, project: str, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """The project's files by name, the newest version of each."""
    caller = ask.caller
    found, after = paged(
        lambda at, most: ask.network.artefacts.page(caller, ProjectId(project), at, most), cursor, limit
    )
    return answer({"items": [answering.file(record) for record in found], "next": after})


@router.get("/projects/{project}/files/{name:path}", response_model=models.FileView)
def show(ask: Asked, project: str, name: str) -> Response:
    """The newest version of a name; `JOB/OUTPUT` names what a job wrote."""
    return answer(answering.file(ask.network.artefacts.find(ask.caller, ProjectId(project), name)))


@router.put(
    "/projects/{project}/files/{name:path}",
    response_model=models.FileView,
    openapi_extra=takes("NewFile", {"sha256": "ab" * 32, "size": 1024, "folder": False}),
)
def name_content(ask: Asked, project: str, name: str, body: Body) -> Response:
    """Give uploaded content a name: a new version unless it is the same content."""
    caller = ask.caller
    asked = model_of(models.NewFile, body)
    content = Content(sha256=asked.sha256, size=asked.size, folder=asked.folder)
    return answer(answering.file(ask.network.artefacts.name(caller, ProjectId(project), name, content)))


@router.head(
    "/blobs/{sha256}", response_class=Response, responses={200: {"headers": _OFFSET, "description": "What is here"}}
)
def ask_blob(ask: Asked, sha256: str) -> Response:
    """For those who may send: how much of the upload is here. For those who may read: the size, too."""
    caller, artefacts = ask.caller, ask.network.artefacts
    headers: dict[str, str] = {}
    if caller.role in _SENDERS:
        headers["Upload-Offset"] = str(artefacts.received(caller, sha256))
    try:
        headers["Content-Length"] = str(artefacts.size(caller, sha256))
        headers["Accept-Ranges"] = "bytes"
        headers["ETag"] = f'"{sha256}"'
    except InvalidRequest:
        if not headers:
            raise
    return Response(headers=headers, media_type="application/octet-stream")


@router.get(
    "/blobs/{sha256}",
    response_class=StreamingResponse,
    responses={200: {**_BYTES, "description": "The bytes"}, 206: {**_BYTES, "description": "The bytes of the range"}},
)
def read_blob(
    ask: Asked,
    sha256: str,
    range_header: Annotated[
        str | None, Header(alias="Range", description="`bytes=FIRST-` or `bytes=FIRST-LAST`")
    ] = None,
) -> Response:
    """The content, or from any byte of it."""
    caller, artefacts = ask.caller, ask.network.artefacts
    size = artefacts.size(caller, sha256)
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{sha256}"'}
    first, last, status = 0, size - 1, 200
    wanted = _RANGE.fullmatch(range_header) if range_header else None
    if wanted is not None:
        first, last, status = int(wanted[1]), min(int(wanted[2] or size), size - 1), 206
        if first > last or first >= size:
            return _out_of_range(size)
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    headers["Content-Length"] = str(last - first + 1)
    parts = _until(artefacts.read(caller, sha256, first), last - first + 1)
    return StreamingResponse(parts, status, headers, "application/octet-stream")


def _out_of_range(size: int) -> Response:
    error = InvalidRequest("the range lies outside the content", field="Range", allowed=f"from byte 0 to {size - 1}")
    headers = {"Content-Range": f"bytes */{size}"}
    return Response(answering.to_json(to_problem(error, status=416)), 416, headers, MEDIA_TYPE)


def _until(blocks: Iterator[bytes], left: int) -> Iterator[bytes]:
    for block in blocks:
        yield block[:left]
        left -= len(block)
        if left <= 0:
            return


@router.patch(
    "/blobs/{sha256}",
    status_code=204,
    response_class=Response,
    openapi_extra=takes_bytes("The next bytes, at most 8 MiB"),
    responses={204: {"headers": _OFFSET, "description": "Taken"}},
)
def append_blob(
    ask: Asked,
    sha256: str,
    body: Chunk,
    upload_offset: Annotated[
        int, Header(alias="Upload-Offset", ge=0, le=MAX_CONTENT_BYTES, description="Where these bytes begin")
    ],
) -> Response:
    """The next bytes of an upload. At another offset than the network's, the answer is a conflict that names it."""
    offset = ask.network.artefacts.append(ask.caller, sha256, upload_offset, body)
    return Response(status_code=204, headers={"Upload-Offset": str(offset)})


@router.post("/blobs/{sha256}/finish", status_code=204, response_class=Response)
def finish_blob(ask: Asked, sha256: str, size: Annotated[int, Query(ge=0, le=MAX_CONTENT_BYTES)]) -> Response:
    """Check the bytes against their hash and keep them. Repeating this is harmless."""
    ask.network.artefacts.finish(ask.caller, sha256, size)
    return Response(status_code=204)
