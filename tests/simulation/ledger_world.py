"""Clients without luck before a ledger that dies: the world of `test_ledger_storm`.

Owns what goes wrong (messages lost, doubled, late and reordered, answers lost, clocks apart, a server that dies between
any two of its steps) and who checks it: a reader of the log that knows none of the book's code.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import orjson

from suanwang.adapters.store.memory import MemoryStore
from suanwang.domain.errors import Conflict
from suanwang.trading.ledger import (
    BANK,
    NETWORK,
    Account,
    AccountId,
    Chain,
    Hold,
    Outcome,
    Owner,
    Phase,
    Transfer,
    Verdict,
    account_id,
)
from suanwang.trading.merkle import Edge, leaf_hash
from suanwang.trading.settlement import opened

START = datetime(2026, 1, 1, tzinfo=UTC)
ROUND_S = 10
PATIENCE = 6
"""Rounds until a client asks again."""
PAYERS = [account_id(Owner.PROJECT, f"p{at}") for at in range(8)]
FLOORS = [0, 0, 0, -50, -2_000, 0, -500, 0]
SELLERS = [account_id(Owner.PROVIDER, f"s{at}") for at in range(4)]
REFUSED = frozenset({Verdict.SHORT, Verdict.NO_HOLD, Verdict.EXPIRED})


class Died(BaseException):
    """A server that ends here, whatever it was doing."""


@dataclass(slots=True)
class _Before:
    """What a chain may change, as it was."""

    chain: str | None
    fresh: list[str]
    accounts: dict[AccountId, Account]
    holds: dict[str, Hold]


class Durable(MemoryStore):
    """The store in memory, whose transactions can be cut off at any leaf; what was cut off leaves nothing, as in a database."""

    def __init__(self) -> None:
        super().__init__()
        self._fuse = -1
        self._journal: list[_Before] = []

    def cut_off(self, work: Callable[[], object], leaves: int) -> None:
        """Run `work` as one transaction of a server that dies as it adds this leaf; it goes through if it adds fewer."""
        size, edge, self._fuse, self._journal = len(self._log), self._edge, leaves, []
        try:
            work()
        except Died:
            for before in reversed(self._journal):
                self._undo(before)
            self._edge = edge
            del self._log[size:]
            raise
        finally:
            self._fuse = -1

    def _undo(self, before: _Before) -> None:
        if before.chain is not None:
            self._book.chains.pop(before.chain, None)
        for key in before.fresh:
            self._book.known.pop(key, None)
            self._book.holds.pop(key, None)
            self._entries.pop(key, None)
        self._book.accounts.update(before.accounts)
        self._book.holds.update(before.holds)

    def _post(self, chain: Chain, now: datetime) -> Outcome:
        if self._fuse >= 0:
            book = self._book
            ended = [transfer.pending_id for transfer in chain if transfer.pending_id in book.holds]
            self._journal.append(
                _Before(
                    chain=None if chain[0].chain in book.chains else chain[0].chain,
                    fresh=[transfer.id for transfer in chain if transfer.id not in book.known],
                    accounts={
                        key: book.accounts[key] for transfer in chain for key in (transfer.debit, transfer.credit)
                    },
                    holds={key: book.holds[key] for key in ended if key is not None},
                )
            )
        return super()._post(chain, now)

    def _append(self, leaf: str) -> int:
        if self._fuse == 0:
            raise Died
        self._fuse -= self._fuse > 0
        return super()._append(leaf)

    @property
    def log(self) -> list[str]:
        return self._log


@dataclass(slots=True)
class Reader:
    """Reads the log alone, works out every balance and hold from it, and holds the ledger against both."""

    store: Durable
    asked: dict[str, Chain]
    """Chain → what its client asked for, made before it was sent."""
    read: int = 0
    posted: set[str] = field(default_factory=set)
    """Chains in the log."""
    seen: set[str] = field(default_factory=set)
    balances: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    held: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    holds: dict[str, tuple[str, str, int, str]] = field(default_factory=dict)

    def check(self) -> None:
        """All that must hold after any transaction."""
        log, store = self.store.log, self.store
        assert len(log) >= self.read, "the log never shrinks below what was committed"
        while self.read < len(log):
            self._read_chain(log)
        total = 0
        for account in store.accounts(None, None, 100)[0]:
            total += account.balance_fen
            assert account.balance_fen == self.balances[account.id], account
            assert account.held_fen == self.held[account.id] >= 0, account
            assert account.floor_fen is None or account.balance_fen - account.held_fen >= account.floor_fen, account
        assert total == 0, "all balances sum to zero"

    def _read_chain(self, log: list[str]) -> None:
        """The next leaves are one chain: whole, in its order, and as it was asked for."""
        first = orjson.loads(log[self.read])
        name: str = first["chain"]
        assert name not in self.posted, f"{name} was posted twice"
        self.posted.add(name)
        chain = self.asked.get(name)
        if chain is None:
            assert (name, first["code"], first["phase"]) == (f"{first['pending_id']}/expired", "expired", "void"), name
            self._apply(first)
            return
        for transfer in chain:
            leaf = orjson.loads(log[self.read])
            assert (leaf["id"], leaf["chain"], leaf["amount_fen"]) == (transfer.id, name, transfer.amount_fen)
            assert (leaf["debit"], leaf["credit"]) == (transfer.debit, transfer.credit)
            assert (leaf["phase"], leaf["pending_id"]) == (transfer.phase, transfer.pending_id)
            self._apply(leaf)

    def _apply(self, leaf: dict[str, object]) -> None:
        key, phase, amount = str(leaf["id"]), leaf["phase"], int(str(leaf["amount_fen"]))
        debit, credit = str(leaf["debit"]), str(leaf["credit"])
        assert key not in self.seen, f"{key} is in the log twice"
        self.seen.add(key)
        self.read += 1
        if phase == "pending":
            self.holds[key] = debit, credit, amount, str(leaf["timeout_at"])
            self.held[debit] += amount
            return
        if phase in ("post", "void"):
            # Ended once only: it is taken out here.
            hold = self.holds.pop(str(leaf["pending_id"]))
            assert hold[:2] == (debit, credit)
            assert hold[2] >= amount
            in_time = str(leaf["at"]) < hold[3]
            assert in_time or phase == "void", f"{key} posts from a hold whose time was over"
            assert not in_time or leaf["code"] != "expired", f"{key} releases a hold whose time was not over"
            self.held[debit] -= hold[2]
        if phase in ("direct", "post"):
            self.balances[debit] -= amount
            self.balances[credit] += amount

    def check_whole(self) -> None:
        """The store's own audit, and the tree hashed again from the log's texts."""
        audit = self.store.audit()
        assert (audit.sum_fen, audit.wrong, audit.unlogged, audit.transfers) == (0, (), 0, self.read)
        edge, _ = Edge().grown([leaf_hash(leaf.encode()) for leaf in self.store.log])
        assert edge == self.store.edge()


@dataclass(slots=True)
class Tally:
    """What a world went through."""

    posted: int = 0
    """Transfers in the ledger."""
    delivered: int = 0
    """Transfers that arrived, repeated ones included."""
    deaths: int = 0
    lost: int = 0
    """Messages and answers."""
    doubled: int = 0
    verdicts: defaultdict[Verdict, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, other: Tally) -> None:
        self.posted += other.posted
        self.delivered += other.delivered
        self.deaths += other.deaths
        self.lost += other.lost
        self.doubled += other.doubled
        for verdict, times in other.verdicts.items():
            self.verdicts[verdict] += times


class LedgerWorld:
    """One seed's clients, network and server."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._chance = self._dice.random
        self.store = Durable()
        self.asked: dict[str, Chain] = {}
        self.reader = Reader(self.store, self.asked)
        self.tally = Tally()
        self._inbox: defaultdict[int, list[Chain]] = defaultdict(list)
        self._again: defaultdict[int, list[str]] = defaultdict(list)
        self._waiting: dict[str, int] = {}
        """Chain → how often it was refused, until its client has an answer it takes."""
        self._round = 0
        self._down_until = 0
        self.store.open_accounts([opened(BANK), opened(NETWORK), *map(opened, SELLERS)])
        self.store.open_accounts(
            [
                Account(id=key, owner=Owner.PROJECT, name=key, floor_fen=floor)
                for key, floor in zip(PAYERS, FLOORS, strict=True)
            ]
        )

    def run(self, rounds: int, asks: int) -> Tally:
        """That many rounds with new requests in each, then the network heals and everything must come to its end."""
        for _ in range(rounds):
            for _ in range(asks):
                self._ask(self._new())
            self._turn(stormy=True)
        while self._waiting or self._inbox:
            assert self._round < rounds + 100 * PATIENCE, "every client gets its answer"
            self._turn(stormy=False)
        self._end()
        self.tally.posted = self.reader.read
        return self.tally

    # clients

    def _pick(self, accounts: Sequence[AccountId]) -> AccountId:
        return accounts[int(self._chance() * len(accounts))]

    def _amount(self) -> int:
        return 1 + int(self._chance() * 90)

    def _new(self) -> Chain:
        """A payment, a split bill, a hold (with or without a fee), or money from the bank."""
        name, kind, payer, seller = f"c{len(self.asked)}", self._chance(), self._pick(PAYERS), self._pick(SELLERS)
        if kind < 0.15:
            return (self._transfer(name, 0, BANK, payer, 60 + self._amount() * 7),)
        if kind < 0.45:
            wait = ROUND_S * int(self._chance() * 25)
            hold = self._transfer(
                name,
                0,
                payer,
                seller,
                self._amount(),
                phase=Phase.PENDING,
                timeout_at=START + timedelta(seconds=self._round * ROUND_S + wait),
            )
            return (hold, self._transfer(name, 1, payer, NETWORK, 1)) if self._chance() < 0.3 else (hold,)
        if kind < 0.7:
            return tuple(
                self._transfer(name, at, payer, seller, self._amount()) for at, seller in enumerate(SELLERS[:3])
            )
        if kind < 0.8:
            return (
                self._transfer(name, 0, payer, seller, self._amount()),
                self._transfer(name, 1, seller, NETWORK, self._amount() // 10 + 1),
            )
        return (self._transfer(name, 0, payer, seller, self._amount()),)

    def _transfer(
        self,
        chain: str,
        number: int,
        debit: AccountId,
        credit: AccountId,
        amount_fen: int,
        phase: Phase = Phase.DIRECT,
        pending_id: str | None = None,
        timeout_at: datetime | None = None,
    ) -> Transfer:
        return Transfer(
            id=f"{chain}/{number}",
            chain=chain,
            debit=debit,
            credit=credit,
            amount_fen=amount_fen,
            code="storm",
            phase=phase,
            pending_id=pending_id,
            timeout_at=timeout_at,
        )

    def _ask(self, chain: Chain) -> None:
        name = chain[0].chain
        self.asked[name] = chain
        self._waiting[name] = 0
        self._send(chain, stormy=True)
        if chain[0].phase is Phase.PENDING:
            kind = self._chance()
            if kind < 0.7:
                self._ask(self._ending(chain[0], Phase.POST if kind < 0.5 else Phase.VOID))
            if kind < 0.1:  # Two clients end one hold: one of them alone may.
                self._ask(self._ending(chain[0], Phase.VOID))

    def _ending(self, hold: Transfer, phase: Phase) -> Chain:
        """Posts all or a part of a hold, or voids it. It is sent at once, and may well overtake the hold."""
        name = f"c{len(self.asked)}"
        part = self._chance() if phase is Phase.POST else 1.0
        amount = hold.amount_fen if part > 0.5 else max(1, int(hold.amount_fen * part))
        end = self._transfer(name, 0, hold.debit, hold.credit, amount, phase=phase, pending_id=hold.id)
        return (end, self._transfer(name, 1, hold.credit, NETWORK, 1)) if self._chance() < 0.3 else (end,)

    def _answered(self, name: str, verdict: Verdict) -> None:
        assert verdict in REFUSED or verdict in (Verdict.POSTED, Verdict.EXISTS), "honest clients meet no conflict"
        if verdict not in REFUSED:
            assert name in self.reader.posted, "what was answered as posted is in the log"
            self._waiting.pop(name, None)
        elif name in self._waiting:
            self._waiting[name] += 1
            if self._waiting[name] >= 3:  # Then it gives up; late copies may arrive all the same.
                del self._waiting[name]

    # network

    def _send(self, chain: Chain, *, stormy: bool) -> None:
        self._again[self._round + PATIENCE].append(chain[0].chain)
        if not stormy:
            self._inbox[self._round].append(chain)
            return
        if self._chance() < 0.05:
            self.tally.lost += 1
        else:
            self._inbox[self._round + self._delay()].append(chain)
        if self._chance() < 0.08:
            self.tally.doubled += 1
            self._inbox[self._round + self._delay() + int(self._chance() * 20)].append(chain)
        if self._chance() < 0.05:
            self._inbox[self._round + self._delay()].append(self._forged(chain))

    def _delay(self) -> int:
        """Mostly at once; one of ten is late."""
        return 0 if self._chance() < 0.9 else 1 + int(self._chance() * 8)

    def _forged(self, chain: Chain) -> Chain:
        """The same identifiers with something else in them, made from a chain in the log if there is one."""
        first = chain[0]
        other = self._transfer(first.chain, 0, first.debit, first.credit, first.amount_fen + 1)
        return (other,) if first.chain in self.reader.posted else chain

    # server

    def _turn(self, *, stormy: bool) -> None:
        """Ask again where no answer came, deliver what has come, in any order, and run the timer; check after each."""
        for name in self._again.pop(self._round, []):
            if name in self._waiting:
                self._send(self.asked[name], stormy=stormy)
        arrived = self._inbox.pop(self._round, [])
        self._dice.shuffle(arrived)
        size = 8 + int(self._chance() * 40)
        for first in range(0, len(arrived), size):
            self._serve(arrived[first : first + size], stormy=stormy)
            self.reader.check()
        if self._chance() < 0.3:
            self._release(stormy=stormy)
            self.reader.check()
        if self._chance() < 0.1:
            payer = self._pick(PAYERS)
            with suppress(Conflict):
                self.store.set_floor(payer, -int(self._chance() * 2_000), ())
            self.reader.check()
        self._round += 1

    def _now(self) -> datetime:
        """A server's clock, up to fifteen seconds off either way."""
        return START + timedelta(seconds=self._round * ROUND_S + int(self._chance() * 31) - 15)

    def _serve(self, batch: list[Chain], *, stormy: bool) -> None:
        if stormy and self._round < self._down_until:
            self.tally.lost += len(batch)
            return
        self.tally.delivered += sum(map(len, batch))
        now = self._now()
        fate = self._chance() if stormy else 1.0
        if fate < 0.03:
            self._die(lambda: self.store.post(batch, now), 2 * len(batch))
            return
        outcomes = self.store.post(batch, now)
        if fate < 0.05:  # Committed, and died before it answered anybody.
            self._down()
            return
        self.reader.check()
        for chain, outcome in zip(batch, outcomes, strict=True):
            self.tally.verdicts[outcome.verdict] += 1
            asked = self.asked[outcome.chain]
            if chain is not asked:
                assert outcome.verdict is Verdict.CONFLICT, "a forged copy is refused"
            elif stormy and self._chance() < 0.05:
                self.tally.lost += 1
            else:
                self._answered(outcome.chain, outcome.verdict)

    def _release(self, *, stormy: bool) -> None:
        now = self._now()
        if stormy and self._chance() < 0.1:
            self._die(lambda: self.store.release_expired(now, 1000), 20)
        else:
            self.store.release_expired(now, 1000)

    def _die(self, work: Callable[[], object], most: int) -> None:
        """Anywhere from before the first leaf to after the commit."""
        with suppress(Died):
            self.store.cut_off(work, int(self._chance() * most))
        self._down()

    def _down(self) -> None:
        self.tally.deaths += 1
        self._down_until = self._round + int(self._chance() * 3)

    def _end(self) -> None:
        """All timeouts are over: no hold is left, asking everything again changes nothing, and the log tells it all."""
        later = START + timedelta(days=1)
        while self.store.release_expired(later, 1000):
            self.reader.check()
        assert not self.reader.holds, "no hold outlives its timeout"
        assert all(account.held_fen == 0 for account in self.store.accounts(None, None, 100)[0])
        size = len(self.store.log)
        done = [chain for name, chain in self.asked.items() if name in self.reader.posted][::5]
        assert all(outcome.verdict is Verdict.EXISTS for outcome in self.store.post(done, later))
        assert len(self.store.log) == size
        self.reader.check()
        self.reader.check_whole()
