"""How fast offers are ranked and estimates made.

Owns the two measurements; prints nothing and judges nothing.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import median

import numpy as np

from suanwang import catalog
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import SiteId
from suanwang.domain.lifecycle import SiteState
from suanwang.domain.precision import DeviceKind, Precision
from suanwang.domain.site import DevicePool, Offering, Price, Site
from suanwang.domain.task import Objective
from suanwang.measuring.estimating import estimate
from suanwang.measuring.need import Need
from suanwang.measuring.profile import profile_of
from suanwang.needfile import read_need
from suanwang.scheduling.quoting import Found, offers_for, rank

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
NEEDS: Mapping[str, str] = {
    "pretrain 7B": "work: pretrain\nmodel: {parameters: 7B}\ntokens: 2T\ncontext: 4096\n",
    "pretrain 405B": "work: pretrain\nmodel: {parameters: 405B}\ntokens: 15T\ncontext: 8192\n",
    "adapters 70B": (
        "work: finetune\nmodel: {parameters: 70B, layers: 80, hidden: 8192}\ntokens: 100M\nepochs: 3\n"
        "method: lora\nweights_precision: int4\ncontext: 2048\n"
    ),
    "serve 8B": (
        "work: inference\nmodel: {parameters: 8B}\nprompt_tokens: 1000\noutput_tokens: 250\nrequests_per_s: 20\n"
        "ttft_s: 1.0\ntpot_s: 0.05\nhours: 720\n"
    ),
    "vision": "work: network\nnetwork: resnet50\nsamples: 1281167\nepochs: 90\n",
    "simulation": "work: simulation\noperations: 2.5e18\nbytes_moved: 8e18\nmemory_gb: 900\n",
}
MODELS = ("nvidia-a100-sxm-80gb", "nvidia-h100-sxm", "huawei-ascend-910b", "huawei-ascend-910c")
_VISION = "vision"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteFigures:
    """Milliseconds: medians, and of estimates the slowest need and device too."""

    offers: int
    rank_ms: float
    """Scores and order of so many offers, from their figures."""
    offers_ms: float
    """The whole answer: estimates, starts, prices, ranking, the best offers in full."""
    estimate_ms: float
    slowest_estimate_ms: float
    slowest_estimate: str


def measure(*, offers: int = 10_000, rounds: int = 7) -> QuoteFigures:
    """Every figure, on the machine this runs on."""
    generator = np.random.default_rng(7)
    price, carbon, finish = (generator.uniform(1, 1000, offers) for _ in range(3))
    sites, need = network(offers), read_need(NEEDS[_VISION])

    def answer() -> Found:
        return offers_for(
            need,
            sites,
            catalog.accelerators(),
            now=NOW,
            objective=Objective(price=1, carbon=1, finish=1),
            start=_start,
            most=20,
        )

    found = answer()
    assert len(found.offers) == 20, "there are offers to rank"
    estimates = {name: _milliseconds(work, rounds) for name, work in _estimates().items()}
    slowest = max(estimates, key=lambda name: estimates[name])
    return QuoteFigures(
        offers=offers,
        rank_ms=_milliseconds(lambda: rank(price, carbon, finish, Objective(price=1, carbon=1, finish=1)), rounds),
        offers_ms=_milliseconds(answer, rounds),
        estimate_ms=median(estimates.values()),
        slowest_estimate_ms=estimates[slowest],
        slowest_estimate=slowest,
    )


def network(offers: int) -> Sequence[Site]:
    """Sites with pools of all models, of which so many offers come, seven of each pool."""
    pools_of_site = len(MODELS)
    counts = 7
    return [_site(number) for number in range(-(-offers // (pools_of_site * counts)))]


def _site(number: int) -> Site:
    price = Price(
        core_hour_yuan=Decimal("0.1"),
        device_hour_yuan={model: Decimal(500 + 7 * number % 400) / 100 for model in MODELS},
    )
    pools = tuple(
        DevicePool(
            model=model,
            kind=DeviceKind.GPU,
            count=64,
            per_node=8,
            memory_gb=80.0,
            power_w=400.0,
            precisions=(Precision.BF16,),
        )
        for model in MODELS
    )
    return Site(
        id=SiteId(f"s{number:04d}"),
        state=SiteState.REACHABLE,
        state_since=NOW,
        offering=Offering(
            name_zh="站",
            name_en="site",
            provider=f"p{number % 50}",
            region="guizhou",
            latitude=30.0,
            longitude=110.0,
            connector="slurm",
            nodes=32,
            cores_per_node=64,
            memory_gb_per_node=512.0,
            devices=pools,
            price=price,
            pue=1.1 + number % 30 / 100,
            carbon_g_per_kwh=200.0 + number % 600,
        ),
    )


def _start(site: Site, model: str | None, devices: int, cores: int) -> datetime:
    return NOW + timedelta(minutes=(len(site.id) + devices) % 90)


def _estimates() -> Mapping[str, Callable[[], object]]:
    """`NEED on MODEL` → one estimate, where the device can do the work."""
    found: dict[str, Callable[[], object]] = {}
    for name, text in NEEDS.items():
        need = read_need(text)
        for model in MODELS:
            profile = profile_of(catalog.accelerator(model))
            try:
                estimate(need, profile)
            except InvalidRequest:
                continue
            found[f"{name} on {model}"] = _one(need, model)
    return found


def _one(need: Need, model: str) -> Callable[[], object]:
    profile = profile_of(catalog.accelerator(model))
    return lambda: estimate(need, profile)


def _milliseconds(work: Callable[[], object], rounds: int) -> float:
    """The median of `rounds`, after one that warms caches."""
    work()
    taken: list[float] = []
    gc.collect()
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begun) * 1e3)
    return median(taken)
