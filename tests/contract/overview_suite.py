"""What sums and trails promise on every store, as one suite that the one in memory and PostgreSQL's pass."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from tests.contract.ledger_suite import DEMO, NOW, OTHER, SELLER, a_hold, a_transfer, filled
from tests.contract.store_values import PROJECT, SITE, START, an_event, every_page
from tests.contract.voucher_suite import RICH, a_bill, a_voucher, issue

from suanwang.control.billing.settling import settle
from suanwang.domain.ids import SiteId
from suanwang.ports import Flow, Store, TrailQuery
from suanwang.trading.agreements import ZONE, month_begins, month_number
from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.disputes import credit_chain
from suanwang.trading.ledger import BANK, NETWORK
from suanwang.trading.market.dealing import MARKET
from suanwang.trading.settlement import chain_name, opened

PROVIDER = SELLER.partition(":")[2]
MONTH = NOW.astimezone(ZONE).strftime("%Y-%m")


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
