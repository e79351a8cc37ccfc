"""A site's measured standing against what it declares.

Owns which probe results are believed, when a site is marked, and how much slower it is then reckoned: it is placed and
quoted by what was measured. Chips are probed by number; a site with several models declares what the weakest does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from suanwang import catalog
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import SiteId
from suanwang.domain.sample import Sample
from suanwang.domain.site import Offering, Shortfall, Site
from suanwang.measuring import plausibility
from suanwang.measuring.plausibility import Limits, doubts

PROBED = ("compute.matmul.", "memory.bandwidth", "device.", "disk.", "network.")
"""Metrics that only a probe gives; load reports use others."""
STATISTICS = ("median", "iqr")
NOT_BELIEVED = "its probe is not believed: "
"""Begins every warning about a probe's figure."""
_MOST_WARNINGS = 20
_DEVICE = re.compile(r"device\.\d+\.")


def check_declared(offering: Offering) -> None:
    """Raises `InvalidRequest` for a declared rate that physics or the printed peak of the site's devices rules out."""
    known = catalog.accelerators()
    models = {pool.model for pool in offering.devices}
    # Of a chip that the catalogue does not know nothing is printed.
    devices = [known[model] for model in sorted(models)] if models <= known.keys() else []
    for name, reason in plausibility.declared_beyond(offering.declares, devices).items():
        raise InvalidRequest(
            f"the site cannot sustain it: {reason}",
            field=f"declares.{name[:60]}",
            allowed="what a probe can measure there",
        )


def slowness(sites: Sequence[Site]) -> Mapping[tuple[SiteId, str | None], float]:
    """(site, device model, or None for its cores) → factor of at least 1 on hours, where a site fell short."""
    factors: dict[tuple[SiteId, str | None], float] = {}
    for site in sites:
        for fell in site.shortfalls:
            models: list[str | None] = [None]
            if fell.metric_type.startswith("device."):
                models = [pool.model for pool in site.offering.devices]
            elif not fell.metric_type.startswith(("compute.", "memory.")):
                continue
            for model in models:
                factors[site.id, model] = max(factors.get((site.id, model), 1.0), 1 / fell.ratio)
    return factors


def judged(
    site: Site, samples: Sequence[Sample], now: datetime, *, told: Sequence[str] = ()
) -> tuple[Site, tuple[Sample, ...]]:
    """The site as its probe marks it, and the samples that can be believed; the others become warnings.

    Warnings about a probe stay until the next probe: `told` are those the site had before this report.
    """
    probed = [sample for sample in samples if sample.metric_type.startswith(PROBED)]
    if not probed:
        kept = [warning for warning in told if warning.startswith(NOT_BELIEVED)]
        return replace(site, warnings=_once((*site.warnings, *kept))), tuple(samples)
    reasons = {doubt.metric_type: doubt.reason for doubt in doubts(probed, now=now, limits=_limits(site))}
    for sample in probed:
        if sample.statistic not in STATISTICS and not sample.metric_type.startswith("network."):
            allowed = " and ".join(STATISTICS)
            reasons[sample.metric_type] = f"its statistic is {sample.statistic[:20]!r}, a probe gives {allowed}"
    good = tuple(sample for sample in samples if sample.metric_type not in reasons)
    rates = _rates([sample for sample in good if sample.metric_type.startswith(PROBED)])
    fell = [shortfall for shortfall in site.shortfalls if shortfall.metric_type not in rates]
    for name, measured in sorted(rates.items()):
        declared = site.offering.declares.get(name)
        if declared is not None and plausibility.shortfall(declared, measured) is not None:
            fell.append(Shortfall(metric_type=name, declared=declared, measured=measured, at=now))
    warned = (f"{NOT_BELIEVED}{metric[:60]}: {reason}" for metric, reason in reasons.items())
    return replace(site, shortfalls=tuple(fell), warnings=_once((*site.warnings, *warned))), good


def _rates(probed: Sequence[Sample]) -> Mapping[str, float]:
    """Medians by the name under which a site declares; of several chips the slowest."""
    rates: dict[str, float] = {}
    for sample in probed:
        if sample.statistic == "median":
            name = _DEVICE.sub("device.", sample.metric_type)
            rates[name] = min(sample.value, rates.get(name, sample.value))
    return rates


def _once(warnings: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(warnings))[:_MOST_WARNINGS]


def _limits(site: Site) -> Limits:
    """Printed peaks of what the site says it has, by the number under which a probe names each device."""
    most: dict[str, float] = {}
    known = catalog.accelerators()
    for pool in site.offering.devices:
        if pool.model not in known:
            continue
        for index in range(pool.per_node):
            for metric, peak in plausibility.limits_of(known[pool.model], index=index).most.items():
                most[metric] = max(peak, most.get(metric, 0.0))
    return Limits(most=most)
