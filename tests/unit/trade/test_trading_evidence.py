"""A bill proves itself, and no field of it can be changed without being found."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.contract.store_values import a_job, after, leasing
from tests.factories import NOW

from suanwang.adapters.signing import Ed25519Signer
from suanwang.adapters.store.memory import MemoryStore
from suanwang.control.billing.invoices import Invoices
from suanwang.control.billing.metering import meter
from suanwang.control.billing.proofs import Proofs
from suanwang.control.billing.settling import settle
from suanwang.control.rules import Rules
from suanwang.domain.errors import InvalidRequest, NotFound, Unavailable
from suanwang.domain.identity import Principal, Project, Role
from suanwang.domain.ids import JobId, ProjectId
from suanwang.domain.job import Job, Step
from suanwang.trading.evidence import verify
from suanwang.trading.proven import checkpoint_document, read_checkpoint
from suanwang.trading.proving import Check

RULES = Rules(commission_bp=333)
SIGNER = Ed25519Signer("07" * 32)
OPERATOR = Principal(name="op", role=Role.OPERATOR)


class At:
    def now(self) -> Any:
        return after(500)


def ran(store: MemoryStore, *, seconds: float = 95.0) -> Job:
    """A job that ran, with records of at most 20 s, some of which come to no fen."""
    job = a_job()
    store.add_jobs([job], [])
    step = leasing(job)
    store.apply([step])
    assert step.allocation is not None
    running = replace(step.allocation, started_at=after(10))
    done = meter(
        replace(step.job, revision=2),
        running,
        after(10) + timedelta(seconds=seconds),
        provider="贵安算力",
        every_s=20,
        final=True,
    )
    store.apply([Step(job=done.job, allocation=done.allocation, usage=done.usage, bill_lines=done.bill_lines)])
    return done.job


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def proofs(store: MemoryStore) -> Proofs:
    return Proofs(store, At(), RULES, SIGNER)


def bill(store: MemoryStore, proofs: Proofs, *, since: int | None = None) -> dict[str, Any]:
    """The bill of the second of three jobs, as a file would hold it."""
    ran(store)
    job = ran(store)
    ran(store)
    settle(store, RULES, NOW)
    return read(proofs.evidence(OPERATOR, job.id, since))


def read(value: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(value))
    return found


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every plain value."""
    match value:
        case dict():
            for name, inner in value.items():
                yield from places(inner, (*path, name))
        case list():
            for at, inner in enumerate(value):
                yield from places(inner, (*path, at))
        case _:
            yield path


def changed(document: dict[str, Any], path: tuple[str | int, ...]) -> Iterator[dict[str, Any]]:
    """The document with the value at `path` changed in several ways."""
    target: Any = document
    for step in path:
        target = target[step]
    match target:
        case int():
            wrong: list[Any] = [target + 1, -target - 1, str(target), None]
        case str():
            flipped = ("0" if target[-1:] != "0" else "1") if target else "x"
            wrong = [target[:-1] + flipped, target + "0", "", None, target.replace("-", "+") + " "]
        case _:
            wrong = ["x", 1, {}, ["x"]]
    for value in wrong:
        copied = copy.deepcopy(document)
        holder: Any = copied
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = value
        yield copied


def test_a_bill_from_before_there_were_tallies_holds(
    store: MemoryStore, proofs: Proofs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("suanwang.adapters.store.memory.tallied", lambda step, _: step)
    document = bill(store, proofs)
    assert "tally_yuan" not in document["usage"][0]["leaf"]
    assert verify(document, key=SIGNER.key).holds
    monkeypatch.undo()
    ran(store)
    store.add_project(Project(id=ProjectId("demo"), title="demo", created_at=NOW), ())
    found = Invoices(store, At()).rerate(OPERATOR, ProjectId("demo"), "2025-03")
    assert (found.lines, found.identical) == (20, True)


def test_a_bill_holds_without_the_network(store: MemoryStore, proofs: Proofs) -> None:
    document = bill(store, proofs)
    finding = verify(document, key=SIGNER.key)
    assert finding.failures == ()
    assert (finding.lines, finding.unsettled, finding.trusted) == (5, (), True)
    lines = [line for line in store._bills if line.job_id == finding.name]
    assert finding.amount_fen == sum(line.amount_fen for line in lines) == document["amount_fen"] > 0
    assert not verify(document).trusted


def test_every_field_that_is_changed_is_found(store: MemoryStore, proofs: Proofs) -> None:
    first = proofs_of_one(store, proofs)
    document = bill(store, proofs, since=first.size)
    assert verify(document, older=first).holds
    tried = 0
    for path in places(document):
        for forged in changed(document, path):
            tried += 1
            assert not verify(forged, older=first).holds, f"{path} was changed unnoticed"
    assert tried > 500


def proofs_of_one(store: MemoryStore, proofs: Proofs) -> Any:
    ran(store)
    settle(store, RULES, NOW)
    return proofs.checkpoint()


def test_what_is_taken_away_added_or_swapped_is_found(store: MemoryStore, proofs: Proofs) -> None:
    document = bill(store, proofs)
    for part in ("usage", "transfers"):
        for at in range(len(document[part])):
            without = copy.deepcopy(document)
            del without[part][at]
            assert not verify(without).holds, f"{part} {at} was taken away unnoticed"
            doubled = copy.deepcopy(document)
            doubled[part].insert(at, document[part][at])
            assert not verify(doubled).holds
        swapped = copy.deepcopy(document)
        swapped[part][0], swapped[part][1] = swapped[part][1], swapped[part][0]
        assert not verify(swapped).holds
    for name in document:
        without = copy.deepcopy(document)
        del without[name]
        assert verify(without).failures[0].check is Check.FORMAT
        assert not verify({**document, "note": "paid"}).holds


def test_each_failure_is_named(store: MemoryStore, proofs: Proofs) -> None:
    document = bill(store, proofs)

    def found(change: Any, **given: Any) -> set[Check]:
        forged = copy.deepcopy(document)
        change(forged)
        return {failure.check for failure in verify(forged, **given).failures}

    def cheaper(forged: Any) -> None:
        forged["usage"][0]["leaf"]["price"]["core_hour_yuan"] = "0.01"

    def longer(forged: Any) -> None:
        forged["usage"][4]["leaf"]["rated_yuan"] = "9.00000000"

    def dearer(forged: Any) -> None:
        forged["usage"][4]["leaf"]["amount_fen"] += 1
        forged["amount_fen"] += 1

    def skimmed(forged: Any) -> None:
        first, second = (forged["transfers"][at]["leaf"] for at in (0, 1))
        first["amount_fen"], second["amount_fen"] = first["amount_fen"] - 1, second["amount_fen"] + 1

    def redirected(forged: Any) -> None:
        forged["transfers"][0]["leaf"]["credit"] = "provider:me"

    def resized(forged: Any) -> None:
        forged["checkpoint"]["size"] += 1

    assert found(lambda forged: None) == set()
    assert found(cheaper) >= {Check.RATING, Check.INCLUSION}
    assert found(longer) >= {Check.RATING, Check.INCLUSION}
    assert found(dearer) >= {Check.AMOUNT, Check.SPLIT, Check.INCLUSION}
    assert found(skimmed) >= {Check.SPLIT, Check.INCLUSION}
    assert found(redirected) >= {Check.TRANSFERS, Check.INCLUSION}
    assert found(resized) >= {Check.SIGNATURE}
    assert found(lambda forged: forged["usage"].pop(1)) >= {Check.RECORDS, Check.AMOUNT}
    assert found(lambda forged: None, key="ab" * 32) == {Check.KEY}


def test_a_log_written_anew_is_found_by_who_kept_a_checkpoint(store: MemoryStore, proofs: Proofs) -> None:
    older = proofs_of_one(store, proofs)
    job = ran(store)
    settle(store, RULES, NOW)
    document = read(proofs.evidence(OPERATOR, job.id, older.size))
    assert verify(document, older=older).holds
    anew = MemoryStore()
    forged_proofs = Proofs(anew, At(), RULES, SIGNER)
    ran(anew, seconds=30)
    forged_job = ran(anew)
    settle(anew, RULES, NOW)
    forged = read(forged_proofs.evidence(OPERATOR, forged_job.id, older.size))
    assert verify(forged).failures[0].check is Check.CONSISTENCY, "with a proof that nobody can check"
    checks = {failure.check for failure in verify(forged, older=older).failures}
    assert checks == {Check.CONSISTENCY}


def test_an_older_checkpoint_needs_its_proof(store: MemoryStore, proofs: Proofs) -> None:
    older = proofs_of_one(store, proofs)
    document = bill(store, proofs)
    (failure,) = verify(document, older=older).failures
    assert failure.check is Check.CONSISTENCY
    assert "--since" in failure.message
    newer = replace(older, size=10_000)
    newer = replace(newer, signature=SIGNER.sign(newer.signed))
    assert verify(document, older=newer).failures[0].check is Check.CONSISTENCY
    assert verify(document, older=proofs.checkpoint()).holds, "the same log needs no proof"
    stranger = Ed25519Signer("08" * 32)
    other = replace(older, key=stranger.key)
    other = replace(other, signature=stranger.sign(other.signed))
    assert Check.KEY in {failure.check for failure in verify(document, older=other).failures}


def test_what_is_used_but_not_paid_is_said(store: MemoryStore, proofs: Proofs) -> None:
    job = ran(store)
    settle(store, replace(RULES, project_credit_fen=0), NOW)
    finding = verify(read(proofs.evidence(OPERATOR, job.id)))
    assert finding.holds
    due = [line.usage_id for line in store._bills if line.amount_fen]
    assert list(finding.unsettled) == due
    assert due


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("memory_gb", text) for text in ("nan", "inf", "-inf", "1e+308", "x")),
        *(("rated_yuan", text) for text in ("NaN", "Infinity", "1E+999999", "1e9999999999")),
        *(("amount_fen", number) for number in (10**16, -(10**16), 2**63, 10**30)),
        *(("before_fen", number) for number in (10**18, 2**64)),
        *(("cores", number) for number in (2**63, 10**400)),
        *(("parties", value) for value in ([], [["a", 0]], [["a"]], "x", [[1, 2]], [["a", 10**30]])),
        *(("to_at", text) for text in ("9999-12-31T23:59:59.999999-14:00", "0001-01-01T00:00:00.000000+14:00", "now")),
        ("price", {"core_hour_yuan": "1E+999999", "memory_gb_hour_yuan": "0", "device_hour_yuan": {}}),
        ("price", {"core_hour_yuan": "1", "memory_gb_hour_yuan": "0", "device_hour_yuan": {"x": None}}),
        ("description", "\ud800"),
    ],
)
def test_hostile_values_are_failures_and_never_raise(
    store: MemoryStore, proofs: Proofs, name: str, value: object
) -> None:
    document = bill(store, proofs)
    document["usage"][0]["leaf"][name] = value
    assert not verify(document).holds


@pytest.mark.parametrize("wrong", [None, [], 7, "x", {}, {"format": "suanwang-bill/2"}])
def test_what_is_no_bill_is_said_and_never_raised(wrong: object) -> None:
    assert verify(wrong).failures[0].check is Check.FORMAT


def test_who_may_have_a_bill(store: MemoryStore, proofs: Proofs) -> None:
    job = ran(store)
    settle(store, RULES, NOW)
    mine = Principal(name="u", role=Role.USER, projects=(job.project,))
    theirs = replace(mine, projects=(ProjectId("other"),))
    seller = Principal(name="s", role=Role.PROVIDER, provider="贵安算力")
    for caller in (OPERATOR, mine, seller, replace(OPERATOR, role=Role.REGULATOR)):
        assert verify(proofs.evidence(caller, job.id)).holds
    for caller in (theirs, replace(seller, provider="else"), replace(seller, provider=None)):
        with pytest.raises(NotFound):
            proofs.evidence(caller, job.id)
    with pytest.raises(NotFound):
        proofs.evidence(OPERATOR, JobId("j-none"))


def test_a_checkpoint_is_made_once_for_each_size(store: MemoryStore, proofs: Proofs) -> None:
    empty = proofs.checkpoint()
    assert (empty.size, empty.holds()) == (0, True)
    assert proofs.checkpoint() == empty == proofs.checkpoint(0)
    assert read_checkpoint(read(checkpoint_document(empty))) == empty
    ran(store)
    settle(store, RULES, NOW)
    assert proofs.checkpoint().size > 0
    with pytest.raises(NotFound):
        proofs.checkpoint(1)
    with pytest.raises(InvalidRequest):
        proofs.inclusion(proofs.checkpoint().size)
    with pytest.raises(InvalidRequest):
        proofs.consistency(0)
    with pytest.raises(InvalidRequest):
        read_checkpoint({"size": 1})
    with pytest.raises(Unavailable):
        Proofs(MemoryStore(), At(), RULES, None).checkpoint()


@pytest.mark.parametrize("secret", ["", "07", "zz" * 32])
def test_a_broken_key_file_is_said_without_its_content(secret: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Ed25519Signer(secret)
    assert secret == "" or secret not in str(caught.value)
    assert Ed25519Signer(Ed25519Signer.new_secret()).key != SIGNER.key
