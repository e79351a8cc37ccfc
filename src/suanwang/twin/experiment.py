"""An experiment as values: trace × network × policies × seeds × what varies, and the plays it consists of.

Owns what a play depends on, and its digest: whatever could change its result is in it, so that a result that is there
need not be made again. Files and forms are `experimentfile`'s, running is `running`'s.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from importlib.resources import files
from itertools import product
from pathlib import Path

from suanwang.domain.errors import InvalidRequest
from suanwang.electricity.series import HOUR_MS
from suanwang.scheduling.policies import Policy, policy
from suanwang.twin.network import FORECASTS, Foresight, Network
from suanwang.twin.sharing import Projects
from suanwang.twin.workload import Rules

BOUND = "bound"
"""Stands for a policy where the fluid bound is what is reckoned."""
MOST_PLAYS = 100_000
Value = float | str
_ROOMS = ("domain", "routing", "scheduling", "electricity", "twin")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSource:
    """A file, or one of the generated traces."""

    name: str
    """Of a generated trace, or the path of a file."""
    path: Path | None = None
    format: str | None = None
    member: str | None = None
    zone: str | None = None
    hours: int = 168
    """Of a generated trace."""
    share: float = 1.0
    """Of the rate of a generated trace."""
    from_day: float = 0.0
    days: float | None = None
    """Cut from the trace; all of it where not said."""
    digest: str = ""
    """Of the file's bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What an experiment does to its network."""

    capacity: float = 1.0
    """Times as much of everything."""
    price: float = 1.0
    """On electricity."""
    carbon: float = 1.0
    outage_every_days: float = 0.0
    """Mean time between failures of each row, exponential; 0 for none."""
    outage_hours: float = 2.0
    """Mean time to repair, exponential."""
    outage_share: float = 1.0
    """Of the row's capacity that is lost."""
    link_every_days: float = 0.0
    """Mean time between cuts of each link, exponential; 0 for none but the network's own."""
    link_hours: float = 2.0
    """Mean time until it is mended, exponential."""
    checkpoint_minutes: float = 0.0
    """Lost runs keep their work up to a multiple of this; 0 where they begin anew."""
    resume_seconds: float = 0.0
    """Added whenever a job is taken up again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """All that may vary, by name."""

    rules: Rules = field(default_factory=Rules)
    foresight: Foresight = field(default_factory=Foresight)
    changes: Changes = field(default_factory=Changes)

    def __post_init__(self) -> None:
        if self.foresight.forecast not in FORECASTS:
            raise InvalidRequest(
                f"no forecast is called {self.foresight.forecast}", field="forecast", allowed=", ".join(FORECASTS)
            )


def _parts() -> dict[str, str]:
    """Which part of the conditions each name stands in."""
    found = {}
    for part, form in (("rules", Rules), ("foresight", Foresight), ("changes", Changes)):
        for one in fields(form):
            assert one.name not in found, "names of conditions are their own"
            found[one.name] = part
    return found


CONDITIONS = _parts()
"""Name of each condition → its part."""


def changed(conditions: Conditions, values: Mapping[str, Value]) -> Conditions:
    """`conditions` with some of them set. Raises `InvalidRequest` for a name that is none."""
    for name, value in values.items():
        if name not in CONDITIONS:
            raise InvalidRequest(f"nothing is called {name}", field=name, allowed=", ".join(sorted(CONDITIONS)))
        part = CONDITIONS[name]
        conditions = replace(conditions, **{part: replace(getattr(conditions, part), **{name: value})})
    return conditions


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    name: str
    title_zh: str
    title_en: str
    trace: TraceSource
    network: Network
    start_ms: int | None
    """What the trace's instant 0 is, a whole hour; None where the trace itself says."""
    policies: tuple[Policy, ...]
    baseline: str
    seeds: tuple[int, ...]
    conditions: Conditions
    varied: Mapping[str, tuple[Value, ...]]
    projects: Projects | None = None
    """Where jobs are of projects that take turns, and may have quotas."""
    with_bound: bool = True
    with_jobs: bool = False
    """Whether what became of every job is kept."""
    text: str = ""
    """The file it was read from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """One run of the twin, or one bound."""

    id: str
    """Digest of all it depends on."""
    case: tuple[tuple[str, Value], ...]
    policy: str
    """As `scheduling.policies.policy` reads it, or `BOUND`."""
    seed: int
    conditions: Conditions

    def __str__(self) -> str:
        varied = "".join(f", {name} {value}" for name, value in self.case)
        return f"{self.policy}, seed {self.seed}{varied}"


def plays(experiment: Experiment) -> tuple[Play, ...]:
    """Every combination of what varies, by case, then seed, then policy; those of one workload side by side.

    Raises `InvalidRequest` above 100,000 of them, or where two are the same.
    """
    names = list(experiment.varied)
    contenders = [said(one) for one in experiment.policies]
    doubled = sorted({one for one in contenders if contenders.count(one) > 1})
    if doubled:
        raise InvalidRequest(f"{', '.join(doubled)} is given twice", field="policies", allowed="each policy once")
    if experiment.with_bound:
        contenders.append(BOUND)
    count = len(contenders) * len(experiment.seeds)
    for values in experiment.varied.values():
        count *= len(values)
    if count > MOST_PLAYS:
        raise InvalidRequest(f"{count} plays in one experiment", field="vary", allowed=f"up to {MOST_PLAYS}")
    trace = experiment.trace
    common = _digest(
        {
            "code": code_digest(),
            "trace": asdict(replace(trace, path=None, name="") if trace.path else trace),
            "network": _plain(asdict(experiment.network)),
            "start_ms": experiment.start_ms,
            "projects": None if experiment.projects is None else asdict(experiment.projects),
            "with_jobs": experiment.with_jobs,
        }
    )
    found = []
    for values in product(*experiment.varied.values()):
        case = tuple(zip(names, values, strict=True))
        conditions = changed(experiment.conditions, dict(case))
        for seed in experiment.seeds:
            for contender in contenders:
                id_ = _digest({"common": common, "conditions": asdict(conditions), "policy": contender, "seed": seed})
                found.append(Play(id=id_[:24], case=case, policy=contender, seed=seed, conditions=conditions))
    return tuple(found)


def said(chosen: Policy) -> str:
    """What `scheduling.policies.policy` reads as this policy."""
    return chosen.name if chosen.name == chosen.order else str(chosen)


def read_policies(said: Sequence[str]) -> tuple[Policy, ...]:
    """Raises `InvalidRequest` naming the position of one that is none."""
    found = []
    for position, one in enumerate(said):
        try:
            found.append(policy(one))
        except InvalidRequest as error:
            raise InvalidRequest(error.message, field=f"policies[{position}]", allowed=error.allowed) from None
    return tuple(found)


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Of the code that decides and reckons: a result made by other code is made again."""
    root = Path(str(files("suanwang")))
    hashed = hashlib.sha256()
    for room in _ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            if "report" not in path.parts:
                hashed.update(str(path.relative_to(root)).encode())
                hashed.update(path.read_bytes())
    return hashed.hexdigest()


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _plain(value: dict[str, object]) -> dict[str, object]:
    return {key: inner for key, inner in value.items() if key not in ("note", "title_zh", "title_en")}


def whole_hour(instant_ms: int) -> int:
    """The whole hour at or before an instant."""
    return instant_ms // HOUR_MS * HOUR_MS
