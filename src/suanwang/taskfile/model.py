"""The native task file, section by section, as pydantic reads it.

Owns which keys exist, their friendly forms and their limits; the JSON schema for editors is made from it. What spans
several tasks is checked in `references`, and meaning lives in `suanwang.domain.task`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, GetPydanticSchema, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.precision import DeviceKind, Precision
from suanwang.domain.task import Priority
from suanwang.taskfile import quantities, words
from suanwang.taskfile.devices import DEVICE_FORMS, device_ids, expand_devices
from suanwang.taskfile.problems import quoted

MOST_CORES = 4_096
MOST_NODES = 10_000
MOST_COPIES = 100_000
MOST_DEVICES = 1_024
MOST_SCRIPT = 512 * 1024
MOST_ITEMS = 1_000

_WITHIN = re.compile(r"within\s+(\d{1,6}(?:\.\d{1,6})?)\s*ms\s+of\s+(\S.*)", re.ASCII | re.IGNORECASE)
_LONGEST_CIRCLE = 200
_PRESETS = {
    "cheapest": {"price": 1.0, "carbon": 0.0, "finish": 0.0},
    "greenest": {"price": 0.0, "carbon": 1.0, "finish": 0.0},
    "fastest": {"price": 0.0, "carbon": 0.0, "finish": 1.0},
    "balanced": {"price": 1.0, "carbon": 1.0, "finish": 1.0},
}


def _refusal(message: str, allowed: str) -> PydanticCustomError:
    return PydanticCustomError("refused", "{message}", {"message": message, "allowed": allowed})


def _parsed(parse: Callable[[Any], object], allowed: str) -> BeforeValidator:
    """Validation by one of our own parsers, whose `ValueError` becomes a problem that says what is allowed."""

    def read(value: object) -> object:
        try:
            return parse(value)
        except ValueError as error:
            raise _refusal(str(error), allowed) from None

    return BeforeValidator(read)


def _worded(check: Callable[[str], str], allowed: str) -> AfterValidator:
    def read(value: str) -> str:
        try:
            return check(value)
        except ValueError as error:
            raise _refusal(str(error), allowed) from None

    return AfterValidator(read)


def _amount(read: Callable[[object], float], schema: JsonSchemaValue) -> GetPydanticSchema:
    return GetPydanticSchema(
        get_pydantic_core_schema=lambda _source, _handler: core_schema.no_info_plain_validator_function(read),
        get_pydantic_json_schema=lambda _core, _handler: dict(schema),
    )


def _whole(low: int, high: int) -> GetPydanticSchema:
    allowed = f"a whole number from {low} to {high}"

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise _refusal(f"{quoted(value)} is not a whole number", allowed)
        if not low <= value <= high:
            raise _refusal(f"{quoted(value)} is out of range", allowed)
        return value

    return _amount(read, {"type": "integer", "minimum": low, "maximum": high})


def _number(high: float, *, zero: bool) -> GetPydanticSchema:
    allowed = f"a number {'from' if zero else 'above'} 0 and up to {high:g}"

    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise _refusal(f"{quoted(value)} is not a number", allowed)
        if not 0 <= value <= high or (value == 0 and not zero):
            raise _refusal(f"{quoted(value)} is out of range", allowed)
        return float(value)

    return _amount(read, {"type": "number", "minimum" if zero else "exclusiveMinimum": 0, "maximum": high})


def _or(alternative: JsonSchemaValue) -> Callable[[dict[str, Any]], None]:
    """For the editor's schema: a short form beside the full one."""

    def extend(schema: dict[str, Any]) -> None:
        full = {key: schema.pop(key) for key in ("$ref", "type", "items", "anyOf") if key in schema}
        schema["anyOf"] = [*(full["anyOf"] if set(full) == {"anyOf"} else [full]), alternative]

    return extend


_TEXT: JsonSchemaValue = {"type": "string"}
_TEXT_MAP: JsonSchemaValue = {"type": "object", "additionalProperties": {"type": "string"}}


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _bounded(value: list[str]) -> list[str]:
    if len(value) > MOST_ITEMS:
        raise _refusal(f"{len(value)} entries are too many", f"at most {MOST_ITEMS}")
    return value


_ONE_OR_MANY = BeforeValidator(_one_or_many)
_BOUNDED = AfterValidator(_bounded)


def _text_or_number(value: object) -> object:
    """Environment values: YAML numbers and booleans become the text they stand for."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, int | float) else value


_TEXT_OR_NUMBER = WithJsonSchema({"type": ["string", "number", "boolean"]})
_DEVICE_SCHEMA = {"type": "string", "examples": ["nvidia-a100-80gb"]}


def _script(value: str) -> str:
    if len(value) > MOST_SCRIPT:
        raise _refusal("the script is longer than 512 KiB", "at most 512 KiB: keep programs in inputs")
    return value


def _some_script(value: str) -> str:
    if not value.strip():
        raise _refusal("the script is empty", "a shell script")
    return _script(value)


def _catalogued(value: str) -> str:
    try:
        device_ids(value)
    except InvalidRequest as error:
        raise _refusal(error.message, error.allowed or "a model of the catalogue") from None
    return value


def _one_of(kind: type[DeviceKind] | type[Precision] | type[Priority]) -> BeforeValidator:
    allowed = ", ".join(kind)

    def read(value: object) -> str:
        if not isinstance(value, str) or value.lower() not in set(kind):
            raise _refusal(f"{quoted(value)} is none of these", allowed)
        return value.lower()

    return BeforeValidator(read)


Memory = Annotated[
    float,
    _parsed(quantities.parse_memory_gb, quantities.MEMORY_FORMS),
    WithJsonSchema({"type": ["number", "string"], "examples": ["4GB", "64GiB", 16]}),
]
Duration = Annotated[
    int,
    _parsed(quantities.parse_duration_s, quantities.DURATION_FORMS),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["90s", "10m", "1h30m", "2d"]}),
]


def _positive(value: int) -> int:
    if value < 1:
        raise _refusal("it must be longer than nothing", quantities.DURATION_FORMS)
    return value


Span = Annotated[Duration, AfterValidator(_positive)]
Money = Annotated[
    Decimal,
    _parsed(quantities.parse_yuan, quantities.MONEY_FORMS),
    WithJsonSchema({"type": ["number", "string"], "examples": ["¥12.50", 100]}),
]
Instant = Annotated[
    datetime,
    _parsed(quantities.parse_instant, quantities.INSTANT_FORMS),
    WithJsonSchema({"type": "string", "examples": ["2026-05-01T18:00+08:00"]}),
]
Label = Annotated[str, _worded(words.check_label, words.LABEL_FORMS)]
SlurmWord = Annotated[str, _worded(words.check_slurm_word, words.SLURM_WORD_FORMS)]
FilePath = Annotated[str, _worded(words.check_path, words.PATH_FORMS)]
InnerPath = Annotated[str, _worded(words.check_inner_path, words.PATH_FORMS)]
Artefact = Annotated[str, _worded(words.check_artefact, words.ARTEFACT_FORMS)]
Source = Annotated[str, _worded(words.check_source, words.SOURCE_FORMS)]
Need = Annotated[str, _worded(words.check_need, words.NAME_FORMS + ", or a job such as j-…")]
EnvName = Annotated[str, _worded(words.check_env_name, words.ENV_NAME_FORMS)]
Model = Annotated[str, AfterValidator(_catalogued), WithJsonSchema(_DEVICE_SCHEMA)]
Kind = Annotated[str, _one_of(DeviceKind), WithJsonSchema({"type": "string", "enum": [*DeviceKind]})]
Format = Annotated[str, _one_of(Precision), WithJsonSchema({"type": "string", "enum": [*Precision]})]
Labels = Annotated[list[Label], _BOUNDED, _ONE_OR_MANY]


class Section(BaseModel):
    """A mapping of the file. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class DevicesSection(Section):
    """Accelerators on each node."""

    count: Annotated[int, _whole(1, MOST_DEVICES)] = Field(default=1, description="Whole devices on each node.")
    kind: Kind | None = Field(default=None, description="The class of device.")
    model: Annotated[list[Model], _BOUNDED, _ONE_OR_MANY] = Field(
        default=[], json_schema_extra=_or(_TEXT), description="Any one of these models of the catalogue."
    )
    min_memory: Memory | None = Field(default=None, description="Least memory of one device.")
    precision: Annotated[list[Format], _BOUNDED, _ONE_OR_MANY] = Field(
        default=[], json_schema_extra=_or(_TEXT), description="Number formats it must compute natively, all of them."
    )


class ResourcesSection(Section):
    """What one node of the task needs."""

    cores: Annotated[int, _whole(1, MOST_CORES)] = Field(default=1, description="Processor cores.")
    memory: Memory = Field(default=1.0, description="Memory; a bare number is GB of 10^9 bytes.")
    devices: Annotated[
        DevicesSection | None,
        _parsed(expand_devices, DEVICE_FORMS),
    ] = Field(
        default=None,
        json_schema_extra=_or(_TEXT),
        description="Accelerators: '2 x nvidia-a100-80gb', '4 x npu', or a mapping.",
    )
    time_limit: Span = Field(default=3600, description="The run is stopped after this long.")
    expected: Span | None = Field(default=None, description="How long you believe it takes; estimates use it.")


class InputSection(Section):
    """One file or folder placed in the work folder before the run."""

    source: Source = Field(
        alias="from", description="NAME, TASK/NAME, dataset:NAME, listing:ID, or a local path (./data.csv)."
    )
    to: FilePath = Field(description="Where it lands in the work folder.")


class OutputSection(Section):
    """One file or folder kept when the run has succeeded."""

    source: InnerPath = Field(alias="from", description="The path in the work folder.")
    to: Artefact = Field(description="The name it is kept under.")


class CircleSection(Section):
    """A latency circle."""

    place: Label = Field(description="The place to be near to.")
    within_ms: Annotated[float, _number(1000, zero=False)] = Field(description="Largest one-way delay in milliseconds.")


def _expand_circle(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _WITHIN.fullmatch(value.strip()) if len(value) <= _LONGEST_CIRCLE else None
    if match is None:
        raise ValueError(f"{quoted(value)} is not a latency circle")
    return {"place": match.group(2), "within_ms": float(match.group(1))}


_CIRCLE_FORMS = "'within 5 ms of 上海', or a mapping of place and within_ms"


class ConstraintsSection(Section):
    """Hard limits. What is left out does not restrict."""

    deadline: Instant | None = Field(default=None, description="Finished by then; the zone is part of it.")
    budget: Money | None = Field(default=None, description="Most that the job may cost, in yuan.")
    circle: Annotated[CircleSection | None, _parsed(_expand_circle, _CIRCLE_FORMS)] = Field(
        default=None, json_schema_extra=_or(_TEXT), description="A latency circle: 'within 5 ms of 上海'."
    )
    regions: Labels = Field(default=[], json_schema_extra=_or(_TEXT), description="Regions or hubs it may run in.")
    residency: Labels = Field(
        default=[], json_schema_extra=_or(_TEXT), description="Sites or regions that the data may not leave."
    )
    providers: Labels = Field(default=[], json_schema_extra=_or(_TEXT), description="Providers it may run at.")
    sites: Labels = Field(default=[], json_schema_extra=_or(_TEXT), description="Sites it may run at.")


class ObjectiveSection(Section):
    """Weights of what is to be small; only their ratio counts."""

    price: Annotated[float, _number(1e6, zero=True)] = Field(default=0.0, description="Weight of the price.")
    carbon: Annotated[float, _number(1e6, zero=True)] = Field(default=0.0, description="Weight of the carbon emitted.")
    finish: Annotated[float, _number(1e6, zero=True)] = Field(
        default=0.0, description="Weight of the time until it is finished."
    )


def _expand_objective(value: object) -> object:
    if not isinstance(value, str):
        return value
    preset = _PRESETS.get(value.strip().lower())
    if preset is None:
        raise ValueError(f"{quoted(value)} is not an objective")
    return preset


def _some_weight(value: ObjectiveSection) -> ObjectiveSection:
    if not (value.price or value.carbon or value.finish):
        raise _refusal("every weight is zero, so no place is better than another", "at least one weight above 0")
    return value


_OBJECTIVE_FORMS = ", ".join(_PRESETS) + ", or weights of price, carbon and finish"


class FlexibilitySection(Section):
    """What the network may do for a better offer."""

    may_wait: Duration = Field(default=0, description="How long it may be held for a better site.")
    may_be_interrupted: Annotated[bool, Field(strict=True)] = Field(
        default=False, description="It may be stopped and resumed from its checkpoint."
    )


class SlurmSection(Section):
    """Options that only Slurm sites read."""

    partition: SlurmWord | None = Field(default=None, description="Partition.")
    account: SlurmWord | None = Field(default=None, description="Account.")
    qos: SlurmWord | None = Field(default=None, description="Quality of service.")


def _pairs(key_field: str, value_field: str) -> Callable[[object], object]:
    """The map shorthand and the lone word, as the list of mappings they stand for."""

    def expand(value: object) -> object:
        if isinstance(value, dict):
            return [{key_field: key, value_field: source} for key, source in value.items()]
        return value

    return expand


def _expand_item(aliases: dict[str, str], lone: Callable[[str], dict[str, str]]) -> BeforeValidator:
    def read(value: object) -> object:
        if isinstance(value, str):
            return lone(value)
        if isinstance(value, dict):
            return {aliases.get(key, key) if aliases.get(key) not in value else key: v for key, v in value.items()}
        return value

    return BeforeValidator(read)


def _base_name(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1]


_IN = _expand_item({"source": "from", "path": "to"}, lambda text: {"from": text, "to": _base_name(text)})
_OUT = _expand_item({"path": "from", "name": "to"}, lambda text: {"from": text, "to": _base_name(text)})


def _signal(text: str) -> str:
    return words.spell_signal(words.parse_signal(text))


class TaskSection(Section):
    """One task. Several, separated by `---`, make a workflow."""

    name: Annotated[str, _worded(words.check_name, words.NAME_FORMS)] = Field(
        description="The task's name: a-z, 0-9 and -.", examples=["train-digits"]
    )
    run: Annotated[str, AfterValidator(_some_script)] = Field(
        description="A shell script; it runs once on each node.", examples=["python train.py"]
    )
    setup: Annotated[str, AfterValidator(_script)] = Field(
        default="", description="Runs before `run`, in the same shell."
    )
    env: dict[EnvName, Annotated[str, BeforeValidator(_text_or_number), _TEXT_OR_NUMBER]] = Field(
        default={}, max_length=MOST_ITEMS, description="Environment variables.", examples=[{"EPOCHS": "20"}]
    )
    count: Annotated[int, _whole(1, MOST_COPIES)] = Field(
        default=1, description="Copies: an array whose members see SUANWANG_ARRAY_INDEX."
    )
    nodes: Annotated[int, _whole(1, MOST_NODES)] = Field(
        default=1, description="Nodes of each copy; more than one needs a Slurm site."
    )
    resources: ResourcesSection = Field(default=ResourcesSection(), description="What one node needs.")
    inputs: Annotated[
        list[Annotated[InputSection, _IN]], BeforeValidator(_pairs("to", "from")), Field(max_length=MOST_ITEMS)
    ] = Field(
        default=[],
        json_schema_extra=_or(_TEXT_MAP),
        description="Files placed before the run: {path: source}, or a list of from and to.",
    )
    outputs: Annotated[
        list[Annotated[OutputSection, _OUT]], BeforeValidator(_pairs("to", "from")), Field(max_length=MOST_ITEMS)
    ] = Field(
        default=[],
        json_schema_extra=_or(_TEXT_MAP),
        description="Files kept after it: {name: path}, or a list of from and to.",
    )
    checkpoint: InnerPath | None = Field(
        default=None, description="A folder whose newest content follows the job.", examples=["ckpt/"]
    )
    needs: Annotated[list[Need], _BOUNDED, _ONE_OR_MANY] = Field(
        default=[],
        json_schema_extra=_or(_TEXT),
        description="Tasks of this file, or jobs (j-…), that must succeed first.",
    )
    constraints: ConstraintsSection = Field(default=ConstraintsSection(), description="Hard limits.")
    objective: Annotated[
        ObjectiveSection, AfterValidator(_some_weight), _parsed(_expand_objective, _OBJECTIVE_FORMS)
    ] = Field(
        default=ObjectiveSection(price=1.0),
        json_schema_extra=_or({"type": "string", "enum": [*_PRESETS]}),
        description="What is to be small: cheapest, greenest, fastest, balanced, or weights.",
    )
    flexibility: FlexibilitySection = Field(
        default=FlexibilitySection(), description="What the network may do for less."
    )
    slurm: SlurmSection = Field(default=SlurmSection(), description="Options only Slurm sites read.")
    signal: Annotated[str, _worded(_signal, words.SIGNAL_FORMS)] | None = Field(
        default=None,
        description="What a run hears when its end is near, in place of TERM; @5m: so long before its time limit too.",
        examples=["USR1", "USR1@5m", "B:USR1@5m"],
    )
    priority: Annotated[str, _one_of(Priority), WithJsonSchema({"type": "string", "enum": [*Priority]})] = Field(
        default="normal", description="Whose turn comes first: low, normal, or high where the project may."
    )
    max_attempts: Annotated[int, _whole(1, 20)] = Field(
        default=3, description="Runs in all when sites fail the job for their own reasons."
    )
