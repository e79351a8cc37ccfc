"""Rights that end early: what a buyer gets back, what a provider pays, and what follows when hours are not delivered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.api.api_world import NOW, Agent, World, offering, world

from suanwang.client import Client
from suanwang.client.market import new_order
from suanwang.client.termination_models import NewTerms, RefundStep
from suanwang.domain.connector import RunState
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from suanwang.domain.exchange import Phase, RunReport, SyncReply
from suanwang.domain.ids import JobId, SiteId
from suanwang.domain.lifecycle import JobState, SiteState
from suanwang.trading.ledger import BANK, Owner, Transfer, account_id
from suanwang.trading.market.product import HOUR
from suanwang.trading.market.termination import GUARANTEE, TerminationKind
from suanwang.trading.market.terms import STANDARD
from suanwang.trading.market.values import Plan, Way
from suanwang.trading.settlement import opened

LATER = NOW + 100 * HOUR
GUIAN, WUHU = account_id(Owner.PROVIDER, "guian-cloud"), account_id(Owner.PROVIDER, "wuhu-cloud")
DEMO = account_id(Owner.PROJECT, "demo")


@pytest.fixture
def net() -> Iterator[World]:
    with world() as made:
        yield made


def client(net: World, by: str = "alice") -> Client:
    return Client("http://network", f"secret-of-{by}", transport=net.transport)


def listed(net: World, count: int = 8, start: Any = LATER, hours: int = 4, price: int = 98, **more: Any) -> None:
    values = {"site": "guian", "device": "core", "count": count, "start": start, "end": start + hours * HOUR}
    client(net, "guian").list_offer(**{**values, "price_fen": price, **more})


def bought(net: World, count: int = 4, start: Any = LATER, hours: int = 4, by: str = "alice", **more: Any) -> str:
    wanted = new_order(devices=["core"], count=count, start=start, end=start + hours * HOUR, way=Way.NOW, **more)
    made = client(net, by).place_order(wanted)
    return next(right.id for right in client(net, by).rights() if right.order == made.id)


def balance(net: World, account: str) -> int:
    audit = net.store.audit()
    assert (audit.sum_fen, audit.wrong, audit.unlogged) == (0, (), 0)
    found: dict[str, int] = {each.id: each.balance_fen for each in net.store.accounts(None, None, 500)[0]}
    assert found.get("operator:market", 0) == 0
    assert all(fen >= 0 for name, fen in found.items() if name.startswith("deposit:"))
    return found.get(account, 0)


def wuhu(net: World) -> None:
    """A second site with cores on sale, in touch."""
    net.network.sites.invite(net.operator, "wuhu", offering(provider="wuhu-cloud", region="yangtze"))
    site = net.store.site(SiteId("wuhu"))
    assert site is not None
    net.store.put_site(replace(site, state=SiteState.REACHABLE, state_since=NOW, revision=site.revision + 1))


def lost(net: World, minutes: int = 30) -> None:
    """贵安 falls silent for so long, with the loop awake; nothing else does."""
    site = net.store.site(SiteId("guian"))
    assert site is not None
    net.clock.at += timedelta(minutes=minutes)
    since = net.clock.at - timedelta(minutes=11)
    gone = replace(site, state=SiteState.LOST, state_since=since, seen_at=None, revision=site.revision + 1)
    net.store.put_site(gone)


# cancelling


def test_a_right_is_cancelled_for_what_its_terms_give_back(net: World) -> None:
    listed(net)
    right = bought(net)
    assert balance(net, DEMO) == -1600
    assert (balance(net, GUIAN), balance(net, f"deposit:{right}")) == (1568 - 160, 160)
    alice = client(net)
    told = alice.cancel_right(right, count=1, trial=True)
    assert (told.due_fen, told.unpaid_fen) == (400, 0)
    assert balance(net, DEMO) == -1600
    done = alice.cancel_right(right, count=1, id="cancel-cores-1")
    assert (done.kind, done.counts, done.due_fen) == (TerminationKind.CANCELLED, [1, 1, 1, 1], 400)
    # A fourth of the right: a fourth of its deposit first, its commission, the rest of the seller.
    assert (done.network_fen, done.deposit_fen, done.seller_fen, done.pool_fen) == (8, 40, 352, 0)
    assert alice.cancel_right(right, count=1, id="cancel-cores-1") == done
    assert balance(net, DEMO) == -1200
    assert next(alice.rights()).counts == [3, 3, 3, 3]
    assert [each.id for each in alice.terminations()] == ["cancel-cores-1"]
    assert [each.id for each in client(net, "guian").terminations()] == ["cancel-cores-1"]
    assert list(client(net, "bob").terminations()) == []
    net.clock.at = LATER - 30 * HOUR
    assert alice.cancel_right(right, count=1).due_fen == 200, "half of it, a day and more before"
    net.clock.at = LATER - 2 * HOUR
    assert alice.cancel_right(right, count=1).due_fen == 80
    net.clock.at = LATER - HOUR / 2
    with pytest.raises(Conflict, match="too late"):
        alice.cancel_right(right)
    listed(net, count=3, price=50)


def test_who_may_not_cancel_and_what_cannot_be(net: World) -> None:
    listed(net)
    right = bought(net)
    with pytest.raises(NotFound):
        client(net, "bob").cancel_right(right)
    with pytest.raises(NotFound):
        client(net, "guian").cancel_right(right)
    with pytest.raises(Conflict, match="4 units"):
        client(net).cancel_right(right, count=5)
    client(net).cancel_right(right, id="cancel-cores-1", count=1)
    other = bought(net, count=1)
    with pytest.raises(Conflict, match="identifier"):
        client(net).cancel_right(other, id="cancel-cores-1")
    client(net).cancel_right(right)
    with pytest.raises(Conflict, match="0 units"):
        client(net).cancel_right(right)


def test_a_resold_right_is_cancelled_for_what_its_provider_got(net: World) -> None:
    listed(net)
    first = bought(net)
    alice, bob = client(net), client(net, "bob")
    alice.list_offer(reservation=first, count=2, start=LATER, end=LATER + 4 * HOUR, price_fen=980, id="resale-cores")
    second = bought(net, count=6, by="bob", project="other")
    (mine,) = [right for right in bob.rights() if right.id == second]
    assert mine.paid_fen == 4 * 4 * 100 + 2 * 4 * 1000
    done = bob.cancel_right(second)
    assert done.worth_fen == 6 * 4 * 100, "what others paid for it is none of the provider's"
    assert (done.due_fen, done.unpaid_fen) == (2400, 0)


# taking back


def test_a_provider_takes_back_what_is_on_sale_then_what_was_bought_last(net: World) -> None:
    listed(net, count=8)
    early = bought(net, count=3)
    net.clock.at += HOUR
    late = bought(net, count=3)
    guian = client(net, "guian")
    taken = guian.reclaim(site="guian", device="core", count=4, start=LATER, end=LATER + 2 * HOUR, id="reclaim-cores-1")
    assert [(each.right, each.counts) for each in taken] == [(None, [2, 2]), (late, [2, 2])]
    # The price of 4 unit-hours, and a fifth of it; the share of its deposit behind them first.
    assert (taken[1].due_fen, taken[1].deposit_fen, taken[1].seller_fen) == (480, 40, 440)
    assert (
        guian.reclaim(site="guian", device="core", count=4, start=LATER, end=LATER + 2 * HOUR, id="reclaim-cores-1")
        == taken
    )
    rights = {right.id: right.counts for right in client(net).rights()}
    assert rights == {early: [3, 3, 3, 3], late: [1, 1, 3, 3]}
    assert balance(net, DEMO) == -2400 + 480
    part = client(net).cancel_right(late, trial=True)
    assert (part.counts, part.worth_fen) == ([1, 1, 3, 3], 800), "what there is, hour by hour"
    # What is taken back is free again, and no more of it.
    listed(net, count=4, hours=2, price=50)
    with pytest.raises(Conflict, match="listed or sold"):
        listed(net, count=1, hours=2, price=50)
    with pytest.raises(Conflict, match="only 8 of 9"):
        guian.reclaim(site="guian", device="core", count=9, start=LATER, end=LATER + HOUR)


def test_notice_is_what_the_right_says(net: World) -> None:
    soon = NOW + 24 * HOUR
    listed(net, start=soon)
    bought(net, start=soon)
    listed(net, start=soon + 4 * HOUR, plan=Plan.INTERRUPTIBLE)
    loose = bought(net, start=soon + 4 * HOUR, interruptible=True)
    guian = client(net, "guian")
    with pytest.raises(Conflict, match="only 4 of 5"):
        guian.reclaim(site="guian", device="core", count=5, start=soon, end=soon + HOUR)
    taken = guian.reclaim(site="guian", device="core", count=8, start=soon + 4 * HOUR, end=soon + 5 * HOUR)
    assert [(each.right, each.due_fen) for each in taken] == [(None, 0), (loose, 400)], "nothing on top"
    with pytest.raises(Forbidden):
        client(net, "wuhu").reclaim(site="guian", device="core", count=1, start=soon, end=soon + HOUR)
    with pytest.raises(NotFound):
        guian.reclaim(site="nowhere", device="core", count=1, start=soon, end=soon + HOUR)
    with pytest.raises(InvalidRequest, match="on the hour"):
        guian.reclaim(site="guian", device="core", count=1, start=soon + HOUR / 2, end=soon + HOUR)


def test_a_run_on_units_that_were_taken_back_is_suspended_and_goes_on_without(net: World) -> None:
    agent = net.agent()
    agent.tell()
    start = NOW + HOUR
    listed(net, start=start, hours=4, plan=Plan.INTERRUPTIBLE)
    right = bought(net, count=8, start=start, interruptible=True)
    net.clock.at = start
    agent.tell()
    task = "name: long\nrun: 'true'\nresources: {cores: 8, memory: 1GB, time_limit: 3h}\n"
    job = client(net).submit(task, reservation=right).jobs[0].id
    net.network.turn()
    agent.run_all(outcome=None)
    assert client(net).job(job).state is JobState.RUNNING
    client(net, "guian").reclaim(site="guian", device="core", count=8, start=start + 2 * HOUR, end=start + 4 * HOUR)
    assert turned(net, agent) == 0, "its hours have not come"
    net.clock.at = start + 2 * HOUR
    assert turned(net, agent) == 1
    tell(net, agent, Phase.RUNNING)
    assert [each.suspend for each in tell(net, agent, Phase.RUNNING).known] == [True]
    tell(net, agent, Phase.ENDED, RunState.CANCELLED)
    net.network.turn()
    kept = net.store.job(JobId(job))
    assert kept is not None
    assert (kept.terms, kept.task.constraints.sites) == (None, ())
    assert "taken back" in str([event.data for event in net.store.events(0, 500) if event.kind == "job.freed"])
    net.network.turn()
    assert client(net).job(job).state is JobState.LEASED, "as any other job, at the posted price"


def turned(net: World, agent: Agent) -> int:
    agent.tell()
    before = sum(event.kind == "job.suspending" for event in net.store.events(0, 500))
    net.network.turn()
    return sum(event.kind == "job.suspending" for event in net.store.events(0, 500)) - before


def tell(net: World, agent: Agent, phase: Phase, outcome: RunState | None = None) -> SyncReply:
    """The one run at 贵安, as its agent has it."""
    ((_, run),) = net.store.live_at(SiteId("guian"))
    report = RunReport(
        allocation_id=run.id,
        epoch=run.epoch,
        phase=phase,
        started_at=run.started_at,
        ended_at=None if outcome is None else net.clock.at,
        outcome=outcome,
    )
    return agent.tell(report)  # type: ignore[no-any-return]


# not delivered


def test_hours_not_delivered_that_cannot_be_replaced_are_paid_back_as_far_as_there_is(net: World) -> None:
    agent = net.agent()
    agent.tell()
    wuhu(net)
    start = NOW + HOUR
    listed(net, start=start)
    right = bought(net, start=start)
    client(net, "wuhu").list_offer(
        site="wuhu", device="core", count=4, start=start, end=start + 4 * HOUR, price_fen=118
    )
    task = "name: moves\nrun: 'true'\nresources: {cores: 4, memory: 1GB, time_limit: 1h}\n"
    job = client(net).submit(task, reservation=right).jobs[0].id
    net.clock.at = start
    lost(net, minutes=5)
    net.network.turn()
    (ended,) = client(net).terminations()
    # 16 unit-hours at 121 fen elsewhere: the deposit pays 160, the seller the rest of his means, no guarantee is there.
    assert (ended.kind, ended.right, ended.worth_fen, ended.due_fen) == (TerminationKind.DEFAULTED, right, 1600, 1600)
    assert (ended.deposit_fen, ended.seller_fen, ended.replacement) == (160, 1408, None), "1936 is more than there was"
    assert ended.unpaid_fen == 32
    before = balance(net, DEMO)
    net.network.turn()
    assert len(list(client(net).terminations())) == 1
    kept = net.store.job(JobId(job))
    assert kept is not None
    assert kept.terms is None
    # What he did not have is owed until he has it, and tried every hour.
    listed(net, start=start + 10 * HOUR)
    bought(net, count=1, start=start + 10 * HOUR, by="bob", project="other")
    net.network.turn()
    assert next(client(net).terminations()).unpaid_fen == 32
    net.clock.at += HOUR
    net.network.turn()
    net.network.turn()
    (ended,) = client(net).terminations()
    assert (ended.unpaid_fen, ended.seller_fen, balance(net, DEMO)) == (0, 1440, before + 32)


def test_hours_not_delivered_are_bought_elsewhere_and_their_jobs_follow(net: World) -> None:
    agent = net.agent()
    agent.tell()
    wuhu(net)
    start = NOW + HOUR
    listed(net, start=start, price=98)
    right = bought(net, start=start)
    # Others trade too: the network earns, and its operator puts that aside.
    listed(net, start=start + 10 * HOUR, price=98_000)
    bought(net, count=8, start=start + 10 * HOUR, by="bob", project="other")
    client(net, "olga").fund_guarantee(1000, id="guarantee-of-1")
    assert client(net, "olga").fund_guarantee(1000, id="guarantee-of-1").balance_fen == 1000
    with pytest.raises(Forbidden):
        client(net).fund_guarantee(1)
    with pytest.raises(Conflict, match="not earned"):
        client(net, "olga").fund_guarantee(10**9)
    account = net.store.account(GUIAN)
    assert account is not None
    paid_out(net, account.balance_fen - 1000)
    client(net, "wuhu").list_offer(
        site="wuhu", device="core", count=4, start=start, end=start + 4 * HOUR, price_fen=118
    )
    task = "name: moves\nrun: 'true'\nresources: {cores: 4, memory: 1GB, time_limit: 1h}\n"
    job = client(net).submit(task, reservation=right).jobs[0].id
    net.clock.at = start
    lost(net, minutes=5)
    before = balance(net, DEMO)
    net.network.turn()
    (ended,) = client(net).terminations()
    assert (ended.due_fen, ended.deposit_fen, ended.seller_fen, ended.pool_fen) == (1936, 160, 1000, 776)
    assert balance(net, DEMO) == before, "whole, at nobody's cost but the seller's and the guarantee's"
    assert balance(net, GUARANTEE) == 224
    rights = {each.id: each for each in client(net).rights()}
    (other,) = [each for each in rights.values() if each.order == ended.replacement]
    assert (other.site, other.counts, rights[right].counts) == ("wuhu", [4] * 4, [0] * 4)
    net.network.turn()
    kept = net.store.job(JobId(job))
    assert kept is not None
    assert kept.terms is not None
    assert (kept.terms.reservation, kept.task.constraints.sites) == (other.id, ("wuhu",))
    net.network.turn()
    assert len(list(client(net).terminations())) == 1


def paid_out(net: World, fen: int) -> None:
    net.store.open_accounts([opened(BANK)])
    out = Transfer(id="out", chain="out", debit=GUIAN, credit=BANK, amount_fen=fen, code="payout")
    assert net.store.post([(out,)], net.clock.at)[0].done


def test_a_short_silence_and_hours_to_come_are_no_default(net: World) -> None:
    agent = net.agent()
    agent.tell()
    start = NOW + HOUR
    listed(net, start=start)
    bought(net, start=start)
    lost(net, minutes=1)
    net.network.turn()
    assert list(client(net).terminations()) == [], "its hours have not begun"
    net.clock.at = start + timedelta(minutes=1)
    site = net.store.site(SiteId("guian"))
    assert site is not None
    fresh = replace(site, state_since=net.clock.at - timedelta(minutes=9), revision=site.revision + 1)
    net.store.put_site(fresh)
    net.network.turn()
    assert list(client(net).terminations()) == []


def test_deposits_go_back_when_the_hours_are_over(net: World) -> None:
    start = NOW + HOUR
    shared = offering(owners={"guian-cloud": "1/2", "university": "1/2"})
    net.network.sites.change(net.operator, SiteId("guian"), shared)
    listed(net, start=start)
    right = bought(net, start=start)
    (deposit,) = client(net, "guian").deposits()
    assert (deposit.trade, deposit.amount_fen, deposit.open) == (right, 160, True)
    assert balance(net, GUIAN) == 704
    net.clock.at = start + 4 * HOUR + timedelta(minutes=9)
    net.network.turn()
    assert balance(net, f"deposit:{right}") == 160
    net.clock.at += timedelta(minutes=2)
    net.network.turn()
    net.network.turn()
    assert (balance(net, f"deposit:{right}"), balance(net, GUIAN)) == (0, 784)
    assert balance(net, "provider:university") == 784
    assert [each.open for each in client(net, "guian").deposits()] == [False]
    with pytest.raises(Forbidden):
        list(client(net).deposits())


# terms


def test_terms_are_dated_and_rights_keep_theirs(net: World) -> None:
    (current,) = client(net).sale_terms()
    assert (current.notice_h, current.deposit_bp) == (STANDARD.notice_h, STANDARD.deposit_bp)
    listed(net)
    old = bought(net, count=1)
    asked = NewTerms(
        from_at=NOW + HOUR,
        refunds=[RefundStep(hours=2, refund_bp=9000)],
        notice_h=4,
        compensation_bp=0,
        deposit_bp=0,
    )
    with pytest.raises(Forbidden):
        client(net).set_sale_terms(asked)
    olga = client(net, "olga")
    made = olga.set_sale_terms(asked)
    assert olga.set_sale_terms(asked) == made
    with pytest.raises(Conflict, match="other terms"):
        olga.set_sale_terms(asked.model_copy(update={"notice_h": 5}))
    with pytest.raises(InvalidRequest, match="past"):
        olga.set_sale_terms(asked.model_copy(update={"from_at": NOW - HOUR}))
    steps = [RefundStep(hours=2, refund_bp=1), RefundStep(hours=3, refund_bp=1)]
    with pytest.raises(InvalidRequest, match="later than the one before"):
        olga.set_sale_terms(asked.model_copy(update={"from_at": NOW + 2 * HOUR, "refunds": steps}))
    assert client(net).sale_terms()[0].notice_h == STANDARD.notice_h, "they are to come"
    net.clock.at = NOW + HOUR
    assert client(net).sale_terms()[0] == made
    new = bought(net, count=1)
    net.clock.at = LATER - 3 * HOUR
    assert client(net).cancel_right(old, trial=True).due_fen == 80
    assert client(net).cancel_right(new, trial=True).due_fen == 360
