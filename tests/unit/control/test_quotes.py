"""Quotes: what is offered and why not elsewhere, how long it holds, for whom, and that its price really binds."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from tests.factories import DEMO, OPERATOR, OTHER, PROVIDER, STRANGER, USER, pool, replace, task
from tests.unit.quoted_runs import A100, ASCEND, CORES, HUGE, VISION, QuotedNetwork, cards, need, probed, yuan

from suanwang.control.quotes import VALID_FOR
from suanwang.domain.errors import Conflict, InvalidRequest, NotFound
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.lifecycle import JobState
from suanwang.domain.task import DeviceRequest, Objective


@pytest.fixture
def net() -> QuotedNetwork:
    return QuotedNetwork()


def test_offers_say_what_they_come_to_and_why_the_rest_fell_out(net: QuotedNetwork) -> None:
    made = net.quote()
    assert [offer.number for offer in made.offers] == list(range(1, len(made.offers) + 1))
    assert {offer.site for offer in made.offers} == {"guian"}
    assert {offer.cards for offer in made.offers} == {1, 2, 4, 8}
    assert [offer.score for offer in made.offers] == sorted(offer.score for offer in made.offers)
    for offer in made.offers:
        assert offer.device_model == A100
        assert offer.hours.low < offer.hours.mid < offer.hours.high
        assert offer.price_yuan.mid == pytest.approx(float(yuan(made, offer.number, offer.hours.mid)))
        assert offer.price_yuan.high / offer.price_yuan.mid == pytest.approx(offer.hours.high / offer.hours.mid)
        assert offer.carbon_g.mid == pytest.approx(offer.energy_kwh.mid * 500)
        assert offer.start_at == net.clock.now()
        assert offer.finish_at - offer.start_at == timedelta(hours=offer.hours.mid)
    assert [(out.site, out.code) for out in made.excluded] == [("wuhu", "no_device")]
    assert made.project == DEMO
    assert made.work_pd == pytest.approx(3 * 2 * 4.09e9 * 1281167 * 90 / 8.64e19, rel=0.1)
    assert net.network.quotes.get(STRANGER, made.id) == made


def test_equal_prices_are_ranked_by_finish_and_an_objective_changes_the_order(net: QuotedNetwork) -> None:
    assert net.quote(CORES).offers[0].cores_per_node == 8
    fastest = net.quote(objective=Objective(price=0, finish=1)).offers
    assert [offer.finish_at for offer in fastest] == sorted(offer.finish_at for offer in fastest)
    assert fastest[0].cards == 8
    for weights in (Objective(price=0), Objective(price=-1), Objective(price=float("nan"))):
        with pytest.raises(InvalidRequest, match="order nothing"):
            net.quote(objective=weights)


def test_only_the_devices_asked_for_are_offered(net: QuotedNetwork) -> None:
    net.join("horinger", devices=cards(ASCEND), provider="horinger-dc")
    assert {offer.device_model for offer in net.quote().offers} == {A100, ASCEND}
    made = net.quote(devices=["Ascend 910B"])
    assert {offer.device_model for offer in made.offers} == {ASCEND}
    (out,) = [out for out in made.excluded if out.site == "guian"]
    assert "not one of the devices asked for" in out.have
    with pytest.raises(InvalidRequest, match="nearest names") as refused:
        net.quote(devices=["A1000000"])
    assert refused.value.field == "devices"


def test_a_quote_expires(net: QuotedNetwork) -> None:
    made = net.quote()
    net.clock.at = made.expires_at - timedelta(seconds=1)
    assert net.network.quotes.accept(USER, task(), made.id)[1].quote_id == made.id
    net.clock.at = made.created_at + VALID_FOR
    with pytest.raises(Conflict, match="expired"):
        net.network.quotes.accept(USER, task(), made.id)


def test_only_its_project_may_use_a_quote(net: QuotedNetwork) -> None:
    made = net.quote()
    for caller in (STRANGER, PROVIDER):
        with pytest.raises(NotFound):
            net.network.quotes.submit(caller, [task()], made.id)
    with pytest.raises(InvalidRequest, match="made for project demo"):
        net.network.quotes.submit(USER, [task()], made.id, project=OTHER)
    with pytest.raises(NotFound):
        net.network.quotes.submit(USER, [task()], "q-nothing")
    assert net.network.quotes.submit(OPERATOR, [task()], made.id).jobs[0].project == DEMO
    with pytest.raises(InvalidRequest, match="which project"):
        net.quote(caller=OPERATOR)
    assert net.quote(caller=OPERATOR, project=ProjectId("other")).project == OTHER


def test_the_price_binds_whatever_the_site_asks_later(net: QuotedNetwork) -> None:
    made = net.quote()
    offer = made.offers[0]
    net.reprice("guian", 10)
    job = net.start(made, budget_yuan=Decimal(str(offer.price_yuan.high * 3)))
    assert job.state is JobState.LEASED
    assert job.why is not None
    assert job.why.chosen is not None
    assert job.why.chosen.figures.price_yuan == pytest.approx(offer.price_yuan.mid, rel=0.001)
    hours = offer.hours.mid * 1.1
    done = net.run(job, hours)
    assert done.state is JobState.SUCCEEDED
    assert done.billed_fen == pytest.approx(yuan(made, 1, hours) * 100, abs=1)
    dearer = net.quote()
    assert dearer.offers[0].price_yuan.mid > 5 * offer.price_yuan.mid


def test_the_job_runs_as_the_offer_says(net: QuotedNetwork) -> None:
    made = net.quote()
    number = next(offer.number for offer in made.offers if offer.cards == 8)
    offer = made.offers[number - 1]
    job = net.start(made, number, run="python train.py")
    need_ = job.task.resources
    assert job.task.nodes == offer.nodes == 2
    assert need_.devices == DeviceRequest(count=4, models=(A100,))
    assert (need_.cores, need_.memory_gb) == (offer.cores_per_node, offer.memory_gb_per_node)
    assert job.task.constraints.sites == ("guian",)
    assert need_.expected_s == round(offer.hours.mid * 3600)
    assert need_.time_limit_s >= offer.hours.high * 3600
    assert job.task.run == "python train.py"
    assert job.terms is not None
    assert (job.terms.offer, job.terms.prediction) == (number, offer.prediction)


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("resources.cores", {"cores": 100}),
        ("resources.memory", {"memory_gb": 1000.0}),
        ("nodes", {"nodes": 9}),
        ("count", {"count": 3}),
        ("resources.devices", {"devices": DeviceRequest(count=1, models=(ASCEND,))}),
        ("resources.devices", {"devices": DeviceRequest(count=99)}),
    ],
)
def test_nothing_that_a_task_asks_for_is_dropped_silently(
    net: QuotedNetwork, field: str, wanted: dict[str, object]
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        net.network.quotes.accept(USER, task("run", **wanted), net.quote().id)
    assert refused.value.field == field


def test_devices_that_the_offer_has_may_be_asked_for(net: QuotedNetwork) -> None:
    wanted = task("run", devices=DeviceRequest(count=1, min_memory_gb=64))
    shaped, _, _ = net.network.quotes.accept(USER, wanted, net.quote().id)
    assert shaped.resources.devices is not None
    assert shaped.resources.devices.models == (A100,)


def test_a_quote_is_for_one_task_and_one_key_submits_once(net: QuotedNetwork) -> None:
    made = net.quote()
    for tasks in ([], [task("a"), task("b")]):
        with pytest.raises(InvalidRequest, match="a quote is for one"):
            net.network.quotes.submit(USER, tasks, made.id)
    first = net.network.quotes.submit(USER, [task()], made.id, key="once")
    again = net.network.quotes.submit(USER, [task()], made.id, key="once")
    assert again.replayed
    assert again.jobs[0].id == first.jobs[0].id
    with pytest.raises(Conflict):
        net.network.quotes.submit(USER, [task()], made.id, 2, key="once")
    for number in (0, -1, 99):
        with pytest.raises(InvalidRequest) as refused:
            net.network.quotes.submit(USER, [task()], made.id, number)
        assert refused.value.allowed == f"1 to {len(made.offers)}"


def test_a_full_site_is_offered_for_when_it_has_room(net: QuotedNetwork) -> None:
    busy = DeviceRequest(count=4, models=(A100,))
    net.submit(task("first", devices=busy, expected_s=1800), task("second", devices=busy, expected_s=3600))
    net.network.turn()
    by_cards = {offer.cards: offer for offer in net.quote().offers}
    assert by_cards[4].start_at == net.clock.now() + timedelta(seconds=1800)
    assert by_cards[8].start_at == net.clock.now() + timedelta(seconds=3600)
    assert by_cards[8].finish_at == by_cards[8].start_at + timedelta(hours=by_cards[8].hours.mid)
    net.clock.at += timedelta(seconds=1900)
    net.sync(net.guian)
    late = {offer.cards: offer for offer in net.quote().offers}
    assert late[8].start_at == net.clock.now() + timedelta(seconds=3600 - 1900), "past its time it has until its limit"


def test_where_others_hold_the_cards_nobody_can_say_when(net: QuotedNetwork) -> None:
    report = net.report(net.guian)
    net.sync(net.guian, site=replace(report, foreign_devices={A100: 6}))
    assert {offer.cards for offer in net.quote().offers} == {1, 2}
    net.sync(net.guian, site=replace(report, foreign_devices={A100: 8}))
    made = net.quote()
    assert made.offers == ()
    assert ("guian", "taken") in [(out.site, out.code) for out in made.excluded]
    wanted = task(devices=DeviceRequest(count=1))
    found = net.network.quotes.task_offers(USER, wanted)
    assert found.offers == ()
    assert {out.site for out in found.excluded} == {"guian", "wuhu"}


def test_a_site_that_fell_short_gets_slower_offers(net: QuotedNetwork) -> None:
    before = net.quote().offers[0]
    net.declare("guian", device__matmul__bf16=200.0)
    net.sync(net.guian, samples=(probed("device.0.matmul.bf16", 100.0, observed_at=net.clock.now()),))
    after = net.quote().offers[0]
    assert after.hours.mid == pytest.approx(2 * before.hours.mid)
    assert after.price_yuan.mid == pytest.approx(2 * before.price_yuan.mid)
    assert after.energy_kwh.mid == pytest.approx(2 * before.energy_kwh.mid)
    assert after.prediction is not None
    assert before.prediction is not None
    assert after.prediction.published_hours == pytest.approx(2 * before.prediction.published_hours)


def test_what_fits_nowhere_is_answered_with_every_reason(net: QuotedNetwork) -> None:
    net.join("closed", devices=cards())
    net.network.sites.drain(OPERATOR, SiteId("closed"), open_=False)
    net.network.sites.invite(OPERATOR, "silent", net.store.sites()[0].offering)
    made = net.quote(HUGE)
    assert made.offers == ()
    assert {out.site: out.code for out in made.excluded} == {
        "closed": "closed",
        "guian": "unfit",
        "silent": "silent",
        "wuhu": "no_device",
    }
    (unfit,) = [out for out in made.excluded if out.code == "unfit"]
    assert "has 8 for one job" in unfit.have
    with pytest.raises(InvalidRequest, match="has no offer 1"):
        net.network.quotes.accept(USER, task(), made.id)


def test_work_of_a_million_years_is_excluded_and_not_an_error(net: QuotedNetwork) -> None:
    made = net.quote("work: core_hours\ncore_hours: 9e14\n")
    assert made.offers == ()
    assert all("hours on 8 cores" in out.have for out in made.excluded)


def test_core_hours_are_offered_on_cores(net: QuotedNetwork) -> None:
    made = net.quote(CORES)
    assert {offer.site for offer in made.offers} == {"guian", "wuhu"}
    assert sorted(offer.cores_per_node for offer in made.offers if offer.site == "wuhu") == [1, 2, 4, 8]
    for offer in made.offers:
        assert offer.device_model is None
        assert offer.cards == 0
        assert offer.hours.mid == pytest.approx(20 / offer.cores_per_node)
        assert offer.energy_kwh.mid == pytest.approx(20 * 0.008 * 1.2)
        assert offer.prediction is not None
        assert offer.prediction.device == f"cpu@{offer.site}"
    job = net.start(made, next(o.number for o in made.offers if o.site == "wuhu"))
    assert job.site_id == "wuhu"
    assert job.task.resources.devices is None


def test_a_site_that_runs_on_one_node_is_offered_so(net: QuotedNetwork) -> None:
    net.join("single", connector="local", devices=cards(ASCEND), provider="single-dc")
    assert {offer.nodes for offer in net.quote().offers if offer.site == "single"} == {1}
    assert {offer.nodes for offer in net.quote().offers if offer.site == "guian"} == {1, 2}


def test_a_card_nobody_printed_figures_of_is_named(net: QuotedNetwork) -> None:
    net.join("odd", devices=(pool("home-made"),), provider="odd-dc")
    (out,) = [out for out in net.quote().excluded if out.site == "odd"]
    assert out.have == "home-made is not in the catalogue"


def test_a_task_is_quoted_as_it_stands(net: QuotedNetwork) -> None:
    wanted = task("sweep", cores=2, memory_gb=4.0, expected_s=1800, regions=("guizhou",), count=3)
    made = net.network.quotes.quote_task(USER, wanted, source="the text")
    assert [offer.site for offer in made.offers] == ["guian", "wuhu"]
    offer = made.offers[0]
    assert (offer.hours.low, offer.hours.high) == (0.5, 0.5)
    assert offer.price_yuan.mid == pytest.approx(0.5 * (2 * 0.1 + 4 * 0.01))
    assert offer.prediction is None
    assert made.assumptions == ("figures are those of one of the 3 members",)
    assert (made.title, made.source) == ("sweep", "the text")
    net.reprice("guian", 10)
    submitted = net.network.quotes.submit(USER, [wanted], made.id)
    assert len(submitted.jobs) == 3
    net.network.turn()
    for job in submitted.jobs[1:]:
        net.network.jobs.cancel(USER, job.id)
    done = net.run(net.job(submitted.jobs[0].id), 0.5)
    assert done.billed_fen == round(offer.price_yuan.mid * 100)


def test_a_task_without_a_duration_says_that_its_limit_is_taken(net: QuotedNetwork) -> None:
    found = net.network.quotes.task_offers(USER, task(time_limit_s=7200))
    assert found.offers[0].hours.mid == 2
    assert "time limit of 7200 s" in found.assumptions[0]
    assert net.store.quote("q-1") is None


def test_a_requirement_is_reckoned_on_named_present_or_reference_devices(net: QuotedNetwork) -> None:
    quotes = net.network.quotes
    assert [found.device for found in quotes.requirement(need()).estimates] == [A100]
    named = quotes.requirement(need(), devices=["h100 sxm", "Ascend 910B", "H100 SXM5 80GB"], count=4)
    assert {(found.device, found.cards) for found in named.estimates} == {("nvidia-h100-sxm", 4), (ASCEND, 4)}
    assert [e.card_hours.mid for e in named.estimates] == sorted(e.card_hours.mid for e in named.estimates)
    mixed = quotes.requirement(need("work: simulation\noperations: 1e18\nbytes_moved: 1e18\n"), devices=[A100, ASCEND])
    assert [found.device for found in mixed.estimates] == [A100]
    assert "fp64" in mixed.unfit[ASCEND] or "53 bits" in mixed.unfit[ASCEND]
    with pytest.raises(InvalidRequest, match="no device can do this work"):
        quotes.requirement(need("work: simulation\noperations: 1e18\nbytes_moved: 1e18\n"), devices=[ASCEND])
    on_cores = quotes.requirement(need(CORES), devices=["EPYC 7763"])
    assert on_cores.estimates[0].cards == 64
    assert quotes.requirement(need(CORES), count=4).estimates[0].hours.mid == pytest.approx(5)


def test_an_unlisted_card_of_a_site_does_not_spoil_the_requirement(net: QuotedNetwork) -> None:
    net.join("odd", devices=(pool("home-made"),), provider="odd-dc")
    found = net.network.quotes.requirement(need())
    assert [estimate.device for estimate in found.estimates] == [A100]
    assert found.unfit == {"home-made": "home-made is not in the catalogue"}


def test_text_that_is_too_long_is_not_kept(net: QuotedNetwork) -> None:
    with pytest.raises(InvalidRequest, match="too long"):
        net.network.quotes.quote_need(USER, need(), title="t", source="#" * 300_000)


def test_the_source_is_kept_word_for_word(net: QuotedNetwork) -> None:
    assert net.quote().source == VISION
    assert net.network.quotes.get(USER, net.quote().id).title == "a need"
    with pytest.raises(NotFound):
        net.network.quotes.trial(USER, JobId("j-none"), 10)
