"""Sixteen processes write one ledger on a real PostgreSQL, and `kill -9` takes writers and backends in mid-work.

A backend's death takes the whole server down, which recovers by itself; writers wait for it. A killed writer is started
anew and asks for everything from its beginning, with the same identifiers.
"""

from __future__ import annotations

import os
import random
import signal
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess

import psycopg
import pytest
from tests.contract.ledger_suite import assert_whole
from tests.services.ledger_writer import END, START, accounts, batches, patiently, write
from tests.services.postgres_fixture import QUICK, PostgresServer, server_folder

from suanwang.adapters.store.database import Database
from suanwang.adapters.store.embedded import EmbeddedPostgres
from suanwang.adapters.store.postgres import PostgresStore
from suanwang.trading.ledger import Chain, Verdict

pytestmark = pytest.mark.services

SOAK = os.environ.get("SUANWANG_SOAK") == "1"
WRITERS = 16
BATCHES = 200 if SOAK else 12
KILLS = 200 if SOAK else 24
CRASHES = 10 if SOAK else 2
DONE = frozenset({Verdict.POSTED.value, Verdict.EXISTS.value})


@dataclass(slots=True)
class _Crew:
    """The writers' processes, what they were answered, and whom death is to meet next."""

    url: str
    dice: random.Random
    kills: int = 0
    crashes: int = 0
    heard: int = 0
    """Batches that were answered."""
    answered: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _ears: dict[Connection, tuple[int, ForkServerProcess]] = field(default_factory=dict)
    _told: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    _doomed: dict[int, int] = field(default_factory=dict)
    """Writer → the batch, anybody's, upon whose answer it is killed, whatever it does at that moment."""

    def start(self, writer: int) -> None:
        context = get_context("forkserver")
        context.set_forkserver_preload(["tests.services.ledger_writer"])
        ear, mouth = context.Pipe(duplex=False)
        process = context.Process(target=write, args=(self.url, writer, BATCHES, mouth), daemon=True)
        process.start()
        mouth.close()
        self._ears[ear] = writer, process
        self._told[writer] = 0
        if self.kills + len(self._doomed) < KILLS:
            self._doomed[writer] = self.heard + self.dice.randint(1, WRITERS * BATCHES // 3)

    def work(self) -> None:
        """Until every writer has done all its work."""
        while self._ears:
            for ear in wait(list(self._ears)):
                assert isinstance(ear, Connection)
                self._listen(ear)

    def _listen(self, ear: Connection) -> None:
        writer, process = self._ears[ear]
        try:
            for chain, verdict in ear.recv():
                self.answered[chain].append(verdict)
        except (EOFError, OSError):
            del self._ears[ear]
            ear.close()
            self._ended(writer, process)
            return
        self._told[writer] += 1
        self.heard += 1
        due = self.crashes < CRASHES and self.heard >= WRITERS * BATCHES * (self.crashes + 1) // (CRASHES + 1)
        self.crashes += due and _crashed(self.url)
        for other, victim in list(self._ears.values()):
            if self._doomed.get(other, self.heard + 1) <= self.heard:
                del self._doomed[other]
                victim.kill()

    def _ended(self, writer: int, process: ForkServerProcess) -> None:
        process.join()
        self._doomed.pop(writer, None)
        if process.exitcode == 0:
            assert self._told[writer] == BATCHES
        else:
            assert process.exitcode == -signal.SIGKILL, "no writer ends by itself before its work is done"
            self.kills += 1
            self.start(writer)


def _crashed(url: str) -> bool:
    """`kill -9` of a backend that works for a writer: the server ends all others, and recovers from its log.

    False where none is at work now, such as in a recovery.
    """
    try:
        with psycopg.connect(url) as raw:
            row = raw.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' "
                "AND application_name = 'suanwang' AND backend_type = 'client backend' ORDER BY pid LIMIT 1"
            ).fetchone()
        if row is not None:
            os.kill(row[0], signal.SIGKILL)
    except (psycopg.OperationalError, ProcessLookupError):
        return False
    return row is not None


@pytest.fixture
def url() -> Iterator[str]:
    """A database on a server of its own, since that server dies."""
    with server_folder() as folder, EmbeddedPostgres(folder, settings=QUICK) as server:
        yield PostgresServer(url=server.url).migrated()


def test_killed_writers_and_a_server_that_crashes_break_nothing(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with PostgresStore(Database(url, max_connections=2)) as store:
        store.open_accounts(accounts())
        crew = _Crew(url, random.Random(7))
        for writer in range(WRITERS):
            crew.start(writer)
        crew.work()
        assert crew.kills >= KILLS // 2, "writers really died"
        assert crew.crashes == CRASHES
        asked = {
            chain[0].chain: chain for writer in range(WRITERS) for batch in batches(writer, BATCHES) for chain in batch
        }
        assert crew.answered.keys() == asked.keys()
        while store.release_expired(END, 1000):
            pass
        _assert_as_asked(store, asked, crew.answered)
        held = [account for account in store.accounts(None, None, 100)[0] if account.held_fen]
        assert not held, "no hold outlives its timeout"
        assert_whole(store)
        _assert_done(store, asked)
        if SOAK:
            unheard = sum(set(each) == {"exists"} for each in crew.answered.values())
            with capsys.disabled():
                print(
                    f"\n{crew.kills} writers and {crew.crashes} servers killed, {unheard} chains whose answer was lost: {store.audit()}"
                )


def _assert_as_asked(store: PostgresStore, asked: dict[str, Chain], answered: dict[str, list[str]]) -> None:
    """Each chain is in the ledger whole, once and as it was asked for, or not at all; what was answered as done is there."""
    found = defaultdict(list)
    for entry in store.chain_entries(asked.keys()):
        found[entry.transfer.chain].append(entry)
    for name, chain in asked.items():
        entries = found[name]
        assert [entry.transfer for entry in entries] in ([], list(chain))
        assert [entry.leaf for entry in entries] == [entries[0].leaf + at for at in range(len(entries))]
        assert bool(entries) == any(verdict in DONE for verdict in answered[name]), name
        assert answered[name].count(Verdict.POSTED.value) <= 1
        assert Verdict.CONFLICT.value not in answered[name]
    verdicts = {verdict for each in answered.values() for verdict in each}
    assert verdicts >= {"posted", "exists", "short", "no_hold"}


def _assert_done(store: PostgresStore, asked: dict[str, Chain]) -> None:
    """Asking for all that stands once more changes nothing."""
    before = store.audit()
    standing = {entry.transfer.chain for entry in store.chain_entries(asked.keys())}
    outcomes = patiently(store, [asked[name] for name in sorted(standing)], START)
    assert {verdict for _, verdict in outcomes} == {"exists"}
    assert store.audit() == before
