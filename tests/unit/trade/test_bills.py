"""Who sees which bill lines."""

from __future__ import annotations

import pytest
from tests.factories import (
    DEMO,
    OPERATOR,
    OTHER,
    OTHER_PROVIDER,
    PROVIDER,
    REGULATOR,
    STRANGER,
    USER,
    SmallNetwork,
    replace,
    task,
)

from suanwang.domain.errors import Forbidden
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import SiteId
from suanwang.ports import BillQuery


@pytest.fixture
def billed() -> SmallNetwork:
    """An hour of 4 cores for each of two projects, at one site each: 0.4 yuan and 0.01 for memory."""
    small = SmallNetwork()
    agents = {
        USER: small.join("guian"),
        STRANGER: small.join("wuhu", provider="wuhu-dc", region="yangtze"),
    }
    for caller, agent in agents.items():
        assert agent.site_id is not None
        small.sync(agent)
        (job,) = small.submit(task(cores=4, sites=(agent.site_id,), time_limit_s=7200), caller=caller)
        small.network.turn()
        begun = small.clock.now()
        small.clock.advance(3600)
        lease_id = small.job(job.id).allocation_id
        assert small.end(agent, job.id, begun).ended == (lease_id,)
    return small


def projects(small: SmallNetwork, caller: Principal, query: BillQuery | None = None) -> set[str]:
    lines, _ = small.network.bills.lines(caller, query or BillQuery(), None, 1000)
    totals = small.network.bills.totals(caller, query or BillQuery())
    assert {line.project for line in lines} == {total.project for total in totals}
    assert sum(line.amount_fen for line in lines) == sum(total.amount_fen for total in totals)
    return {line.project for line in lines}


@pytest.mark.parametrize(
    ("caller", "seen"),
    [
        (USER, {DEMO}),
        (STRANGER, {OTHER}),
        (PROVIDER, {DEMO}),
        (OTHER_PROVIDER, {OTHER}),
        (OPERATOR, {DEMO, OTHER}),
        (REGULATOR, {DEMO, OTHER}),
    ],
)
def test_each_sees_his_own(billed: SmallNetwork, caller: Principal, seen: set[str]) -> None:
    assert projects(billed, caller) == seen


def test_asking_for_anothers_shows_nothing(billed: SmallNetwork) -> None:
    assert projects(billed, USER, BillQuery(projects=[OTHER])) == set()
    assert projects(billed, PROVIDER, BillQuery(provider="wuhu-dc")) == {DEMO}, "a provider's own name is put in"
    assert projects(billed, USER, BillQuery(site_id=SiteId("wuhu"))) == set()


def test_the_amounts(billed: SmallNetwork) -> None:
    (total,) = billed.network.bills.totals(USER, BillQuery())
    assert total.amount_fen == 41
    assert total.jobs == 1
    lines, _ = billed.network.bills.lines(USER, BillQuery(), None, 1000)
    assert sum(line.amount_fen for line in lines) == 41
    assert len(lines) == 60, "a record a minute"


@pytest.mark.parametrize(
    "caller",
    [
        Principal(name="a", role=Role.AGENT, site_id=SiteId("guian")),
        Principal(name="j", role=Role.JOIN, site_id=SiteId("guian")),
        replace(PROVIDER, provider=None),
    ],
)
def test_who_has_no_bills_is_told(billed: SmallNetwork, caller: Principal) -> None:
    with pytest.raises(Forbidden):
        billed.network.bills.lines(caller, BillQuery(), None, 10)
    with pytest.raises(Forbidden):
        billed.network.bills.totals(caller, BillQuery())
