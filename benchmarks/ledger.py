"""How fast the ledger is: posting, settling, rating, and checking a proof. The database is embedded, with its ordinary settings.

    python -m benchmarks.ledger --transfers 100000

Owns the ledger's figures alone. `measure` returns them for a larger report.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg
from benchmarks.store import Figure

from suanwang.adapters.signing import Ed25519Signer
from suanwang.adapters.store.embedded import EmbeddedPostgres
from suanwang.adapters.store.postgres import PostgresStore, connect
from suanwang.catalog import tariff_area
from suanwang.control.billing.proofs import Proofs
from suanwang.control.billing.settling import settle
from suanwang.control.rules import Rules
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import AllocationId, JobId, ProjectId, SiteId
from suanwang.domain.job import UsageRecord
from suanwang.domain.pricing import DatedPrice, Discount, Formula
from suanwang.domain.site import Price
from suanwang.electricity.pricing import flat
from suanwang.trading.evidence import verify
from suanwang.trading.ledger import BANK, Account, Owner, Transfer, account_id
from suanwang.trading.merkle import Edge, Key, folded, includes, inclusion_ranges, leaf_hash
from suanwang.trading.rating import billed_fen, rated_yuan
from suanwang.trading.settlement import opened

START = datetime(2025, 1, 1, tzinfo=UTC)
BATCH = 4_000
PRICE = Price(core_hour_yuan=Decimal("0.137"), memory_gb_hour_yuan=Decimal("0.003"))
_DISCOUNTS = tuple(Discount(name=str(at), percent=Decimal(5), until=START + timedelta(days=9 * at)) for at in range(6))
LISTED = Price(
    core_hour_yuan=Decimal(1),
    electricity=tariff_area("贵州").tariff,
    dated=tuple(
        DatedPrice(
            version=version,
            from_at=START + timedelta(days=10 * version),
            core_hour_yuan=Decimal("0.137"),
            memory_gb_hour_yuan=Decimal("0.003"),
            device=Formula(base_yuan=Decimal("2.345"), factor=Decimal("1.5"), cap_yuan=Decimal(9)),
            kw=Decimal("0.4321"),
            discounts=_DISCOUNTS,
        )
        for version in range(4)
    ),
)
OPERATOR = Principal(name="bench", role=Role.OPERATOR)
SPREAD = 200
"""Accounts that transfers are spread over."""


class _At:
    def now(self) -> datetime:
        return START


def measure(*, transfers: int = 100_000, lines: int = 20_000, rated: int = 100_000) -> list[Figure]:
    """Every figure, on a server of its own that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="suanwang-bench-") as folder, connect(None, Path(folder)) as store:
        figures = [posting(store, transfers)]
        figures += settling(store, EmbeddedPostgres(Path(folder)).url, lines)
    dated = rating(rated, LISTED, "by a dated price list with a formula and six discounts")
    return [*figures, rating(rated, PRICE, "by one price"), dated, *proving(1 << 20)]


def posting(store: PostgresStore, count: int) -> Figure:
    """Posted transfers per second in batches, each logged with its leaf and subtrees."""
    accounts = [account_id(Owner.PROVIDER, f"p{number}") for number in range(SPREAD)]
    store.open_accounts([opened(BANK), *(opened(account) for account in accounts)])
    batches = [
        [
            (
                Transfer(
                    id=f"t{at}", chain=f"c{at}", debit=BANK, credit=accounts[at % SPREAD], amount_fen=at + 1, code="b"
                ),
            )
            for at in range(first, min(first + BATCH, count))
        ]
        for first in range(0, count, BATCH)
    ]
    begun = time.perf_counter()
    posted = sum(outcome.done for batch in batches for outcome in store.post(batch, START))
    took_s = time.perf_counter() - begun
    assert posted == count, "every transfer was posted"
    return Figure(name=f"posted transfers, in batches of {BATCH}", value=count / took_s, unit="1/s", bound="≥ 10,000")


def settling(store: PostgresStore, address: str, count: int) -> Iterator[Figure]:
    """Bill lines per second through the loop's own step; then a bill of one job as evidence, fetched and checked."""
    lines_each = 100
    with psycopg.connect(address) as connection:
        connection.execute(_JOBS, (count // lines_each,))
        connection.execute(_ALLOCATIONS, (count // lines_each,))
        for statement in (_TERMS, _USAGE, _BILLS):
            connection.execute(statement, {"jobs": count // lines_each, "lines": lines_each})
    store.open_accounts(
        [Account(id=account_id(Owner.PROJECT, "demo"), owner=Owner.PROJECT, name="demo", floor_fen=None)]
    )
    rules = Rules()
    settled, begun = 0, time.perf_counter()
    while done := settle(store, rules, START):
        settled += done
    took_s = time.perf_counter() - begun
    assert settled == count, "every line was settled"
    yield Figure(name="settled bill lines, records and transfers logged", value=count / took_s, unit="1/s")
    proofs = Proofs(store, _At(), rules, Ed25519Signer(Ed25519Signer.new_secret()))
    begun = time.perf_counter()
    bill = proofs.evidence(OPERATOR, JobId("j-1"))
    yield Figure(name=f"bill of {lines_each} lines with its proofs", value=_ms(begun), unit="ms")
    begun = time.perf_counter()
    finding = verify(bill)
    yield Figure(name=f"check of a bill of {lines_each} lines", value=_ms(begun), unit="ms")
    assert finding.holds, finding.failures
    audit = store.audit()
    assert (audit.sum_fen, audit.wrong, audit.unlogged) == (0, (), 0), audit


def rating(count: int, price: Price, how: str) -> Figure:
    """Seconds to rate a bill of `count` lines again."""
    record = UsageRecord(
        id="a:1",
        allocation_id=AllocationId("a"),
        job_id=JobId("j"),
        project=ProjectId("demo"),
        site_id=SiteId("s"),
        from_at=START,
        to_at=START,
        cores=8,
        memory_gb=33.5,
        device_model="chip",
        devices=8,
        energy_kwh=0.1,
        carbon_g=1.0,
    )
    minute = timedelta(minutes=1)
    records = [
        UsageRecord(
            **{
                **{name: getattr(record, name) for name in record.__slots__},
                "from_at": START + at * minute,
                "to_at": START + (at + 1) * minute,
            }
        )
        for at in range(count)
    ]
    begun = time.perf_counter()
    total, billed, amounts = Decimal(0), 0, []
    for each in records:
        total += rated_yuan(each, flat(price, each.device_model, each.from_at), START)
        due = billed_fen(total)
        amounts.append(due - billed)
        billed = due
    took_s = time.perf_counter() - begun
    assert sum(amounts) == billed
    return Figure(name=f"rating a bill of {count} lines {how}", value=took_s, unit="s", bound="≤ 5")


def proving(size: int) -> Iterator[Figure]:
    """Milliseconds to check one leaf's proof in a log of `size` leaves, and leaves hashed into the tree per second."""
    leaves = [leaf_hash(at.to_bytes(8, "big")) for at in range(size)]
    begun = time.perf_counter()
    edge, made = Edge().grown(leaves)
    yield Figure(name="leaves into the tree, hashing alone", value=size / (time.perf_counter() - begun), unit="1/s")
    hashes: dict[Key, bytes] = {**made, **{(0, at): value for at, value in enumerate(leaves)}}
    chosen = range(0, size, size // 1000)
    proofs = {at: [folded(part, hashes) for part in inclusion_ranges(at, size)] for at in chosen}
    begun = time.perf_counter()
    held = sum(includes(index=at, size=size, leaf=leaves[at], proof=proofs[at], root=edge.root) for at in chosen)
    took_ms = _ms(begun) / len(chosen)
    assert held == len(chosen)
    yield Figure(name=f"check of a proof in a log of {size} leaves", value=took_ms, unit="ms", bound="≤ 10")


def _ms(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000


_JOBS = (
    "INSERT INTO jobs (id, project, owner, name, state, revision, epoch, array_index, needs, submitted_at, attempts, reason, "
    "billed_fen, task) SELECT 'j-' || n, 'demo', 'u', 'n', 'succeeded', 1, 1, 0, '{}', now(), 1, '', 0, '{}' "
    "FROM generate_series(1, %s) n"
)
_ALLOCATIONS = (
    "INSERT INTO allocations (id, job_id, site_id, epoch, state, lease_until, cores, memory_gb, devices, progress) "
    "SELECT 'j-' || n || '-1', 'j-' || n, 's', 1, 'ended', now(), 8, 16, 0, "
    '\'{"started_at": "2025-01-01T00:00:00Z"}\' FROM generate_series(1, %s) n'
)
_TERMS = (
    "INSERT INTO allocation_terms (allocation_id, terms, why) SELECT 'j-' || n || '-1', "
    '\'{"granted_at": "2025-01-01T00:00:00Z", "price": {"core_hour_yuan": "1.2"}, "pue": 1.2, '
    '"carbon_g_per_kwh": 500, "power_kw": 1}\', \'{}\' FROM generate_series(1, %(jobs)s) n'
)
_USAGE = (
    "INSERT INTO usage_records (id, allocation_id, job_id, project, site_id, from_at, to_at, cores, memory_gb, devices, "
    "energy_kwh, carbon_g) SELECT 'j-' || n || '-1:' || k, 'j-' || n || '-1', 'j-' || n, 'demo', 's', "
    "'2025-01-01T00:00Z'::timestamptz + (k - 1) * interval '60 s', '2025-01-01T00:00Z'::timestamptz + k * interval '60 s', "
    "8, 16, 0, 0.1, 50 FROM generate_series(1, %(jobs)s) n, generate_series(1, %(lines)s) k"
)
_BILLS = (
    "INSERT INTO bill_lines (usage_id, project, job_id, site_id, provider, from_at, to_at, description, rated_yuan, "
    "amount_fen) SELECT id, project, job_id, site_id, 'p' || (length(id) %% 7), from_at, to_at, '8 cores, 16 GB', "
    "0.16000000, 16 FROM usage_records ORDER BY job_id, from_at"
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transfers", type=int, default=100_000)
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--rated", type=int, default=100_000)
    asked = parser.parse_args(arguments)
    for figure in measure(transfers=asked.transfers, lines=asked.lines, rated=asked.rated):
        bound = f"   ({figure.bound})" if figure.bound else ""
        print(f"{figure.name:55} {figure.value:>14,.3f} {figure.unit}{bound}")


if __name__ == "__main__":
    main()
