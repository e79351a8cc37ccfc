"""What every ledger promises, as one suite that the one in memory and PostgreSQL's pass.

Owns the promises. A test file subclasses `LedgerContract` and gives it a fixture named `store`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import count

import pytest
from tests.contract.store_values import (
    PROJECT,
    SITE,
    a_line,
    a_record,
    after,
    an_event,
    at_once,
    ending,
    every_page,
    leased,
)

from suanwang.control.billing.settling import settle
from suanwang.control.rules import Rules
from suanwang.domain.errors import Conflict, InvalidRequest, NotFound
from suanwang.domain.ids import JobId, SiteId
from suanwang.domain.job import BillLine, Step
from suanwang.ports import BillQuery, Claim, Store
from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.leaves import seal_leaf, transfer_leaf
from suanwang.trading.ledger import (
    BANK,
    LARGEST_FEN,
    MOST_FEN,
    NETWORK,
    Account,
    AccountId,
    Owner,
    Phase,
    Transfer,
    Verdict,
    account_id,
)
from suanwang.trading.merkle import (
    consistency_ranges,
    continues,
    cover,
    folded,
    includes,
    inclusion_ranges,
    leaf_hash,
)
from suanwang.trading.rating import billed_fen
from suanwang.trading.settlement import chain_name, opened

DEMO = account_id(Owner.PROJECT, PROJECT)
OTHER = account_id(Owner.PROJECT, "other")
SELLER = account_id(Owner.PROVIDER, "贵安算力")
RULES = Rules(commission_bp=200, project_credit_fen=1000)
NOW = after(100)
LATER = after(200)
_numbers = count(1)


def project(account: AccountId, floor_fen: int = 0) -> Account:
    return Account(id=account, owner=Owner.PROJECT, name=account.partition(":")[2], floor_fen=floor_fen)


def filled(store: Store, *, demo_fen: int = 1000) -> None:
    """The accounts of these tests, the first with money."""
    store.open_accounts([opened(BANK), opened(NETWORK), opened(SELLER), project(DEMO), project(OTHER)])
    if demo_fen:
        assert store.post([(a_transfer(BANK, DEMO, demo_fen),)], NOW)[0].verdict is Verdict.POSTED


def a_transfer(
    debit: AccountId,
    credit: AccountId,
    amount_fen: int,
    *,
    chain: str | None = None,
    phase: Phase = Phase.DIRECT,
    pending: Transfer | None = None,
    timeout_at: datetime | None = None,
) -> Transfer:
    number = next(_numbers)
    return Transfer(
        id=f"t{number}",
        chain=chain or f"c{number}",
        debit=debit,
        credit=credit,
        amount_fen=amount_fen,
        code="test",
        phase=phase,
        pending_id=None if pending is None else pending.id,
        timeout_at=timeout_at,
    )


def a_hold(amount_fen: int, *, timeout_at: datetime = LATER) -> Transfer:
    return a_transfer(DEMO, SELLER, amount_fen, phase=Phase.PENDING, timeout_at=timeout_at)


def ends(hold: Transfer, phase: Phase, amount_fen: int | None = None) -> Transfer:
    return a_transfer(hold.debit, hold.credit, amount_fen or hold.amount_fen, phase=phase, pending=hold)


def standing(store: Store, account: AccountId) -> tuple[int, int]:
    """(balance, held)."""
    found = store.account(account)
    assert found is not None
    return found.balance_fen, found.held_fen


def assert_whole(store: Store) -> None:
    """Everything that must hold of a ledger at any time."""
    audit = store.audit()
    assert (audit.sum_fen, audit.wrong, audit.unlogged) == (0, (), 0)
    accounts = every_page(lambda cursor: store.accounts(None, cursor, 3))
    assert all(a.available_fen is None or a.available_fen >= 0 for a in accounts), "nobody is below his limit"
    assert sum(a.balance_fen for a in accounts) == 0


def billed(store: Store, *fen: int, yuan: Sequence[str] = ()) -> tuple[JobId, Sequence[BillLine]]:
    """An ended job whose lines have these amounts, or are rated at so many yuan."""
    step = _ending_with(store, yuan or [f"{amount / 100:.2f}" for amount in fen])
    assert store.apply([step]) == frozenset()
    job = step.job
    return job.id, store.bill_lines(BillQuery(job_id=job.id), None, 1000)[0][::-1]


def _ending_with(store: Store, yuan: Sequence[str], *, site: SiteId = SITE) -> Step:
    """What ends a running job with lines rated at so much, rounded by itself."""
    job, allocation = leased(store, site=site)
    records = [a_record(job, allocation, at + 1, start_s=10 + 40 * at) for at in range(len(yuan))]
    lines: list[BillLine] = []
    total, done = Decimal(0), 0
    for record, each in zip(records, yuan, strict=True):
        total += Decimal(each)
        lines.append(replace(a_line(record, fen=billed_fen(total) - done), rated_yuan=Decimal(each)))
        done = billed_fen(total)
    step = ending(job, allocation)
    return replace(step, job=replace(step.job, billed_fen=done), usage=tuple(records), bill_lines=tuple(lines))


class LedgerContract:
    # transfers

    def test_a_transfer_moves_money_and_nothing_else(self, store: Store) -> None:
        filled(store)
        transfer = a_transfer(DEMO, SELLER, 300)
        outcome = store.post([(transfer,)], NOW)[0]
        assert (outcome.verdict, outcome.chain) == (Verdict.POSTED, transfer.chain)
        assert standing(store, DEMO) == (700, 0)
        assert standing(store, SELLER) == (300, 0)
        entry = store.entries(DEMO, None, 10)[0][0]
        assert (entry.transfer, entry.at) == (transfer, NOW)
        assert store.leaves([entry.leaf]) == {entry.leaf: transfer_leaf(transfer, NOW)}
        assert_whole(store)

    def test_the_same_again_is_done_already_and_another_content_a_conflict(self, store: Store) -> None:
        filled(store)
        transfer = a_transfer(DEMO, SELLER, 300)
        store.post([(transfer,)], NOW)
        assert store.post([(transfer,), (transfer,)], after(150))[0].verdict is Verdict.EXISTS
        for other in (
            replace(transfer, amount_fen=301),
            replace(transfer, credit=NETWORK),
            replace(transfer, debit=OTHER),
            replace(transfer, code="else"),
            replace(transfer, chain="another"),
        ):
            assert store.post([(other,)], NOW)[0].verdict is Verdict.CONFLICT
        more = a_transfer(DEMO, NETWORK, 1, chain=transfer.chain)
        assert store.post([(transfer, more)], NOW)[0].verdict is Verdict.CONFLICT, "a chain is whole from the start"
        assert store.post([(more,)], NOW)[0].verdict is Verdict.CONFLICT
        assert standing(store, DEMO) == (700, 0)
        assert_whole(store)

    def test_a_doubled_message_within_a_batch_is_posted_once(self, store: Store) -> None:
        filled(store)
        transfer = a_transfer(DEMO, SELLER, 600)
        verdicts = [outcome.verdict for outcome in store.post([(transfer,), (transfer,)], NOW)]
        assert verdicts == [Verdict.POSTED, Verdict.EXISTS]
        assert standing(store, DEMO) == (400, 0)

    def test_a_chain_is_posted_whole_or_not_at_all(self, store: Store) -> None:
        filled(store)
        good = a_transfer(DEMO, SELLER, 900, chain="c")
        bad = a_transfer(DEMO, NETWORK, 101, chain="c")
        outcome = store.post([(good, bad)], NOW)[0]
        assert (outcome.verdict, outcome.transfer, outcome.account) == (Verdict.SHORT, bad.id, DEMO)
        assert standing(store, DEMO) == (1000, 0)
        assert store.chain_entries(["c"]) == []
        fits = replace(bad, amount_fen=100)
        assert store.post([(good, fits)], NOW)[0].verdict is Verdict.POSTED
        assert [entry.transfer for entry in store.chain_entries(["c"])] == [good, fits]
        assert_whole(store)

    def test_a_transfer_is_found_by_its_name(self, store: Store) -> None:
        filled(store)
        transfer = a_transfer(DEMO, SELLER, 5)
        store.post([(transfer,)], NOW)
        found = store.entry(transfer.id)
        assert found is not None
        assert (found.transfer, found.at) == (transfer, NOW)
        assert [found] == list(store.chain_entries([transfer.chain]))
        assert store.entry("none") is None

    def test_a_paper_is_sealed_once(self, store: Store) -> None:
        filled(store)
        size = store.edge().size
        first = store.seal("invoice", "demo/2026-03", "0" * 64)
        assert store.seal("invoice", "demo/2026-03", "0" * 64) == first == size
        assert store.seal("invoice", "demo/2026-03", "1" * 64) == first + 1
        assert store.seal("statement", "demo/2026-03", "0" * 64) == first + 2
        assert store.edge().size == size + 3
        assert store.leaves([first])[first] == seal_leaf("invoice", "demo/2026-03", "0" * 64)
        places = at_once([lambda: store.seal("order", "o", "2" * 64) for _ in range(4)])
        assert set(places) == {size + 3}
        assert store.edge().size == size + 4

    def test_one_chain_refused_leaves_the_others_of_its_batch(self, store: Store) -> None:
        filled(store)
        batch = [(a_transfer(DEMO, SELLER, 600),), (a_transfer(DEMO, SELLER, 600),), (a_transfer(DEMO, SELLER, 400),)]
        verdicts = [outcome.verdict for outcome in store.post(batch, NOW)]
        assert verdicts == [Verdict.POSTED, Verdict.SHORT, Verdict.POSTED]
        assert standing(store, DEMO) == (0, 0)

    def test_an_account_that_there_is_not(self, store: Store) -> None:
        filled(store)
        nobody = account_id(Owner.PROVIDER, "nobody")
        for transfer in (a_transfer(DEMO, nobody, 1), a_transfer(nobody, DEMO, 1)):
            outcome = store.post([(transfer,)], NOW)[0]
            assert (outcome.verdict, outcome.account) == (Verdict.NO_ACCOUNT, nobody)
        assert store.account(nobody) is None

    def test_a_balance_never_overflows(self, store: Store) -> None:
        store.open_accounts([opened(BANK), replace(opened(SELLER))])
        most = LARGEST_FEN // MOST_FEN
        batch = [(a_transfer(BANK, SELLER, MOST_FEN),) for _ in range(most + 1)]
        verdicts = [outcome.verdict for outcome in store.post(batch, NOW)]
        assert verdicts == [Verdict.POSTED] * most + [Verdict.OVERFLOW]
        assert standing(store, SELLER) == (most * MOST_FEN, 0)
        assert_whole(store)

    @pytest.mark.parametrize("amount_fen", [0, -1, MOST_FEN + 1, 2**63, 2**64 + 1])
    def test_an_amount_that_is_none_is_refused(self, store: Store, amount_fen: int) -> None:
        with pytest.raises(InvalidRequest) as caught:
            a_transfer(DEMO, SELLER, amount_fen)
        assert caught.value.field == "amount_fen"

    def test_events_are_told_with_a_posting_and_not_again(self, store: Store) -> None:
        filled(store)
        transfer = a_transfer(BANK, DEMO, 5)
        for _ in range(2):
            store.post([(transfer,)], NOW, [an_event("ledger.topped_up")])
        assert [event.kind for event in store.events(0, 10)] == ["ledger.topped_up"]

    # two phases

    def test_a_hold_keeps_money_until_it_is_posted_in_part(self, store: Store) -> None:
        filled(store)
        hold = a_hold(800)
        store.post([(hold,)], NOW)
        assert standing(store, DEMO) == (1000, 800)
        assert store.post([(a_transfer(DEMO, NETWORK, 201),)], NOW)[0].verdict is Verdict.SHORT
        assert store.post([(ends(hold, Phase.POST, 500),)], NOW)[0].verdict is Verdict.POSTED
        assert standing(store, DEMO) == (500, 0)
        assert standing(store, SELLER) == (500, 0)
        for again in (ends(hold, Phase.POST, 300), ends(hold, Phase.VOID)):
            assert store.post([(again,)], NOW)[0].verdict is Verdict.NO_HOLD, "a hold ends once"
        assert_whole(store)

    def test_a_voided_hold_gives_everything_back(self, store: Store) -> None:
        filled(store)
        hold = a_hold(800)
        verdicts = [outcome.verdict for outcome in store.post([(hold,), (ends(hold, Phase.VOID),)], NOW)]
        assert verdicts == [Verdict.POSTED] * 2
        assert standing(store, DEMO) == (1000, 0)
        assert_whole(store)

    def test_what_does_not_fit_a_hold_does_not_end_it(self, store: Store) -> None:
        filled(store)
        hold = a_hold(500)
        store.post([(hold,)], NOW)
        for wrong in (
            ends(hold, Phase.POST, 501),
            ends(hold, Phase.VOID, 499),
            replace(ends(hold, Phase.POST), credit=NETWORK),
            replace(ends(hold, Phase.POST), pending_id="unknown"),
        ):
            assert store.post([(wrong,)], NOW)[0].verdict is Verdict.NO_HOLD
        first, second = ends(hold, Phase.POST, 1), ends(hold, Phase.POST, 1)
        both = (replace(first, chain="twice"), replace(second, chain="twice"))
        assert store.post([both], NOW)[0].verdict is Verdict.NO_HOLD
        assert standing(store, DEMO) == (1000, 500)

    def test_a_hold_whose_time_is_over_is_released_once(self, store: Store) -> None:
        filled(store)
        hold, later = a_hold(300, timeout_at=after(200)), a_hold(300, timeout_at=after(300))
        store.post([(hold,), (later,)], NOW)
        assert store.post([(ends(hold, Phase.POST),)], after(200))[0].verdict is Verdict.EXPIRED
        assert store.release_expired(after(199), 10) == 0
        assert store.release_expired(after(200), 10) == 1
        assert store.release_expired(after(200), 10) == 0
        assert standing(store, DEMO) == (1000, 300)
        assert_whole(store)

    # limits

    def test_a_limit_moves_but_not_past_the_balance(self, store: Store) -> None:
        filled(store)
        assert store.set_floor(DEMO, -500, [an_event("ledger.limit_set")]).available_fen == 1500
        store.post([(a_transfer(DEMO, SELLER, 1400),)], NOW)
        with pytest.raises(Conflict):
            store.set_floor(DEMO, 0, [an_event("ledger.limit_set")])
        with pytest.raises(NotFound):
            store.set_floor(account_id(Owner.PROJECT, "nobody"), 0, [])
        assert store.set_floor(DEMO, -400, []).available_fen == 0
        assert len(store.events(0, 10)) == 1
        assert_whole(store)

    def test_an_account_is_opened_once_and_empty(self, store: Store) -> None:
        store.open_accounts([replace(project(DEMO, -5), balance_fen=7, held_fen=3)])
        store.open_accounts([project(DEMO, -900)])
        assert store.account(DEMO) == project(DEMO, -5)

    def test_accounts_and_entries_come_in_pages(self, store: Store) -> None:
        filled(store)
        for amount in (1, 2, 3, 4):
            store.post([(a_transfer(DEMO, SELLER, amount),)], NOW)
        amounts = [e.transfer.amount_fen for e in every_page(lambda cursor: store.entries(DEMO, cursor, 2))]
        assert amounts == [4, 3, 2, 1, 1000]
        names = [a.id for a in every_page(lambda cursor: store.accounts(None, cursor, 2))]
        assert names == sorted([BANK, NETWORK, SELLER, DEMO, OTHER])
        assert [a.id for a in store.accounts([DEMO, SELLER], None, 10)[0]] == [DEMO, SELLER]

    # settlement

    def test_a_line_is_split_between_provider_and_network(self, store: Store) -> None:
        _, (line,) = billed(store, 123)
        assert settle(store, RULES, NOW) == 1
        assert [standing(store, a)[0] for a in (DEMO, SELLER, NETWORK)] == [-123, 121, 2]
        entries = store.chain_entries([chain_name(line.usage_id)])
        assert [(e.transfer.code, e.transfer.amount_fen) for e in entries] == [("usage", 121), ("commission", 2)]
        assert settle(store, RULES, NOW) == 0
        assert store.count_open() == (0, 0)
        assert_whole(store)

    def test_a_line_knows_what_its_job_was_billed_before(self, store: Store) -> None:
        billed(store, 5, 0, 7, -3, 1)
        billed(store, 2)
        assert [each.before_fen for each in store.open_lines(NOW, 10)] == [0, 5, 5, 12, 9, 0]

    def test_small_lines_carry_the_commission_of_their_sum(self, store: Store) -> None:
        billed(store, *[1] * 50)
        assert settle(store, RULES, NOW) == 50
        assert [standing(store, a)[0] for a in (DEMO, SELLER, NETWORK)] == [-50, 49, 1]
        assert_whole(store)

    def test_tiny_jobs_cost_and_earn_what_one_does(self, store: Store) -> None:
        for _ in range(100):
            billed(store, yuan=["0.00130000"])
        billed(store, yuan=["-0.00130000"])
        assert settle(store, RULES, NOW) == 101
        assert [standing(store, a)[0] for a in (DEMO, SELLER, NETWORK)] == [-13, 13, 0]
        for _ in range(300):
            billed(store, yuan=["0.00130000"])
        assert settle(store, RULES, NOW) == 300
        assert [standing(store, a)[0] for a in (DEMO, SELLER, NETWORK)] == [-52, 51, 1], "of 51.87 fen"
        lines, _ = store.bill_lines(BillQuery(), None, 1000)
        totals = [each.tally_yuan for each in lines[::-1]]
        assert totals == [sum((line.rated_yuan for line in lines[::-1][:at]), Decimal(0)) for at in range(401)]
        assert_whole(store)

    def test_writers_at_once_go_on_from_each_other(self, store: Store) -> None:
        ready = [[_ending_with(store, ["0.00100000", "0.00230000"]) for _ in range(6)] for _ in range(4)]
        ready.append([_ending_with(store, ["0.00500000"], site=SiteId("wuhu")) for _ in range(6)])
        assert at_once([partial(store.apply, steps) for steps in ready]) == [frozenset()] * 5
        lines = store.bill_lines(BillQuery(), None, 1000)[0][::-1]
        for site, fen in (("guian", 8), ("wuhu", 3)):
            total = Decimal(0)
            here = [line for line in lines if line.site_id == site]
            for line in here:
                assert line.tally_yuan == total
                total += line.rated_yuan
            assert sum(line.amount_fen for line in here) == fen
        for steps in ready:
            for step in steps:
                stored = store.job(step.job.id)
                assert stored is not None
                assert stored.billed_fen == sum(line.amount_fen for line in lines if line.job_id == step.job.id)

    def test_a_refused_step_leaves_the_tally_as_it_was(self, store: Store) -> None:
        step = _ending_with(store, ["0.00100000"])
        stale = replace(step, job=replace(step.job, revision=step.job.revision + 1))
        assert store.apply([stale]) == {step.job.id}
        twice = _ending_with(store, ["0.00400000"])
        doubled = replace(twice, usage=(twice.usage[0], twice.usage[0]))
        other = _ending_with(store, ["0.00200000"])
        assert store.apply([doubled, other]) in ({twice.job.id}, frozenset())
        assert store.apply([step]) == frozenset()
        lines = store.bill_lines(BillQuery(), None, 10)[0][::-1]
        total = Decimal(0)
        for line in lines:
            assert line.tally_yuan == total
            total += line.rated_yuan

    def test_a_line_of_zero_fen_is_settled_without_a_transfer(self, store: Store) -> None:
        job_id, (line,) = billed(store, 0)
        assert settle(store, RULES, NOW) == 1
        assert store.chain_entries([chain_name(line.usage_id)]) == []
        assert len(store.usage_leaves(job_id)) == 1, "the record is in the log all the same"
        assert store.count_open() == (0, 0)

    def test_a_correction_goes_back_the_same_ways(self, store: Store) -> None:
        billed(store, 500, -200)
        assert settle(store, RULES, NOW) == 2
        assert [standing(store, a)[0] for a in (DEMO, SELLER, NETWORK)] == [-300, 294, 6]
        assert_whole(store)

    def test_a_line_over_the_limit_stays_open_is_told_once_and_paid_later(self, store: Store) -> None:
        job_id, (_, line) = billed(store, 900, 200)
        assert settle(store, RULES, NOW) == 1
        assert store.count_open() == (1, 1)
        assert store.count_open([PROJECT]) == (1, 1)
        assert store.count_open([]) == (0, 0)
        assert settle(store, RULES, after(101)) == 0, "it is put off"
        assert store.open_lines(after(159), 10) == []
        assert settle(store, RULES, after(160)) == 0
        blocked = [event for event in store.events(0, 99) if event.kind == "ledger.blocked"]
        assert [(event.job_id, event.data["usage_id"]) for event in blocked] == [(job_id, line.usage_id)]
        assert len(store.usage_leaves(job_id)) == 2, "what was used is in the log before it is paid"
        store.open_accounts([opened(BANK)])
        store.post([(a_transfer(BANK, DEMO, 100),)], after(161))
        assert settle(store, RULES, after(162)) == 1, "money on its account brings it back"
        assert standing(store, DEMO) == (-1000, 0)
        assert len(store.usage_leaves(job_id)) == 2
        assert_whole(store)

    def test_blocked_lines_do_not_keep_others_waiting(self, store: Store) -> None:
        billed(store, 2000)
        billed(store, 2000)
        rules = replace(RULES, settle_limit=2)
        assert settle(store, rules, NOW) == 0
        billed(store, 10)
        assert settle(store, rules, after(500)) == 1

    def test_replicas_that_settle_at_once_settle_once(self, store: Store) -> None:
        for _ in range(6):
            billed(store, 7, 5, 3)
        done = at_once([lambda: settle(store, RULES, NOW) for _ in range(4)])
        assert sum(done) == 18
        assert standing(store, DEMO) == (-90, 0)
        assert_whole(store)

    def test_a_claim_on_what_is_settled_is_passed_over(self, store: Store) -> None:
        _, (line,) = billed(store, 50)
        settle(store, RULES, NOW)
        late = Claim(
            usage_id=line.usage_id,
            leaf="{}",
            chain=(a_transfer(DEMO, SELLER, 50, chain=chain_name(line.usage_id)),),
            blocked=an_event("ledger.blocked"),
        )
        size = store.edge().size
        assert store.settle([late], NOW, NOW) == []
        assert store.edge().size == size

    def test_an_open_line_comes_with_what_it_was_rated_from(self, store: Store) -> None:
        billed(store, 50)
        (found,) = store.open_lines(NOW, 10)
        assert found.line.usage_id == found.usage.id
        assert found.price.device_hour_yuan == {"ascend-910b": Decimal("9.50")}
        assert found.started_at <= found.usage.from_at

    # the log

    def test_every_leaf_is_proven_at_every_size(self, store: Store) -> None:
        filled(store)
        roots = {store.edge().size: store.edge().root}
        for size in (1, 2, 5, 16, 23):
            store.post([(a_transfer(BANK, DEMO, 1),) for _ in range(size)], NOW)
            roots[store.edge().size] = store.edge().root
        sizes = sorted(roots)
        texts = store.leaves(range(sizes[-1]))
        for size in sizes:
            for index in range(0, size, 3):
                parts = inclusion_ranges(index, size)
                proof = [folded(p, store.hashes(cover(p))) for p in parts]
                leaf = leaf_hash(texts[index].encode())
                assert includes(index=index, size=size, leaf=leaf, proof=proof, root=roots[size])
                assert not includes(index=index, size=size, leaf=leaf_hash(b"else"), proof=proof, root=roots[size])
            for old in sizes:
                if old <= size:
                    proof = [folded(p, store.hashes(cover(p))) for p in consistency_ranges(old, size)]
                    assert continues(old=old, old_root=roots[old], size=size, root=roots[size], proof=proof)

    def test_a_checkpoint_is_kept_as_it_was_first_made(self, store: Store) -> None:
        first = Checkpoint(size=3, root="aa", at=NOW, key="bb", signature="cc")
        assert store.checkpoint() is None
        assert store.add_checkpoint(first) == first
        assert store.add_checkpoint(replace(first, root="dd")) == first
        later = replace(first, size=9)
        store.add_checkpoint(later)
        assert (store.checkpoint(), store.checkpoint(3), store.checkpoint(4)) == (later, first, None)

    # chance

    @pytest.mark.parametrize("seed", range(6))
    def test_whatever_comes_in_whatever_order_the_ledger_is_whole(self, store: Store, seed: int) -> None:
        dice = random.Random(seed)
        accounts = [DEMO, OTHER, SELLER, NETWORK]
        store.open_accounts([opened(BANK), opened(NETWORK), opened(SELLER), project(DEMO, -50), project(OTHER)])
        sent: list[Sequence[Transfer]] = []
        done: set[str] = set()
        for step in range(60):
            now = after(100 + step)
            batch = [_anything(dice, accounts, sent, now) for _ in range(dice.randint(1, 8))]
            batch += dice.sample(sent, min(len(sent), dice.randint(0, 3)))
            dice.shuffle(batch)
            sent += batch
            for chain, outcome in zip(batch, store.post(batch, now), strict=True):
                if outcome.verdict is Verdict.POSTED:
                    assert chain[0].chain not in done, "nothing twice"
                    done.add(chain[0].chain)
                if outcome.verdict is Verdict.EXISTS:
                    assert chain[0].chain in done
            if dice.random() < 0.2:
                store.release_expired(now, 3)
            if step % 10 == 0:
                assert_whole(store)
        while store.release_expired(after(10_000), 5):
            pass
        assert_whole(store)
        every = store.accounts(None, None, 100)[0]
        assert all(account.held_fen == 0 for account in every), "no hold is orphaned"
        assert len(done) > 20


def _anything(
    dice: random.Random, accounts: Sequence[AccountId], sent: Sequence[Sequence[Transfer]], now: datetime
) -> Sequence[Transfer]:
    """A chain of one to three transfers of any phase; some end holds of earlier ones."""
    number = next(_numbers)
    chain: list[Transfer] = []
    holds = [t for earlier in sent for t in earlier if t.phase is Phase.PENDING]
    for part in range(dice.randint(1, 3)):
        debit, credit = dice.sample([*accounts, BANK], 2)
        transfer = a_transfer(debit, credit, dice.randint(1, 60), chain=f"r{number}")
        roll = dice.random()
        if roll < 0.2:
            timeout = now.replace(microsecond=part) + (after(dice.randint(0, 30)) - after(0))
            transfer = replace(transfer, phase=Phase.PENDING, timeout_at=timeout)
        elif roll < 0.5 and holds:
            hold = dice.choice(holds)
            phase = dice.choice([Phase.POST, Phase.VOID])
            amount = hold.amount_fen if phase is Phase.VOID else dice.randint(1, hold.amount_fen)
            transfer = replace(ends(hold, phase, amount), chain=f"r{number}")
        chain.append(transfer)
    return tuple(chain)
