"""What a site's probe says, believed or not: marks, warnings that stay, slower placement, and figures in the vector."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.factories import NOW, OPERATOR, USER, pool, seconds, site, task
from tests.unit.quoted_runs import A100, ASCEND, QuotedNetwork, cards, probed

from suanwang.control.capability import bridged
from suanwang.control.standing import NOT_BELIEVED, judged, slowness
from suanwang.domain.errors import NotFound
from suanwang.domain.ids import SiteId
from suanwang.domain.sample import Sample, Source
from suanwang.domain.site import Shortfall, Site
from suanwang.measuring.plausibility import MAX_AGE

BF16 = "device.0.matmul.bf16"


@pytest.fixture
def net() -> QuotedNetwork:
    return QuotedNetwork()


def at(net: QuotedNetwork, name: str = "guian") -> Site:
    return net.network.sites.get(USER, SiteId(name)).site


def tell(net: QuotedNetwork, *samples: Sample) -> None:
    net.sync(net.guian, samples=samples)


# marks


def test_a_site_that_falls_short_is_marked_until_it_measures_better(net: QuotedNetwork) -> None:
    net.declare("guian", device__matmul__bf16=250.0, compute__matmul__fp64=1.0)
    tell(net, probed(BF16, 190.0), probed("device.1.matmul.bf16", 240.0), probed("compute.matmul.fp64", 0.9))
    (fell,) = at(net).shortfalls
    assert (fell.metric_type, fell.declared, fell.measured) == ("device.matmul.bf16", 250.0, 190.0)
    net.sync(net.guian)
    assert at(net).shortfalls == (fell,), "a report without a probe changes nothing"
    tell(net, probed(BF16, 245.0))
    assert at(net).shortfalls == ()
    assert at(net).warnings == ()


def test_hours_are_stretched_by_what_was_measured() -> None:
    def fell(metric: str, ratio: float) -> Shortfall:
        return Shortfall(metric_type=metric, declared=100.0, measured=100 * ratio, at=NOW)

    marked = site("a", devices=(pool(A100), pool(ASCEND)))
    shortfalls = (fell("device.matmul.bf16", 0.5), fell("device.memory.bandwidth", 0.25), fell("disk.write", 0.1))
    found = slowness([Site(id=SiteId("a"), offering=marked.offering, state_since=NOW, shortfalls=shortfalls)])
    assert found == {("a", A100): 4.0, ("a", ASCEND): 4.0}
    cores = Site(id=SiteId("b"), offering=marked.offering, state_since=NOW, shortfalls=(fell("memory.bandwidth", 0.5),))
    assert slowness([cores, marked]) == {("b", None): 2.0}


def test_a_marked_site_is_placed_by_its_measured_speed(net: QuotedNetwork) -> None:
    wanted = task("cpu", expected_s=1000, objective=_fastest())
    assert _ranks(net, wanted) == [("guian", 1000), ("wuhu", 1000)]
    net.declare("guian", compute__matmul__fp64=2.0)
    tell(net, probed("compute.matmul.fp64", 1.0))
    assert _ranks(net, wanted) == [("wuhu", 1000), ("guian", 2000)]
    (job,) = net.submit(wanted)
    net.network.turn()
    assert net.job(job.id).site_id == "wuhu"


def _fastest() -> Any:
    from suanwang.domain.task import Objective

    return Objective(price=0, finish=1)


def _ranks(net: QuotedNetwork, wanted: Any) -> list[tuple[str, float]]:
    why = net.network.jobs.preview(USER, [wanted])[0].why
    return [(rank.site, rank.figures.finish_s) for rank in (why.chosen, *why.others) if rank is not None]


# beliefs


@pytest.mark.parametrize(
    ("sample", "why"),
    [
        (probed(BF16, 900.0), "the printed peak is 312"),
        (probed(BF16, -1.0), "must be above 0"),
        (probed(BF16, 0.0), "must be above 0"),
        (probed(BF16, 100.0, unit="GFLOPS"), "a probe gives TFLOPS"),
        (probed(BF16, 100.0, source=Source.NOMINAL), "a probe measures"),
        (probed("device.0.matmul.fp3", 100.0), "no probe gives such a metric"),
        (probed("compute.matmul.fp64", 1e7), "more than anything built does"),
        (probed(BF16, 100.0, statistic="best of 1000"), "a probe gives median and iqr"),
        (probed("disk.write", 500.0, unit="MB/s", observed_at=NOW - MAX_AGE - timedelta(days=1)), "probe again"),
    ],
)
def test_a_probe_that_cannot_be_true_becomes_a_warning(net: QuotedNetwork, sample: Sample, why: str) -> None:
    net.declare("guian", device__matmul__bf16=312.0, compute__matmul__fp64=1e6, disk__write=1e5)
    tell(
        net,
        sample,
        probed("device.1.matmul.int8", 500.0),
        probed("compute.cores_free", 3, "cores", statistic="instant"),
    )
    (warning,) = at(net).warnings
    assert warning.startswith(f"{NOT_BELIEVED}{sample.metric_type}: ")
    assert why in warning
    assert at(net).shortfalls == (), "what is not believed marks nobody"
    kept = {stored.metric_type for stored in net.network.sites.samples(USER, SiteId("guian"))}
    assert kept == {"device.1.matmul.int8", "compute.cores_free"}


def test_a_probe_from_the_future_is_taken_as_of_now(net: QuotedNetwork) -> None:
    tell(net, probed(BF16, 200.0, observed_at=NOW + timedelta(days=400)))
    (stored,) = net.network.sites.samples(USER, SiteId("guian"))
    assert stored.observed_at == NOW
    assert judged(at(net), [probed(BF16, 200.0, observed_at=NOW + timedelta(hours=1))], NOW)[1] == ()


def test_the_warning_stays_until_the_next_probe(net: QuotedNetwork) -> None:
    tell(net, probed(BF16, 900.0))
    told = at(net).warnings
    assert len(told) == 1
    net.clock.at += seconds(15)
    net.sync(net.guian, warnings=("its disk is nearly full",))
    assert at(net).warnings == ("its disk is nearly full", *told)
    tell(net, probed(BF16, 280.0))
    assert at(net).warnings == ()


def test_many_doubts_stay_few_warnings(net: QuotedNetwork) -> None:
    tell(net, *(probed(f"device.{n}.matmul.bf16", -1.0) for n in range(500)))
    assert len(at(net).warnings) == 20


def test_the_spread_goes_with_its_median(net: QuotedNetwork) -> None:
    tell(
        net,
        probed(BF16, 900.0),
        probed(BF16, 3.0, statistic="iqr"),
        probed("device.1.matmul.bf16", 0.0, statistic="iqr"),
    )
    kept = {(stored.metric_type, stored.statistic) for stored in net.network.sites.samples(USER, SiteId("guian"))}
    assert kept == {("device.1.matmul.bf16", "iqr")}


def test_delays_between_sites_may_be_told_by_another_statistic(net: QuotedNetwork) -> None:
    tell(net, probed("network.delay_ms.wuhu", 7.4, "ms", statistic="p95"))
    assert at(net).warnings == ()
    assert len(net.network.sites.samples(USER, SiteId("guian"))) == 1


# the vector


def test_a_probes_figures_reach_the_vector(net: QuotedNetwork) -> None:
    net.declare("guian", device__matmul__bf16=250.0, disk__write=1000.0, compute__matmul__fp64=1.0)
    tell(
        net,
        probed(BF16, 240.0),
        probed("device.1.matmul.bf16", 260.0),
        probed("device.0.memory.bandwidth", 1800.0, "GB/s"),
        probed("compute.matmul.fp64", 1.2),
        probed("memory.bandwidth", 90.0, "GB/s"),
        probed("disk.write", 800.0, "MB/s"),
        probed("disk.read", 900.0, "MB/s"),
        probed("network.throughput.wuhu", 9000.0, "Mbps"),
        probed("network.throughput", 4000.0, "Mbps"),
    )
    found = net.network.capabilities.site(USER, SiteId("guian"))
    assert [(part.kind, part.count) for part in found.parts] == [("nodes", 2), ("cards", 8), ("site", 1)]
    figures = found.total.dimensions
    bf16 = figures["compute.rate.bf16"]
    assert bf16.nominal is not None
    assert (bf16.nominal.value, bf16.nominal.source, bf16.nominal.parts) == (8 * 312.0, "catalogue", 8)
    assert bf16.measured is not None
    assert (bf16.measured.value, bf16.measured.parts, bf16.measured.of) == (500.0, 2, 8)
    assert bf16.measured.source == "probe"
    assert bf16.sold is not None
    assert (bf16.sold.value, bf16.sold.source) == (8 * 250.0, "guian-dc")
    expected = {
        "memory.bandwidth": 1800.0,
        "host.rate.fp64": 1.2,
        "host.memory.bandwidth": 90.0,
        "storage.bandwidth": 0.8,
        "network.bandwidth": 9.0,
    }
    measured = {name: quantity.value for name in expected if (quantity := figures[name].measured) is not None}
    assert measured == pytest.approx(expected)
    assert figures["storage.bandwidth"].sold is not None
    assert figures["storage.bandwidth"].sold.value == 1.0
    assert figures["host.rate.fp64"].sold is not None
    assert figures["host.rate.fp64"].sold.value == 2.0
    assert figures["compute.rate.int8"].measured is None
    assert found.total.units, "its cards are worth something in units"


def test_what_nobody_measured_stays_empty(net: QuotedNetwork) -> None:
    found = net.network.capabilities.site(USER, SiteId("wuhu"))
    assert {part.kind for part in found.parts} == {"nodes"}
    cores = found.total.dimensions["host.cores"]
    assert (cores.nominal, cores.measured) == (None, None)
    assert cores.sold is not None
    assert cores.sold.value == 16
    with pytest.raises(NotFound):
        net.network.capabilities.site(USER, SiteId("nowhere"))


def test_old_figures_are_named_and_left_out(net: QuotedNetwork) -> None:
    tell(net, probed(BF16, 240.0))
    net.clock.at += MAX_AGE + timedelta(days=1)
    found = net.network.capabilities.site(USER, SiteId("guian"))
    assert found.total.dimensions["compute.rate.bf16"].measured is None
    assert any(BF16 in remark and "probe again" in remark for remark in found.remarks)


def test_cards_of_several_models_are_not_guessed_at(net: QuotedNetwork) -> None:
    mixed = net.join("mixed", devices=(*cards(), pool(ASCEND)), provider="mixed-dc")
    net.sync(mixed, samples=(probed(BF16, 240.0),))
    found = net.network.capabilities.site(USER, SiteId("mixed"))
    assert found.total.dimensions["compute.rate.bf16"].measured is None
    nominal = found.total.dimensions["compute.rate.bf16"].nominal
    assert nominal is not None
    assert nominal.value == 8 * 312 + 8 * 376
    assert any("several models" in remark for remark in found.remarks)


def test_the_network_sums_its_sites_apart(net: QuotedNetwork) -> None:
    net.join("second", devices=cards(), provider="second-dc")
    net.declare("guian", device__matmul__bf16=300.0)
    tell(net, *(probed(f"device.{n}.matmul.bf16", 150.0) for n in range(4)))
    found = net.network.capabilities.network(OPERATOR)
    assert [part.name for part in found.parts] == ["guian", "second", "wuhu"]
    bf16 = found.total.dimensions["compute.rate.bf16"]
    assert bf16.nominal is not None
    assert (bf16.nominal.value, bf16.nominal.parts, bf16.nominal.of) == (16 * 312.0, 16, 16)
    assert bf16.measured is not None
    assert (bf16.measured.value, bf16.measured.parts, bf16.measured.of) == (600.0, 4, 16)
    assert found.total.dimensions["host.cores"].sold is not None
    assert found.total.dimensions["host.cores"].sold.value == 48
    assert [site_id for site_id, _ in found.shortfalls] == ["guian"]


def test_only_medians_of_measurements_cross_the_bridge() -> None:
    host, card = bridged(
        [
            probed(BF16, 3.0, statistic="iqr"),
            probed(BF16, 300.0, source=Source.SOLD),
            probed("compute.matmul.fp64", 1.0),
            probed("something.else", 1.0),
        ]
    )
    assert [sample.metric_type for sample in host] == ["host.rate.fp64"]
    assert card == {}
