"""What Slurm's commands print, read into facts.

Owns the shape of every output this connector asks for. Pure; whatever it cannot read is an `UnreadableReply` that shows
the text, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from suanwang.domain.connector import RunState
from suanwang.domain.errors import InvalidRequest, OutcomeUnknown, SuanwangError, Unavailable, UnreadableReply
from suanwang.sensing.connectors.slurm.commands import FIELD, RECORD, SACCT_FIELDS, SINFO_FIELDS, SQUEUE_FIELDS
from suanwang.sensing.connectors.slurm.facts import JobFacts, NodeFacts, expand_hosts, parse_gres, run_state

_NOTHING = frozenset({"", "(null)", "N/A", "NONE", "None", "Unknown", "None assigned", "INVALID"})

_JOBCOMP_LINE = re.compile(r"^JobId=(?P<id>\d+) UserId=\S+ GroupId=\S+ Name=(?P<name>\S*) .*$", re.MULTILINE)
"""Most lines of a long file are about other jobs: this finds ours before anything is read closely."""

_WITH_STATUS = (RunState.SUCCEEDED, RunState.FAILED)

# Words of Slurm's own errors (slurm_errno.c) → what they mean for a submission. The first that fits counts.
_NEVER_SENT = (
    "Unable to contact slurm controller (connect failure)",
    "Unable to establish configuration source",
    "Unable to process configuration file",
    "cannot stat file",
    "Protocol authentication error",
    "Munge encode failed",
    "Invalid authentication credential",
    "Slurm backup controller in standby mode",
    "slurmctld is not ready",
    "Connection refused",
    "in slurm.conf",
    "command not found",
    "a password is required",
)
_NO_ANSWER = (
    "Socket timed out on send/recv operation",
    "Zero Bytes were transmitted or received",
    "Unexpected message received",
    "Unspecified error",
    "Insane message length",
    "Unable to contact slurm controller",
    "Communication connection failure",
    "Connection reset by peer",
    "Broken pipe",
)
_TRY_LATER = (
    "Slurm temporarily unable to accept job",
    "Resource temporarily unavailable",
    "job cannot be accepted at this time",
    "Job violates accounting/QOS policy (job submit limit",
    "Too many jobs",
    "Slurm controller is busy",
)


def job_id(output: str) -> str:
    """The id that `sbatch --parsable` prints: `123` or `123;cluster`."""
    line = output.strip().splitlines()[-1] if output.strip() else ""
    match = re.fullmatch(r"(\d+)(?:;[\w.-]+)?", line.strip())
    if match is None:
        raise UnreadableReply(f"sbatch printed {output[:200]!r} where a job id was due")
    return match[1]


def submission_error(text: str, *, tag: str) -> SuanwangError:
    """The kind of error that Slurm's words about a failed submission mean."""
    words = " ".join(re.sub(r"^\w+: (?:error|fatal): ", "", line) for line in text.strip().splitlines())[:500]
    if any(mark in text for mark in _NEVER_SENT):
        return Unavailable(f"Slurm could not be reached, nothing was submitted: {words}")
    if any(mark in text for mark in _TRY_LATER):
        return Unavailable(f"Slurm does not take jobs now: {words}")
    if not words or any(mark in text for mark in _NO_ANSWER):
        return OutcomeUnknown(f"Slurm did not answer the submission, look it up by its tag: {words}", tag=tag)
    return InvalidRequest(f"Slurm refused the job: {words}", field="resources")


def squeue_jobs(output: str, *, others: bool = False) -> list[JobFacts]:
    """Jobs from `squeue`, one record each.

    With `others` the list holds jobs of people who may have put our separators into a name: a record nobody can read is
    passed over. Without, it raises `UnreadableReply`.
    """
    jobs = []
    for record in output.split(RECORD)[1:]:
        try:
            jobs.append(_squeue_job(record))
        except UnreadableReply:
            if not others:
                raise
    return jobs


def _squeue_job(record: str) -> JobFacts:
    fields = record.removesuffix("\n").split(FIELD, len(SQUEUE_FIELDS) - 1)
    if len(fields) != len(SQUEUE_FIELDS):
        raise UnreadableReply(f"squeue printed {record[:200]!r} where {len(SQUEUE_FIELDS)} fields were due")
    native_id, word, start, end, reason, hosts, name, comment = fields
    state = run_state(word, reason=reason)
    return JobFacts(
        native_id=native_id.strip(),
        name=name,
        comment=_known(comment),
        state=state,
        # Before the start and before the end these are the scheduler's forecasts.
        started_at=None if state is RunState.PENDING else instant(start),
        ended_at=instant(end) if state.ended else None,
        exit_code=0 if state is RunState.SUCCEEDED else None,
        reason=_known(reason),
        nodes=expand_hosts(_known(hosts)),
    )


def sacct_jobs(output: str) -> list[JobFacts]:
    """Jobs from `sacct`; the lines of a job's steps give its peak memory."""
    jobs: dict[str, JobFacts] = {}
    peaks: dict[str, float] = {}
    for line in output.splitlines():
        fields = line.split(FIELD)
        if len(fields) != len(SACCT_FIELDS):
            raise UnreadableReply(f"sacct printed {line[:200]!r} where {len(SACCT_FIELDS)} fields were due")
        row = dict(zip(SACCT_FIELDS, fields, strict=True))
        native_id, _, step = row["JobIDRaw"].partition(".")
        peak = memory_gb(row["MaxRSS"])
        if peak is not None:
            peaks[native_id] = max(peak, peaks.get(native_id, 0.0))
        if step:
            continue
        state = run_state(row["State"])
        jobs[native_id] = JobFacts(
            native_id=native_id,
            name=row["JobName"],
            state=state,
            started_at=instant(row["Start"]),
            ended_at=instant(row["End"]),
            exit_code=exit_status(row["ExitCode"]) if state in _WITH_STATUS else None,
            reason=row["State"] if " " in row["State"] else "",
            nodes=expand_hosts(_known(row["NodeList"])),
            cpu_s=seconds(row["TotalCPU"]),
        )
    return [replace(job, max_memory_gb=peaks.get(native_id)) for native_id, job in jobs.items()]


def shown_job(output: str) -> JobFacts:
    """The job of `scontrol show job --oneliner`."""
    return _job_from_pairs(pairs(output), id_key="JobId", name_key="JobName", read=instant)


def jobcomp_jobs(text: str, *, native_ids: Collection[str] = (), names: Collection[str] = ()) -> Iterator[JobFacts]:
    """Ended jobs with one of these ids or names, from the file of Slurm's `jobcomp/filetxt`; torn lines are passed over.

    The controller writes its local time there, whatever the reader's settings: taken to be this machine's zone too.
    """
    ids, named = frozenset(native_ids), frozenset(names)
    for mark in _JOBCOMP_LINE.finditer(text):
        if mark["id"] not in ids and mark["name"] not in named:
            continue
        found = pairs(mark[0])
        if {"JobId", "Name", "JobState", "ExitCode"} <= found.keys():
            yield _job_from_pairs(found, id_key="JobId", name_key="Name", read=_local_instant)


def _job_from_pairs(
    found: Mapping[str, str], *, id_key: str, name_key: str, read: Callable[[str], datetime | None]
) -> JobFacts:
    if not found.get(id_key, "").isdigit() or "JobState" not in found:
        raise UnreadableReply(f"Slurm described a job as {str(dict(found))[:200]}")
    reason = found.get("Reason", "")
    state = run_state(found["JobState"], reason=reason)
    return JobFacts(
        native_id=found[id_key],
        name=found.get(name_key, ""),
        comment=found.get("Comment", ""),
        state=state,
        started_at=None if state is RunState.PENDING else read(found.get("StartTime", "")),
        ended_at=read(found.get("EndTime", "")) if state.ended else None,
        exit_code=exit_status(found.get("ExitCode", "")) if state in _WITH_STATUS else None,
        reason=_known(reason),
        nodes=expand_hosts(_known(found.get("NodeList", ""))),
    )


def config(output: str) -> dict[str, str]:
    """`scontrol show config` as key → value."""
    found = {}
    for line in output.splitlines():
        key, separator, value = line.partition("=")
        if separator:
            found[key.strip()] = value.strip()
    return found


def sinfo_nodes(output: str) -> list[NodeFacts]:
    """Nodes from `sinfo --Node`, each once though it is in several partitions."""
    widths = [int(field.rpartition(":")[2]) for field in SINFO_FIELDS]
    nodes: dict[str, NodeFacts] = {}
    for line in output.splitlines():
        if not line.strip():
            continue
        fields, at = [], 0
        for width in widths:
            fields.append(line[at : at + width].strip())
            at += width
        name, state, cores, memory, used, gres, gres_used = fields
        counts = re.fullmatch(r"(\d+)/(\d+)/(\d+)/(\d+)", cores)
        if counts is None or not memory.isdigit():
            raise UnreadableReply(f"sinfo printed {line[:200]!r} where a node was due")
        nodes[name] = NodeFacts(
            name=name,
            state=state,
            cores=int(counts[4]),
            cores_idle=int(counts[2]),
            memory_mb=int(memory),
            memory_used_mb=int(used) if used.isdigit() else 0,
            gres=parse_gres(gres),
            gres_used=parse_gres(gres_used),
        )
    return list(nodes.values())


def pairs(text: str) -> dict[str, str]:
    """`Key=value Key=value …`, values with spaces too; a key is a word right before `=`, its first mention counts."""
    found: dict[str, str] = {}
    marks = list(re.finditer(r"(?:^|\s)([A-Za-z][\w/:&]*)=", text))
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    for mark, end in zip(marks, ends, strict=False):
        found.setdefault(mark[1], text[mark.end() : end].strip())
    return found


def instant(text: str) -> datetime | None:
    """A time that Slurm printed under TZ=UTC; None where it has none."""
    if text.strip() in _NOTHING:
        return None
    try:
        return datetime.strptime(text.strip(), "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise UnreadableReply(f"Slurm printed {text[:80]!r} where a time was due") from error


def _local_instant(text: str) -> datetime | None:
    """A time that Slurm printed in this machine's zone."""
    told = instant(text)
    return told and told.replace(tzinfo=None).astimezone(UTC)


def exit_status(text: str) -> int | None:
    """The shell's status of Slurm's `code:signal`: 128 + signal for a program ended by one."""
    match = re.fullmatch(r"(\d+):(\d+)", text.strip())
    if match is None:
        return None
    code, number = int(match[1]), int(match[2])
    return 128 + number if number and not code else code


def seconds(text: str) -> float | None:
    """`[days-][hours:]minutes:seconds[.fraction]` in seconds."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)", text.strip())
    if match is None:
        return None
    days, hours, mins, secs = match.groups()
    return int(days or 0) * 86400 + int(hours or 0) * 3600 + int(mins) * 60 + float(secs)


def memory_gb(text: str) -> float | None:
    """Slurm's `12345K`, `1.5G` (binary prefixes) in GB of 10⁹ bytes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGTP]?)", text.strip())
    if match is None:
        return None
    return float(match[1]) * float(1024 ** " KMGTP".index(match[2] or " ")) / 1e9


def _known(text: str) -> str:
    return "" if text.strip() in _NOTHING else text.strip()
