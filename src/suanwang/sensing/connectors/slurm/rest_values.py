"""Values as slurmrestd speaks them, in each version of its API this connector knows.

Owns the differences between versions: numbers plain or as `{set, infinite, number}`, states a word or a list, the
environment a map or a list, and the names of a submission's fields. Pure: it must not know HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from suanwang.domain.connector import RunOrder, RunState
from suanwang.domain.errors import UnreadableReply
from suanwang.sensing.connectors.slurm.commands import minutes, script_text
from suanwang.sensing.connectors.slurm.facts import (
    JobFacts,
    NodeFacts,
    expand_hosts,
    memory_mb,
    parse_gres,
    run_state,
)

VERSIONS = ("v0.0.41", "v0.0.40", "v0.0.39", "v0.0.38")
"""Newest first."""

_FLAGS_THAT_ARE_STATES = frozenset({"COMPLETING", "CONFIGURING", "STAGE_OUT", "REQUEUED", "SIGNALING"})


def choose_version(paths: Iterable[str]) -> str:
    """The newest version we know among the paths of the daemon's OpenAPI document.

    Raises `UnreadableReply` naming what it offers where we know none.
    """
    offered = {path.split("/")[2] for path in paths if path.startswith("/slurm/v") and path.count("/") >= 3}
    for version in VERSIONS:
        if version in offered:
            return version
    raise UnreadableReply(
        f"slurmrestd offers {', '.join(sorted(offered)) or 'no version'}; this connector knows {', '.join(VERSIONS)}"
    )


def submission(
    order: RunOrder, *, version: str, comment: str, gres: str | None, env: Mapping[str, str]
) -> dict[str, Any]:
    """The body of `POST /job/submit`."""
    old = version == "v0.0.38"
    job: dict[str, Any] = {
        "name": order.tag,
        "comment": comment,
        "tasks": order.nodes,
        "tasks_per_node": 1,
        "cpus_per_task": order.cores,
        "requeue": False,
        "current_working_directory": str(order.work_dir),
        "standard_output": str(order.stdout_path).replace("%", "%%"),
        "standard_error": str(order.stderr_path).replace("%", "%%"),
        "open_mode": "append",
        "partition": order.partition,
        "account": order.account,
        "qos": order.qos,
    }
    if old:
        job |= {
            "nodes": [order.nodes, order.nodes],
            "memory_per_node": memory_mb(order.memory_gb),
            "time_limit": minutes(order.time_limit_s),
            "environment": dict(env),
            "gres": gres,
        }
    else:
        job |= {
            "minimum_nodes": order.nodes,
            "maximum_nodes": order.nodes,
            "memory_per_node": _wrapped(memory_mb(order.memory_gb)),
            "time_limit": _wrapped(minutes(order.time_limit_s)),
            "environment": [f"{name}={value}" for name, value in sorted(env.items())],
            "tres_per_node": gres and f"gres/{gres}",
        }
    return {"script": script_text(order), "job": {key: value for key, value in job.items() if value is not None}}


def submitted_id(body: Mapping[str, Any]) -> str | None:
    """The id in the answer to a submission, None where there is none."""
    found = number(body.get("job_id"))
    if found is None and isinstance(body.get("result"), dict):
        found = number(body["result"].get("job_id"))
    return str(int(found)) if found else None


def errors(body: Mapping[str, Any]) -> str:
    """The daemon's own words about what went wrong; empty where nothing did."""
    listed = body.get("errors")
    if not isinstance(listed, list):
        return ""
    told = (
        ": ".join(str(entry[key]) for key in ("error", "description") if entry.get(key))
        for entry in listed
        if isinstance(entry, dict)
    )
    return "; ".join(filter(None, told))


def jobs(body: Mapping[str, Any]) -> list[JobFacts]:
    """The jobs of `GET /jobs` or `GET /job/{id}`."""
    return [_job(entry) for entry in _list_of(body, "jobs")]


def nodes(body: Mapping[str, Any], *, partition: str | None = None) -> list[NodeFacts]:
    """The nodes of `GET /nodes`, all or those of one partition."""
    return [
        _node(entry)
        for entry in _list_of(body, "nodes")
        if partition is None or partition in (entry.get("partitions") or ())
    ]


def number(value: object) -> float | None:
    """A number in either flavour; None for what is not set, infinite, or no number."""
    if isinstance(value, dict):
        if not value.get("set") or value.get("infinite"):
            return None
        value = value.get("number")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def words(value: object) -> list[str]:
    """A state in either flavour: one word or a list of them."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return list(value)
    raise UnreadableReply(f"slurmrestd gave {str(value)[:100]!r} where a state was due")


def _job(entry: Mapping[str, Any]) -> JobFacts:
    native_id = number(entry.get("job_id"))
    if native_id is None:
        raise UnreadableReply(f"slurmrestd gave a job without an id: {str(dict(entry))[:200]}")
    reason = str(entry.get("state_reason") or "")
    state = _state(words(entry.get("job_state")), reason)
    with_status = state in (RunState.SUCCEEDED, RunState.FAILED)
    return JobFacts(
        native_id=str(int(native_id)),
        name=str(entry.get("name") or ""),
        comment=_comment(entry.get("comment")),
        state=state,
        started_at=None if state is RunState.PENDING else _instant(entry.get("start_time")),
        ended_at=_instant(entry.get("end_time")) if state.ended else None,
        exit_code=_exit_status(entry.get("exit_code")) if with_status else None,
        reason="" if reason == "None" else reason,
        nodes=expand_hosts(str(entry.get("nodes") or "")),
    )


def _state(listed: Sequence[str], reason: str) -> RunState:
    """A base state with flags beside it: a job that is COMPLETED and COMPLETING has not ended yet."""
    for word in listed:
        if word in _FLAGS_THAT_ARE_STATES:
            return run_state(word, reason=reason)
    return run_state(listed[0] if listed else "", reason=reason)


def _node(entry: Mapping[str, Any]) -> NodeFacts:
    cores, memory = number(entry.get("cpus")), number(entry.get("real_memory"))
    if cores is None or memory is None:
        raise UnreadableReply(f"slurmrestd gave a node without a size: {str(dict(entry))[:200]}")
    used = number(entry.get("alloc_cpus")) or 0.0
    base, *flags = [*words(entry.get("state")), *words(entry.get("state_flags") or [])] or ["unknown"]
    # Written as sinfo does: a mark behind the state for a node that is there but takes no work.
    mark = "*" if {flag.upper() for flag in flags} - _HARMLESS_FLAGS else ""
    return NodeFacts(
        name=str(entry.get("name") or ""),
        state=base.lower() + mark,
        cores=int(cores),
        cores_idle=max(0, int(cores - used)),
        memory_mb=int(memory),
        memory_used_mb=int(number(entry.get("alloc_memory")) or 0),
        gres=parse_gres(str(entry.get("gres") or "")),
        gres_used=parse_gres(str(entry.get("gres_used") or "")),
    )


_HARMLESS_FLAGS = frozenset({"COMPLETING", "PLANNED", "CLOUD", "DYNAMIC_NORM", "DYNAMIC_FUTURE", "RESERVED", "BLOCKED"})


def _wrapped(value: int) -> dict[str, Any]:
    return {"set": True, "infinite": False, "number": value}


def _list_of(body: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    listed = body.get(key)
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise UnreadableReply(f"slurmrestd gave no list of {key}: {str(dict(body))[:200]}")
    return listed


def _comment(value: object) -> str:
    """Plain text until v0.0.38; later versions may hold the user's comment beside the administrator's."""
    if isinstance(value, dict):
        value = value.get("job") or value.get("user") or ""
    return value if isinstance(value, str) else ""


def _instant(value: object) -> datetime | None:
    seconds = number(value)
    return datetime.fromtimestamp(seconds, tz=UTC) if seconds else None


def _exit_status(value: object) -> int | None:
    """The shell's status: of a raw wait status (old) or of an object that tells code and signal apart (new)."""
    if isinstance(value, dict) and ("return_code" in value or "signal" in value):
        code = number(value.get("return_code"))
        signal = value.get("signal")
        if isinstance(signal, dict):
            by = number(signal.get("id", signal.get("signal_id")))
            if by:
                return 128 + int(by)
        return None if code is None else int(code)
    raw = number(value)
    if raw is None:
        return None
    code, by_signal = divmod(int(raw), 256)
    return 128 + (by_signal & 127) if by_signal & 127 else code
