"""What every store promises of the market, as one suite that the one in memory and PostgreSQL's pass.

Owns the promises. A test file subclasses `MarketContract` and gives it a fixture named `store`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest
from tests.contract.agreement_suite import an_agreement, signed
from tests.contract.store_values import at_once, every_page

from suanwang.control.market.calling import call
from suanwang.control.market.ordering import Market
from suanwang.control.market.requests import Wish
from suanwang.control.rules import Rules
from suanwang.domain.errors import Unavailable
from suanwang.domain.identity import Principal, Project, Role
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import Event
from suanwang.ports import Deal, OfferQuery, Stock, Store, TerminationQuery, TradeQuery
from suanwang.trading.agreements import Approval, month_number
from suanwang.trading.ledger import BANK, NETWORK, Account, Owner, Transfer, Verdict, account_id
from suanwang.trading.market.dealing import MARKET, fill_order, hold, payer, sold, void
from suanwang.trading.market.product import begins
from suanwang.trading.market.termination import Drawn, Termination, TerminationKind, chain_of
from suanwang.trading.market.terms import STANDARD, SaleTerms
from suanwang.trading.market.values import Auction, Match, Offer, OfferState, Order, OrderState, Reservation, Way
from suanwang.trading.settlement import opened

FIRST = 492_000
NOW = begins(FIRST) - timedelta(hours=2)
DEMO = ProjectId("demo")
SELLER = account_id(Owner.PROVIDER, "贵安算力")
GUIAN = SiteId("guian")
RULES = Rules(commission_bp=200, improve_s=0.0, improve_tries=0)
_numbers = count(1)


def filled(store: Store, *, fen: int = 1_000_000) -> None:
    """The accounts of these tests, the project's with money."""
    project = Account(id=account_id(Owner.PROJECT, DEMO), owner=Owner.PROJECT, name=DEMO)
    store.open_accounts([opened(BANK), opened(NETWORK), opened(MARKET), opened(SELLER), project])
    top_up = Transfer(id="top", chain="top", debit=BANK, credit=project.id, amount_fen=fen, code="top_up")
    assert store.post([(top_up,)], NOW)[0].done


def an_offer(**changes: Any) -> Offer:
    values: dict[str, Any] = {
        "id": f"offer-{next(_numbers):04d}",
        "seller": SELLER,
        "site": GUIAN,
        "region": "guizhou",
        "device": "core",
        "first": FIRST,
        "left": (8, 8, 8, 8),
        "count": 8,
        "price_fen": 98,
        "listed_at": NOW,
    }
    return Offer(**{**values, **changes})


def an_order(**changes: Any) -> Order:
    values: dict[str, Any] = {
        "id": f"order-{next(_numbers):04d}",
        "project": DEMO,
        "owner": "alice",
        "devices": ("core",),
        "count": 2,
        "first": FIRST,
        "windows": 3,
        "limit_fen": 150,
        "placed_at": NOW,
    }
    return Order(**{**values, **changes})


def placed(store: Store, *orders: Order) -> None:
    for order in orders:
        assert store.deal(Deal(orders=(order,), chains=((hold(order),),)), NOW).done


def bought(offer: Offer, order: Order) -> Deal:
    """The deal in which `order` gets its units of `offer` at 100 fen."""
    match = Match(bid=order.id, ask=offer.id, zone=offer.zone, first=order.first, counts=(order.count,) * order.windows)
    done = fill_order(order, [match], {offer.id: offer}, lambda *_: 100, 200, NOW)
    return Deal(
        offers=sold({offer.id: offer}, done.trades),
        orders=(done.order,),
        reservations=done.reservations,
        trades=done.trades,
        chains=done.chains,
    )


def bought_under(terms: SaleTerms, offer: Offer, order: Order) -> Deal:
    """The same under terms, at once and without a hold."""
    match = Match(bid=order.id, ask=offer.id, zone=offer.zone, first=order.first, counts=(2, 2, 2))
    made = fill_order(order, [match], {offer.id: offer}, lambda *_: 100, 200, NOW, terms=terms)
    return Deal(
        offers=(replace(sold({offer.id: offer}, made.trades)[0], revision=0),),
        orders=(made.order,),
        reservations=made.reservations,
        trades=made.trades,
        chains=made.chains,
        deposits=made.deposits,
        accounts=made.accounts,
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """A clock that stands."""

    at: datetime

    def now(self) -> datetime:
        return self.at


def _patiently(order: Callable[[], Order]) -> Order:
    """Of many at once some may be told to try again."""
    for _ in range(20):
        with suppress(Unavailable):
            return order()
    raise AssertionError("it is never done")


def a_termination(right: Reservation) -> Termination:
    return Termination(
        id=f"{right.id}.1",
        kind=TerminationKind.DEFAULTED,
        right=right.id,
        project=DEMO,
        seller=SELLER,
        site=GUIAN,
        device="core",
        first=FIRST,
        counts=(2, 2, 2),
        worth_fen=600,
        due_fen=600,
        deposit_fen=60,
        seller_fen=140,
        network_fen=0,
        pool_fen=0,
        away_at=NOW,
        at=NOW,
    )


def held(store: Store) -> int:
    account = store.account(account_id(Owner.PROJECT, DEMO))
    assert account is not None
    return account.held_fen


def assert_whole(store: Store) -> None:
    """The ledger is whole, the market's account is empty, and holds are those of open orders."""
    audit = store.audit()
    assert (audit.sum_fen, audit.wrong, audit.unlogged) == (0, (), 0)
    market = store.account(MARKET)
    assert market is not None
    assert (market.balance_fen, market.held_fen) == (0, 0)
    orders = every_page(lambda cursor: store.orders(None, cursor, 3))
    assert held(store) == sum(
        order.hold_fen for order in orders if order.state in (OrderState.OPEN, OrderState.WAITING)
    )


class MarketContract:
    def test_what_is_kept_comes_back(self, store: Store) -> None:
        filled(store)
        offer, order = an_offer(), an_order(places=("guizhou", "贵安"), way=Way.NOW)
        assert store.deal(Deal(offers=(offer,)), NOW).done
        assert store.offer(offer.id) == offer
        deal = bought(offer, order)
        assert store.deal(deal, NOW).done
        assert store.order(order.id) == deal.orders[0]
        right = deal.reservations[0]
        assert store.reservation(right.id) == right
        assert (right.bought, right.counts, right.paid_fen) == (2, (2, 2, 2), 600)
        assert store.trades(TradeQuery(), None, 10) == (list(deal.trades), None)
        assert store.offer(offer.id) == replace(offer, left=(6, 6, 6, 8), revision=1)
        assert (store.offer("none"), store.order("none"), store.reservation("none")) == (None, None, None)
        assert_whole(store)

    def test_money_goes_from_the_buyer_to_seller_and_network(self, store: Store) -> None:
        filled(store)
        offer = an_offer()
        store.deal(Deal(offers=(offer,)), NOW)
        assert store.deal(bought(offer, an_order(way=Way.NOW)), NOW).done
        balances = {account: store.account(account) for account in (payer(an_order()), SELLER, NETWORK)}
        assert [value.balance_fen for value in balances.values() if value] == [1_000_000 - 600, 588, 12]

    def test_offers_are_found_by_what_they_are(self, store: Store) -> None:
        sold_out = an_offer(left=(0, 0))
        gone = an_offer(state=OfferState.WITHDRAWN)
        other = an_offer(site=SiteId("wuhu"), device="gpu", first=FIRST + 10)
        kept = [an_offer() for _ in range(4)]
        assert store.deal(Deal(offers=(sold_out, gone, other, *kept)), NOW).done

        def found(**query: Any) -> set[str]:
            return {o.id for o in every_page(lambda cursor: store.offers(OfferQuery(**query), cursor, 2))}

        mine = {offer.id for offer in kept}
        assert found() == mine | {other.id}
        assert found(devices=["gpu"]) == {other.id}
        assert found(sites=[GUIAN]) == mine
        assert found(sellers=[SELLER], open=False) == mine | {other.id, gone.id, sold_out.id}
        assert found(first=FIRST + 4, end=FIRST + 10) == set()
        assert found(first=FIRST + 3, end=FIRST + 11) == mine | {other.id}

    def test_a_row_that_moved_on_is_not_moved_again(self, store: Store) -> None:
        filled(store)
        offer = an_offer()
        store.deal(Deal(offers=(offer,)), NOW)
        first, second = (bought(offer, an_order(way=Way.NOW)) for _ in range(2))
        assert store.deal(first, NOW).done
        refused = store.deal(second, NOW)
        assert (refused.done, refused.refused) == (False, ())
        assert store.order(second.orders[0].id) is None
        assert store.deal(first, NOW).done is False, "a deal is done once"
        assert_whole(store)

    def test_what_cannot_be_paid_leaves_nothing(self, store: Store) -> None:
        filled(store, fen=599)
        offer = an_offer()
        store.deal(Deal(offers=(offer,)), NOW)
        deal = bought(offer, an_order(way=Way.NOW))
        dealt = store.deal(deal, NOW)
        assert [outcome.verdict for outcome in dealt.refused] == [Verdict.SHORT]
        assert store.offer(offer.id) == offer
        assert store.order(deal.orders[0].id) is None
        assert store.trades(TradeQuery(), None, 10) == ([], None)
        event = Event(kind="market.test", at=NOW)
        assert store.deal(replace(bought(offer, an_order(way=Way.NOW, count=1)), events=(event,)), NOW).done
        assert [e.kind for e in store.events(0, 10, kind="market.")] == ["market.test"]
        assert_whole(store)

    def test_stock_is_listed_by_one_at_a_time(self, store: Store) -> None:
        assert store.listed(GUIAN, "core", FIRST, FIRST + 9) == (0, [], [])
        first, second = an_offer(), an_offer()
        stock = Stock(site=GUIAN, device="core", revision=1)
        assert store.deal(Deal(offers=(first,), stock=stock), NOW).done
        assert not store.deal(Deal(offers=(second,), stock=stock), NOW).done
        assert store.deal(Deal(offers=(second,), stock=replace(stock, revision=2)), NOW).done
        assert not store.deal(Deal(offers=(an_offer(),), stock=replace(stock, revision=4)), NOW).done
        filled(store)
        deal = bought(second, an_order(way=Way.NOW))
        assert store.deal(deal, NOW).done
        revision, offers, rights = store.listed(GUIAN, "core", FIRST + 1, FIRST + 2)
        assert (revision, [o.id for o in offers], list(rights)) == (2, [first.id, second.id], list(deal.reservations))
        assert store.listed(GUIAN, "core", FIRST + 4, FIRST + 9)[1:] == ([], [])
        assert store.reserved(FIRST + 2, FIRST + 9) == list(deal.reservations)
        assert store.reserved(FIRST + 3, FIRST + 9) == store.reserved(FIRST - 9, FIRST) == []
        used_up = replace(deal.reservations[0], counts=(2, 0, 0), revision=1)
        assert store.deal(Deal(reservations=(used_up,)), NOW).done
        assert store.reserved(FIRST + 1, FIRST + 9) == []

    def test_orders_stand_for_their_call(self, store: Store) -> None:
        filled(store)
        orders = [an_order(), an_order(), an_order(first=FIRST + 5)]
        placed(store, *orders)
        assert store.sealed(FIRST) == orders[:2]
        assert store.calls_waiting(FIRST + 4, 10) == [FIRST]
        assert store.calls_waiting(FIRST + 9, 10) == [FIRST, FIRST + 5]
        ended = replace(orders[0], state=OrderState.CANCELLED, revision=1)
        assert store.deal(Deal(orders=(ended,), chains=((void(ended),),)), NOW).done
        assert store.sealed(FIRST) == [orders[1]]
        assert [o.id for o in store.orders([DEMO], None, 10)[0]] == [o.id for o in reversed(orders)]
        assert store.orders([ProjectId("other")], None, 10) == ([], None)
        assert_whole(store)

    def test_a_call_takes_all_its_orders_or_is_not_made(self, store: Store) -> None:
        filled(store)
        orders = [an_order(), an_order()]
        placed(store, *orders)
        auction = Auction(first=FIRST, called_at=NOW, orders=1, filled=0, surplus_fen=0, bound_fen=0)
        ended = [replace(o, state=OrderState.UNFILLED, revision=1) for o in orders]
        chains = tuple((void(o),) for o in orders)
        assert not store.deal(Deal(orders=(ended[0],), chains=chains[:1], auction=auction), NOW).done
        assert store.deal(Deal(orders=tuple(ended), chains=chains, auction=auction), NOW).done
        assert store.auction(FIRST) == auction
        assert not store.deal(Deal(orders=(), auction=auction), NOW).done
        late = an_order()
        refused = store.deal(Deal(orders=(late,), chains=((hold(late),),)), NOW)
        assert (refused.done, refused.refused) == (False, ())
        assert store.order(late.id) is None
        later = replace(auction, first=FIRST + 1)
        assert store.deal(Deal(auction=later), NOW).done
        assert store.auctions(None, 10) == [later, auction]
        assert store.auctions(FIRST + 1, 10) == [auction]
        assert_whole(store)

    def test_what_ends_early_is_kept_with_its_deposit_and_money(self, store: Store) -> None:
        filled(store)
        deal = bought_under(STANDARD, an_offer(), an_order())
        assert store.deal(deal, NOW).done
        (deposit,), (right,) = deal.deposits, deal.reservations
        assert (deposit.amount_fen, right.sold and right.sold.deposits) == (60, (deposit.id,))
        assert store.deposits(None, None, 10)[0] == [deposit]
        assert store.deposits([NETWORK], None, 10)[0] == []
        assert store.deposits_due(FIRST + 2, 10) == []
        assert store.deposits_due(FIRST + 3, 10) == [deposit]
        ended = a_termination(right)
        paid = Drawn(deposits={deposit.account: 60}, seller_fen=140, network_fen=0, pool_fen=0)
        chain = tuple(chain_of(ended.id, ended.kind, DEMO, SELLER, paid))
        less = replace(right, counts=(0,) * 3, taken_back=True, revision=1)
        end = Deal(reservations=(less,), terminations=(ended,), chains=(chain,))
        assert store.deal(end, NOW).done
        assert not store.deal(end, NOW).done, "once"
        assert store.reservation(right.id) == less
        assert store.termination(ended.id) == ended
        assert store.termination("other") is None
        for query, found in (
            (TerminationQuery(), [ended]),
            (TerminationQuery(projects=[DEMO], sellers=[SELLER], first=FIRST, end=FIRST + 1), [ended]),
            (TerminationQuery(first=FIRST + 3), []),
            (TerminationQuery(end=FIRST), []),
            (TerminationQuery(projects=[ProjectId("other")]), []),
            (TerminationQuery(sellers=[NETWORK]), []),
        ):
            assert store.terminations(query, None, 10)[0] == found
        closed = replace(deposit, open=False, revision=1)
        assert store.deal(Deal(deposits=(closed,)), NOW).done
        assert not store.deal(Deal(deposits=(closed,)), NOW).done
        assert store.deposits_due(FIRST + 3, 10) == []
        assert_whole(store)

    def test_what_is_unpaid_is_owed_until_it_is_paid(self, store: Store) -> None:
        filled(store)
        deal = bought_under(STANDARD, an_offer(), an_order())
        assert store.deal(deal, NOW).done
        ended = a_termination(deal.reservations[0])
        paid = replace(ended, id="other", seller_fen=540)
        assert store.deal(Deal(terminations=(ended, paid)), NOW).done
        assert store.debts_due(NOW - timedelta(seconds=1), 10) == []
        assert store.debts_due(NOW, 10) == [ended]
        assert set(store.debts_open([ended.id, paid.id])) == {ended.id}
        later = NOW + timedelta(hours=1)
        store.debt_tried(ended.id, later)
        assert (store.debts_due(NOW, 10), store.debts_due(later, 10)) == ([], [ended])
        store.debt_tried(ended.id, None)
        store.debt_tried(ended.id, later)
        assert (store.debts_due(later, 10), list(store.debts_open([ended.id]))) == ([], [])

    def test_no_deposit_pays_more_than_it_has(self, store: Store) -> None:
        filled(store)
        deal = bought_under(STANDARD, an_offer(), an_order())
        assert store.deal(deal, NOW).done
        ended = a_termination(deal.reservations[0])
        paid = Drawn(deposits={deal.deposits[0].account: 61}, seller_fen=0, network_fen=0, pool_fen=0)
        end = Deal(terminations=(ended,), chains=(tuple(chain_of(ended.id, ended.kind, DEMO, SELLER, paid)),))
        (refused,) = store.deal(end, NOW).refused
        assert (refused.verdict, refused.account) == (Verdict.SHORT, deal.deposits[0].account)
        assert store.termination(ended.id) is None

    def test_terms_of_sale_are_kept_by_when_they_begin(self, store: Store) -> None:
        event = Event(kind="market.terms", at=NOW)
        early, late = (replace(STANDARD, from_at=NOW + timedelta(hours=h), notice_h=h + 1) for h in (1, 2))
        assert store.sale_terms() == []
        assert store.add_sale_terms(early, [event])
        assert store.add_sale_terms(late, [event])
        assert not store.add_sale_terms(replace(early, notice_h=9), [event])
        assert store.sale_terms() == [late, early]
        assert sum(each.kind == "market.terms" for each in store.events(0, 100)) == 2

    def test_orders_wait_for_approval_apart_from_those_of_calls(self, store: Store) -> None:
        filled(store)
        late, soon = (
            an_order(state=OrderState.WAITING, waits_until=NOW + timedelta(minutes=minutes)) for minutes in (20, 10)
        )
        placed(store, late, soon)
        assert store.waiting_orders(10) == [soon, late]
        assert store.waiting_orders(1) == [soon]
        assert (store.sealed(FIRST), store.calls_waiting(FIRST, 10)) == ([], [])
        stands = replace(soon, state=OrderState.OPEN, revision=1)
        assert store.deal(Deal(orders=(stands,)), NOW).done
        assert store.waiting_orders(10) == [late]
        assert store.sealed(FIRST) == [stands]
        assert_whole(store)

    def test_a_deal_whose_turn_is_over_is_refused(self, store: Store) -> None:
        filled(store)
        turn = store.last_order(DEMO)
        assert store.last_order(DEMO) == turn
        first, second, elsewhere = an_order(), an_order(), an_order(project=ProjectId("other"))
        made = store.deal(Deal(orders=(first,), chains=((hold(first),),), turn=turn), NOW)
        assert (made.done, made.overtaken) == (True, False)
        late = store.deal(Deal(orders=(second,), chains=((hold(second),),), turn=turn), NOW)
        assert (late.done, late.overtaken, late.refused) == (False, True, ())
        assert store.order(second.id) is None
        other = store.last_order(ProjectId("other"))
        assert store.deal(Deal(orders=(replace(elsewhere, state=OrderState.UNFILLED),), turn=other), NOW).done
        now = store.last_order(DEMO)
        taken_back = replace(first, state=OrderState.CANCELLED, revision=1)
        assert store.deal(Deal(orders=(taken_back,), chains=((void(first),),), turn=now), NOW).done
        assert store.last_order(DEMO) == now, "no new order"
        assert_whole(store)

    @pytest.mark.parametrize("way", [Way.NOW, Way.STANDING])
    def test_an_order_split_over_many_at_once_waits_for_approval(self, store: Store, way: Way) -> None:
        """Nine orders of ¥2 each, where from ¥5 on somebody is to be asked."""
        filled(store)
        store.add_project(Project(id=DEMO, title="Demo", created_at=NOW), ())
        approval = Approval(over_fen=500, project=("ada",))
        at = NOW - timedelta(days=1)
        agreement = an_agreement(project=DEMO, first=month_number(at), last=month_number(at) + 2, approval=approval)
        signed(store, replace(agreement, drafted_at=at), at)
        assert store.deal(Deal(offers=(an_offer(left=(40,) * 4, count=40),)), NOW).done
        market = Market(store, Standing(NOW), RULES)
        buyer = Principal(name="alice", role=Role.USER, projects=(DEMO,))

        def order(number: int) -> Order:
            wish = Wish(
                id=f"a-ninth-of-it-{number}",
                project=DEMO,
                devices=("core",),
                count=2,
                start=begins(FIRST),
                end=begins(FIRST + 1),
                limit_fen=100,
                way=way,
            )
            return _patiently(lambda: market.place(buyer, wish))

        states = [made.state for made in at_once([partial(order, number) for number in range(9)])]
        assert sorted(states) == sorted(
            [OrderState.WAITING] * 7 + [OrderState.FILLED if way is Way.NOW else OrderState.OPEN] * 2
        )
        assert_whole(store)

    def test_replicas_call_once(self, store: Store) -> None:
        filled(store)
        assert store.deal(Deal(offers=(an_offer(), an_offer(price_fen=120))), NOW).done
        placed(store, *(an_order(count=2 + number % 3) for number in range(9)))
        at_once([lambda: call(store, RULES, FIRST, NOW) for _ in range(4)])
        assert store.sealed(FIRST) == []
        (auction,) = store.auctions(None, 10)
        assert auction.filled == len({trade.order_id for trade in store.trades(TradeQuery(), None, 100)[0]}) > 0
        sold_units = sum(8 - left for o in every_page(lambda c: store.offers(OfferQuery(), c, 5)) for left in o.left)
        assert sold_units == sum(sum(t.counts) for t in store.trades(TradeQuery(), None, 100)[0])
        assert_whole(store)

    def test_buyers_of_one_offer_never_get_more_than_there_is(self, store: Store) -> None:
        filled(store)
        offer = an_offer(left=(3, 3, 3), count=3)
        store.deal(Deal(offers=(offer,)), NOW)
        done: list[bool] = []

        def buy() -> None:
            for _ in range(6):
                current = store.offer(offer.id)
                if current is None or min(current.left) < 1:
                    return
                done.append(store.deal(bought(current, an_order(way=Way.NOW, count=1)), NOW).done)

        at_once([buy for _ in range(4)])
        last = store.offer(offer.id)
        assert last is not None
        assert sum(done) == 3 - last.left[0]
        assert_whole(store)
