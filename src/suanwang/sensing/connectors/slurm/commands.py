"""The command lines and the script that Slurm is given, as pure text.

Owns which option says what, and that nothing in an order can be read as another option: every value is joined to its
own option by `=`, and the script's `#SBATCH` lines stand behind a command, where sbatch no longer looks.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from suanwang.domain.connector import DeviceSlots, RunOrder
from suanwang.domain.errors import InvalidRequest
from suanwang.sensing.connectors.slurm.facts import memory_mb

FIELD = "\x1f"
"""Stands between two fields of a line we asked for: job names may hold any printable character."""
RECORD = "\x1e"
"""Stands before each record: a comment may hold a line break."""

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")
_GRES = re.compile(r"(?:[A-Za-z][A-Za-z0-9_]*:)?[A-Za-z0-9_.-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

SQUEUE_FIELDS = ("%i", "%T", "%S", "%e", "%r", "%N", "%j", "%k")
"""Name and comment last: they are the ones a user may fill with anything."""
SACCT_FIELDS = ("JobIDRaw", "State", "JobName", "Start", "End", "ExitCode", "NodeList", "TotalCPU", "MaxRSS")
SINFO_FIELDS = (
    "NodeList:256",
    "StateLong:64",
    "CPUsState:64",
    "Memory:32",
    "AllocMem:32",
    "Gres:2048",
    "GresUsed:2048",
)


def is_tag(tag: str) -> bool:
    return _TAG.fullmatch(tag) is not None


def check_order(order: RunOrder) -> None:
    """Raises `InvalidRequest`, naming the field, where an order holds what Slurm or bash could misread."""
    if not is_tag(order.tag):
        raise InvalidRequest(f"{order.tag!r} is no tag", field="tag", allowed="letters, digits, _ . -, 128 at most")
    for name in order.env:
        if not _ENV_NAME.fullmatch(name):
            raise InvalidRequest(f"{name!r} is no variable's name", field="env", allowed="letters, digits and _")
    for name, value in order.env.items():
        if "\0" in value:
            raise InvalidRequest(f"the value of {name} holds a NUL character", field=f"env.{name}", allowed="text")
    if "\0" in order.script:
        raise InvalidRequest("the script holds a NUL character", field="script", allowed="text")
    texts = {"partition": order.partition, "account": order.account, "qos": order.qos, "posix_user": order.posix_user}
    texts |= {"work_dir": str(order.work_dir), "stdout_path": str(order.stdout_path)}
    texts |= {"stderr_path": str(order.stderr_path), "exit_path": str(order.exit_path)}
    for field, text in texts.items():
        if text is not None and (not text or len(text) > 4096 or _CONTROL.search(text)):
            raise InvalidRequest(f"{text!r} is no {field}", field=field, allowed="printable text")
    numbers = {"nodes": order.nodes, "cores": order.cores, "time_limit_s": order.time_limit_s}
    for field, number in numbers.items():
        if number < 1:
            raise InvalidRequest(f"{field} is {number}", field=field, allowed="1 or more")
    if not 0 < order.memory_gb < 1e9:
        raise InvalidRequest(f"memory_gb is {order.memory_gb}", field="memory_gb", allowed="more than 0")


def gres_option(devices: DeviceSlots | None, gres_types: Mapping[str, str]) -> str | None:
    """What one node is asked for, as `name:type:count`; `gres_types` is catalogue identifier → `type` or `name:type`.

    Raises `InvalidRequest` where the site has no name for the model.
    """
    if devices is None or devices.count == 0:
        return None
    kind = gres_types.get(devices.model)
    if kind is None:
        raise InvalidRequest(
            f"this site has no devices of model {devices.model}",
            field="resources.devices",
            allowed=", ".join(sorted(gres_types)) or "none",
        )
    return f"{gres_name(kind)}:{devices.count}"


def gres_name(kind: str) -> str:
    """The full `name:type` of a site's GRES; a bare type is a `gpu`, Slurm's own word for accelerators."""
    if not _GRES.fullmatch(kind):
        raise InvalidRequest(f"{kind!r} is no GRES", field="gres_types", allowed="type or name:type")
    return kind if ":" in kind else f"gpu:{kind}"


def comment_of(label: str, order: RunOrder) -> str:
    """What others read beside the job: whose it is, its tag, and the user's own name for it."""
    name = "".join(letter if letter.isprintable() else "?" for letter in order.name[:80]).strip()
    return f"{label}:{order.tag} {name}".rstrip()


def minutes(time_limit_s: int) -> int:
    """Slurm counts time limits in minutes: rounded up, so that a run is never cut short."""
    return -(-time_limit_s // 60)


def sbatch(order: RunOrder, *, comment: str, gres: str | None) -> list[str]:
    """The command that reads the script on standard input and prints the job's id."""
    options = {
        "job-name": order.tag,
        "comment": comment,
        "nodes": f"{order.nodes}-{order.nodes}",
        "ntasks": str(order.nodes),
        "ntasks-per-node": "1",
        "cpus-per-task": str(order.cores),
        "mem": f"{memory_mb(order.memory_gb)}M",
        "time": str(minutes(order.time_limit_s)),
        "output": _literal(str(order.stdout_path)),
        "error": _literal(str(order.stderr_path)),
        "chdir": str(order.work_dir),
        "open-mode": "append",
        "export": "ALL",
        "gres": gres,
        "partition": order.partition,
        "account": order.account,
        "qos": order.qos,
    }
    given = [f"--{option}={value}" for option, value in options.items() if value is not None]
    return ["sbatch", "--parsable", "--no-requeue", *given]


def script_text(order: RunOrder) -> str:
    """The batch script: the order's environment, then its script.

    The first command stands before any line of the order, so sbatch reads no option from it.
    """
    exports = [f"export {name}={_quoted(value)}" for name, value in sorted(order.env.items())]
    return "\n".join(["#!/bin/bash", ":", *exports, order.script.replace("\r\n", "\n"), ""])


def squeue(
    *, native_ids: Sequence[str] = (), names: Sequence[str] = (), states: str = "all", partition: str | None = None
) -> list[str]:
    argv = ["squeue", "--all", "--noheader", f"--states={states}", f"--format={RECORD}{FIELD.join(SQUEUE_FIELDS)}"]
    if native_ids:
        argv.append(f"--jobs={','.join(native_ids)}")
    if names:
        argv.append(f"--name={','.join(names)}")
    if partition:
        argv.append(f"--partition={partition}")
    return argv


def sacct(*, native_ids: Sequence[str] = (), names: Sequence[str] = ()) -> list[str]:
    argv = ["sacct", "--noheader", "--parsable2", f"--delimiter={FIELD}", f"--format={','.join(SACCT_FIELDS)}"]
    if native_ids:
        argv.append(f"--jobs={','.join(native_ids)}")
    if names:
        # Without a start sacct looks at today alone.
        argv += [f"--name={','.join(names)}", "--starttime=now-30days"]
    return argv


def show_job(native_id: str) -> list[str]:
    return ["scontrol", "show", "job", "--oneliner", native_id]


def show_config() -> list[str]:
    return ["scontrol", "show", "config"]


def scancel(native_id: str) -> list[str]:
    return ["scancel", "--quiet", native_id]


def sinfo(*, partition: str | None = None) -> list[str]:
    argv = ["sinfo", "--noheader", "--Node", f"--Format={','.join(SINFO_FIELDS)}"]
    # sinfo takes one or the other: a partition asked for by name is shown though it be hidden.
    return [*argv, f"--partition={partition}" if partition else "--all"]


def _literal(path: str) -> str:
    """Slurm reads `%` in file names as patterns; `%%` stands for itself."""
    return path.replace("%", "%%")


def _quoted(value: str) -> str:
    """One bash word. sbatch refuses scripts with carriage returns before line feeds: they are written as escapes."""
    if "\r" not in value:
        return shlex.quote(value)
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\r", "\\r").replace("\n", "\\n")
    return f"$'{escaped}'"
