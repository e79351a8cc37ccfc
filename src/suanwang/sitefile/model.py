"""The form of `site.yaml`, checked strictly.

Owns field names and ranges. What they mean is `domain.site`'s.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from suanwang.domain.errors import InvalidRequest
from suanwang.taskfile.quantities import parse_memory_gb

Gigabytes = Annotated[float, BeforeValidator(parse_memory_gb), Field(gt=0, le=65_536)]
Yuan = Annotated[Decimal, BeforeValidator(str), Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Multiplier = Annotated[Decimal, BeforeValidator(str), Field(ge=0, le=100, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]


def _one_line(text: str) -> str:
    if not text.strip() or any(ord(c) < 32 for c in text):
        raise ValueError("one line of text")
    return text.strip()


Line = Annotated[str, Field(max_length=100), AfterValidator(_one_line)]


Share = Annotated[str, BeforeValidator(str), Field(max_length=20)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class NameSection(Section):
    zh: Line
    en: Line


class PositionSection(Section):
    latitude: Number = Field(ge=-90, le=90)
    longitude: Number = Field(ge=-180, le=180)


class DeviceSection(Section):
    """Devices of one model; whatever the catalogue knows need not be repeated."""

    model: Line
    per_node: int = Field(ge=1, le=1024)
    count: int | None = Field(None, ge=1, description="In all; else on every node.")
    price: Yuan = Field(description="Yuan per device and hour.")
    memory: Gigabytes | None = None
    power_w: Number | None = Field(None, ge=0, le=20_000)
    gres: Line | None = Field(None, description="Slurm's own type of it, such as `ascend910b`.")


class PriceSection(Section):
    core_hour: Yuan
    memory_gb_hour: Yuan = Decimal(0)


class PeriodSection(Section):
    """Hours that bear one tier. Hours and days are those of UTC+8."""

    tier: Literal["sharp", "peak", "valley", "deep"]
    hours: Line = Field(description="10-13;17-22, 7:30-10:30, or 23-7 over midnight.")
    multiplier: Multiplier = Field(description="On the flat price.")
    months: Line = Field("all", description="7-9, 1;12, 12-2 over New Year, or days: 7/15-8/31.")


class ElectricitySection(Section):
    """What a kWh costs: by a published schedule, or by the site's own periods."""

    area: Line | None = Field(None, description="A published schedule, such as 贵州 or inner-mongolia-west.")
    flat_yuan_per_kwh: Yuan | None = Field(
        None, description="What the multipliers are on; else the catalogue's figure."
    )
    fixed_yuan_per_kwh: Yuan | None = Field(None, description="What does not float: transmission, funds, losses.")
    periods: tuple[PeriodSection, ...] | None = Field(None, max_length=60, description="Instead of an area's.")
    passed_on: bool = Field(
        description="Whether users pay it per kWh beside the posted price; else it is in that price."
    )


class CarbonSection(Section):
    daily: Literal["constant", "modelled"] = Field(description="Through the day: none, or a model around the average.")


def _daily(value: object) -> object:
    return {"daily": value} if isinstance(value, str) else value


class LocalSection(Section):
    kind: Literal["local"]
    pin_cores: bool = True


class SlurmSection(Section):
    kind: Literal["slurm"]
    conf: Line | None = Field(None, description="Path of slurm.conf, where it is not the default one.")
    partition: Line | None = None
    label: Line | None = Field(
        None, description="Tells this site's jobs from all others on its cluster; by default suanwang-ID."
    )


class RestSection(Section):
    kind: Literal["slurmrestd"]
    url: Line
    user: Line
    token_file: Line = Field(description="A file with the JWT; it is read again when the token has expired.")
    partition: Line | None = None
    label: Line | None = Field(
        None, description="Tells this site's jobs from all others on its cluster; by default suanwang-ID."
    )


class SiteSection(Section):
    id: Line
    name: NameSection | Line
    provider: Line
    owners: dict[Line, Share] = Field(
        default_factory=dict,
        description="Who shares what it earns: organisation → 2/3, 0.25 or 12.5%; exactly 1 in all.",
    )
    region: Line = Field(description="A hub such as `guizhou`, or any name of a region.")
    place: Line | None = Field(None, description="A city the catalogue knows; else give `position`.")
    position: PositionSection | None = None
    nodes: int = Field(ge=1, le=1_000_000)
    cores_per_node: int = Field(ge=1, le=4096)
    memory_per_node: Gigabytes
    devices: tuple[DeviceSection, ...] = ()
    price: PriceSection
    pue: Number = Field(ge=1, le=5)
    carbon_g_per_kwh: Number | None = Field(
        None, ge=0, le=2000, description="Else the province's official grid factor."
    )
    carbon: Annotated[CarbonSection, BeforeValidator(_daily)] = Field(
        CarbonSection(daily="constant"), description="`constant`, or `{daily: modelled}`."
    )
    province: Line | None = None
    electricity: ElectricitySection | None = None
    core_power_w: Number = Field(8.0, ge=0, le=1000)
    declares: dict[str, Annotated[float, Field(gt=0, le=1e6)]] = Field(
        default_factory=dict, description="Sustained rates the site vouches for, by probed metric."
    )
    datasets: dict[str, Line] = Field(default_factory=dict, description="Name → path at the site; never leaves it.")
    accounts: dict[str, Line] = Field(default_factory=dict, description="Project or project/user → POSIX account.")
    probe: bool | None = Field(None, description="Measure the agent's host once a day; by default only where runs go.")
    connector: Annotated[LocalSection | SlurmSection | RestSection, Field(discriminator="kind")]


def refusal(error: ValidationError, filename: str) -> InvalidRequest:
    """A validator's complaints as one error that names the first field."""
    problems = error.errors(include_url=False, include_input=False)
    lines = [f"{_place(problem['loc'])}: {problem['msg']}" for problem in problems]
    first = _place(problems[0]["loc"])
    return InvalidRequest(f"{filename}: " + "; ".join(lines), field=first, allowed=problems[0]["msg"])


def _place(location: tuple[int | str, ...]) -> str:
    """Where in the file: the names of our classes and checks, which a union's members are told apart by, are no part of it."""
    parts = [str(part) for part in location]
    return ".".join(part for part in parts if not part.endswith(("Section", "]"))) or "file"
