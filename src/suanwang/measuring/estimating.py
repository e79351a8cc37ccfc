"""How much does a need take on a device? The one entry of this room for estimates. Owns the dispatch, nothing else."""

from __future__ import annotations

from typing import assert_never

from suanwang.measuring.calibration import NOTHING_LEARNT, EfficiencyState
from suanwang.measuring.checks import whole
from suanwang.measuring.cores import ProcessorProfile, estimate_core_hours
from suanwang.measuring.fitness import DoesNotFit
from suanwang.measuring.inference import estimate_inference
from suanwang.measuring.need import (
    CoreHoursNeed,
    FineTuneNeed,
    InferenceNeed,
    Need,
    SampleNeed,
    SimulationNeed,
    TrainingNeed,
)
from suanwang.measuring.outcome import Estimate, Site
from suanwang.measuring.parallel import MOST_CARDS
from suanwang.measuring.profile import DeviceProfile
from suanwang.measuring.simulation import estimate_samples, estimate_simulation
from suanwang.measuring.training import estimate_training

_ANYWHERE = Site()


def estimate(
    need: Need,
    device: DeviceProfile | ProcessorProfile,
    count: int | None = None,
    efficiencies: EfficiencyState = NOTHING_LEARNT,
    *,
    site: Site = _ANYWHERE,
) -> Estimate:
    """What `need` takes on `count` cards of `device` (cores of a processor), the least number that holds it where None.

    Hours, card-hours, unit-hours and kWh are 80 % intervals; everything not said in the need is listed in
    `assumptions`. Raises `InvalidRequest` for an absurd `count` and its kind `DoesNotFit` where the device cannot do
    the work.
    """
    if count is not None:
        whole(count, "count", most=100_000_000 if isinstance(device, ProcessorProfile) else MOST_CARDS)
    if isinstance(device, ProcessorProfile):
        if isinstance(need, CoreHoursNeed):
            return estimate_core_hours(need, device, count, efficiencies, site)
        message = (
            f"{device.name} is a processor: this need is reckoned on accelerators; state core-hours for processors"
        )
        raise DoesNotFit(message, field="device", allowed="an accelerator")
    match need:
        case TrainingNeed() | FineTuneNeed():
            return estimate_training(need, device, count, efficiencies, site)
        case InferenceNeed():
            return estimate_inference(need, device, count, efficiencies, site)
        case SampleNeed():
            return estimate_samples(need, device, count, efficiencies, site)
        case SimulationNeed():
            return estimate_simulation(need, device, count, efficiencies, site)
        case CoreHoursNeed():
            message = f"{device.name} is an accelerator: core-hours are spent on processor cores"
            raise DoesNotFit(message, field="device", allowed="a server processor")
        case _:
            assert_never(need)
