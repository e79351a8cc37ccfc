"""A small network whose sites have a card of the catalogue, and runs of quoted jobs as their agents tell them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from tests.factories import NOW, OPERATOR, USER, SmallNetwork, pool, replace, task

from suanwang.domain.connector import RunState
from suanwang.domain.exchange import CurvePoint, Phase, RunReport, SiteReport
from suanwang.domain.identity import Principal
from suanwang.domain.ids import SiteId
from suanwang.domain.job import Job
from suanwang.domain.quote import Quote
from suanwang.domain.sample import Sample, Source
from suanwang.domain.site import Price
from suanwang.measuring.need import Need
from suanwang.needfile import read_need

A100 = "nvidia-a100-sxm-80gb"
ASCEND = "huawei-ascend-910b"
VISION = "work: network\nnetwork: resnet50\nsamples: 1281167\nepochs: 90\n"
CORES = "work: core_hours\ncore_hours: 20\n"
HUGE = "work: pretrain\nmodel: {parameters: 175B}\ntokens: 300B\n"


def need(text: str = VISION) -> Need:
    return read_need(text)


def cards(model: str = A100, **changes: Any) -> tuple[Any, ...]:
    """Eight cards, four on each node."""
    return (pool(model, **changes),)


class QuotedNetwork(SmallNetwork):
    """贵安 with eight A100, 芜湖 with processors alone."""

    def __init__(self) -> None:
        super().__init__()
        self.guian = self.join("guian", devices=cards())
        self.wuhu = self.join("wuhu", name_zh="芜湖", name_en="Wuhu", provider="wuhu-dc")

    def quote(self, text: str = VISION, caller: Principal = USER, **changes: Any) -> Quote:
        return self.network.quotes.quote_need(caller, need(text), title="a need", source=text, **changes)

    def start(self, quote: Quote, number: int = 1, **changes: Any) -> Job:
        """Submit under an offer and place it."""
        submitted = self.network.quotes.submit(USER, [task("run", **changes)], quote.id, number)
        self.network.turn()
        return self.job(submitted.jobs[0].id)

    def agent_of(self, job: Job) -> Principal:
        return self.guian if job.site_id == "guian" else self.wuhu

    def report(self, agent: Principal) -> SiteReport:
        """All that the site declares works, and nobody else uses it."""
        assert agent.site_id is not None
        site = self.store.site(agent.site_id)
        assert site is not None
        offer = site.offering
        return SiteReport(
            cores=offer.cores, memory_gb=offer.memory_gb, devices={pool.model: pool.count for pool in offer.devices}
        )

    def run(self, job: Job, hours: float, *points: CurvePoint, outcome: RunState = RunState.SUCCEEDED) -> Job:
        """The job's site runs it for `hours` and tells the end."""
        agent = self.agent_of(job)
        lease = next(lease for lease in self.sync(agent).start if lease.job_id == job.id)
        told = RunReport(
            allocation_id=lease.allocation_id, epoch=lease.epoch, phase=Phase.RUNNING, started_at=self.clock.now()
        )
        self.sync(agent, runs=(told,))
        begun = self.clock.now()
        self.clock.at += timedelta(hours=hours)
        ended = replace(
            told,
            phase=Phase.ENDED,
            started_at=begun,
            ended_at=self.clock.now(),
            outcome=outcome,
            exit_code=0 if outcome is RunState.SUCCEEDED else 1,
            points=points,
        )
        self.sync(agent, runs=(ended,))
        for other in (self.guian, self.wuhu):
            self.sync(other)
        self.network.turn()
        return self.job(job.id)

    def reprice(self, site_id: str, factor: int) -> None:
        """The site asks `factor` times as much from now on."""
        offer = self.network.sites.get(OPERATOR, SiteId(site_id)).site.offering
        price = Price(
            core_hour_yuan=offer.price.core_hour_yuan * factor,
            memory_gb_hour_yuan=offer.price.memory_gb_hour_yuan * factor,
            device_hour_yuan={model: each * factor for model, each in offer.price.device_hour_yuan.items()},
        )
        self.network.sites.change(OPERATOR, SiteId(site_id), replace(offer, price=price))

    def declare(self, site_id: str, **rates: float) -> None:
        """The site vouches for sustained rates; `__` in a name stands for a dot."""
        offer = self.network.sites.get(OPERATOR, SiteId(site_id)).site.offering
        declares = {name.replace("__", "."): rate for name, rate in rates.items()}
        self.network.sites.change(OPERATOR, SiteId(site_id), replace(offer, declares=declares))


def probed(metric: str, value: float, unit: str = "TFLOPS", **changes: Any) -> Sample:
    """A probe's median."""
    values: dict[str, Any] = {"source": Source.MEASURED, "statistic": "median", "observed_at": NOW}
    return Sample(metric_type=metric, unit=unit, value=value, **(values | changes))


def yuan(quote: Quote, number: int, hours: float) -> Decimal:
    """What `hours` under an offer cost at its unit prices, by hand."""
    offer = quote.offers[number - 1]
    price = offer.price
    each = price.device_hour_yuan.get(offer.device_model or "", Decimal(0))
    hourly = (
        offer.cores_per_node * price.core_hour_yuan
        + Decimal(str(offer.memory_gb_per_node)) * price.memory_gb_hour_yuan
        + offer.devices_per_node * each
    )
    return offer.nodes * hourly * Decimal(str(hours))
