"""What sums and trails promise on every store, as one suite that the one in memory and PostgreSQL's pass."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from tests.contract.ledger_suite import DEMO, NOW, OTHER, RULES, SELLER, a_hold, a_transfer, filled
from tests.contract.listing_suite import a_copy, a_listing, sell
from tests.contract.market_suite import FIRST, a_termination, an_offer, an_order
from tests.contract.market_suite import filled as market_accounts
from tests.contract.store_values import PROJECT, SITE, START, an_event, every_page
from tests.contract.voucher_suite import RICH, a_bill, a_voucher, issue

from suanwang.control.billing.settling import settle
from suanwang.control.billing.watching import MoneyWatch
from suanwang.domain.ids import AllocationId, JobId, SiteId
from suanwang.ports import Deal, Flow, Store, TrailQuery
from suanwang.trading.agreements import ZONE, month_begins, month_number
from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.disputes import credit_chain
from suanwang.trading.ledger import BANK, NETWORK, Owner, Phase, account_id
from suanwang.trading.listings import Use, UseState, end_chain, hold_chain, left_of
from suanwang.trading.market.dealing import MARKET, fill_order, sold
from suanwang.trading.market.termination import Drawn, chain_of
from suanwang.trading.market.values import Match, Way
from suanwang.trading.settlement import chain_name, opened

PHASES = {UseState.PAID: Phase.POST, UseState.RELEASED: Phase.VOID}
PROVIDER = SELLER.partition(":")[2]
MONTH = NOW.astimezone(ZONE).strftime("%Y-%m")


def _one_unit(store: Store, offer_id: str) -> Deal:
    """An order of one unit and hour, bought at 49 fen."""
    offer, order = store.offer(offer_id), an_order(way=Way.NOW, count=1, windows=1)
    assert offer is not None
    match = Match(bid=order.id, ask=offer.id, zone=offer.zone, first=order.first, counts=(1,))
    done = fill_order(order, [match], {offer.id: offer}, lambda *_: 49, 200, NOW)
    return Deal(
        offers=sold({offer.id: offer}, done.trades),
        orders=(done.order,),
        reservations=done.reservations,
        trades=done.trades,
        chains=done.chains,
    )


def _a_use(allocation: AllocationId) -> Use:
    return Use(
        allocation=allocation,
        job=JobId("j"),
        project=PROJECT,
        owner="li",
        site=SITE,
        listing="a",
        version="1",
        sha256="",
        seller=OTHER,
        price_fen=30,
        leftover=left_of(30, 200),
        at=NOW,
    )


class OverviewContract:
    def test_flows_are_sums_of_what_moved(self, store: Store) -> None:
        issue(store, a_voucher(share_bp=3000))
        first = a_bill(store, 100, 200)
        a_bill(store, 50)
        settle(store, RICH, NOW)
        begin, end = month_begins(month_number(NOW)), month_begins(month_number(NOW) + 1)
        usage = store.usage_records(first)[1].id
        settled = [entry.transfer for entry in store.chain_entries([chain_name(usage)])]
        assert store.post([credit_chain(usage, DEMO, settled, 50, {})], NOW)[0].done

        def of(account: str) -> dict[str, tuple[str | None, str | None, int]]:
            found = store.flows(account, begin, end)  # type: ignore[arg-type]
            assert all(flow.month == MONTH for flow in found)
            return {flow.code: (flow.project, flow.provider, flow.amount_fen) for flow in found}

        seller, network = of(SELLER), of(NETWORK)
        for flows in (seller, network):
            assert {(project, provider) for project, provider, _ in flows.values()} == {(PROJECT, PROVIDER)}
        for account, flows in ((SELLER, seller), (NETWORK, network), (DEMO, of(DEMO))):
            balance = store.account(account)
            assert balance is not None
            assert sum(amount for _, _, amount in flows.values()) == balance.balance_fen
        assert seller["usage"][2] + seller["voucher"][2] == 350 - 7
        assert seller["dispute_credit"][2] == -49
        assert of(BANK)["budget"][:2] == (None, None)
        assert list(store.flows(DEMO, end, end + timedelta(days=1))) == []
        assert list(store.flows(DEMO, begin, NOW)) == []

    def test_a_hold_is_no_flow_and_its_other_side_is_named(self, store: Store) -> None:
        filled(store)
        store.post([(a_hold(10),), (a_transfer(DEMO, SELLER, 7),)], NOW)
        found = store.flows(SELLER, START, NOW + timedelta(days=1))
        assert [replace(flow, code="") for flow in found] == [
            Flow(month=MONTH, code="", project=PROJECT, provider=None, amount_fen=7, transfers=1)
        ]

    def test_what_passed_through_another_account_is_the_first_payers(self, store: Store) -> None:
        filled(store)
        paid = replace(a_transfer(DEMO, OTHER, 9), chain="trade/o1", id="trade/o1/0", code="order")
        handed = replace(a_transfer(OTHER, SELLER, 9), chain="trade/o1", id="trade/o1/1", code="sale")
        escrow = [replace(paid, credit=MARKET), replace(handed, debit=MARKET)]
        store.open_accounts([opened(MARKET)])
        assert store.post([escrow], NOW)[0].done
        (flow,) = store.flows(SELLER, START, NOW + timedelta(days=1))
        assert (flow.project, flow.provider, flow.amount_fen) == (PROJECT, None, 9)

    def test_what_the_network_gets_of_sales_is_each_sellers(self, store: Store) -> None:
        market_accounts(store)
        order, others = an_order(way=Way.NOW, divisible=True, count=4), account_id(Owner.PROVIDER, "芜湖")
        offers = {each.id: each for each in (an_offer(), an_offer(seller=others), an_offer(seller=OTHER))}
        store.open_accounts([opened(others), opened(OTHER)])
        assert store.deal(Deal(offers=tuple(offers.values())), NOW).done
        matches = [
            Match(bid=order.id, ask=name, zone=offer.zone, first=order.first, counts=(units,) * 3)
            for (name, offer), units in zip(offers.items(), (1, 2, 1), strict=True)
        ]
        done = fill_order(order, matches, offers, lambda *_: 1000, 200, NOW)
        deal = Deal(
            offers=sold(offers, done.trades),
            orders=(done.order,),
            reservations=done.reservations,
            trades=done.trades,
            chains=done.chains,
        )
        assert store.deal(deal, NOW).done
        ended = a_termination(done.reservations[0])
        back = Drawn(deposits={}, seller_fen=0, network_fen=7, pool_fen=0)
        chain = tuple(chain_of(ended.id, ended.kind, PROJECT, ended.seller, back))
        assert store.deal(Deal(terminations=(ended,), chains=(chain,)), NOW).done
        use = Use(
            allocation=AllocationId("j-1"),
            job=JobId("j"),
            project=PROJECT,
            owner="li",
            site=SITE,
            listing="a",
            version="1",
            sha256="",
            seller=others,
            price_fen=100,
            at=NOW,
        )
        held = hold_chain([use, replace(use, listing="b", seller=OTHER)], 300, NOW)
        assert store.post([held, end_chain(held, Phase.POST)], NOW)[1].done
        found = store.flows(NETWORK, START - timedelta(days=400), NOW + timedelta(days=1))
        assert {(flow.code, flow.provider, flow.amount_fen) for flow in found} == {
            ("commission", PROVIDER, 60),
            ("commission", "芜湖", 120 + 3),
            ("commission", None, 60 + 3),
            ("right_defaulted", PROVIDER, -7),
        }
        assert {flow.project for flow in found} == {PROJECT}
        network = store.account(NETWORK)
        assert network is not None
        assert sum(flow.amount_fen for flow in found) == network.balance_fen

    def test_tiny_sales_carry_the_commission_of_their_sum(self, store: Store) -> None:
        """60 trades of 49 fen, of which 2 % are 0.98 fen, 90 copies of 10 fen and a use of 30: 58.8, 18 and 0.6 fen."""
        market_accounts(store)
        store.open_accounts([opened(OTHER)])
        offer = an_offer(left=(60,), count=60, first=FIRST)
        assert store.deal(Deal(offers=(offer,)), NOW).done
        for _ in range(60):
            assert store.deal(_one_unit(store, offer.id), NOW).done
        for number in range(90):
            store.add_listing(a_listing(id=f"thing-{number}", price_fen=10), [])
            copy = a_copy(id=f"copy-{number}", listing=f"thing-{number}", price_fen=10, leftover=left_of(10, 200))
            assert sell(store, copy) is not None
        for allocation, state in (("j-1", UseState.PAID), ("j-2", UseState.RELEASED), ("j-3", UseState.HELD)):
            use = _a_use(AllocationId(allocation))
            store.hold_uses([use], hold_chain([use], 200, NOW), NOW)
            if state is not UseState.HELD:
                store.end_uses([use], state, end_chain(hold_chain([use], 200, NOW), PHASES[state]), NOW, [])
        before = store.account(NETWORK)
        assert before is not None
        assert before.balance_fen == 1, "the use alone came to a fen"
        month = month_number(NOW)
        found = store.leftovers(month_begins(month), month_begins(month + 1))
        assert found == {OTHER: 90 * 2000 - 4000, SELLER: 60 * 9800}
        assert store.leftovers(month_begins(month + 1), month_begins(month + 2)) == {}
        watch = MoneyWatch(store, RULES)
        watch.look(NOW)
        assert store.account(NETWORK) == before, "the month is not over"
        over = month_begins(month + 1) + timedelta(hours=1)
        for each in (watch, MoneyWatch(store, RULES)):
            each.look(over)
            each.look(over + timedelta(days=1))
        network = store.account(NETWORK)
        assert network is not None
        assert network.balance_fen == 1 + 58 + 17, "of 77.4 fen, each seller's rounded down"
        assert store.audit().sum_fen == 0

    def test_use_is_summed_by_site_and_day(self, store: Store) -> None:
        a_bill(store, 1, 1, 1)
        day = START.astimezone(ZONE).date()
        (found,) = store.site_days([SITE, SiteId("other")], START, START + timedelta(days=1))
        assert (found.site_id, found.day) == (SITE, day)
        assert found.core_hours == pytest.approx(3 * 8 * 40 / 3600)
        assert found.device_hours == pytest.approx(3 * 16 * 40 / 3600)
        assert found.day == date(day.year, day.month, day.day)
        assert list(store.site_days([SITE], START - timedelta(days=1), START)) == []
        assert list(store.site_days([], START, START + timedelta(days=1))) == []

    def test_the_record_is_read_backwards(self, store: Store) -> None:
        store.append_events([an_event("voucher.issued"), replace(an_event("job.x"), project=PROJECT)])
        store.append_events([replace(an_event("site.lost"), actor="olga"), an_event("voucher_closed")])

        def kinds(**query: object) -> list[str]:
            asked = TrailQuery(**query)  # type: ignore[arg-type]

            def read(cursor: str | None) -> tuple[list[str], str | None]:
                page = store.trail(asked, int(cursor) if cursor else None, 2)
                return [event.kind for event in page], str(page[-1].seq) if len(page) == 2 else None

            return every_page(read) if store.trail(asked, None, 2) else []

        assert kinds() == ["voucher_closed", "site.lost", "voucher.issued"]
        assert kinds(kinds=[""]) == ["voucher_closed", "site.lost", "job.x", "voucher.issued"]
        assert kinds(kinds=["voucher_"]) == ["voucher_closed"]
        assert kinds(kinds=["job.", "site."]) == ["site.lost", "job.x"]
        assert kinds(project=PROJECT, kinds=[""]) == ["job.x"]
        assert kinds(actor="olga") == ["site.lost"]
        assert kinds(from_at=START + timedelta(seconds=1)) == []
        assert kinds(to_at=START + timedelta(seconds=1)) == kinds()

    def test_checkpoints_are_listed_the_largest_first(self, store: Store) -> None:
        for size in (3, 9, 27):
            store.add_checkpoint(Checkpoint(size=size, root="00" * 32, at=NOW, key="11" * 32, signature="22" * 64))
        assert [each.size for each in store.checkpoints(None, 2)] == [27, 9]
        assert [each.size for each in store.checkpoints(9, 2)] == [3]
