"""SkyPilot's workdir and file mounts as inputs of a task.

Owns where each lands. SkyPilot starts a task in `~/sky_workdir` of a fresh machine; here that is the work folder, and
what is mounted under `~` lands in `sky_home`, which the run then has for its home.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from suanwang.taskfile.problems import Path, quoted
from suanwang.taskfile.words import check_path, is_local

HOME = "sky_home"

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_GIT = re.compile(r"(https?|ssh|git)://\S+|[\w.-]+@[\w.-]+:\S+")
_CHECKPOINT = re.compile(r"checkpoint|ckpt", re.IGNORECASE)
_STORE_FORMS = "a local path; data in object stores is first uploaded to the network"

Refuse = Callable[[Path, str, str | None], None]
Note = Callable[[str], None]


@dataclass(slots=True)
class Mounts:
    """What the task reads, and how its folders are prepared."""

    inputs: list[tuple[str, str]]
    """Local source and place in the work folder."""
    setup: str = ""
    checkpoint: str | None = None
    needs_home: bool = False


def read_mounts(workdir: object, file_mounts: object, refuse: Refuse, note: Note) -> Mounts:
    """Inputs and preparations of both sections. What cannot be placed is refused: a run without its data is none."""
    mounts = Mounts(inputs=[])
    _read_workdir(workdir, mounts, refuse, note)
    if file_mounts is None:
        return mounts
    if not isinstance(file_mounts, dict):
        refuse(("file_mounts",), "this must be a mapping of remote paths to local ones", None)
        return mounts
    for remote, source in file_mounts.items():
        path: Path = ("file_mounts", remote)
        place = _place(remote, path, mounts, refuse)
        if place is None:
            continue
        if isinstance(source, dict):
            _read_store(source, place, path, mounts=mounts, refuse=refuse, note=note)
        elif not isinstance(source, str) or not source:
            refuse(path, "this must be a local path", _STORE_FORMS)
        elif _ADDRESS.match(source):
            refuse(path, f"{quoted(source)} is in a store that sites do not reach", _STORE_FORMS)
        else:
            mounts.inputs.append((_local(source), place))
    return mounts


def _read_workdir(workdir: object, mounts: Mounts, refuse: Refuse, note: Note) -> None:
    match workdir:
        case None:
            return
        case str() if workdir and not _ADDRESS.match(workdir):
            mounts.inputs.append((_local(workdir), "."))
        case {"url": str(url), **rest} if _GIT.fullmatch(url) and set(rest) <= {"ref"}:
            wanted = rest.get("ref") or "HEAD"
            words = " ".join(shlex.quote(str(word)) for word in (url, wanted))
            # Inputs may already lie in the folder, so it is not cloned into but fetched.
            mounts.setup += (
                f"git init -q . && git fetch -q --depth 1 {words} && git checkout -q -f FETCH_HEAD || exit 1\n"
            )
            note("workdir is fetched with git at the site, which must have git and reach the repository.")
        case _:
            refuse(
                ("workdir",), f"{quoted(workdir)} is not a folder", "a local folder, or url and ref of a git repository"
            )


def _place(remote: str, path: Path, mounts: Mounts, refuse: Refuse) -> str | None:
    """Where in the work folder a remote path is."""
    if remote.startswith("~/sky_workdir/") or remote == "~/sky_workdir":
        inner = remote.removeprefix("~/sky_workdir").lstrip("/") or "."
        in_home = False
    elif remote.startswith("~/") or remote == "~":
        inner = remote[1:].lstrip("/") or "."
        in_home = True
    elif remote.startswith("/"):
        name = remote.strip("/") or "data"
        refuse(path, f"a job may not write to {quoted(remote)} of a site", f"~/{name} or ./{name}"[:80])
        return None
    else:
        inner, in_home = remote, False
    try:
        place = check_path(inner)
    except ValueError as error:
        refuse(path, str(error), "a path under ~/ or in the work folder")
        return None
    mounts.needs_home = mounts.needs_home or in_home
    return (f"{HOME}/{place}" if place != "." else HOME) if in_home else place


def _read_store(
    source: dict[str, object], place: str, path: Path, *, mounts: Mounts, refuse: Refuse, note: Note
) -> None:
    """A bucket: one with a local source is an input, an empty one to keep checkpoints in is the checkpoint."""
    origin = source.get("source")
    if isinstance(origin, str) and origin and not _ADDRESS.match(origin):
        mounts.inputs.append((_local(origin), place))
        note(f"file_mounts: {quoted(path[-1])} is a copy made before the run, not a bucket.")
    elif (
        isinstance(origin, list) and origin and all(isinstance(one, str) and not _ADDRESS.match(one) for one in origin)
    ):
        for one in origin:
            name = str(one).rstrip("/").rsplit("/", 1)[-1]
            mounts.inputs.append((_local(str(one)), f"{place}/{name}"))
        note(f"file_mounts: {quoted(path[-1])} is a copy made before the run, not a bucket.")
    elif origin is None and _CHECKPOINT.search(str(path[-1])) and mounts.checkpoint is None:
        mounts.checkpoint = place
        note(f"file_mounts: {quoted(path[-1])} is kept as the task's checkpoint, not in a bucket.")
    else:
        refuse(path, "it is in a store that sites do not mount", _STORE_FORMS)


def _local(source: str) -> str:
    return source if is_local(source) else f"./{source}"
