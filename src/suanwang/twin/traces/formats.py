"""The table of formats, and how one is recognised.

Owns names and signatures; what a format means is its reader's business.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import pyarrow as pa
import pyarrow.parquet as papq

from suanwang.domain.errors import InvalidRequest
from suanwang.twin.trace import COLUMNS, Trace
from suanwang.twin.traces import (
    acme,
    alibaba_2020,
    alibaba_2023,
    alibaba_2025,
    alibaba_2026_requests,
    alibaba_2026_spot,
    azure_llm,
    gaia,
    helios,
    mooncake,
    opendc,
    own,
    philly,
    philly_sia,
    swf,
)
from suanwang.twin.traces.source import Given, Source, open_source
from suanwang.twin.traces.table import header_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One kind of file. `columns` is the header that a CSV or Parquet of it has at least."""

    name: str
    title: str
    read: Callable[..., Trace]
    columns: tuple[str, ...] = ()
    options: frozenset[str] = field(default_factory=frozenset)
    """Which of `zone`, `unit`, `demand` and `lenient` it takes."""


_ZONE = frozenset({"zone"})
FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        made.name: made
        for made in (
            Format(name="suanwang", title="our own Parquet or CSV", read=own.read, columns=COLUMNS),
            Format(
                name="swf",
                title="Standard Workload Format (Parallel Workloads Archive)",
                read=swf.read,
                options=frozenset({"lenient"}),
            ),
            Format(
                name="alibaba-2020",
                title="Alibaba PAI 2020, pai_task_table",
                read=alibaba_2020.read,
                columns=alibaba_2020.NEEDS,
            ),
            Format(
                name="alibaba-2023",
                title="Alibaba 2023, openb_pod_list",
                read=alibaba_2023.read,
                columns=alibaba_2023.NEEDS[:5],
            ),
            Format(
                name="alibaba-2025",
                title="Alibaba 2025, disaggregated_DLRM_trace",
                read=alibaba_2025.read,
                columns=alibaba_2025.NEEDS,
            ),
            Format(
                name="alibaba-2026-requests",
                title="Alibaba GenAI 2026, lora_request_trace",
                read=alibaba_2026_requests.read,
                columns=alibaba_2026_requests.NEEDS,
                options=_ZONE,
            ),
            Format(
                name="alibaba-2026-spot",
                title="Alibaba spot GPU 2026, job_info_df",
                read=alibaba_2026_spot.read,
                columns=alibaba_2026_spot.NEEDS,
            ),
            Format(name="philly", title="Microsoft Philly, cluster_job_log", read=philly.read, options=_ZONE),
            Format(
                name="philly-sia",
                title="Microsoft Philly as Sia's CSV",
                read=philly_sia.read,
                columns=philly_sia.NEEDS,
                options=_ZONE,
            ),
            Format(
                name="helios",
                title="SenseTime Helios, cluster_log",
                read=helios.read,
                columns=helios.NEEDS,
                options=_ZONE,
            ),
            Format(
                name="acme",
                title="Acme, trace_seren and trace_kalos",
                read=acme.read,
                columns=acme.NEEDS,
                options=_ZONE,
            ),
            Format(
                name="gaia",
                title="GAIA's PAI, Azure and Mustang",
                read=gaia.read,
                columns=gaia.NEEDS,
                options=frozenset({"unit"}),
            ),
            Format(
                name="azure-llm",
                title="Azure LLM inference 2023",
                read=azure_llm.read,
                columns=azure_llm.NEEDS,
                options=frozenset({"zone", "demand"}),
            ),
            Format(name="mooncake", title="Mooncake requests", read=mooncake.read, options=frozenset({"demand"})),
            Format(name="opendc", title="OpenDC tasks (SURF)", read=opendc.read, columns=opendc.NEEDS, options=_ZONE),
        )
    }
)


def read_trace(path: Given, format: str | None = None, *, member: str | None = None, **options: object) -> Trace:  # noqa: A002
    """The trace in a file, whatever it is packed in.

    `format` is a key of `FORMATS`; without it the file's first bytes decide. `member` is the file in an archive. Options:
    `zone` of naive times, `unit` of GAIA's, `demand` (a `Demand`) of requests to language models, `lenient` of SWF.
    Raises `InvalidRequest`, `NotFound`, `TooLarge`.
    """
    if format is not None and format not in FORMATS:
        raise InvalidRequest(f"no trace format {format!r}", field="format", allowed=", ".join(FORMATS))
    source = open_source(path, member=member)
    chosen = FORMATS[format or detect(source)]
    given = {key: value for key, value in options.items() if value is not None}
    for key in given:
        if key not in chosen.options:
            takers = [one.name for one in FORMATS.values() if key in one.options]
            raise InvalidRequest(
                f"format {chosen.name} takes no {key}", field=key, allowed=f"for {', '.join(takers) or 'none'}"
            )
    return chosen.read(source, **given)


def detect(path: Given, *, member: str | None = None) -> str:
    """The name of a file's format, by its first bytes. Raises `InvalidRequest` naming the choices."""
    source = open_source(path, member=member)
    found = _of_parquet(source) if source.data.startswith(b"PAR1") else _of_text(source)
    if found is None:
        raise InvalidRequest(
            f"{source.name}: its format is not recognised", field="format", allowed=f"say which: {', '.join(FORMATS)}"
        )
    return found


def _of_text(source: Source) -> str | None:
    start = source.data[: 1 << 16].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(own.MARK):
        return "suanwang"
    if start.startswith(b"["):
        return "philly"
    if start.startswith(b"{"):
        return "mooncake"
    lines = [line for line in start.splitlines()[:5_000] if line.strip() and not line.lstrip().startswith(b";")]
    if start.startswith(b";") or (
        lines and len(lines[0].split()) >= len(swf.FIELDS) and b"," not in lines[0].split()[0]
    ):
        return "swf"
    named = _of_columns(header_of(source)) if lines else None
    if named is None and lines:
        cells = lines[0].decode("utf-8", "replace").split(",")
        if len(cells) == len(alibaba_2020.NEEDS) and cells[3] in alibaba_2020.STATES:
            return "alibaba-2020"
    return named


def _of_parquet(source: Source) -> str | None:
    try:
        return _of_columns(tuple(papq.read_schema(io.BytesIO(source.data)).names))
    except (pa.ArrowException, OSError) as error:
        raise InvalidRequest(
            f"{source.name} is a damaged Parquet file: {str(error)[:120]}", field=source.name, allowed="a whole file"
        ) from None


def _of_columns(header: tuple[str, ...]) -> str | None:
    fitting = [one for one in FORMATS.values() if one.columns and set(one.columns) <= set(header)]
    # Of two that fit, the one that explains more of the columns is it.
    return max(fitting, key=lambda one: len(one.columns)).name if fitting else None
