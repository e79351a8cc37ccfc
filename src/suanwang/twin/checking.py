"""Whether an experiment's text may be played for others: right in form, and reading nothing but what it says itself.

Owns the bounds of what a network plays for its users. The check runs in a process of its own, because reading an
experiment loads the compiled policies; `suanwang.twin.checking` as a program is that process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from suanwang.domain.errors import InvalidRequest, Unavailable
from suanwang.taskfile.problems import InvalidTask, Problem

MOST_BYTES = 64 * 1024
MOST_PLAYS = 240
MOST_HOURS = 24 * 35
MOST_TIMES = 20.0
"""Of the generated trace's rate, the load's factor included."""
FILENAME = "experiment"
_LONGEST_S = 60.0
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "TMPDIR", "NUMBA_CACHE_DIR", "VIRTUAL_ENV")
_AT_ONCE = threading.BoundedSemaphore(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What an experiment would play."""

    name: str
    title_en: str
    title_zh: str
    plays: int
    policies: tuple[str, ...]
    seeds: int


Check = Callable[[str], Checked]


def passed_on() -> dict[str, str]:
    """The environment of the twin's processes: none of the control plane's own settings and secrets."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def check_text(text: str) -> None:
    """Raises `InvalidRequest` for a text that no experiment file can be."""
    if not text.strip():
        raise InvalidRequest("there is no experiment in it", field="text", allowed="an experiment file")
    if len(text.encode()) > MOST_BYTES:
        raise InvalidRequest("this experiment file is too long", field="text", allowed=f"up to {MOST_BYTES} bytes")


def check_elsewhere(text: str) -> Checked:
    """The check in a process of its own. Raises `InvalidRequest` with every problem, `Unavailable`."""
    check_text(text)
    if not _AT_ONCE.acquire(timeout=_LONGEST_S):
        raise Unavailable("too many experiments are being checked now: try again")
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "suanwang.twin.checking"],
            input=text.encode(),
            capture_output=True,
            timeout=_LONGEST_S,
            check=True,
            env=passed_on(),
            start_new_session=True,
        )
        said: Mapping[str, Any] = json.loads(ended.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise Unavailable("the experiment could not be checked now: try again") from error
    finally:
        _AT_ONCE.release()
    if "problems" in said:
        problems = [Problem(**problem) for problem in said["problems"]]
        raise InvalidTask(problems, filename=FILENAME)
    return Checked(**{**said, "policies": tuple(said["policies"])})


def check(text: str) -> Checked:
    """The check itself; loads what playing loads. Raises `InvalidRequest`, `InvalidTask` with every problem."""
    from suanwang.twin.experiment import plays
    from suanwang.twin.experimentfile import parse_experiment

    check_text(text)
    _refuse_files(text)
    # The folder is one that holds nothing: whatever path slips through leads nowhere.
    experiment = parse_experiment(text, filename=FILENAME, folder=Path("/nonexistent"))
    found = plays(experiment)
    if len(found) > MOST_PLAYS:
        raise InvalidRequest(
            f"{len(found)} plays are too many here", field="vary", allowed=f"up to {MOST_PLAYS}; run more from a shell"
        )
    loads = [play.conditions.rules.load for play in found]
    if experiment.trace.hours > MOST_HOURS or experiment.trace.share * max(loads, default=1.0) > MOST_TIMES:
        raise InvalidRequest(
            "this is more work than is played here",
            field="trace",
            allowed=f"up to {MOST_HOURS} hours and {MOST_TIMES:g} times the rate; run more from a shell",
        )
    return Checked(
        name=experiment.name,
        title_en=experiment.title_en,
        title_zh=experiment.title_zh,
        plays=len(found),
        policies=tuple(str(policy) for policy in experiment.policies),
        seeds=len(experiment.seeds),
    )


def _refuse_files(text: str) -> None:
    """A text that others sent may not name files of this machine, neither as a trace nor as a network."""
    from suanwang.twin.experimentfile import generated
    from suanwang.twin.networkfile import only_document, shipped

    document = only_document(text, filename=FILENAME)
    value = document.value if isinstance(document.value, Mapping) else {}
    trace, network = value.get("trace"), value.get("network")
    problems = []
    named = trace if isinstance(trace, str) and trace not in generated() else None
    given = trace.get("file") if isinstance(trace, Mapping) else None
    if named is not None or given is not None:
        where = ("trace",) if given is None else ("trace", "file")
        problems.append(
            Problem(
                field=".".join(where),
                message="files of this machine are not read here",
                allowed=f"{', '.join(generated())}; play your own traces with `suanwang twin run`",
                line=document.line(where),
            )
        )
    if isinstance(network, str) and network not in shipped():
        problems.append(
            Problem(
                field="network",
                message="files of this machine are not read here",
                allowed=f"{', '.join(shipped())}, or a network written out here",
                line=document.line(("network",)),
            )
        )
    if problems:
        raise InvalidTask(problems, filename=FILENAME)


def main() -> None:
    try:
        said: dict[str, Any] = asdict(check(sys.stdin.buffer.read(MOST_BYTES + 1).decode(errors="replace")))
    except InvalidTask as error:
        said = {"problems": [asdict(problem) for problem in error.problems]}
    except InvalidRequest as error:
        problem = Problem(field=error.field or FILENAME, message=error.message, allowed=error.allowed)
        said = {"problems": [asdict(problem)]}
    sys.stdout.write(json.dumps(said, ensure_ascii=True))


if __name__ == "__main__":
    main()
