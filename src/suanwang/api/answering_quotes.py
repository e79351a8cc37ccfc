"""How requirements, quotes, lessons, capability and the catalogue look on the wire.

Owns these field names together with `client.quote_models`. Renders without validating again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from suanwang import catalog
from suanwang.api.answering import Row, exclusion, price, vouched
from suanwang.control.capability import Capability, Part
from suanwang.control.quotes import Lesson
from suanwang.domain.device import Accelerator, Fact, Figure, Processor
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.job import Prediction, Span
from suanwang.domain.quote import Offer, Quote
from suanwang.measuring.calibration import EfficiencyState
from suanwang.measuring.capability import CapabilityVector, Quantity
from suanwang.measuring.interval import NORMAL_80, Interval
from suanwang.measuring.outcome import Estimate, Serving
from suanwang.measuring.profile import profile_of
from suanwang.measuring.trial import Extrapolation
from suanwang.measuring.units import units_of
from suanwang.measuring.workclass import WorkClass
from suanwang.scheduling.quoting import Found
from suanwang.scheduling.requirement import Requirement


def span(value: Span | Interval) -> Row:
    return {"low": value.low, "mid": value.mid, "high": value.high}


def _maybe(value: Span | Interval | None) -> Row | None:
    return None if value is None else span(value)


def requirement(value: Requirement) -> Row:
    return {
        "estimates": [estimate(found) for found in value.estimates],
        "unfit": [{"device": device, "reason": reason} for device, reason in value.unfit.items()],
    }


def estimate(value: Estimate) -> Row:
    split, memory, waste = value.split, value.memory, value.waste
    return {
        "device": value.device,
        "work_class": value.work_class,
        "precision": value.precision,
        "cards": value.cards,
        "least_cards": value.least_cards,
        "work_pd": value.work_pd,
        "counted_pd": value.counted_pd,
        "hours": span(value.hours),
        "card_hours": span(value.card_hours),
        "unit_hours": span(value.unit_hours),
        "energy_kwh": _maybe(value.energy_kwh),
        "efficiency": span(value.efficiency),
        "mfu": _maybe(value.mfu),
        "step_s": _maybe(value.step_s),
        "split": None
        if split is None
        else {
            "tensor": split.tensor,
            "pipeline": split.pipeline,
            "data": split.data,
            "expert": split.expert,
            "zero": int(split.zero),
        },
        "serving": _serving(value.serving),
        "memory": None
        if memory is None
        else {
            "total_gb": memory.total_gb,
            "weights_gb": memory.weights_gb,
            "gradients_gb": memory.gradients_gb,
            "optimizer_gb": memory.optimizer_gb,
            "activations_gb": memory.activations_gb,
            "kv_cache_gb": memory.kv_cache_gb,
        },
        "waste": None
        if waste is None
        else {
            "used": waste.used,
            "sufficient": waste.sufficient,
            "card_hours": waste.card_hours,
            "energy_kwh": waste.energy_kwh,
        },
        "assumptions": value.assumptions,
    }


def _serving(value: Serving | None) -> Row | None:
    if value is None:
        return None
    return {
        "tensor": value.tensor,
        "pipeline": value.pipeline,
        "replicas": value.replicas,
        "batch": value.batch,
        "ttft_s": span(value.ttft_s),
        "tpot_s": span(value.tpot_s),
        "requests_per_s": span(value.requests_per_s),
        "output_tokens_per_s": span(value.output_tokens_per_s),
    }


def _prediction(value: Prediction | None) -> Row | None:
    if value is None:
        return None
    return {
        "device": value.device,
        "work_class": value.work_class,
        "published_hours": value.published_hours,
        "hours": span(value.hours),
    }


def offer(value: Offer) -> Row:
    return {
        "number": value.number,
        "site": value.site,
        "device_model": value.device_model,
        "cards": value.cards,
        "nodes": value.nodes,
        "devices_per_node": value.devices_per_node,
        "cores_per_node": value.cores_per_node,
        "memory_gb_per_node": value.memory_gb_per_node,
        "start_at": value.start_at,
        "hours": span(value.hours),
        "finish_at": value.finish_at,
        "price_yuan": span(value.price_yuan),
        "energy_kwh": span(value.energy_kwh),
        "carbon_g": span(value.carbon_g),
        "score": value.score,
        "price": price(value.price),
        "voucher": vouched(value.voucher),
        "parts": [
            {"text": part.text, "from_at": part.from_at, "hours": part.hours, "yuan": part.yuan} for part in value.parts
        ],
        "prediction": _prediction(value.prediction),
    }


def page_of(quote_id: str) -> str:
    """The address of a quote's page, under the network's own."""
    return f"/quotes/{quote_id}"


def quote(value: Quote, now: datetime, *, chinese: bool) -> Row:
    return {
        "id": value.id,
        "project": value.project,
        "owner": value.owner,
        "title": value.title,
        "source": value.source,
        "created_at": value.created_at,
        "expires_at": value.expires_at,
        "expired": now >= value.expires_at,
        "offers": [offer(item) for item in value.offers],
        "excluded": [exclusion(reason, chinese=chinese) for reason in value.excluded],
        "assumptions": value.assumptions,
        "work_pd": value.work_pd,
        "page": page_of(value.id),
    }


def preview(value: Found | None, *, chinese: bool, problems: Sequence[Mapping[str, object]] = ()) -> Row:
    return {
        "offers": [offer(item) for item in value.offers] if value else [],
        "excluded": [exclusion(reason, chinese=chinese) for reason in value.excluded] if value else [],
        "assumptions": value.assumptions if value else (),
        "work_pd": value.work_pd if value else None,
        "problems": problems,
    }


def extrapolation(value: Extrapolation) -> Row:
    return {
        "seconds": span(value.seconds),
        "step_s": span(value.step_s),
        "startup_s": value.startup_s,
        "reach": value.reach,
        "sure": value.sure,
        "remark": value.remark,
    }


def lesson(value: Lesson) -> Row:
    taught = value.taught
    return {
        "job": taught.job_id if value.visible else None,
        "site": taught.site,
        "device": taught.prediction.device,
        "work_class": taught.prediction.work_class,
        "predicted_hours": span(taught.prediction.hours),
        "published_hours": taught.prediction.published_hours,
        "measured_hours": taught.measured_hours,
        "z": taught.z,
        "outlier": taught.outlier,
        "interrupted": taught.interrupted,
        "factor_before": taught.factor_before,
        "factor_after": taught.factor_after,
        "at": taught.at,
    }


def beliefs(state: EfficiencyState) -> list[Row]:
    """By device and class; the factor's bounds are those of what is believed, not of one run."""
    rows: list[Row] = []
    for (device, work_class), belief in sorted(state.beliefs.items()):
        spread = math.exp(NORMAL_80 * belief.sd)
        rows.append(
            {
                "device": device,
                "work_class": work_class,
                "factor": {"low": belief.factor / spread, "mid": belief.factor, "high": belief.factor * spread},
                "runs": belief.runs,
                "outliers": len(belief.outliers),
            }
        )
    return rows


# capability


def capability(value: Capability) -> Row:
    return {
        "name": value.name,
        **_vector(value.total),
        "parts": [_part(part) for part in value.parts],
        "shortfalls": [
            {
                "site": site,
                "metric": fell.metric_type,
                "declared": fell.declared,
                "measured": fell.measured,
                "ratio": fell.ratio,
                "at": fell.at,
            }
            for site, fell in value.shortfalls
        ],
        "remarks": value.remarks,
    }


def _part(value: Part) -> Row:
    return {"kind": value.kind, "name": value.name, "count": value.count, **_vector(value.whole)}


def _vector(value: CapabilityVector) -> Row:
    return {
        "dimensions": [
            {
                "metric": metric,
                "unit": dimension.unit,
                "side": dimension.side,
                "nominal": _quantity(dimension.nominal),
                "measured": _quantity(dimension.measured),
                "sold": _quantity(dimension.sold),
            }
            for metric, dimension in sorted(value.dimensions.items())
        ],
        "units": _units(value.units),
    }


def _quantity(value: Quantity | None) -> Row | None:
    if value is None:
        return None
    return {
        "value": value.value,
        "source": value.source,
        "statistic": value.statistic,
        "parts": value.parts,
        "of": value.of,
    }


def _units(value: Mapping[WorkClass, Interval]) -> list[Row]:
    return [{"work_class": work_class, "units": span(units)} for work_class, units in value.items()]


# the catalogue


def figure(value: Figure | None) -> Row | None:
    if value is None:
        return None
    return {"value": value.value, "source": value.source, "published_on": value.published_on, "note": value.note}


def _fact(value: Fact | None) -> Row | None:
    if value is None:
        return None
    return {"value": value.value, "source": value.source, "published_on": value.published_on, "note": value.note}


def _bare(value: Figure | None) -> float | None:
    return None if value is None else value.value


def accelerator_row(value: Accelerator) -> Row:
    return {
        "id": value.id,
        "vendor": value.vendor,
        "model": value.model,
        "kind": value.kind,
        "domestic": value.domestic,
        "rates": {precision: rate.value for precision, rate in value.rates.items()},
        "memory_gb": _bare(value.memory_gb),
        "memory_bandwidth_gb_s": _bare(value.memory_bandwidth_gb_s),
        "power_w": _bare(value.power_w),
        "released": value.released.value if value.released else None,
    }


def accelerator(value: Accelerator) -> Row:
    """With every figure's source, and its worth in units where the catalogue knows enough."""
    try:
        units = _units(units_of(profile_of(value)))
    except InvalidRequest:
        units = []
    return {
        "id": value.id,
        "vendor": value.vendor,
        "model": value.model,
        "kind": value.kind,
        "domestic": value.domestic,
        "rates": {precision: figure(rate) for precision, rate in value.rates.items()},
        "sparse_rates": {precision: figure(rate) for precision, rate in value.sparse_rates.items()},
        "printed": {field: figure(printed) for field, printed in value.printed.items()},
        "memory_gb": figure(value.memory_gb),
        "memory_type": value.memory_type,
        "memory_bandwidth_gb_s": figure(value.memory_bandwidth_gb_s),
        "links": [
            {"name": link.name, "bandwidth_gb_s": figure(link.bandwidth_gb_s), "direction": link.direction}
            for link in value.links
        ],
        "power_w": figure(value.power_w),
        "process_nm": figure(value.process_nm),
        "released": _fact(value.released),
        "software": value.software,
        "aliases": value.aliases,
        "families": value.families,
        "slurm_gres": value.slurm_gres,
        "kubernetes": value.kubernetes,
        "note": value.note,
        "units": units,
        "sources": [_reference(key) for key in sorted(set(_sources(value)))],
    }


def _sources(value: Accelerator) -> Iterable[str]:
    single = (value.memory_gb, value.memory_bandwidth_gb_s, value.power_w, value.process_nm, value.released)
    for cited in (*value.rates.values(), *value.sparse_rates.values(), *value.printed.values(), *single):
        if cited is not None:
            yield cited.source
    for link in value.links:
        yield link.bandwidth_gb_s.source


def _reference(key: str) -> Row:
    found = catalog.references()[key]
    return {
        "key": key,
        "title": found.title,
        "publisher": found.publisher,
        "published_on": found.published_on,
        "locator": found.locator,
        "licence": found.licence,
    }


def processor_row(value: Processor) -> Row:
    return {
        "id": value.id,
        "vendor": value.vendor,
        "model": value.model,
        "isa": value.isa,
        "domestic": value.domestic,
        "cores": int(value.cores.value),
        "base_ghz": _bare(value.base_ghz),
        "fp64_tflops": value.fp64_tflops,
        "memory_bandwidth_gb_s": _bare(value.memory_bandwidth_gb_s),
        "power_w": _bare(value.power_w),
        "released": value.released.value if value.released else None,
    }
