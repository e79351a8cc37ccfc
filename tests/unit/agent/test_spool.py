"""The agent's memory on disk: whole or absent, and never deleted for being unreadable."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories import NOW, replace, seconds
from tests.unit.agent.test_workshop import LEASE

from suanwang.domain.connector import DeviceSlots, RunState
from suanwang.domain.exchange import Lease, OutputFile, Phase, StagedInput
from suanwang.domain.file import Content
from suanwang.domain.ids import AllocationId, JobId
from suanwang.domain.precision import DeviceKind
from suanwang.sensing.agent import Ending, Kept
from suanwang.sensing.spool import DiskSpool, write_whole

KEPT = Kept(lease=LEASE, deadline=NOW)
INSTANTS = st.none() | st.datetimes().map(lambda at: at.replace(tzinfo=NOW.tzinfo))
CONTENTS = st.builds(Content, sha256=st.just("a" * 64), size=st.integers(0, 10**12), folder=st.booleans())
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
LEASES = st.builds(
    Lease,
    allocation_id=st.just(AllocationId("j-1-1")),
    epoch=st.integers(1, 9),
    job_id=st.just(JobId("j-1")),
    project=st.just(LEASE.project),
    owner=TEXT,
    name=TEXT,
    setup=TEXT,
    run=TEXT,
    env=st.dictionaries(TEXT, TEXT, max_size=3),
    nodes=st.integers(1, 9),
    cores=st.integers(1, 99),
    memory_gb=st.floats(0.001, 1e4),
    devices=st.none() | st.builds(DeviceSlots, model=TEXT, kind=st.sampled_from(DeviceKind), count=st.integers(1, 8)),
    time_limit_s=st.integers(1, 10**6),
    array_index=st.integers(0, 9),
    array_count=st.integers(1, 9),
    inputs=st.lists(st.builds(StagedInput, path=TEXT, content=st.none() | CONTENTS, dataset=st.none() | TEXT)).map(
        tuple
    ),
    outputs=st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple),
    checkpoint_path=st.none() | TEXT,
    checkpoint=st.none() | CONTENTS,
)
RECORDS = st.builds(
    Kept,
    lease=LEASES,
    deadline=INSTANTS.filter(bool),
    phase=st.sampled_from(Phase),
    ending=st.sampled_from(Ending),
    unsure=st.booleans(),
    native_id=st.none() | TEXT,
    started_at=INSTANTS,
    ended_at=INSTANTS,
    outcome=st.none() | st.sampled_from(RunState),
    exit_code=st.none() | st.integers(-300, 300),
    reason=TEXT,
    nodes=st.lists(TEXT, max_size=2).map(tuple),
    cpu_s=st.none() | st.floats(0, 1e9),
    unknown_since=INSTANTS,
    checkpoint=st.none() | CONTENTS,
    outputs=st.lists(st.builds(OutputFile, name=TEXT, content=CONTENTS, held=st.booleans()), max_size=2).map(tuple),
    over_at=INSTANTS,
)


@given(RECORDS)
@settings(deadline=None, max_examples=50)
def test_what_is_saved_comes_back_in_another_process(tmp_path_factory: pytest.TempPathFactory, kept: Kept) -> None:
    folder = tmp_path_factory.mktemp("spool")
    DiskSpool(folder).save(kept)
    assert DiskSpool(folder).all() == [kept]


def test_saving_again_replaces_and_removing_removes(tmp_path: Path) -> None:
    spool = DiskSpool(tmp_path / "leases")
    other = replace(KEPT, lease=replace(LEASE, allocation_id=AllocationId("j-2-1")))
    for kept in (KEPT, other, replace(KEPT, phase=Phase.RUNNING, deadline=NOW + seconds(9))):
        spool.save(kept)
    assert [kept.phase for kept in spool.all()] == [Phase.RUNNING, Phase.STAGING]
    spool.remove(KEPT.id)
    spool.remove(KEPT.id)
    assert spool.all() == [other]


@pytest.mark.parametrize("data", [b"", b"{", b"null", b"{}", b"\xff\xfe", b'{"lease": 1, "deadline": 2}'])
def test_a_record_nobody_can_read_is_set_aside(tmp_path: Path, data: bytes) -> None:
    spool = DiskSpool(tmp_path)
    spool.save(KEPT)
    (tmp_path / "j-9-1.json").write_bytes(data)
    assert spool.all() == [KEPT]
    assert (tmp_path / "unreadable/j-9-1.json").read_bytes() == data
    assert spool.all() == [KEPT]


def test_a_write_that_was_cut_short_leaves_the_old_record(tmp_path: Path) -> None:
    spool = DiskSpool(tmp_path)
    spool.save(KEPT)
    (tmp_path / ".j-1-1.json.part").write_bytes(b'{"lease"')
    assert spool.all() == [KEPT]
    spool.save(replace(KEPT, phase=Phase.RUNNING))
    assert [kept.phase for kept in spool.all()] == [Phase.RUNNING]


def test_a_failed_write_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_whole(path, b"old")
    with pytest.raises(TypeError):
        write_whole(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("name", ["../j-1-1", "/etc/passwd", ".hidden", "a/b"])
def test_an_identifier_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    spool = DiskSpool(tmp_path)
    with pytest.raises(ValueError, match="no allocation identifier"):
        spool.save(replace(KEPT, lease=replace(LEASE, allocation_id=AllocationId(name))))
