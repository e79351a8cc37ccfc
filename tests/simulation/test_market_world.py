"""Traders without manners on a network that dies: whatever is lost, doubled, late or cut off, nobody loses a fen or a unit.

The production use cases and the production loop run under a seed. Calls are lost before they arrive or after they were
done, doubled, and delivered late and out of order; replicas die between any two of their steps, and their clocks differ.
After every step the ledger, the market's account, the holds and the units are counted.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from suanwang.adapters.store.memory import MemoryStore
from suanwang.control.billing.settling import settle
from suanwang.control.market.calling import call_due
from suanwang.control.market.defaulting import collect, default_due, return_deposits
from suanwang.control.market.ordering import Market
from suanwang.control.market.reclaiming import Reclaim
from suanwang.control.market.requests import NewOffer, Wish
from suanwang.control.market.terminating import Terminations
from suanwang.control.rules import Rules
from suanwang.domain.errors import Conflict, InvalidRequest, SuanwangError, Unavailable
from suanwang.domain.identity import Principal, Project, Role
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.lifecycle import SiteState
from suanwang.domain.site import Price, Site
from suanwang.ports import Deal, Dealt, TradeQuery
from suanwang.trading.ledger import BANK, Owner, Transfer, account_id
from suanwang.trading.market.dealing import MARKET
from suanwang.trading.market.product import HOUR, begins
from suanwang.trading.market.termination import Termination, TerminationKind
from suanwang.trading.market.terms import STANDARD, Refund
from suanwang.trading.market.values import Offer, OfferState, Order, OrderState, Reservation, Way
from suanwang.trading.settlement import opened
from tests.unit.api.api_world import offering

START = begins(492_000)
TERMS = replace(STANDARD, refunds=(Refund(hours=1, refund_bp=5_000),), notice_h=1)
"""Short enough for hours that come soon."""
RULES = Rules(improve_s=0.0, improve_tries=0, project_credit_fen=0, commission_bp=200)
SITES = {"guian": 8, "wuhu": 12, "zhangjiakou": 6}
PROJECTS = ("demo", "other", "third")
FUNDS = 400_000
Call = Callable[[Market], object]


class Died(BaseException):
    """A process that ends here, whatever it was doing."""


class FaultyStore(MemoryStore):
    """Dies, or loses its answer, around a deal when told to."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self._dice = dice
        self.faults = 0.0
        self.died = 0

    def _fault(self) -> None:
        if self._dice.random() < self.faults:
            self.died += 1
            raise Died if self._dice.random() < 0.5 else Unavailable("no answer")

    def deal(self, deal: Deal, now: datetime) -> Dealt:
        self._fault()
        done = super().deal(deal, now)
        self._fault()
        return done

    def post(self, *arguments: Any, **named: Any) -> Any:
        self._fault()
        done = super().post(*arguments, **named)
        self._fault()
        return done


class SkewedClock:
    """A replica's own idea of the time."""

    def __init__(self, world: MarketWorld, skew_s: float) -> None:
        self._world, self._skew = world, timedelta(seconds=skew_s)

    def now(self) -> datetime:
        return self._world.at + self._skew


class MarketWorld:
    """Traders, three replicas and the store they share."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.at = START
        self.store = FaultyStore(self.dice)
        self.numbers = 0
        self.waiting: list[Call] = []
        self.answers = 0
        self.refusals: set[str] = set()
        self._fill()
        self.replicas = [
            (Market(self.store, clock, RULES), clock)
            for clock in (
                SkewedClock(self, skew) for skew in (0.0, self.dice.uniform(-90, 0), self.dice.uniform(0, 90))
            )
        ]
        self.store.faults = 0.06

    def _fill(self) -> None:
        for name, cores in SITES.items():
            declared = offering(
                provider=f"{name}-cloud",
                region=name,
                nodes=1,
                cores_per_node=cores,
                price=Price(core_hour_yuan=Decimal(1)),
            )
            site = Site(id=SiteId(name), offering=declared, state=SiteState.REACHABLE, state_since=START)
            self.store.add_site(site, ())
        self.store.open_accounts([opened(BANK)])
        assert self.store.add_sale_terms(TERMS, [])
        for project in PROJECTS:
            self.store.add_project(Project(id=ProjectId(project), title=project, created_at=START), ())
            account = account_id(Owner.PROJECT, project)
            self.store.open_accounts([replace(opened(account), floor_fen=0)])
            name = f"fund-{project}"
            transfer = Transfer(id=name, chain=name, debit=BANK, credit=account, amount_fen=FUNDS, code="top_up")
            assert self.store.post([(transfer,)], START)[0].done

    def run(self, steps: int = 260) -> None:
        for _ in range(steps):
            self._step()
            self.check()
        self.store.faults = 0.0
        while self.waiting:
            self._deliver()
        for hour in range(30):
            self.at = START + timedelta(hours=30 + hour)
            self._turn()
            self.check()
        self.settled()

    def _step(self) -> None:
        self.at += timedelta(seconds=self.dice.expovariate(1 / 200))
        what = self.dice.random()
        if what < 0.2:
            self.waiting.append(self._listing())
        elif what < 0.6:
            self.waiting.append(self._ordering())
        elif what < 0.68:
            self.waiting.append(self._taking_back())
        elif what < 0.74:
            self.waiting.append(self._ending())
        elif what < 0.76:
            self._site_moves()
        else:
            self._turn()
        self._deliver()

    def _deliver(self) -> None:
        """Some call that waits, not always the first; it may be lost, or come again later."""
        if not self.waiting:
            return
        call = self.waiting.pop(self.dice.randrange(len(self.waiting)))
        if self.store.faults and self.dice.random() < 0.1:
            return  # Lost on its way; its sender gave up.
        market, _ = self.dice.choice(self.replicas)
        try:
            call(market)
            self.answers += 1
            again = self.dice.random() < 0.2
        except (Died, Unavailable):
            again = True
        except (Conflict, InvalidRequest) as error:
            self.refusals.add(type(error).__name__)
            again = self.dice.random() < 0.1
        if again and self.store.faults:
            self.waiting.append(call)

    def _turn(self) -> None:
        """A replica's turn; each of its steps may be the last."""
        _, clock = self.dice.choice(self.replicas)
        for part in (settle, call_due, default_due, collect, return_deposits):
            try:
                part(self.store, RULES, clock.now())
            except (Died, SuanwangError):
                return

    # what traders do

    def _name(self, kind: str) -> str:
        self.numbers += 1
        return f"{kind}-{self.numbers:06d}"

    def _hours(self) -> tuple[datetime, datetime]:
        first = START + HOUR * ((self.at - START) // HOUR + self.dice.randint(0, 4))
        return first, first + HOUR * self.dice.randint(1, 4)

    def _listing(self) -> Call:
        rights = [r for r in self.store._rights.values() if max(r.counts) > 0]
        start, end = self._hours()
        if rights and self.dice.random() < 0.4:
            right = self.dice.choice(rights)
            seller = Principal(name="holder", role=Role.USER, projects=(right.project,))
            resale = NewOffer(
                id=self._name("resale"),
                reservation=right.id,
                count=self.dice.randint(1, max(right.counts)),
                start=begins(right.first),
                end=begins(right.end),
                price_fen=self.dice.randint(50, 200),
            )
            return lambda market: market.list_offer(seller, resale)
        site = self.dice.choice(list(SITES))
        provider = Principal(name=site, role=Role.PROVIDER, provider=f"{site}-cloud")
        offer = NewOffer(
            id=self._name("offer"),
            site=SiteId(site),
            device="core",
            count=self.dice.randint(1, 6),
            start=start,
            end=end + HOUR * self.dice.randint(0, 6),
            price_fen=self.dice.randint(20, 200),
        )
        return lambda market: market.list_offer(provider, offer)

    def _buyer(self, project: str) -> Principal:
        return Principal(name=f"of-{project}", role=Role.USER, projects=(ProjectId(project),))

    def _ordering(self) -> Call:
        project = self.dice.choice(PROJECTS)
        start, end = self._hours()
        wish = Wish(
            id=self._name("order"),
            project=ProjectId(project),
            devices=("core",),
            places=tuple(self.dice.sample(list(SITES), self.dice.randint(0, 2))),
            count=self.dice.randint(1, 5),
            start=start,
            end=end,
            limit_fen=self.dice.randint(20, 400),
            divisible=self.dice.random() < 0.5,
            way=self.dice.choice([Way.STANDING, Way.STANDING, Way.NOW, Way.IOC]),
            not_after=self.at + timedelta(minutes=20),
        )
        return lambda market: market.place(self._buyer(project), wish)

    def _taking_back(self) -> Call:
        number = self.dice.randint(1, self.numbers + 2)
        project = self.dice.choice(PROJECTS)
        if self.dice.random() < 0.7:
            return lambda market: market.cancel(self._buyer(project), f"order-{number:06d}")
        operator = Principal(name="operator", role=Role.OPERATOR)
        return lambda market: market.withdraw(operator, f"{self.dice.choice(['offer', 'resale'])}-{number:06d}")

    def _ending(self) -> Call:
        """A holder cancels, or a provider takes back."""
        rights = list(self.store._rights.values())
        key, what = self._name("ending"), self.dice.random()
        if what < 0.1:
            operator = Principal(name="operator", role=Role.OPERATOR)
            amount = self.dice.randint(1, 300)
            return lambda market: Terminations(self.store, market._clock, RULES).fund(operator, amount, key)
        if rights and what < 0.55:
            right = self.dice.choice(rights)
            holder = Principal(name="holder", role=Role.USER, projects=(right.project,))
            count = self.dice.choice([None, 1, 2])
            return lambda market: Terminations(self.store, market._clock, RULES).cancel(holder, right.id, key, count)
        site = self.dice.choice(list(SITES))
        provider = Principal(name=site, role=Role.PROVIDER, provider=f"{site}-cloud")
        start, end = self._hours()
        wanted = Reclaim(id=key, site=SiteId(site), device="core", count=self.dice.randint(1, 4), start=start, end=end)
        return lambda market: Terminations(self.store, market._clock, RULES).reclaim(provider, wanted)

    def _site_moves(self) -> None:
        """One that was there is lost, or comes back."""
        site = self.dice.choice(list(self.store.sites()))
        state = SiteState.REACHABLE if site.state is SiteState.LOST else SiteState.LOST
        self.store.put_site(replace(site, state=state, state_since=self.at, revision=site.revision + 1))

    # what must hold

    def _orders(self) -> list[Order]:
        return list(self.store._orders.values())

    def check(self) -> None:
        """At any instant."""
        audit = self.store.audit()
        assert (audit.sum_fen, audit.wrong, audit.unlogged) == (0, (), 0)
        accounts, _ = self.store.accounts(None, None, 10_000)
        assert all(each.available_fen is None or each.available_fen >= 0 for each in accounts)
        market = self.store.account(MARKET)
        assert market is None or (market.balance_fen, market.held_fen) == (0, 0)
        due = {f"order/{order.id}/hold": order for order in self._orders() if order.state is OrderState.OPEN}
        held = {hold.id: hold.amount_fen for hold in self.store._book.holds.values()}
        assert held == {name: order.hold_fen for name, order in due.items() if name in held}, "no orphan hold"
        for name in due.keys() - held.keys():
            # It timed out in a turn that died before it let the order lapse; the next one does.
            assert self.at + timedelta(seconds=90) >= begins(due[name].first) + HOUR
        self._check_units()

    def _check_units(self) -> None:
        """Units are never more than a site has; what is sold is somebody's right, once."""
        per_window: dict[tuple[str, int], int] = {}
        values: list[Offer | Reservation] = [*self.store._offers.values(), *self.store._rights.values()]
        for each in values:
            counts = each.left if isinstance(each, Offer) else each.counts
            assert min(counts) >= 0
            if isinstance(each, Offer) and each.state is OfferState.WITHDRAWN:
                assert not any(counts)
            for window, units in enumerate(counts, each.first):
                per_window[each.site, window] = per_window.get((each.site, window), 0) + units
        assert all(units <= SITES[site] for (site, _), units in per_window.items())

    def settled(self) -> None:
        """When all is over: every order has ended, every trade was paid once and whole, and no money is held."""
        orders = self._orders()
        assert not any(order.state is OrderState.OPEN for order in orders)
        assert not self.store._book.holds
        trades, _ = self.store.trades(TradeQuery(), None, 10**6)
        paid: dict[str, int] = {}
        for trade in trades:
            paid[trade.order_id] = paid.get(trade.order_id, 0) + trade.amount_fen
            offer = self.store.offer(trade.offer_id)
            assert offer is not None
            hours = sum(trade.counts)
            assert trade.amount_fen - trade.commission_fen >= offer.price_fen * hours, (
                "no seller got less than he asked"
            )
        for order in orders:
            assert order.paid_fen == paid.get(order.id, 0) <= order.limit_fen * order.filled * order.windows
            entries = self.store.chain_entries([f"trade/{order.id}"])
            assert sum(e.transfer.amount_fen for e in entries if e.transfer.debit != MARKET) == order.paid_fen
            assert sum(e.transfer.amount_fen for e in entries if e.transfer.debit == MARKET) == order.paid_fen
            rights = [right for right in self.store._rights.values() if right.order_id == order.id]
            assert sum(right.bought for right in rights) == order.filled
        funds = sum(account.balance_fen for account in self.store.accounts(None, None, 10_000)[0] if account.id != BANK)
        assert funds == FUNDS * len(PROJECTS)
        self._ended_early()

    def _ended_early(self) -> None:
        """Every unit ended once, every deposit went back, and nobody paid beyond what stood behind the units."""
        assert not any(deposit.open for deposit in self.store._deposits.values())
        for deposit in self.store._deposits.values():
            account = self.store.account(deposit.account)
            assert account is not None
            assert account.balance_fen == 0
        of_right: dict[str, list[Termination]] = {}
        for each in self.store._terminations.values():
            assert 0 <= each.paid_fen <= each.due_fen
            assert each.kind is TerminationKind.DEFAULTED or each.unpaid_fen == each.pool_fen == 0
            paid = self.store.chain_entries([f"termination/{each.id}"])
            assert sum(entry.transfer.amount_fen for entry in paid) == each.paid_fen
            rest = self.store.chain_entries([f"termination/{each.id}/rest"])
            owed = 0 if each.id in self.store._debts else each.unpaid_fen
            assert sum(entry.transfer.amount_fen for entry in rest) == owed
            if each.right is not None:
                of_right.setdefault(each.right, []).append(each)
        for name, found in of_right.items():
            right = self.store._rights[name]
            ended = sum(sum(each.counts) for each in found)
            assert ended + sum(right.counts) <= right.bought * len(right.counts)
            assert right.sold is not None
            assert sum(each.worth_fen for each in found) <= right.sold.worth_fen
            assert sum(each.deposit_fen for each in found) <= right.sold.deposit_fen


@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_lost_or_done_twice(seed: int) -> None:
    MarketWorld(seed).run()


def test_the_worlds_are_worth_it() -> None:
    """Over some seeds everything that may happen does."""
    states: set[OrderState] = set()
    ways: set[tuple[Way, bool]] = set()
    died = calls = resold = 0
    refusals: set[str] = set()
    ended: set[tuple[TerminationKind, bool]] = set()
    for seed in range(100, 106):
        world = MarketWorld(seed)
        world.run()
        states |= {order.state for order in world.store._orders.values()}
        ways |= {(order.way, order.filled > 0) for order in world.store._orders.values()}
        died += world.store.died
        calls += len(world.store.auctions(None, 1000))
        trades, _ = world.store.trades(TradeQuery(), None, 10_000)
        resold += sum(trade.seller.startswith("project:") for trade in trades)
        refusals |= world.refusals
        terminations = [each for each in world.store._terminations.values() if each.right is not None]
        ended |= {(each.kind, each.replacement is not None) for each in terminations if each.deposit_fen}
    assert ended == {(kind, False) for kind in TerminationKind} | {(TerminationKind.DEFAULTED, True)}
    assert states == set(OrderState) - {OrderState.OPEN, OrderState.WAITING, OrderState.DECLINED}
    assert {way for way, got in ways if got} == set(Way) - {Way.LOT}
    assert min(died, calls, resold) > 3
    assert {"Conflict", "InvalidRequest"} <= refusals


def test_the_same_seed_gives_the_same_history() -> None:
    worlds = [MarketWorld(7), MarketWorld(7)]
    for world in worlds:
        world.run(120)
    assert worlds[0].store._log == worlds[1].store._log
