"""Runs as usage records of the Open Grid Forum: Usage Record Format 2.0 (GFD-R-P.204), in XML.

Owns which of its properties are written and what each means here. One record is what one run used within the time asked for;
what was taken back is not in it. Instants are UTC, durations those of ISO 8601.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from xml.sax.saxutils import escape, quoteattr

from suanwang.domain.connector import RunState
from suanwang.domain.identity import Project
from suanwang.domain.ids import ProjectId
from suanwang.trading.disputes import credit_name
from suanwang.trading.invoicing import Adjustment, Charge
from suanwang.trading.ledger import CURRENCY

NAMESPACE = "http://schema.ogf.org/urf/2013/04/urf"
MEDIA_TYPE = "application/xml"
STATUS: Mapping[RunState, str] = {
    RunState.SUCCEEDED: "completed",
    RunState.FAILED: "failed",
    RunState.TIMED_OUT: "failed",
    RunState.OUT_OF_MEMORY: "failed",
    RunState.CANCELLED: "aborted",
    RunState.SITE_FAILED: "aborted",
}
_UNWRITABLE = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_US = timedelta(microseconds=1)


@dataclass(slots=True)
class _Run:
    """What one run came to within the time."""

    first: Charge
    begin: datetime
    end: datetime
    numbers: list[int] = field(default_factory=list)
    wall: timedelta = timedelta()
    amount_fen: int = 0

    def add(self, charge: Charge) -> None:
        usage = charge.usage
        if usage.corrects is None:
            self.begin, self.end = min(self.begin, usage.from_at), max(self.end, usage.to_at)
        else:
            self.end = min(self.end, usage.from_at)  # Records of a run are taken back from its end.
        self.numbers.append(int(usage.id.rpartition(":")[2]))
        self.wall += usage.us * _US
        self.amount_fen += charge.line.amount_fen

    @property
    def whole(self) -> bool:
        """Whether every record of a run that has ended is in it."""
        ran = self.first.ran
        return ran.outcome is not None and len(self.numbers) == ran.records


def records(
    charges: Iterable[Charge],
    credits: Iterable[Adjustment],  # noqa: A002 - the field's own word
    projects: Mapping[ProjectId, Project],
    created_at: datetime,
) -> Iterator[str]:
    """The document in pieces, a run each, then a record without duration for what each dispute gave back. All runs of the
    time are held while their records are gathered."""
    runs: dict[str, _Run] = {}
    for charge in charges:
        usage = charge.usage
        made = runs.setdefault(usage.allocation_id, _Run(charge, usage.from_at, usage.to_at))
        made.add(charge)
    yield f'<?xml version="1.0" encoding="UTF-8"?>\n<urf:UsageRecords xmlns:urf="{NAMESPACE}">\n'
    for run in runs.values():
        yield _element("UsageRecord", *_blocks(run, projects, created_at))
    for credit in credits:
        yield _element("UsageRecord", *_credit(credit, created_at))
    yield "</urf:UsageRecords>\n"


def _blocks(run: _Run, projects: Mapping[ProjectId, Project], created_at: datetime) -> Iterator[str]:
    usage, ran = run.first.usage, run.first.ran
    project = projects.get(usage.project)
    labels = {} if project is None else project.labels
    yield _element(
        "RecordIdentityBlock",
        # A run that the time cuts has records of other numbers in another export.
        _property("RecordId", f"{usage.allocation_id}:{min(run.numbers)}-{max(run.numbers)}"),
        _property("CreateTime", _instant(created_at)),
        _property("Site", usage.site_id),
    )
    yield _element(
        "SubjectIdentityBlock",
        _property("GlobalUserId", run.first.owner),
        _property("GlobalGroupId", usage.project),
        *(_property("GlobalGroupAttribute", value, type=name) for name, value in sorted(labels.items()) if value),
    )
    # Processor time is measured over a whole run, and can be told of no part of it.
    cpu = ran.cpu_s if run.whole else None
    yield _element(
        "ComputeUsageBlock",
        *(() if cpu is None else (_property("CpuDuration", duration(timedelta(seconds=cpu)), usageType="all"),)),
        _property("WallDuration", duration(run.wall)),
        _property("StartTime", _instant(run.begin)),
        _property("EndTime", _instant(run.end)),
        *(_property("ExecutionHost", node) for node in ran.nodes),
        _property("Processors", str(usage.cores)),
        *((_property("NodeCount", str(len(ran.nodes))),) if ran.nodes else ()),
        *((_property("ExitStatus", str(ran.exit_code)),) if run.whole and ran.exit_code is not None else ()),
        _property("Charge", f"{Decimal(run.amount_fen) / 100:.2f}", unit=CURRENCY),
    )
    yield _element(
        "JobUsageBlock",
        _property("GlobalJobId", usage.job_id),
        *((_property("LocalJobId", ran.native_id),) if ran.native_id else ()),
        _property("JobName", run.first.task),
        _property("MachineName", usage.site_id),
        _property("Status", "started" if ran.outcome is None else STATUS.get(ran.outcome, "aborted")),
    )


def _credit(credit: Adjustment, created_at: datetime) -> Iterator[str]:
    yield _element(
        "RecordIdentityBlock",
        _property("RecordId", credit_name(credit.usage_id)),
        _property("CreateTime", _instant(created_at)),
        _property("Site", credit.site),
    )
    yield _element(
        "SubjectIdentityBlock",
        _property("GlobalUserId", credit.owner),
        _property("GlobalGroupId", credit.project),
    )
    yield _element(
        "ComputeUsageBlock",
        _property("WallDuration", duration(timedelta())),
        _property("StartTime", _instant(credit.at)),
        _property("EndTime", _instant(credit.at)),
        _property("Charge", f"{Decimal(-credit.amount_fen) / 100:.2f}", unit=CURRENCY),
    )
    yield _element(
        "JobUsageBlock",
        _property("GlobalJobId", credit.job),
        _property("JobName", credit.task),
        _property("MachineName", credit.site),
        _property("Status", "completed"),
    )


def duration(length: timedelta) -> str:
    """Seconds of ISO 8601, such as `PT95.5S`; none is negative here but what was taken back beyond its run."""
    sign = "-" if length < timedelta() else ""
    whole, rest = divmod(abs(length) // _US, 1_000_000)
    return f"{sign}PT{whole}" + (f".{rest:06d}".rstrip("0") if rest else "") + "S"


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _element(name: str, *inner: str) -> str:
    return f"<urf:{name}>\n{''.join(inner)}</urf:{name}>\n"


def _property(name: str, text: str, **attributes: str) -> str:
    told = "".join(f" urf:{key}={quoteattr(_printable(value))}" for key, value in attributes.items())
    return f"<urf:{name}{told}>{escape(_printable(text))}</urf:{name}>\n"


def _printable(text: str) -> str:
    """Without the control characters that XML 1.0 has no way to write."""
    return _UNWRITABLE.sub("", text)
