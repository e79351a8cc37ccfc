"""The site's folders: a run's work folder, its inputs, logs, curve, checkpoint and outputs.

Owns the layout on disk. `ROOT/runs/ALLOCATION/` holds `work/` (the user's), `stdout`, `stderr`, `exit`, `lease`,
`notice` and `metrics.jsonl`. Whatever a run left there is distrusted.
"""

from __future__ import annotations

import json
import math
import os
import pwd
import shutil
import stat
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from suanwang.domain.connector import RunOrder
from suanwang.domain.errors import Conflict, InvalidRequest, Unavailable
from suanwang.domain.exchange import CurvePoint, Lease, LogPiece, OutputFile
from suanwang.domain.file import Content
from suanwang.ports import Extent, Link
from suanwang.sensing.carrying import Patience, SiteCache, changed_since, fetch, pack, pack_stable, send, unpack
from suanwang.sensing.wrapping import wrap

PIECE = 256 * 1024
"""Bytes of one stream sent in one report."""
LINES = 2000
"""Lines of the curve sent in one report."""
LINE_BYTES = 16 * 1024
METRICS_BYTES = 64 * 2**20
"""Of a metrics file, so much is looked at."""
FIGURES = 16
"""Taken from one line."""
FEW_TRIES = Patience(attempts=3)


class FolderWorkshop:
    """Implements `agent.Workshop` under `root`. `datasets` maps names to the provider's own folders or files."""

    def __init__(
        self,
        *,
        root: Path,
        link: Link,
        cache: SiteCache,
        site: str,
        datasets: Mapping[str, Path] | None = None,
        margin_s: Callable[[], float] = lambda: 20.0,
    ) -> None:
        """`margin_s()` is asked for each new run: within so long after its lease its guard has ended all of it."""
        self._runs = root / "runs"
        self._runs.mkdir(parents=True, exist_ok=True)
        self._link = link
        self._cache = cache
        self._site = site
        self._datasets = datasets or {}
        self._margin_s = margin_s
        self._checkpoints: dict[str, str] = {}
        """Allocation → signature of the checkpoint last sent."""

    def prepare(self, lease: Lease) -> RunOrder:
        folder = self._folder(lease)
        work = folder / "work"
        if work.exists():
            # An earlier try was cut short before the run was submitted.
            shutil.rmtree(work)
        work.mkdir(parents=True)
        for staged in lease.inputs:
            target = _place(work, staged.path)
            if staged.dataset is not None:
                self._lay_dataset(staged.dataset, target)
            elif staged.content is not None:
                self._lay(staged.content, target, hold=False)
        checkpoint = inside(work, lease.checkpoint_path) if lease.checkpoint_path else None
        if lease.checkpoint_path is not None and checkpoint is not None:
            if lease.checkpoint is not None:
                self._lay(lease.checkpoint, _place(work, lease.checkpoint_path), hold=False)
            elif not checkpoint.is_dir():
                _place(work, lease.checkpoint_path).mkdir()
        if lease.posix_user is not None:
            _give(work, lease.posix_user)
        guard_interval_s, grace_s = guard_times(self._margin_s())
        return RunOrder(
            tag=lease.allocation_id,
            name=lease.name,
            script=wrap(
                setup=lease.setup,
                run=lease.run,
                exit_path=folder / "exit",
                lease_path=folder / "lease",
                notice_path=folder / "notice",
                work_dir=work,
                nodes=lease.nodes,
                guard_interval_s=guard_interval_s,
                grace_s=grace_s,
                signal=lease.signal,
                time_limit_s=lease.time_limit_s,
            ),
            work_dir=work,
            stdout_path=folder / "stdout",
            stderr_path=folder / "stderr",
            exit_path=folder / "exit",
            lease_path=folder / "lease",
            env=self._env(lease, folder, checkpoint),
            nodes=lease.nodes,
            cores=lease.cores,
            memory_gb=lease.memory_gb,
            devices=lease.devices,
            time_limit_s=lease.time_limit_s,
            partition=lease.partition,
            account=lease.account,
            qos=lease.qos,
            posix_user=lease.posix_user,
        )

    def _env(self, lease: Lease, folder: Path, checkpoint: Path | None) -> dict[str, str]:
        env = dict(lease.env)
        env |= {
            "SUANWANG_JOB_ID": lease.job_id,
            "SUANWANG_ALLOCATION_ID": lease.allocation_id,
            "SUANWANG_SITE": self._site,
            "SUANWANG_ARRAY_INDEX": str(lease.array_index),
            "SUANWANG_ARRAY_COUNT": str(lease.array_count),
            "SUANWANG_NUM_NODES": str(lease.nodes),
            "SUANWANG_METRICS": str(folder / "metrics.jsonl"),
        }
        if checkpoint is not None:
            env["SUANWANG_CHECKPOINT_DIR"] = str(checkpoint)
            env["SUANWANG_RESUMED"] = "1" if lease.checkpoint is not None else "0"
        return env

    def _lay(self, content: Content, target: Path, *, hold: bool) -> None:
        fetch(self._link, content, self._cache, patience=FEW_TRIES)
        with self._cache.pinned(content.sha256) as packed:
            unpack(packed, content, target)

    def _lay_dataset(self, name: str, target: Path) -> None:
        source = self._datasets.get(name)
        if source is None or not source.exists():
            raise InvalidRequest(
                f"the site does not hold the data set {name!r} any more",
                field="inputs",
                allowed=", ".join(self._datasets),
            )
        target.symlink_to(source.resolve())

    def extend(self, lease: Lease, until: datetime) -> None:
        path = self._folder(lease) / "lease"
        try:
            part = path.with_name(".lease.part")
            part.parent.mkdir(parents=True, exist_ok=True)
            part.unlink(missing_ok=True)
            # A folder that is the run's own user's may hold a link of that name: it is never written through.
            with part.open("x") as out:
                out.write(f"{int(until.timestamp())}\n")
            part.replace(path)
        except OSError as error:
            raise Unavailable(f"the lease of {lease.allocation_id} could not be written: {error.strerror}") from error

    def tell(self, lease: Lease) -> None:
        path = self._folder(lease) / "notice"
        try:
            path.open("x").close()
        except FileExistsError:
            return
        except OSError as error:
            raise Unavailable(f"{lease.allocation_id} could not be told of its end: {error.strerror}") from error

    def until(self, lease: Lease) -> datetime | None:
        try:
            with _opened(self._folder(lease) / "lease") as file:
                return datetime.fromtimestamp(int(file.read(32)), UTC)
        except (OSError, ValueError, OverflowError):
            return None

    def read(self, lease: Lease, extent: Extent) -> tuple[tuple[LogPiece, ...], tuple[CurvePoint, ...]]:
        folder = self._folder(lease)
        pieces = [
            piece
            for stream, offset in (("stdout", extent.stdout), ("stderr", extent.stderr))
            if (piece := _piece(folder / stream, stream, offset)) is not None
        ]
        return tuple(pieces), _points(folder / "metrics.jsonl", extent.points)

    def checkpoint(self, lease: Lease) -> Content | None:
        if lease.checkpoint_path is None:
            return None
        work = self._folder(lease) / "work"
        source = inside(work, lease.checkpoint_path)
        before = self._checkpoints.get(lease.allocation_id)
        try:
            if not any(source.iterdir()) or not changed_since(source, before, inside=work):
                return None
            packed = pack_stable(source, self._cache.incoming, inside=work)
        except (Conflict, OSError):
            return None  # It is being written, or not there yet; the next round looks again.
        self._ship(packed.content, packed.path, hold=lease.hold_files)
        self._checkpoints[lease.allocation_id] = packed.signature
        return packed.content

    def collect(self, lease: Lease) -> tuple[OutputFile, ...]:
        work = self._folder(lease) / "work"
        found: list[OutputFile] = []
        for name, path in lease.outputs:
            source = inside(work, path)
            if not source.exists():
                raise InvalidRequest(
                    f"the run succeeded but did not leave its output {name!r} at {path}",
                    field=f"outputs.{name}",
                    allowed="a file or folder that the run writes",
                )
            packed = pack(source, self._cache.incoming, inside=work)
            self._ship(packed.content, packed.path, hold=lease.hold_files)
            found.append(OutputFile(name=name, content=packed.content, held=lease.hold_files))
        return tuple(found)

    def _ship(self, content: Content, path: Path, *, hold: bool) -> None:
        """Into the site's cache, and to the network unless it may not leave."""
        kept = self._cache.add(path, content, held=hold)
        if not hold:
            send(self._link, content, kept, patience=FEW_TRIES)

    def clear(self, lease: Lease) -> None:
        shutil.rmtree(self._folder(lease), ignore_errors=True)
        self._checkpoints.pop(lease.allocation_id, None)

    def _folder(self, lease: Lease) -> Path:
        return inside(self._runs, lease.allocation_id)


def guard_times(margin_s: float) -> tuple[float, int]:
    """How often the guard looks at the lease, and how long TERM may take before KILL, both in seconds.

    Together they are well under the margin, which leaves the rest of it for KILL to do its work on a busy node.
    """
    return min(5.0, margin_s / 5), min(10, int(margin_s * 0.4))


def inside(folder: Path, relative: str) -> Path:
    """`folder / relative`, which must lie in `folder`. Raises `InvalidRequest`."""
    target = Path(os.path.normpath(folder / relative))
    if not target.is_relative_to(folder) or "\0" in relative:
        raise InvalidRequest(
            f"the path {relative!r} leads out of the work folder", field="path", allowed="a path inside"
        )
    return target


def _place(work: Path, relative: str) -> Path:
    """Where in `work` something new is laid, with the folders above it. Raises `InvalidRequest`.

    An input laid before may have left links, to a data set of the provider's above all: nothing is laid through them.
    """
    target = inside(work, relative)
    if target == work:
        raise InvalidRequest("an input needs a name of its own", field="path", allowed="a path inside the work folder")
    above = work
    for part in target.parent.relative_to(work).parts:
        above /= part
        if above.is_symlink() or (above.exists() and not above.is_dir()):
            raise InvalidRequest(
                f"{relative!r} lies in another input", field="path", allowed="paths that do not lie in one another"
            )
    if target.is_symlink() or target.exists():
        raise InvalidRequest(f"two inputs are to be laid at {relative!r}", field="path", allowed="one input a path")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _give(work: Path, user: str) -> None:
    """Make the run's folders its POSIX user's. Links are not followed: they lead to the provider's own data."""
    try:
        account = pwd.getpwnam(user)
        for root, folders, files in os.walk(work.parent):
            for name in (".", *folders, *files):
                os.chown(Path(root) / name, account.pw_uid, account.pw_gid, follow_symlinks=False)
    except (KeyError, PermissionError) as error:
        raise InvalidRequest(f"the site cannot run as {user!r}: {error}", field="posix_user") from error


def _opened(path: Path) -> BinaryIO:
    """A regular file in a run's folder. Raises `OSError` for a link, a pipe or a device: the run may have put it there."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no regular file")
    return os.fdopen(descriptor, "rb")


def _piece(path: Path, stream: str, offset: int) -> LogPiece | None:
    try:
        with _opened(path) as log:
            log.seek(offset)
            data = log.read(PIECE)
    except OSError:
        return None
    data = data[: len(data) - _cut_off(data)]
    if not data:
        return None
    return LogPiece(stream=stream, offset=offset, text=data.decode(errors="replace"), size=len(data))


def _cut_off(data: bytes) -> int:
    """Bytes at the end, at most three, that begin a character and wait for the rest of it.

    A program's buffer is full in mid-character as often as not, and the rest may come minutes later.
    """
    for count in range(1, min(3, len(data)) + 1):
        lead = data[-count]
        if lead & 0xC0 != 0x80:
            wanted = 2 if 0xC2 <= lead < 0xE0 else 3 if 0xE0 <= lead < 0xF0 else 4 if 0xF0 <= lead < 0xF5 else 1
            return count if count < wanted else 0
    return 0


def _points(path: Path, stored: int) -> tuple[CurvePoint, ...]:
    """Figures from `metrics.jsonl`: one object a line, `step` and any number of named figures. Other lines are passed over."""
    points: list[CurvePoint] = []
    number = told = 0
    try:
        with _opened(path) as lines:
            while told < LINES and lines.tell() < METRICS_BYTES:
                raw = _line(lines)
                if raw is None:
                    break
                number += 1
                found = _figures(raw, number) if number > stored else []
                told += bool(found)
                points += found
    except OSError:
        return ()
    return tuple(points)


def _line(lines: BinaryIO) -> bytes | None:
    """The next whole line, empty where it is too long to be one of ours; None where it is not ended yet."""
    raw = lines.readline(LINE_BYTES)
    long = False
    while raw and not raw.endswith(b"\n") and len(raw) == LINE_BYTES:
        long, raw = True, lines.readline(LINE_BYTES)
    if not raw.endswith(b"\n"):
        return None
    return b"" if long else raw


def _figures(raw: bytes, number: int) -> list[CurvePoint]:
    try:
        row = json.loads(raw)
    except (ValueError, RecursionError):
        return []
    if not isinstance(row, dict):
        return []
    step = _finite(row.pop("step", number))
    if step is None:
        return []
    return [
        CurvePoint(line=number, name=_name(name), step=step, value=figure)
        for name, value in list(row.items())[:FIGURES]
        if (figure := _finite(value)) is not None
    ]


def _finite(value: object) -> float | None:
    """`value` as a float where it is a number that has one."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        figure = float(value)
    except OverflowError:
        return None
    return figure if math.isfinite(figure) else None


def _name(name: str) -> str:
    """A figure's name as it can be stored and shown: JSON may hold control characters and halves of characters."""
    return "".join(c for c in name[:64] if c.isprintable())
