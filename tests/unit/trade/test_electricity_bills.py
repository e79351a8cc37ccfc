"""From a site file to a bill that proves itself: electricity is paid by the hour's price, and nobody can change what was paid."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.factories import NOW, OPERATOR, USER, SmallNetwork, task
from tests.unit.taskfile.test_sitefile import PLAIN

from suanwang import catalog
from suanwang.adapters.signing import Ed25519Signer
from suanwang.adapters.store.rows import OFFERING
from suanwang.cli.drafting import of_this_host
from suanwang.control.billing.proofs import Proofs
from suanwang.control.rules import Rules
from suanwang.control.sites import check_offering
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import SiteId
from suanwang.domain.job import BillLine, Job
from suanwang.domain.lifecycle import JobState
from suanwang.domain.site import Offering, Price
from suanwang.domain.tariff import Tariff, Tier
from suanwang.electricity.daily import modelled_day
from suanwang.electricity.tariff import slot_at
from suanwang.ports import BillQuery
from suanwang.sitefile import read_site
from suanwang.taskfile import read_tasks
from suanwang.trading.evidence import verify
from suanwang.trading.proving import Check

SIGNER = Ed25519Signer("07" * 32)
GUIAN = SiteId("guian")
AGENT = Principal(name="agent-guian", role=Role.AGENT, site_id=GUIAN)
GUIZHOU = catalog.tariff_area("贵州").tariff
OWN = """
electricity:
  flat_yuan_per_kwh: 0.60
  fixed_yuan_per_kwh: 0.1
  passed_on: true
  periods:
    - {tier: peak, hours: 10-12;17-22, multiplier: 1.5}
    - {tier: sharp, hours: 18:30-20, multiplier: 1.8, months: 7/15-8/31}
    - {tier: valley, hours: 23-7, multiplier: 0.4, months: 12-2}
"""


def read(more: str) -> Offering:
    return read_site(PLAIN + more).offering


# site files


def test_a_site_names_its_area() -> None:
    offer = read("electricity: {area: 贵州, passed_on: true}\n")
    assert offer.price.electricity == GUIZHOU
    assert offer.price.electricity_passed_on
    assert offer.carbon_daily == ()
    check_offering(offer)


def test_a_site_without_the_section_is_as_before() -> None:
    offer = read("")
    assert offer.price == Price(core_hour_yuan=Decimal("0.10"), memory_gb_hour_yuan=Decimal("0.005"))
    assert (offer.carbon_daily, offer.price.electricity) == ((), None)


def test_a_site_says_its_own_price_in_the_area_s_hours() -> None:
    tariff = read("electricity: {area: Guizhou, flat_yuan_per_kwh: 0.62, passed_on: false}\n").price.electricity
    assert tariff is not None
    assert (tariff.flat_yuan_per_kwh, tariff.fixed_yuan_per_kwh) == (Decimal("0.62"), Decimal(0))
    assert tariff.periods == GUIZHOU.periods
    assert tariff.assumed == ()


def test_a_site_has_periods_of_its_own() -> None:
    tariff = read(OWN).price.electricity
    assert tariff is not None
    assert [period.tier for period in tariff.periods] == [Tier.PEAK, Tier.SHARP, Tier.VALLEY]
    assert tariff.periods[1].seasons == ((715, 831),)
    assert tariff.periods[2].hours == ((1380, 420),)
    check_offering(read(OWN))


def test_the_modelled_day_follows_the_province_and_longitude() -> None:
    offer = read("carbon: {daily: modelled}\n")
    assert offer.carbon_daily == modelled_day("guizhou", offer.longitude)
    assert read("carbon: constant\n").carbon_daily == ()


@pytest.mark.parametrize(
    ("more", "field", "words"),
    [
        ("electricity: {area: 贵州}\n", "electricity.passed_on", "required"),
        ("electricity: {passed_on: true}\n", "electricity.area", "area"),
        ("electricity: {area: 河北, passed_on: true}\n", "electricity.area", "hebei-south"),
        ("electricity: {area: nowhere, passed_on: true}\n", "electricity.area", "nearest"),
        ("electricity: {flat_yuan_per_kwh: -1, passed_on: true}\n", "electricity.flat_yuan_per_kwh", "greater"),
        ("electricity: {flat_yuan_per_kwh: 0.1234567, passed_on: true}\n", "electricity.flat_yuan_per_kwh", "possible"),
        ("electricity: {area: 贵州, passed_on: true, colour: green}\n", "electricity.colour", "Extra"),
        ("carbon: hourly\n", "carbon.daily", "constant"),
        ("carbon: {daily: measured}\n", "carbon.daily", "modelled"),
        (OWN.replace("10-12;17-22", "10-12;17:15-22"), "electricity.periods.0.hours", "half hours"),
        (OWN.replace("12-2", "13-2"), "electricity.periods.2.months", "part of the year"),
        (OWN.replace("1.5", "-1.5"), "electricity.periods.0.multiplier", "greater"),
        (OWN.replace("tier: peak", "tier: flat"), "electricity.periods.0.tier", "sharp"),
        (OWN.replace("23-7", "20-7"), "electricity.periods", "both hold"),
        (OWN + "  area: 贵州\n", "electricity.periods", "one of the two"),
    ],
)
def test_what_is_refused_names_the_field(more: str, field: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(more)
    assert caught.value.field == field
    assert words in f"{caught.value.message} {caught.value.allowed}"


def test_a_province_without_an_official_factor_has_a_modelled_day_all_the_same() -> None:
    text = PLAIN.replace("place: 贵阳", "place: 拉萨\ncarbon_g_per_kwh: 200") + "carbon: {daily: modelled}\n"
    offer = read_site(text).offering
    assert offer.carbon_daily == modelled_day("tibet", offer.longitude)


def test_what_was_stored_before_is_read_and_a_tariff_comes_back() -> None:
    electric = read("electricity: {area: 安徽, passed_on: true}\ncarbon: {daily: modelled}\n")
    assert OFFERING.load(OFFERING.dump(electric)) == electric
    old = json.loads(OFFERING.dump(read("")))
    del old["carbon_daily"], old["price"]["electricity"], old["price"]["electricity_passed_on"]
    assert OFFERING.load(json.dumps(old)) == read("")


def test_a_modelled_day_needs_a_province() -> None:
    text = PLAIN.replace("place: 贵阳", "position: {latitude: 26, longitude: 106}\ncarbon_g_per_kwh: 500")
    with pytest.raises(InvalidRequest) as caught:
        read_site(text + "carbon: {daily: modelled}\n")
    assert caught.value.field == "province"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"price": Price(core_hour_yuan=Decimal(1), electricity_passed_on=True)}, "price.electricity"),
        ({"carbon_daily": (1.0,) * 23}, "carbon_daily"),
        (
            {"price": Price(core_hour_yuan=Decimal(1), electricity=Tariff(flat_yuan_per_kwh=Decimal(-1)))},
            "price.electricity.flat_yuan_per_kwh",
        ),
    ],
)
def test_declarations_are_checked_wherever_they_come_from(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_offering(replace(read(""), **changes))
    assert caught.value.field == field


# bills


@pytest.fixture
def net() -> SmallNetwork:
    """One site in Guizhou whose users pay electricity. The clock stands at 16:00 in UTC+8, an hour before the peak."""
    small = SmallNetwork(Rules(meter_every_s=2400.0))
    price = Price(core_hour_yuan=Decimal("0.1"), electricity=GUIZHOU, electricity_passed_on=True)
    small.join("guian", price=price, carbon_daily=modelled_day("guizhou", 106.6), core_power_w=250.0)
    return small


def ran(small: SmallNetwork, hours: float) -> Job:
    """A job of 4 cores that ran so long."""
    (job,) = small.submit(task(cores=4, memory_gb=0.5, time_limit_s=6 * 3600))
    small.network.turn()
    begun = small.clock.now()
    small.clock.advance(hours * 3600)
    small.end(AGENT, job.id, begun)
    return small.job(job.id)


def lines_of(small: SmallNetwork, job: Job) -> list[BillLine]:
    lines, _ = small.network.bills.lines(OPERATOR, BillQuery(job_id=job.id), None, 100)
    return sorted(lines, key=lambda line: line.from_at)


def test_a_run_over_the_peak_pays_each_hour_s_price(net: SmallNetwork) -> None:
    job = ran(net, 7.5)
    lines, records = lines_of(net, job), sorted(net.store.usage_records(job.id), key=lambda r: r.from_at)
    local = [(line.from_at + timedelta(hours=8)).strftime("%H:%M") for line in lines]
    # At most 40 minutes each, and cut where the peak begins (17:00) and ends (22:00): 6 hours is the limit.
    assert local == ["16:00", "16:40", "17:00", "17:40", "18:20", "19:00", "19:40", "20:20", "21:00", "21:40"]
    # By hand: 4 × 0.25 kW × 1.2 = 1.2 kW; 0.55 yuan/kWh for an hour, 0.76 for five.
    electricity = Decimal("1.2") * (Decimal("0.55") + 5 * Decimal("0.76"))
    assert job.usage.cost_yuan == Decimal("0.1") * 4 * 6 + electricity
    assert sum(line.amount_fen for line in lines) == job.billed_fen == 762
    assert lines[1].description == "4 cores, 0.5 GB, 0.4 kWh × 0.55 yuan (flat)"
    assert lines[2].description == "4 cores, 0.5 GB, 0.8 kWh × 0.76 yuan (peak)"
    day = modelled_day("guizhou", 106.6)
    # 16:40 to 17:00 lies in one hour of the modelled day.
    assert records[1].carbon_g == pytest.approx(0.4 * 500 * day[16])


def test_plans_quotes_and_budgets_say_what_the_bill_will(net: SmallNetwork) -> None:
    of = task(cores=4, memory_gb=0.5, time_limit_s=6 * 3600, expected_s=6 * 3600)
    quote = net.network.quotes.quote_task(USER, of, source="x")
    (offer,) = quote.offers
    job = ran(net, 6)
    assert offer.price_yuan.mid == pytest.approx(float(job.usage.cost_yuan))
    assert offer.price.electricity == GUIZHOU, "the tariff binds with the price"
    assert job.why is not None
    assert job.why.chosen is not None
    figures = job.why.chosen.figures
    assert figures.price_yuan == pytest.approx(float(job.usage.cost_yuan))
    assert figures.electricity is not None
    assert (figures.electricity.tier, figures.electricity.yuan_per_kwh) == (Tier.FLAT, Decimal("0.55"))
    assert figures.electricity.drawn_yuan == pytest.approx(5.22)
    # The dearest six hours of a day are one flat and five of the peak: 7.62 yuan is just enough.
    (fits,) = net.submit(replace(of, constraints=replace(of.constraints, budget_yuan=Decimal("7.62"))))
    (short,) = net.submit(replace(of, constraints=replace(of.constraints, budget_yuan=Decimal("7.61"))))
    assert net.job(fits.id).state is JobState.QUEUED
    assert net.job(short.id).state is JobState.REFUSED
    why = net.job(short.id).why
    assert why is not None
    assert [(out.code, out.have) for out in why.excluded] == [("budget", "7.62")]


def test_a_lease_keeps_the_tariff_it_was_granted_at(net: SmallNetwork) -> None:
    (job,) = net.submit(task(cores=4, memory_gb=0.5))
    net.network.turn()
    site = net.network.sites.get(OPERATOR, GUIAN).site
    dearer = replace(site.offering.price, electricity=replace(GUIZHOU, flat_yuan_per_kwh=Decimal(90)))
    net.network.sites.change(OPERATOR, site.id, replace(site.offering, price=dearer))
    (allocation,) = net.network.jobs.allocations(OPERATOR, job.id)
    assert allocation.price.electricity == GUIZHOU


# proofs


@pytest.fixture
def document(net: SmallNetwork) -> dict[str, Any]:
    job = ran(net, 2)
    net.network.turn()
    found: dict[str, Any] = json.loads(
        json.dumps(Proofs(net.store, net.clock, Rules(), SIGNER).evidence(OPERATOR, job.id))
    )
    return found


def test_the_proof_holds_and_says_what_was_paid(document: dict[str, Any]) -> None:
    finding = verify(document, key=SIGNER.key)
    assert finding.failures == ()
    assert finding.unsettled == ()
    paid = [entry["leaf"]["electricity"] for entry in document["usage"]]
    assert [(each["tier"], each["yuan_per_kwh"]) for each in paid] == [
        ("flat", "0.55"), ("flat", "0.55"), ("peak", "0.76"), ("peak", "0.76"),
    ]  # fmt: skip
    assert {each["power_kw"] for each in paid} == {"1.2"}


def forged(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Bills whose leaves say something else, before any hash is looked at."""
    for name, value in (
        ("yuan_per_kwh", "0.54"), ("yuan_per_kwh", "1E5"), ("power_kw", "1.3"), ("power_kw", "nan"),
        ("power_kw", "1e999"), ("tier", "free"), ("tier", None),
    ):  # fmt: skip
        copied = copy.deepcopy(document)
        copied["usage"][1]["leaf"]["electricity"][name] = value
        yield f"{name} {value}", copied
    copied = copy.deepcopy(document)
    del copied["usage"][1]["leaf"]["electricity"]
    yield "left out", copied
    copied = copy.deepcopy(document)
    copied["usage"][1]["leaf"]["electricity"]["more"] = "1"
    yield "more", copied
    copied = copy.deepcopy(document)
    copied["usage"][1]["leaf"]["energy_kwh"] = "0.9"
    yield "energy", copied


def test_whatever_of_it_is_changed_is_found(document: dict[str, Any]) -> None:
    for what, bill in forged(document):
        assert not verify(bill).holds, what


def test_energy_that_the_power_does_not_draw_is_named(document: dict[str, Any]) -> None:
    copied = copy.deepcopy(document)
    copied["usage"][0]["leaf"]["energy_kwh"] = "0.9"
    assert Check.RATING in {failure.check for failure in verify(copied).failures}


def test_a_leaf_without_paid_electricity_is_written_as_ever(net: SmallNetwork) -> None:
    site = net.network.sites.get(OPERATOR, GUIAN).site
    posted = replace(site.offering.price, electricity_passed_on=False)
    net.network.sites.change(OPERATOR, site.id, replace(site.offering, price=posted))
    job = ran(net, 2)
    net.network.turn()
    bill: Any = Proofs(net.store, net.clock, Rules(), SIGNER).evidence(OPERATOR, job.id)
    assert all("electricity" not in entry["leaf"] for entry in bill["usage"])
    assert job.usage.cost_yuan == Decimal("0.8")
    assert verify(json.loads(json.dumps(bill))).holds
    assert slot_at(GUIZHOU, int(NOW.timestamp() * 1000)).tier == "flat"


def test_the_examples_of_the_page_are_site_files_and_a_task() -> None:
    page = (Path(__file__).parents[3] / "docs" / "electricity.md").read_text("utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 3
    for example in examples[:2]:
        check_offering(read(example))
    (patient,) = read_tasks(f"name: night\nrun: 'true'\n{examples[2]}", filename="task").tasks
    assert patient.flexibility.may_wait_s == 12 * 3600


def test_a_draft_names_the_area_of_its_place() -> None:
    text = of_this_host("lab", place="贵安")
    (line,) = (line for line in text.splitlines() if line.startswith("# electricity"))
    assert read(line.removeprefix("# ") + "\n").price.electricity == GUIZHOU
