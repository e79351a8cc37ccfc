"""Selling and using under doubled, late and lost messages: money is conserved, nothing is paid twice, no hold is left."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories import DEMO, OPERATOR, OTHER, STRANGER, USER, Input, SmallNetwork, task

from suanwang.control.contracts.listings import NewListing
from suanwang.control.rules import Rules
from suanwang.domain.connector import RunState
from suanwang.domain.errors import Conflict, InvalidRequest
from suanwang.domain.exchange import Lease, Phase, RunReport
from suanwang.domain.file import Content
from suanwang.domain.identity import Principal
from suanwang.domain.lifecycle import ENDED
from suanwang.ports import Traces
from suanwang.trading.holding import RUNS
from suanwang.trading.ledger import Owner, account_id
from suanwang.trading.listings import Charge, Kind, UseState, parts

DATA = b"weights"
PAYER, SELLER = account_id(Owner.PROJECT, DEMO), account_id(Owner.PROJECT, OTHER)
ACTS = st.sampled_from(("list", "withdraw", "buy", "submit", "tell", "start", "end", "lose", "turn", "cancel"))
NUMBERS = st.integers(0, 3)


class Trade:
    """A seller, a buyer with ¥10, and a site whose agent may say anything twice."""

    def __init__(self) -> None:
        self.small = SmallNetwork(Rules(commission_bp=250))
        self.shop = self.small.network.listings
        self.agent: Principal = self.small.join(devices=())
        digest = self.small.files.put(DATA)
        content = Content(sha256=digest, size=len(DATA))
        self.small.network.artefacts.name(STRANGER, OTHER, "weights", content)
        self.small.network.wallets.top_up(OPERATOR, DEMO, 1000, "cash")
        self.small.network.wallets.set_limit(OPERATOR, DEMO, 0)
        self.digest = digest
        self.leases: list[Lease] = []

    def act(self, what: str, number: int) -> None:
        with suppress(Conflict, InvalidRequest):
            getattr(self, f"do_{what}")(number)
        self.check()

    def do_list(self, number: int) -> None:
        self.shop.add(
            STRANGER,
            NewListing(
                id=f"thing-no-{number}",
                version=f"{number}.0",
                title_en="Thing",
                title_zh="物",
                kind=Kind.MODEL,
                licence="MIT",
                project=OTHER,
                sha256=self.digest,
                charge=Charge.COPY if number % 2 else Charge.USE,
                price_fen=(0, 333, 101, 250)[number],
            ),
        )

    def do_withdraw(self, number: int) -> None:
        self.shop.withdraw(STRANGER, f"thing-no-{number}")

    def do_buy(self, number: int) -> None:
        listing = self.shop.show(USER, f"thing-no-{number}")
        self.shop.buy(
            USER, copy_id=f"copy-no-{number}", listing_id=listing.id, project=DEMO, price_fen=listing.price_fen
        )

    def do_submit(self, number: int) -> None:
        inputs = (
            Input(source=f"listing:thing-no-{number}", path="a"),
            Input(source="listing:thing-no-2", path="b"),
        )
        self.small.submit(task(f"reader-{number}", inputs=inputs, cores=1, memory_gb=0.5))

    def do_tell(self, _: int) -> None:
        self.leases += self.small.sync(self.agent).start

    def do_start(self, number: int) -> None:
        self._report(number, Phase.RUNNING, None)

    def do_end(self, number: int) -> None:
        self._report(number, Phase.ENDED, RunState.SUCCEEDED if number % 2 else RunState.SITE_FAILED)

    def _report(self, number: int, phase: Phase, outcome: RunState | None) -> None:
        if self.leases:
            lease, at = self.leases[-1 - number % len(self.leases)], self.small.clock.now()
            run = RunReport(
                allocation_id=lease.allocation_id,
                epoch=lease.epoch,
                phase=phase,
                started_at=None if number == 3 else at,
                ended_at=at if outcome is not None else None,
                outcome=outcome,
            )
            for _ in range(1 + number % 2):
                self.small.sync(self.agent, runs=(run,))

    def do_lose(self, _: int) -> None:
        self.small.clock.advance(1000)
        self.small.network.turn()
        self.small.sync(self.agent)

    def do_turn(self, _: int) -> None:
        self.small.clock.advance(1)
        self.small.network.turn()

    def do_cancel(self, _: int) -> None:
        for lease in self.leases[-1:]:
            self.small.network.jobs.cancel(USER, lease.job_id)

    def check(self) -> None:
        store = self.small.store
        audit = store.audit()
        assert (audit.sum_fen, audit.wrong, audit.unlogged) == (0, (), 0)
        copies, _ = store.copies(Traces(), None, 500)
        uses, _ = store.uses(Traces(), None, 500)
        assert max(Counter((copy.listing, copy.version) for copy in copies).values(), default=1) == 1
        paid = [use for use in uses if use.state is UseState.PAID]
        assert max(Counter((use.job, use.listing) for use in paid).values(), default=1) == 1
        told = store.events(0, 10_000, kind="listing.used")
        assert sorted((e.job_id, e.data["listing"]) for e in told) == sorted((use.job, use.listing) for use in paid)
        spent = [copy.price_fen for copy in copies] + [use.price_fen for use in paid]
        buyer, seller = store.account(PAYER), store.account(SELLER)
        assert buyer is not None
        moved = [entry.transfer for entry in store.entries(PAYER, None, 5000)[0] if entry.transfer.debit == PAYER]
        billed = sum(each.amount_fen for each in moved if each.chain.startswith("bill/"))
        assert buyer.balance_fen == 1000 - billed - sum(spent)
        runs = sum(hold.amount_fen for hold in store._book.holds.values() if hold.credit == RUNS)
        assert buyer.held_fen - runs == sum(use.price_fen for use in uses if use.state is UseState.HELD)
        assert (0 if seller is None else seller.balance_fen) == sum(parts(price, 250)[0] for price in spent)

    def heal(self) -> None:
        """Everything still going ends; then no hold may be left."""
        for job in self.small.store.jobs_by_id(sorted({lease.job_id for lease in self.leases})).values():
            if job.state not in ENDED:
                self.small.network.jobs.cancel(USER, job.id)
        for _ in range(3):
            self.do_tell(0)
            for number in range(len(self.leases)):
                with suppress(Conflict, InvalidRequest):
                    self._report(number, Phase.ENDED, RunState.CANCELLED)
            self.do_lose(0)
            self.do_turn(0)
        self.check()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(ACTS, NUMBERS), min_size=5, max_size=40))
def test_nothing_is_paid_twice_and_nothing_is_left_held(acts: list[tuple[str, int]]) -> None:
    trade = Trade()
    for number in range(4):
        trade.act("list", number)
    for what, number in acts:
        trade.act(what, number)
        if what in ("buy", "withdraw", "list"):
            trade.act(what, number)
    trade.heal()
    buyer = trade.small.store.account(PAYER)
    assert buyer is not None
    assert trade.small.store.held_uses(100) == []


@given(st.integers(0, 10**15), st.integers(0, 10_000))
def test_a_price_is_split_exactly(price_fen: int, commission_bp: int) -> None:
    seller, fee = parts(price_fen, commission_bp)
    assert seller + fee == price_fen
    assert seller >= 0 <= fee
