"""How values of the domain look on the wire: plain mappings, rendered straight to JSON.

Owns the field names together with `client.models`, which documents them; `tests` hold both to each other. Renders
without validating again, since what is rendered is our own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson
from fastapi import Response

from suanwang.api.answering_prices import dated, price_list, pricing
from suanwang.control.allowances import Shown
from suanwang.control.jobs import Explanation, Preview
from suanwang.control.sites import SiteView
from suanwang.domain.allowance import Amounts
from suanwang.domain.file import Content, FileRecord
from suanwang.domain.identity import Principal, Project, Role, Token
from suanwang.domain.job import (
    Allocation,
    BillLine,
    Event,
    Exclusion,
    Figures,
    Hold,
    InForce,
    Job,
    LogChunk,
    Point,
    Rank,
    Usage,
    UsageRecord,
    Why,
)
from suanwang.domain.reasons import sentence
from suanwang.domain.sample import Sample
from suanwang.domain.site import Offering, Price
from suanwang.domain.tariff import Tariff
from suanwang.domain.vouching import Vouched
from suanwang.ports import BillTotal
from suanwang.scheduling.plan import Place
from suanwang.taskfile import hide_secrets
from suanwang.taskfile.submission import Submission
from suanwang.taskfile.writing import task_document
from suanwang.translation import reason_in_chinese

Row = dict[str, Any]

_SECRET = re.compile(r"(?i)secret|token|passw|credential|(?:api|access|private)_?key")
_OPTIONS = orjson.OPT_NON_STR_KEYS


def plain(value: object) -> object:
    """What the JSON writer does not know by itself."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    return str(value)


def to_json(value: object) -> bytes:
    return orjson.dumps(value, default=plain, option=_OPTIONS)


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`value` as a JSON response."""
    return Response(to_json(value), status, headers, "application/json")


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def content(value: Content | None) -> Row | None:
    return None if value is None else {"sha256": value.sha256, "size": value.size, "folder": value.folder}


def usage(value: Usage) -> Row:
    return {
        "wall_s": value.wall_s,
        "core_hours": value.core_hours,
        "device_hours": value.device_hours,
        "energy_kwh": value.energy_kwh,
        "carbon_g": value.carbon_g,
        "cost_yuan": money(value.cost_yuan),
    }


def money(value: Decimal) -> str:
    """Yuan without an exponent."""
    return f"{value:f}"


def rank(value: Rank) -> Row:
    return {
        "site": value.site,
        "device_model": value.device_model,
        "score": _finite(value.score),
        "figures": _figures(value.figures),
    }


def _figures(value: Figures) -> Row:
    return {
        "price_yuan": _finite(value.price_yuan),
        "carbon_g": _finite(value.carbon_g),
        "energy_kwh": _finite(value.energy_kwh),
        "finish_s": _finite(value.finish_s),
        "delay_ms": _finite(value.delay_ms),
        "electricity": _in_force(value.electricity),
        "voucher": vouched(value.voucher),
    }


def vouched(value: Vouched | None) -> Row | None:
    return None if value is None else {"voucher": value.voucher, "yuan": value.yuan}


def hold(value: Hold | None) -> Row | None:
    if value is None:
        return None
    return {
        "site": value.expect.site,
        "device_model": value.expect.device_model,
        "start_at": value.start_at,
        "until": value.until,
        "expect": _figures(value.expect.figures),
        "instead": None if value.instead is None else rank(value.instead),
    }


def _in_force(value: InForce | None) -> Row | None:
    if value is None:
        return None
    return {
        "tier": value.tier,
        "yuan_per_kwh": money(value.yuan_per_kwh),
        "drawn_yuan": _finite(value.drawn_yuan),
    }


def exclusion(value: Exclusion, *, chinese: bool) -> Row:
    return {
        "site": value.site,
        "code": value.code,
        "text": reason_in_chinese(value) if chinese else sentence(value),
        "need": value.need,
        "have": value.have,
    }


def why(value: Why | None, *, chinese: bool) -> Row | None:
    if value is None:
        return None
    return {
        "chosen": None if value.chosen is None else rank(value.chosen),
        "others": [rank(other) for other in value.others],
        "excluded": [exclusion(reason, chinese=chinese) for reason in value.excluded],
        "excluded_total": value.excluded_total,
        "decided_at": value.decided_at,
        "note": value.note,
    }


def job(value: Job) -> Row:
    """A job as lists show it."""
    return {
        "id": value.id,
        "name": value.task.name,
        "project": value.project,
        "owner": value.owner,
        "state": value.state,
        "site": value.site_id,
        "array": None
        if value.array_id is None
        else {"id": value.array_id, "index": value.array_index, "count": value.task.count},
        "submitted_at": value.submitted_at,
        "ready_at": value.ready_at,
        "started_at": value.started_at,
        "ended_at": value.ended_at,
        "reason": value.reason,
        "exit_code": value.exit_code,
        "usage": usage(value.usage),
        "billed_fen": value.billed_fen,
        "needs": value.needs,
        "checkpoint": content(value.checkpoint),
        "attempts": value.attempts,
        "priority": value.task.priority,
        "hold": hold(value.hold),
    }


def job_in_full(value: Job, *, chinese: bool) -> Row:
    """With its task, whose secret-looking environment values are hidden, and the last decision."""
    hidden = tuple(name for name in value.task.env if _SECRET.search(name))
    task = task_document(hide_secrets(value.task, hidden))
    return {**job(value), "task": task, "why": why(value.why, chinese=chinese)}


def explanation(value: Explanation, *, chinese: bool) -> Row:
    return {
        "job": job(value.job),
        "verdict": value.verdict,
        "why": why(value.why, chinese=chinese),
        "hold": hold(value.hold),
        "needs": value.needs,
    }


def preview(found: Sequence[Preview], submission: Submission, *, chinese: bool) -> Row:
    return {
        "tasks": [
            {
                "name": item.task.name,
                "count": item.task.count,
                "verdict": item.verdict,
                "why": why(item.why, chinese=chinese),
                "hold": hold(item.hold),
                "holds": _holds(item.place),
            }
            for item in found
        ],
        "problems": [],
        "notes": submission.notes,
        "uploads": [{"local_path": u.local_path, "name": u.name, "to": u.to} for u in submission.uploads],
    }


def _holds(value: Place | None) -> Row | None:
    """None where nothing limits the project."""
    if value is None or not (value.hold_fen or value.aid_fen):
        return None
    return {
        "own_fen": value.hold_fen,
        "voucher": None if value.aid is None else value.aid.voucher,
        "voucher_fen": value.aid_fen,
    }


def price(value: Price) -> Row:
    return {
        "core_hour_yuan": money(value.core_hour_yuan),
        "memory_gb_hour_yuan": money(value.memory_gb_hour_yuan),
        "device_hour_yuan": {model: money(amount) for model, amount in value.device_hour_yuan.items()},
        "electricity": None if value.electricity is None else _tariff(value.electricity),
        "electricity_passed_on": value.electricity_passed_on,
        "lists": [price_list(each) for each in value.lists],
        "dated": [dated(each) for each in value.dated],
    }


def _tariff(value: Tariff) -> Row:
    return {
        "flat_yuan_per_kwh": money(value.flat_yuan_per_kwh),
        "fixed_yuan_per_kwh": money(value.fixed_yuan_per_kwh),
        "periods": [
            {
                "tier": period.tier,
                "hours": period.hours,
                "multiplier": money(period.multiplier),
                "seasons": period.seasons,
            }
            for period in value.periods
        ],
        "area": value.area,
        "document": value.document,
        "assumed": value.assumed,
    }


def allocation(value: Allocation, *, chinese: bool) -> Row:
    return {
        "id": value.id,
        "site": value.site_id,
        "epoch": value.epoch,
        "state": value.state,
        "phase": value.phase,
        "granted_at": value.granted_at,
        "lease_until": value.lease_until,
        "device_model": value.device_model,
        "price": price(value.price),
        "pue": value.pue,
        "carbon_g_per_kwh": value.carbon_g_per_kwh,
        "carbon_daily": value.carbon_daily,
        "power_kw": value.power_kw,
        "native_id": value.native_id,
        "started_at": value.started_at,
        "ended_at": value.ended_at,
        "outcome": value.outcome,
        "exit_code": value.exit_code,
        "reason": value.reason,
        "cpu_s": _finite(value.cpu_s),
        "max_memory_gb": _finite(value.max_memory_gb),
        "nodes": value.nodes,
        "usage": usage(value.usage),
        "why": why(value.why, chinese=chinese),
    }


def log(seq: int, value: LogChunk) -> Row:
    return {
        "seq": seq,
        "allocation": value.allocation_id,
        "stream": value.stream,
        "offset": value.offset,
        "size": value.size,
        "text": value.text,
        "at": value.at,
    }


def state(value: Job) -> Row:
    return {
        "job": value.id,
        "state": value.state,
        "site": value.site_id,
        "reason": value.reason,
        "exit_code": value.exit_code,
    }


def point(value: Point) -> Row:
    return {
        "allocation": value.allocation_id,
        "line": value.line,
        "name": value.name,
        "step": _finite(value.step),
        "value": _finite(value.value),
        "at": value.at,
    }


def usage_record(value: UsageRecord) -> Row:
    return {
        "id": value.id,
        "allocation": value.allocation_id,
        "site": value.site_id,
        "from_at": value.from_at,
        "to_at": value.to_at,
        "cores": value.cores,
        "memory_gb": value.memory_gb,
        "device_model": value.device_model,
        "devices": value.devices,
        "energy_kwh": value.energy_kwh,
        "carbon_g": value.carbon_g,
        "corrects": value.corrects,
    }


def finding(value: Event) -> Row:
    """What `meter.differs` says."""
    return {"seq": value.seq, "at": value.at, "job": value.job_id, "site": value.site_id, **value.data}


def event(value: Event) -> Row:
    return {
        "seq": value.seq,
        "kind": value.kind,
        "at": value.at,
        "project": value.project,
        "job": value.job_id,
        "site": value.site_id,
        "actor": value.actor,
        "data": value.data,
    }


def _offering(value: Offering, *, private: bool) -> Row:
    return {
        "name_zh": value.name_zh,
        "name_en": value.name_en,
        "provider": value.provider,
        "owners": dict(value.owners),
        "region": value.region,
        "latitude": value.latitude,
        "longitude": value.longitude,
        "connector": value.connector,
        "nodes": value.nodes,
        "cores_per_node": value.cores_per_node,
        "memory_gb_per_node": value.memory_gb_per_node,
        "devices": [
            {
                "model": pool.model,
                "kind": pool.kind,
                "count": pool.count,
                "per_node": pool.per_node,
                "memory_gb": pool.memory_gb,
                "precisions": pool.precisions,
                "power_w": pool.power_w,
            }
            for pool in value.devices
        ],
        "price": price(value.price),
        "pue": value.pue,
        "carbon_g_per_kwh": value.carbon_g_per_kwh,
        "carbon_daily": value.carbon_daily,
        "core_power_w": value.core_power_w,
        "datasets": [{"name": data.name, "size": data.size} for data in value.datasets],
        "partition": value.partition,
        "accounts": dict(value.accounts) if private else None,
    }


def site(view: SiteView, caller: Principal) -> Row:
    """A site; the accounts it maps are shown to its own provider and to those who run or watch the network."""
    value, held = view.site, view.held
    private = caller.role in (Role.OPERATOR, Role.REGULATOR) or (
        caller.role is Role.PROVIDER and caller.provider == value.offering.provider
    )
    measured = value.measured
    return {
        "id": value.id,
        "state": value.state,
        "state_since": value.state_since,
        "open": value.open,
        "seen_at": value.seen_at,
        "offering": _offering(value.offering, private=private),
        "measured": None
        if measured is None
        else {
            "cores": measured.cores,
            "memory_gb": measured.memory_gb,
            "devices": measured.devices,
            "foreign_cores": measured.foreign_cores,
            "foreign_memory_gb": measured.foreign_memory_gb,
            "foreign_devices": measured.foreign_devices,
            "observed_at": measured.observed_at,
        },
        "held": {
            "cores": held.cores,
            "memory_gb": held.memory_gb,
            "devices": held.devices,
            "allocations": held.allocations,
        },
        "clock_offset_s": value.clock_offset_s,
        "warnings": value.warnings,
        "revision": value.revision,
    }


def sample(value: Sample) -> Row:
    return {
        "metric_type": value.metric_type,
        "unit": value.unit,
        "value": _finite(value.value),
        "source": value.source,
        "statistic": value.statistic,
        "observed_at": value.observed_at,
    }


def bill_line(value: BillLine) -> Row:
    return {
        "usage_id": value.usage_id,
        "project": value.project,
        "job": value.job_id,
        "site": value.site_id,
        "provider": value.provider,
        "from_at": value.from_at,
        "to_at": value.to_at,
        "description": value.description,
        "rated_yuan": money(value.rated_yuan),
        "amount_fen": value.amount_fen,
        "pricing": None if value.pricing is None else pricing(value.pricing),
    }


def bill_total(value: BillTotal) -> Row:
    return {
        "project": value.project,
        "provider": value.provider,
        "jobs": value.jobs,
        "amount_fen": value.amount_fen,
        "energy_kwh": value.energy_kwh,
        "carbon_g": value.carbon_g,
    }


def principal(value: Principal) -> Row:
    return {
        "name": value.name,
        "role": value.role,
        "projects": value.projects,
        "provider": value.provider,
        "site": value.site_id,
    }


def token(value: Token) -> Row:
    """Without the digest: nobody needs it."""
    return {
        "id": value.id,
        **principal(value.principal),
        "created_at": value.created_at,
        "expires_at": value.expires_at,
        "revoked_at": value.revoked_at,
        "note": value.note,
    }


def project(value: Project) -> Row:
    return {"id": value.id, "title": value.title, "created_at": value.created_at, "labels": dict(value.labels)}


def amounts(value: Amounts) -> Row:
    return {"cores": value.cores, "memory_gb": value.memory_gb, "devices": dict(value.devices)}


def allowance(value: Shown) -> Row:
    standing, allowed = value.standing, value.standing.allowance
    return {
        "project": value.project,
        "weight": allowed.weight,
        "cores": allowed.cores,
        "memory_gb": allowed.memory_gb,
        "devices": dict(allowed.devices),
        "queued": allowed.queued,
        "may_be_high": allowed.may_be_high,
        "held": amounts(standing.holds),
        "lately": amounts(standing.lately),
        "waiting": value.waiting,
    }


def file(value: FileRecord) -> Row:
    return {
        "project": value.project,
        "name": value.name,
        "version": value.version,
        "content": content(value.content),
        "job": value.job_id,
        "site": value.site_id,
        "residency": value.residency,
        "created_at": value.created_at,
    }
