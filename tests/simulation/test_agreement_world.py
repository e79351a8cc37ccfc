"""Two parties over a year of months on a network that dies: every month is measured once and paid once, whatever happens.

The production use cases and the loop's own step run under a seed. Sites come and go, versions are written, signed, replaced
and given notice of; the loop dies before or after any step of its store, and replicas turn in each other's place.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from suanwang.adapters.store.memory import MemoryStore
from suanwang.control.contracts.agreements import Agreements
from suanwang.control.contracts.crediting import credit_due, facts_of
from suanwang.control.rules import Rules
from suanwang.domain.errors import SuanwangError
from suanwang.domain.identity import Principal, Project, Role
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.job import BillLine, Event
from suanwang.domain.site import Site
from suanwang.trading.agreements import (
    Agreement,
    AgreementState,
    CreditStep,
    Level,
    Measure,
    Side,
    key_bytes,
    month_begins,
    month_number,
    signed_bytes,
)
from suanwang.trading.credits import CODE, credit_of
from suanwang.trading.ledger import BANK, Owner, Transfer, account_id
from suanwang.trading.settlement import opened
from tests.unit.api.api_world import NOW, offering

RULES = Rules(project_credit_fen=0)
PROVIDER = "guian-cloud"
SELLER = account_id(Owner.PROVIDER, PROVIDER)
USER = Principal(name="alice", role=Role.USER, projects=(ProjectId("demo"),))
GUIAN = Principal(name="guian", role=Role.PROVIDER, provider=PROVIDER)
KEYS = {
    Side.PROJECT: (USER, Ed25519PrivateKey.from_private_bytes(b"p" * 32)),
    Side.PROVIDER: (GUIAN, Ed25519PrivateKey.from_private_bytes(b"s" * 32)),
}
LEVELS = (
    Level(
        measure=Measure.AVAILABILITY,
        steps=(CreditStep(bound=999_999, credit_bp=1000), CreditStep(bound=950_000, credit_bp=9000)),
    ),
    Level(measure=Measure.START, steps=(CreditStep(bound=300, credit_bp=2000),)),
)


class Died(BaseException):
    """A process that ends here, whatever it was doing."""


class FaultyStore(MemoryStore):
    """Dies before or after whatever it writes, when told to."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self._dice = dice
        self.faults = 0.0

    def _around(self, work: Callable[[], Any]) -> Any:
        if self._dice.random() < self.faults:
            raise Died
        done = work()
        if self._dice.random() < self.faults:
            raise Died
        return done

    def change_agreements(self, *args: Any, **kwargs: Any) -> bool:
        return bool(self._around(lambda: MemoryStore.change_agreements(self, *args, **kwargs)))

    def post(self, *args: Any, **kwargs: Any) -> Any:
        return self._around(lambda: MemoryStore.post(self, *args, **kwargs))

    def credit_paid(self, *args: Any, **kwargs: Any) -> None:
        self._around(lambda: MemoryStore.credit_paid(self, *args, **kwargs))


class Hand:
    """A clock that is set."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at


class Year:
    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.store = FaultyStore(self.dice)
        self.clock = Hand()
        self.agreements = Agreements(self.store, self.clock)
        self.store.add_project(Project(id=ProjectId("demo"), title="", created_at=NOW), ())
        self.store.add_site(Site(id=SiteId("guian"), offering=offering(), state_since=NOW), ())
        self.store.open_accounts([opened(BANK), opened(SELLER)])
        self.jobs = 0
        for side, (who, key) in KEYS.items():
            party = account_id(Owner(side), "demo" if side is Side.PROJECT else PROVIDER)
            public = key.public_key().public_bytes_raw().hex()
            self.agreements.register_key(who, party, public, key.sign(key_bytes(party, public)).hex())

    def step(self) -> None:
        self.clock.at += timedelta(hours=self.dice.randrange(1, 200))
        act = self.dice.choice([self.write, self.sign, self.sign, self.end, self.happen, self.happen, self.earn])
        with suppress(SuanwangError, Died):
            act()
        for _ in range(self.dice.randrange(3)):
            with suppress(Died):
                credit_due(self.store, RULES, self.clock.at)

    def write(self) -> None:
        month = month_number(self.clock.at)
        wanted = Agreement(
            id="demo-guian",
            version=0,
            project=ProjectId("demo"),
            provider=PROVIDER,
            sites=(SiteId("guian"),),
            first=month + self.dice.randrange(3),
            last=month + self.dice.randrange(2, 7),
            levels=LEVELS,
            notice_months=self.dice.randrange(2),
            author=Side.PROJECT,
            drafted_by="",
            drafted_at=self.clock.at,
        )
        self.agreements.draft(self.dice.choice((USER, GUIAN)), wanted)

    def sign(self) -> None:
        versions = self.store.agreement_versions("demo-guian")
        if versions:
            for side, (who, key) in KEYS.items():
                public = key.public_key().public_bytes_raw().hex()
                signature = key.sign(signed_bytes(versions[-1], side, public)).hex()
                with suppress(SuanwangError):
                    self.agreements.sign(who, "demo-guian", versions[-1].version, public, signature)

    def end(self) -> None:
        versions = self.store.agreement_versions("demo-guian")
        if versions and self.dice.random() < 0.3:
            self.agreements.end(self.dice.choice((USER, GUIAN)), "demo-guian", versions[-1].version)

    def happen(self) -> None:
        """The site goes or comes, a job starts late or soon, and is billed."""
        self.jobs += 1
        at, job = self.clock.at, JobId(f"j{self.jobs}")
        state = self.dice.choice(["reachable", "reachable", "suspect", "lost"])
        late = timedelta(seconds=self.dice.randrange(900))
        self.store.append_events(
            [
                Event(kind=f"site.{state}", at=at, site_id=SiteId("guian")),
                Event(kind="job.ready", at=at - late, project=ProjectId("demo"), job_id=job),
                Event(kind="job.started", at=at, project=ProjectId("demo"), job_id=job, site_id=SiteId("guian")),
            ]
        )
        self.store._bills.append(
            BillLine(
                usage_id=f"{job}-1:1",
                project=ProjectId("demo"),
                job_id=job,
                site_id=SiteId("guian"),
                provider=PROVIDER,
                from_at=at,
                to_at=at + timedelta(minutes=1),
                description="",
                rated_yuan=0,  # type: ignore[arg-type]
                amount_fen=self.dice.randrange(5000),
            )
        )

    def earn(self) -> None:
        self.jobs += 1
        name, amount = f"earned/{self.jobs}", self.dice.randrange(1, 4000)
        self.store.post(
            [(Transfer(id=name, chain=name, debit=BANK, credit=SELLER, amount_fen=amount, code="usage"),)],
            self.clock.at,
        )

    def heal(self) -> None:
        """Everything is over, the provider has money, and the loop turns undisturbed."""
        self.store.faults = 0.0
        transfer = Transfer(id="rich", chain="rich", debit=BANK, credit=SELLER, amount_fen=10**9, code="usage")
        self.store.post([(transfer,)], self.clock.at)
        for _ in range(12):
            self.clock.at = month_begins(month_number(self.clock.at) + 1) + timedelta(hours=2)
            credit_due(self.store, RULES, self.clock.at)

    def check(self) -> None:
        audit = self.store.audit()
        assert (audit.sum_fen, audit.wrong, audit.unlogged) == (0, (), 0)
        credits_, _ = self.store.service_credits(None, None, 1000)
        moved = [e.transfer for e in self.store._entries.values() if e.transfer.code == CODE]
        owed = {f"credit/{credit.key}": credit.amount_fen for credit, _ in credits_}
        assert len(owed) == len(credits_)
        assert len({transfer.id for transfer in moved}) == len(moved)
        assert all(owed[transfer.id] == transfer.amount_fen for transfer in moved)
        paid = {transfer.id for transfer in moved}
        assert all(f"credit/{c.key}" in paid for c, waits in credits_ if c.amount_fen and not waits)


@pytest.mark.parametrize("seed", range(25))
def test_every_month_is_measured_and_paid_once(seed: int) -> None:
    year = Year(seed)
    year.store.faults = 0.15
    for _ in range(90):
        year.step()
        year.check()
    year.heal()
    year.check()
    credits_, _ = year.store.service_credits(None, None, 1000)
    assert not any(waits for _, waits in credits_), "all is paid in the end"
    found = {(credit.version, credit.month): credit for credit, _ in credits_}
    kept = year.store.agreement_versions("demo-guian")
    expected = set()
    for agreement in kept:
        if agreement.from_at is None or agreement.until_at is None:
            assert agreement.state is not AgreementState.SIGNED
            continue
        for month in range(month_number(agreement.from_at), month_number(agreement.until_at) + 1):
            period = agreement.period(month)
            if period is None:
                continue
            expected.add((agreement.version, month))
            again = credit_of(agreement, month, facts_of(year.store, agreement, *period))
            assert repr(again) == repr(found[agreement.version, month]), "reckoned anew it is the same"
    assert set(found) == expected
    spans = sorted((a.from_at, a.until_at) for a in kept if a.from_at is not None and a.until_at is not None)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans)), "none overlap"


def test_these_worlds_have_credits_in_them() -> None:
    year = Year(1)
    for _ in range(90):
        year.step()
    year.heal()
    credits_, _ = year.store.service_credits(None, None, 1000)
    assert sum(credit.amount_fen > 0 for credit, _ in credits_) > 2
