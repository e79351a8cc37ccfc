"""What a need takes on each kind of device: estimates side by side, and why the other devices cannot.

Owns which names are looked up and how a list of estimates is ordered. Knows nothing of sites, prices or room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from suanwang import catalog
from suanwang.domain.errors import InvalidRequest
from suanwang.measuring.calibration import NOTHING_LEARNT, EfficiencyState
from suanwang.measuring.cores import ProcessorProfile, processor_profile_of
from suanwang.measuring.estimating import estimate
from suanwang.measuring.need import CoreHoursNeed, Need
from suanwang.measuring.outcome import Estimate
from suanwang.measuring.profile import REFERENCE, profile_of

MOST_DEVICES = 200
"""Devices one requirement is reckoned for; the catalogue has fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """Estimates by card-hours, the least first; `unfit` has the reason of each other device."""

    estimates: tuple[Estimate, ...]
    unfit: Mapping[str, str]


def requirement_of(
    need: Need,
    *,
    named: Sequence[str] = (),
    present: Sequence[str] = (),
    count: int | None = None,
    learnt: EfficiencyState = NOTHING_LEARNT,
) -> Requirement:
    """What `need` takes on the devices `named`, else on those `present`, else on the reference card.

    `named` are any names of the catalogue (processors for core-hours); `present` are identifiers that sites gave, which
    the catalogue may not know. Raises `InvalidRequest` for an unknown name, and where nothing can do the work.
    """
    if len(named) > MOST_DEVICES:
        message = f"{len(named)} devices in one question"
        raise InvalidRequest(message, field="devices", allowed=f"up to {MOST_DEVICES} names")
    if isinstance(need, CoreHoursNeed):
        return Requirement(estimates=_on_cores(need, named, count, learnt), unfit={})
    names = [catalog.accelerator(name, field="devices").id for name in named]
    known = catalog.accelerators()
    found: list[Estimate] = []
    unfit: dict[str, str] = {}
    for name in dict.fromkeys(names or present or [REFERENCE.name]):
        if name not in known:
            unfit[name] = f"{name} is not in the catalogue"
            continue
        try:
            found.append(estimate(need, profile_of(known[name]), count, learnt))
        except InvalidRequest as error:
            unfit[name] = error.message
    if not found:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in unfit.items())
        raise InvalidRequest(
            f"no device can do this work: {reasons}", field="devices", allowed="another device or another need"
        )
    return Requirement(estimates=tuple(sorted(found, key=lambda e: (e.card_hours.mid, e.device))), unfit=unfit)


def _on_cores(
    need: CoreHoursNeed, named: Sequence[str], count: int | None, learnt: EfficiencyState
) -> tuple[Estimate, ...]:
    profiles = [processor_profile_of(catalog.processor(name, field="devices")) for name in dict.fromkeys(named)]
    if not profiles:
        profiles = [ProcessorProfile(name="cpu", cores=count or 1)]
    found = [estimate(need, profile, count, learnt) for profile in profiles]
    return tuple(sorted(found, key=lambda e: (e.card_hours.mid, e.device)))
