"""Selling and using algorithms, models and data sets: who may, what it costs, what jobs get, and clear errors."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.api.api_world import Agent, World, offering, world

from suanwang.control.contracts.listings import Listings, NewListing
from suanwang.domain.connector import RunState
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from suanwang.domain.exchange import Phase, RunReport
from suanwang.domain.file import Content
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import Event
from suanwang.domain.lifecycle import JobState
from suanwang.domain.site import Dataset
from suanwang.domain.task import Input, Resources, Task
from suanwang.trading.holding import RUNS
from suanwang.trading.ledger import NETWORK, AccountId
from suanwang.trading.listings import Charge, Kind, Listing, UseState

ALICE = Principal(name="alice", role=Role.USER, projects=(ProjectId("demo"),))
BOB = Principal(name="bob", role=Role.USER, projects=(ProjectId("other"),))
GUIAN = Principal(name="guian", role=Role.PROVIDER, provider="guian-cloud")
WUHU = Principal(name="wuhu", role=Role.PROVIDER, provider="wuhu-cloud")
RITA = Principal(name="rita", role=Role.REGULATOR)
DATA = b"weights of a model"
SHA = hashlib.sha256(DATA).hexdigest()
DEMO, OTHER = AccountId("project:demo"), AccountId("project:other")


@pytest.fixture
def net() -> Iterator[World]:
    """贵安 with the data set `patients`; project `other` has a file `weights`; `demo` has ¥100."""
    with world() as made:
        made.network.sites.change(
            made.operator, SiteId("guian"), offering(datasets=(Dataset(name="patients", size=1000),))
        )
        made.network.artefacts.append(BOB, SHA, 0, DATA)
        made.network.artefacts.finish(BOB, SHA, len(DATA))
        made.network.artefacts.name(BOB, ProjectId("other"), "weights", Content(sha256=SHA, size=len(DATA)))
        made.network.wallets.top_up(made.operator, ProjectId("demo"), 10_000, "cash-1")
        made.network.wallets.set_limit(made.operator, ProjectId("demo"), 0)
        yield made


@pytest.fixture
def shop(net: World) -> Listings:
    return net.network.listings


def wanted(**changes: Any) -> NewListing:
    values: dict[str, Any] = {
        "id": "digits-model",
        "version": "1.0",
        "title_en": "Digits",
        "title_zh": "数字",
        "kind": Kind.MODEL,
        "licence": "Apache-2.0",
        "project": ProjectId("other"),
        "sha256": SHA,
        "charge": Charge.COPY,
        "price_fen": 5000,
    }
    return NewListing(**{**values, **changes})


def patients(**changes: Any) -> NewListing:
    values = {"kind": Kind.DATASET, "project": None, "sha256": None, "charge": Charge.USE, "price_fen": 300}
    return wanted(**{"id": "patients-2026", "site": SiteId("guian"), "dataset": "patients", **values, **changes})


def bought(shop: Listings, by: Principal = ALICE, **changes: Any) -> Any:
    values: dict[str, Any] = {
        "copy_id": "copy-no-1",
        "listing_id": "digits-model",
        "project": ProjectId("demo"),
        "price_fen": 5000,
    }
    return shop.buy(by, **{**values, **changes})


def money(net: World) -> list[tuple[int, int]]:
    """(balance, held beside what leases hold) of the buyer, the seller and the network."""
    leases = Counter[str]()
    for hold in net.store._book.holds.values():
        leases[hold.debit] += hold.amount_fen if hold.credit == RUNS else 0
    found = [net.store.account(name) for name in (DEMO, OTHER, NETWORK)]
    assert net.store.audit().sum_fen == 0
    assert net.store.audit().wrong == ()
    return [(0, 0) if each is None else (each.balance_fen, each.held_fen - leases[each.id]) for each in found]


def run_on(net: World, agent: Agent, phase: Phase | None = None) -> int:
    """One turn, and the leases that the agent is told; with `phase` each is reported so."""
    net.network.turn()
    told = agent.tell().start
    for lease in told if phase is not None else ():
        assert phase is not None
        at = net.clock.at
        ended = phase is Phase.ENDED
        report = RunReport(
            allocation_id=lease.allocation_id,
            epoch=lease.epoch,
            phase=phase,
            started_at=at,
            ended_at=at if ended else None,
            outcome=RunState.SUCCEEDED if ended else None,
            exit_code=0 if ended else None,
        )
        agent.tell(report)
    net.network.turn()
    return len(told)


def used(net: World) -> list[Event]:
    return list(net.store.events(0, 1000, kind="listing.used"))


def test_a_project_lists_a_file_and_another_buys_its_copy(net: World, shop: Listings) -> None:
    listing = shop.add(BOB, wanted())
    assert (listing.seller, listing.content, listing.source) == (
        OTHER,
        Content(sha256=SHA, size=len(DATA)),
        "listing:digits-model@1.0",
    )
    assert shop.add(BOB, wanted()) == listing
    assert [each.id for each in shop.every(ALICE)[0]] == ["digits-model"]
    with pytest.raises(NotFound):
        net.network.artefacts.size(ALICE, SHA)
    copy = bought(shop)
    assert bought(shop) == copy
    assert money(net) == [(5000, 0), (4900, 0), (100, 0)]
    assert b"".join(net.network.artefacts.read(ALICE, SHA)) == DATA
    assert net.network.artefacts.find(ALICE, ProjectId("demo"), copy.file_name).content.sha256 == SHA
    assert shop.withdraw(BOB, "digits-model") == 1
    assert shop.withdraw(BOB, "digits-model") == 0
    assert bought(shop) == copy, "a repeated request is answered as the first time"
    assert b"".join(net.network.artefacts.read(ALICE, SHA)) == DATA
    for seen in (ALICE, BOB, RITA):
        assert [each.id for each in shop.copies(seen, None, None, 10)[0]] == ["copy-no-1"]
    assert shop.copies(WUHU, None, None, 10)[0] == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"licence": "x" * 201}, "licence"),
        ({"licence": "MIT\nand more"}, "licence"),
        ({"title_zh": " "}, "title_zh"),
        ({"id": "Digits"}, "id"),
        ({"version": "V 1"}, "version"),
        ({"price_fen": -1}, "price_fen"),
        ({"price_fen": 10**16}, "price_fen"),
        ({"sha256": "b" * 64}, "sha256"),
        ({"sha256": "nonsense"}, "sha256"),
        ({"sha256": None}, "sha256"),
        ({"dataset": "patients"}, "sha256"),
        ({"invited": ()}, "invited"),
        ({"invited": (ProjectId("nobody"),)}, "invited"),
        ({"description": "x" * 4001}, "description"),
    ],
)
def test_what_cannot_be_listed_is_said(shop: Listings, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        shop.add(BOB, wanted(**changes))
    assert refused.value.field == field
    assert refused.value.allowed


def test_nobody_lists_what_is_anothers(net: World, shop: Listings) -> None:
    with pytest.raises(Forbidden):
        shop.add(ALICE, wanted())
    with pytest.raises(InvalidRequest, match="no file of this content"):
        shop.add(ALICE, wanted(project=ProjectId("demo")))
    with pytest.raises(Forbidden):
        shop.add(WUHU, patients())
    with pytest.raises(Forbidden):
        shop.add(RITA, wanted())
    with pytest.raises(InvalidRequest, match="holds no data set"):
        shop.add(GUIAN, patients(dataset="weather"))
    with pytest.raises(InvalidRequest, match="by the use"):
        shop.add(GUIAN, patients(charge=Charge.COPY))
    with pytest.raises(NotFound):
        shop.add(GUIAN, patients(site=SiteId("nowhere")))
    shop.add(BOB, wanted())
    for change in (shop.withdraw, lambda who, name: shop.add(who, wanted(price_fen=1))):
        with pytest.raises((Forbidden, Conflict)):
            change(ALICE, "digits-model")
    with pytest.raises(NotFound):
        shop.withdraw(BOB, "nothing-here")
    with pytest.raises(Conflict, match="do not change"):
        shop.add(BOB, wanted(price_fen=1))


def test_the_hash_of_what_is_sold_gives_nobody_the_content(net: World, shop: Listings) -> None:
    shop.add(BOB, wanted())
    shop.withdraw(BOB, "digits-model")
    content = Content(sha256=SHA, size=len(DATA))
    with pytest.raises(InvalidRequest, match="is sold as digits-model@") as refused:
        net.network.artefacts.name(ALICE, ProjectId("demo"), "mine-now", content)
    assert refused.value.field == "sha256"
    assert net.network.artefacts.name(BOB, ProjectId("other"), "again", content).version == 1


def test_only_the_invited_see_and_buy(net: World, shop: Listings) -> None:
    shop.add(BOB, wanted(invited=(ProjectId("other"),)))
    assert shop.every(ALICE)[0] == []
    with pytest.raises(NotFound):
        shop.show(ALICE, "digits-model")
    with pytest.raises(NotFound):
        bought(shop)
    assert shop.show(RITA, "digits-model").invited == ("other",)
    assert [each.id for each in shop.every(BOB, mine=True)[0]] == ["digits-model"]
    with pytest.raises(InvalidRequest, match="may read"):
        submit(net, "listing:digits-model")


def test_a_price_that_changed_is_said_before_anything_is_paid(net: World, shop: Listings) -> None:
    shop.add(BOB, wanted())
    shop.add(BOB, wanted(version="1.1", price_fen=6000))
    with pytest.raises(Conflict, match="costs 6000 fen, not 5000") as refused:
        bought(shop)
    assert refused.value.field == "price_fen"
    assert bought(shop, version="1.0").version == "1.0"
    with pytest.raises(Conflict, match="another copy"):
        bought(shop, price_fen=6000)
    with pytest.raises(Conflict, match="has its copy"):
        bought(shop, copy_id="copy-no-2", version="1.0")
    with pytest.raises(Conflict, match="cannot pay 6000 fen"):
        bought(shop, copy_id="copy-no-3", price_fen=6000)
    with pytest.raises(Forbidden):
        bought(shop, copy_id="copy-no-4", project=ProjectId("other"))
    with pytest.raises(InvalidRequest, match="own"):
        bought(shop, BOB, copy_id="copy-no-5", project=ProjectId("other"), price_fen=6000)
    shop.withdraw(BOB, "digits-model", "1.1")
    with pytest.raises(Conflict, match="withdrawn"):
        bought(shop, copy_id="copy-no-6", version="1.1", price_fen=6000)
    assert money(net) == [(5000, 0), (4900, 0), (100, 0)]


def submit(net: World, *sources: str, by: Principal = ALICE) -> JobId:
    inputs = tuple(Input(source=source, path=f"in{number}") for number, source in enumerate(sources))
    task = Task(name="reader", run="cat in0", inputs=inputs, resources=Resources(memory_gb=1.0))
    return net.network.jobs.submit(by, [task]).jobs[0].id


def test_a_use_is_paid_when_the_job_starts_and_once(net: World, shop: Listings) -> None:
    shop.add(BOB, wanted(charge=Charge.USE, price_fen=500))
    job_id = submit(net, "listing:digits-model", "listing:digits-model@1.0")
    shop.add(BOB, wanted(charge=Charge.USE, price_fen=9000, version="2.0"))
    shop.withdraw(BOB, "digits-model", "1.0")
    stored = net.store.job(job_id)
    assert stored is not None
    assert {each.source for each in stored.task.inputs} == {"listing:digits-model@1.0"}
    agent = net.agent()
    agent.tell()
    net.network.turn()
    for _ in range(3):
        (lease,) = agent.tell().start
        assert [each.content for each in lease.inputs] == [Content(sha256=SHA, size=len(DATA))] * 2
    assert money(net)[0] == (10_000, 500)
    me = Principal(name="agent-guian", role=Role.AGENT, site_id=SiteId("guian"))
    assert net.network.artefacts.size(me, SHA) == len(DATA)
    assert used(net) == []
    assert run_on(net, agent, Phase.RUNNING) == 1
    assert money(net)[:2] == [(9500, 0), (490, 0)]
    (event,) = used(net)
    assert (event.project, event.job_id, event.site_id) == ("demo", job_id, "guian")
    assert event.data == {
        "listing": "digits-model",
        "version": "1.0",
        "sha256": SHA,
        "seller": OTHER,
        "price_fen": 500,
    }
    for seen in (ALICE, BOB, RITA):
        (use,) = shop.uses(seen, "digits-model", None, 10)[0]
        assert (use.job, use.project, use.version, use.sha256, use.state) == (
            job_id,
            "demo",
            "1.0",
            SHA,
            UseState.PAID,
        )
    assert shop.uses(WUHU, None, None, 10)[0] == []
    net.clock.at += timedelta(hours=2)
    net.network.turn()
    net.network.turn()
    agent = net.agent()
    agent.tell()
    assert run_on(net, agent, Phase.RUNNING) == 1, "it starts anew after its site was lost"
    restarted = net.store.job(job_id)
    assert restarted is not None
    assert restarted.epoch == 2
    assert money(net)[1] == (490, 0)
    assert len(used(net)) == 1


def test_a_job_that_never_starts_pays_nothing(net: World, shop: Listings) -> None:
    shop.add(BOB, wanted(charge=Charge.USE, price_fen=500))
    job_id = submit(net, "listing:digits-model")
    agent = net.agent()
    agent.tell()
    net.network.turn()
    agent.tell()
    assert money(net)[0] == (10_000, 500)
    net.network.jobs.cancel(ALICE, job_id)
    (lease,) = agent.tell().start
    agent.tell(
        RunReport(allocation_id=lease.allocation_id, epoch=lease.epoch, phase=Phase.ENDED, outcome=RunState.CANCELLED)
    )
    net.network.turn()
    assert money(net) == [(10_000, 0), (0, 0), (0, 0)]
    assert used(net) == []
    assert [use.state for use in shop.uses(BOB, None, None, 10)[0]] == [UseState.RELEASED]


def test_a_job_whose_project_cannot_pay_ends_with_the_reason(net: World, shop: Listings) -> None:
    shop.add(BOB, wanted(charge=Charge.USE, price_fen=20_000))
    job_id = submit(net, "listing:digits-model")
    agent = net.agent()
    agent.tell()
    net.network.turn()
    assert agent.tell().start == ()
    job = net.store.job(job_id)
    assert job is not None
    assert job.state is JobState.FAILED
    assert "cannot pay ¥200.00 for digits-model@1.0" in job.reason
    assert money(net)[0] == (10_000, 0)


def test_a_copy_and_ones_own_are_read_without_paying_but_not_without_a_trace(net: World, shop: Listings) -> None:
    shop.add(BOB, wanted())
    with pytest.raises(InvalidRequest, match="by the copy"):
        submit(net, "listing:digits-model")
    bought(shop)
    submit(net, "listing:digits-model")
    submit(net, "digits-model-1.0")
    shop.add(BOB, wanted(id="by-the-use", charge=Charge.USE, price_fen=700))
    submit(net, "listing:by-the-use", by=BOB)
    agent = net.agent()
    agent.tell()
    assert run_on(net, agent, Phase.ENDED) == 3
    assert money(net) == [(5000, 0), (4900, 0), (100, 0)]
    assert sorted((use.listing, use.price_fen) for use in shop.uses(RITA, None, None, 10)[0]) == [
        ("by-the-use", 0),
        ("digits-model", 0),
    ]


def test_a_data_set_that_is_sold_is_read_at_its_site_and_no_other_way(net: World, shop: Listings) -> None:
    net.network.sites.invite(net.operator, "wuhu", offering(provider="wuhu-cloud", region="yangtze"))
    submit(net, "dataset:patients")
    listing = shop.add(GUIAN, patients())
    assert (listing.seller, listing.site, listing.content) == ("provider:guian-cloud", "guian", None)
    with pytest.raises(InvalidRequest, match="is for sale") as refused:
        submit(net, "dataset:patients")
    assert refused.value.allowed == "listing:patients-2026@1.0"
    with pytest.raises(InvalidRequest, match="by the use"):
        bought(shop, listing_id="patients-2026", price_fen=300)
    job_id = submit(net, "listing:patients-2026")
    job = net.store.job(job_id)
    assert job is not None
    assert job.held_at == "guian"
    agent = net.agent()
    agent.tell()
    net.network.turn()
    leases = agent.tell().start
    assert [each.inputs[0].dataset for each in leases] == ["patients", "patients"]
    run_on(net, agent, Phase.RUNNING)
    provider = net.store.account(AccountId("provider:guian-cloud"))
    assert provider is not None
    assert provider.balance_fen == 294
    assert [use.job for use in shop.uses(GUIAN, None, None, 10)[0]] == [job_id]


@pytest.mark.parametrize("source", ["listing:nothing-here", "listing:digits-model@9.9"])
def test_a_listing_that_is_not_there_is_said(net: World, shop: Listings, source: str) -> None:
    shop.add(BOB, wanted(charge=Charge.USE))
    with pytest.raises(InvalidRequest, match="may read") as refused:
        submit(net, source)
    assert refused.value.field == "inputs"


def test_a_withdrawn_version_is_said(net: World, shop: Listings) -> None:
    shop.add(BOB, wanted(charge=Charge.USE))
    shop.withdraw(BOB, "digits-model", "1.0")
    for source in ("listing:digits-model", "listing:digits-model@1.0"):
        with pytest.raises(InvalidRequest, match="withdrawn"):
            submit(net, source)


def test_twenty_listings_are_enough_for_one_task(net: World, shop: Listings) -> None:
    for number in range(21):
        shop.add(BOB, wanted(id=f"model-no-{number}", charge=Charge.USE, price_fen=0))
    sources = [f"listing:model-no-{number}" for number in range(21)]
    assert submit(net, *sources[:20])
    with pytest.raises(InvalidRequest, match="too many listings"):
        submit(net, *sources)


def test_values_of_a_listing(shop: Listings) -> None:
    listing: Listing = shop.add(BOB, wanted())
    assert listing.same_as(replace(listing, listed_by="eve"))
    assert not listing.same_as(replace(listing, licence="MIT"))
