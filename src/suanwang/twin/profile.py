"""What a workload is like, in few numbers: the profile that is fitted to a trace and that new work is drawn from.

Owns the distributions' parameters and their YAML. How they are fitted is `fitting`'s business, how they are drawn from
`generator`'s.

- Arrivals: batches of jobs come as a renewal process whose gaps are gamma distributed with shape `burst` (1 is Poisson,
  less is burstier) on a clock that runs as fast as `week` says, hour by hour. A batch has `n` jobs with probability
  proportional to `n ** -batch.exponent`.
- Sizes: a job is of one of `sizes`, by share. Its cores, devices and memory lie between five quantiles (0, 25, 50, 75,
  100 %), cores and devices at the same height, geometric in between; common sizes are points, rare ones powers of two.
- Run times: a mixture of log-normals for each size, cut to what was seen.
- Limits: with probability `limits.said`, run time over a beta-distributed ratio, in whole `limits.grain_ms`.
- Groups: the k-th has a share proportional to `k ** -groups.exponent` (Zipf).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from suanwang.domain.errors import InvalidRequest
from suanwang.taskfile.problems import InvalidTask
from suanwang.twin.networkfile import only_document, problems_of

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
HOURS = 168
"""Of a week, from Monday's first."""
Share = Annotated[float, Field(gt=0, le=1)]
Amount = Annotated[float, Field(ge=0, le=1e9)]
Knots = tuple[Amount, Amount, Amount, Amount, Amount]
Milliseconds = Annotated[int, Field(ge=1, le=10**13)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Zipf:
    """Shares of 1 … `most`, proportional to `k ** -exponent`."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    exponent: Annotated[float, Field(ge=0, le=50)]
    most: Annotated[int, Field(ge=1, le=1_000_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lognormal:
    """One part of a mixture: mean and deviation of the logarithm of the run time in ms."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    share: Share
    mean: Annotated[float, Field(ge=-1, le=30)]
    sd: Annotated[float, Field(gt=0, le=20)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Jobs of one size. Knots are quantiles: 0, 25, 50, 75, 100 %."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    share: Share
    cores: Knots
    devices: Knots
    memory_gb: Knots
    run: Annotated[tuple[Lognormal, ...], Field(min_length=1, max_length=16)]
    least_ms: Annotated[int, Field(ge=0, le=10**13)]
    most_ms: Annotated[int, Field(ge=0, le=10**13)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How people's limits compare with their run times: a share says one, run over limit is Beta(`a`, `b`)."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    said: Share
    a: Annotated[float, Field(gt=0, le=1e6)]
    b: Annotated[float, Field(gt=0, le=1e6)]
    grain_ms: Milliseconds
    most_ms: Milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A workload in few numbers; see the module for what they mean."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    name: Annotated[str, Field(min_length=1, max_length=100)]
    source: Annotated[str, Field(min_length=1, max_length=1000)]
    """The trace it was fitted to, with its licence, and what to know of it."""
    fitted_jobs: Annotated[int, Field(ge=1)]
    fitted_days: Annotated[float, Field(ge=0)]
    utc_offset_h: Annotated[float, Field(ge=-12, le=14)] | None
    """Whose week `week` is; nothing where the trace has no dates and its first hour is Monday's by convention."""
    jobs_hour: Annotated[float, Field(gt=0, le=1e9)]
    week: Annotated[tuple[Annotated[float, Field(ge=0, le=HOURS)], ...], Field(min_length=HOURS, max_length=HOURS)]
    """`[hour]`: arrivals relative to the mean, which is 1."""
    burst: Annotated[float, Field(gt=0, le=1000)]
    batch: Zipf
    arrival_grain_ms: Milliseconds
    run_grain_ms: Milliseconds
    sizes: Annotated[tuple[Size, ...], Field(min_length=1, max_length=64)]
    limits: Limits | None
    groups: Zipf

    def __post_init__(self) -> None:
        shares = [size.share for size in self.sizes]
        parts = [sum(part.share for part in size.run) for size in self.sizes]
        if any(abs(total - 1) > 1e-3 for total in (sum(shares), *parts)):
            raise InvalidRequest(f"{self.name}: shares do not sum to 1", field="sizes", allowed="shares that sum to 1")
        if not 0.99 * HOURS < sum(self.week) < 1.01 * HOURS:
            raise InvalidRequest(f"{self.name}: the week's mean is not 1", field="week", allowed="168 values of mean 1")
        for index, size in enumerate(self.sizes):
            for key in ("cores", "devices", "memory_gb"):
                knots = getattr(size, key)
                if list(knots) != sorted(knots):
                    raise InvalidRequest(f"{self.name}: falling knots", field=f"sizes[{index}].{key}", allowed="rising")
            if size.most_ms < size.least_ms:
                raise InvalidRequest(
                    f"{self.name}: no run time", field=f"sizes[{index}].most_ms", allowed=f"{size.least_ms} or more"
                )


_ADAPTER: TypeAdapter[Profile] = TypeAdapter(Profile)


def shipped() -> tuple[str, ...]:
    """Names of the profiles that come with the product."""
    return tuple(sorted(path.stem for path in _shelf().glob("*.yaml")))


def read_profile(name: Path | str) -> Profile:
    """A shipped profile by its name, or a YAML file. Raises `InvalidRequest`, with every problem, its field and line."""
    path = _shelf() / f"{name}.yaml" if str(name) in shipped() else Path(name)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InvalidRequest(
            f"no profile {name}: {error.strerror}", field="profile", allowed=f"a file, or one of {', '.join(shipped())}"
        ) from None
    document = only_document(text, filename=path.name)
    try:
        return _ADAPTER.validate_python(document.value)
    except ValidationError as error:
        raise InvalidTask(problems_of(error, document), filename=path.name) from None


def write_profile(profile: Profile, path: Path | str) -> None:
    """Write a profile as YAML."""
    text = yaml.safe_dump(
        _plain(asdict(profile)), sort_keys=False, allow_unicode=True, width=120, default_flow_style=None
    )
    Path(path).write_text(text, encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def _shelf() -> Path:
    return Path(__file__).parent / "profiles"
