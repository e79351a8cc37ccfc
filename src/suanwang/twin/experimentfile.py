"""The form of an experiment file, checked strictly.

Owns field names, ranges and defaults. What they mean is `experiment`'s.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from suanwang.control.allowances import LEAST_WEIGHT, MOST_WEIGHT
from suanwang.domain.allowance import Allowance
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.task import Priority
from suanwang.electricity.series import HOUR_MS
from suanwang.taskfile.problems import InvalidTask, Problem, dotted
from suanwang.taskfile.yamltext import Document
from suanwang.twin.experiment import (
    Conditions,
    Experiment,
    TraceSource,
    Value,
    changed,
    file_digest,
    plays,
    read_policies,
    said,
)
from suanwang.twin.network import Network
from suanwang.twin.networkfile import (
    Amount,
    Id,
    Line,
    Names,
    Section,
    Share,
    checked,
    instant_ms,
    only_document,
    parse_network,
    problems_of,
    read_network,
)
from suanwang.twin.profile import shipped as profiles
from suanwang.twin.sharing import LIVE, Projects

FEDERATION = "federation-week"
"""The trace of a federation of many centres that is generated."""
ALL = ("joint", "cheapest", "greenest", "nearest", "least_loaded", "wait_awhile", "fifo")
MOST_SEEDS = 1000
Factor = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
Hours = Annotated[float, Field(ge=0, le=24 * 366, allow_inf_nan=False)]


class TraceSection(Section):
    file: Line | None = None
    generated: Line | None = None
    format: Line | None = None
    member: Line | None = None
    zone: Line | None = None
    hours: Annotated[int, Field(ge=1, le=10_000)] = 168
    share: Annotated[float, Field(ge=0.001, le=20)] = 1.0
    from_day: Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)] = 0.0
    days: Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)] | None = None


class ConditionsSection(Section):
    """Every condition, with its range; defaults are those of `twin.experiment`."""

    load: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] | None = None
    flexible_share: Share | None = None
    wait_hours: Hours | None = None
    interruptible_share: Share | None = None
    deadline_share: Share | None = None
    near_share: Share | None = None
    near_ms: Amount | None = None
    data_share: Share | None = None
    data_gb: Amount | None = None
    data_sigma: Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)] | None = None
    price_weight: Amount | None = None
    carbon_weight: Amount | None = None
    finish_weight: Amount | None = None
    home: Literal["homes", "groups", "jobs"] | None = None
    memory_gb_per_core: Amount | None = None
    high_share: Share | None = None
    low_share: Share | None = None
    forecast: Literal["noise", "past"] | None = None
    carbon_error: Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)] | None = None
    price_error: Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)] | None = None
    horizon_hours: Annotated[int, Field(ge=1, le=720)] | None = None
    capacity: Factor | None = None
    price: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] | None = None
    carbon: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] | None = None
    outage_every_days: Amount | None = None
    outage_hours: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = None
    outage_share: Annotated[float, Field(gt=0, le=1)] | None = None
    link_every_days: Amount | None = None
    link_hours: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = None
    checkpoint_minutes: Amount | None = None
    resume_seconds: Amount | None = None

    def given(self) -> dict[str, Value]:
        return {name: value for name, value in self.model_dump().items() if value is not None}


Seeds = (
    Annotated[int, Field(ge=1, le=MOST_SEEDS)]
    | Annotated[tuple[Annotated[int, Field(ge=0, le=2**32 - 1)], ...], Field(min_length=1, max_length=MOST_SEEDS)]
)


Count = Annotated[int, Field(ge=0, le=10**9)]


class ProjectSection(Section):
    """What a project may have, as `suanwang project allow` says it, and the priority of its jobs."""

    weight: Annotated[float, Field(ge=LEAST_WEIGHT, le=MOST_WEIGHT, allow_inf_nan=False)] = 1.0
    cores: Count | None = None
    memory_gb: Amount | None = None
    devices: Annotated[dict[Line, Count], Field(default_factory=dict)]
    priority: Literal["high", "normal", "low"] | None = None

    def allowance(self) -> Allowance:
        return Allowance(weight=self.weight, cores=self.cores, memory_gb=self.memory_gb, devices=self.devices)


class SharingSection(Section):
    by: Literal["groups", "homes"] = "groups"
    half_life_hours: Annotated[float, Field(gt=0, le=24 * 366, allow_inf_nan=False)] = LIVE.half_life_s / 3600
    starved_after_hours: Hours = LIVE.starved_after_s / 3600
    preempt: bool = True
    notice_minutes: Annotated[float, Field(ge=0.1, le=1440, allow_inf_nan=False)] = LIVE.notice_s / 60
    protect_minutes: Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)] = LIVE.protect_s / 60
    most_interruptions: Annotated[int, Field(ge=0, le=1000)] = LIVE.most_interruptions
    projects: Annotated[dict[Line, ProjectSection], Field(max_length=1000, default_factory=dict)]

    def given(self) -> Projects:
        return Projects(
            by=self.by,
            allowances={name: one.allowance() for name, one in self.projects.items()},
            priorities={name: Priority(one.priority) for name, one in self.projects.items() if one.priority},
            half_life_s=3600 * self.half_life_hours,
            starved_after_s=3600 * self.starved_after_hours,
            preempt=self.preempt,
            notice_s=60 * self.notice_minutes,
            protect_s=60 * self.protect_minutes,
            most_interruptions=self.most_interruptions,
        )


class RecordSection(Section):
    jobs: bool = False
    bound: bool = True


class ExperimentSection(Section):
    experiment: Id
    title: Names | None = None
    trace: Line | TraceSection = FEDERATION
    network: Line | dict[str, object] = "national"
    start: Line | None = None
    policies: Annotated[tuple[Line, ...], Field(min_length=1, max_length=100)] = ALL
    baseline: Line | None = None
    seeds: Seeds = 1
    conditions: ConditionsSection = ConditionsSection()
    vary: Annotated[
        dict[str, Annotated[tuple[float | str, ...], Field(min_length=1)]], Field(max_length=8, default_factory=dict)
    ]
    sharing: SharingSection | None = None
    record: RecordSection = RecordSection()


def shipped_examples() -> dict[str, Path]:
    """Name → file of each experiment that comes with the product."""
    shelf = Path(str(files("suanwang.twin"))) / "examples"
    return {path.stem: path for path in sorted(shelf.glob("*.yaml"))}


def read_experiment(path: Path) -> Experiment:
    """The experiment in a file, or a shipped one by its name. Paths in it count from the file's folder.

    Raises `InvalidRequest`, `InvalidTask` with every problem's field and line.
    """
    known = shipped_examples()
    if not path.exists() and str(path) in known:
        path = known[str(path)]
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InvalidRequest(
            f"the experiment {path} cannot be read: {error.strerror or error}",
            field="experiment",
            allowed=f"a file, or one of {', '.join(known)}",
        ) from error
    return parse_experiment(text, filename=path.name, folder=path.parent)


def parse_experiment(text: str | bytes, *, filename: str, folder: Path) -> Experiment:
    """Likewise, from the text of a file that stands in `folder`."""
    document = only_document(text, filename=filename)
    section = checked(ExperimentSection, document, filename)
    varied = _varied(section, document, filename)
    policies = read_policies(section.policies)
    names = [said(one) for one in policies]
    baseline = section.baseline or next((one for one in ("nearest", "easy", "least_loaded") if one in names), names[0])
    if baseline not in names:
        raise InvalidRequest(f"{baseline} is not among the policies", field="baseline", allowed=", ".join(names))
    title = section.title or Names(zh=section.experiment, en=section.experiment)
    network = _network(section, folder, filename)
    found = Experiment(
        name=section.experiment,
        title_zh=title.zh,
        title_en=title.en,
        trace=_trace(section.trace, folder),
        network=network,
        start_ms=None
        if section.start is None
        else instant_ms(section.start, network.offset_hours, field="start", step_ms=HOUR_MS),
        policies=policies,
        baseline=baseline,
        seeds=tuple(range(1, section.seeds + 1)) if isinstance(section.seeds, int) else section.seeds,
        conditions=changed(Conditions(), section.conditions.given()),
        varied=varied,
        projects=None if section.sharing is None else section.sharing.given(),
        with_bound=section.record.bound,
        with_jobs=section.record.jobs,
        text=text.decode() if isinstance(text, bytes) else text,
    )
    if len(set(found.seeds)) < len(found.seeds):
        raise InvalidRequest("a seed is given twice", field="seeds", allowed="each seed once")
    plays(found)
    return found


def _varied(section: ExperimentSection, document: Document, filename: str) -> dict[str, tuple[Value, ...]]:
    """Each value of what varies must be one that the condition itself may have."""
    problems: list[Problem] = []
    found: dict[str, tuple[Value, ...]] = {}
    for name, values in section.vary.items():
        taken: list[Value] = []
        for position, value in enumerate(values):
            try:
                taken.append(ConditionsSection.model_validate({name: value}).given()[name])
            except ValidationError as error:
                for one in problems_of(error, document):
                    where = ("vary", name, position) if name in ConditionsSection.model_fields else ("vary", name)
                    problems.append(Problem(field=dotted(where), message=one.message, line=document.line(where)))
        if len(set(taken)) < len(taken):
            where = ("vary", name)
            problems.append(Problem(field=dotted(where), message="a value is given twice", line=document.line(where)))
        found[name] = tuple(taken)
    if problems:
        unique = {(one.field, one.message): one for one in problems}
        raise InvalidTask(list(unique.values()), filename=filename)
    return found


def _network(section: ExperimentSection, folder: Path, filename: str) -> Network:
    if isinstance(section.network, str):
        return read_network(section.network, beside=folder)
    import yaml

    return parse_network(yaml.safe_dump(section.network, allow_unicode=True), filename=f"{filename}, network")


def generated() -> tuple[str, ...]:
    """Traces that are drawn with each seed: the federation's week, and one for each shipped profile."""
    return (FEDERATION, *profiles())


def _trace(section: str | TraceSection, folder: Path) -> TraceSource:
    if isinstance(section, str):
        section = TraceSection(generated=section) if section in generated() else TraceSection(file=section)
    if (section.file is None) == (section.generated is None):
        raise InvalidRequest("say where the trace comes from", field="trace", allowed="file, or generated")
    if section.generated is not None:
        if section.generated not in generated():
            raise InvalidRequest(
                f"nothing generated is called {section.generated}",
                field="trace.generated",
                allowed=", ".join(generated()),
            )
        return TraceSource(
            name=section.generated,
            hours=section.hours,
            share=section.share,
            from_day=section.from_day,
            days=section.days,
        )
    assert section.file is not None
    path = Path(section.file).expanduser()
    path = path if path.is_absolute() else folder / path
    if not path.is_file():
        raise InvalidRequest(
            f"the trace {section.file} is not there",
            field="trace.file",
            allowed=f"a file, or one of {', '.join(generated())}",
        )
    return TraceSource(
        name=path.name,
        path=path.resolve(),
        format=section.format,
        member=section.member,
        zone=section.zone,
        from_day=section.from_day,
        days=section.days,
        digest=file_digest(path),
    )
