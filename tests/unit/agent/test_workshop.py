"""The site's folders: what is laid in them, what is read out of them, and what a hostile run gains (nothing)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories import NOW, MemoryFiles, replace

from suanwang.domain.errors import InvalidRequest, NotFound
from suanwang.domain.exchange import Lease, LogPiece, StagedInput
from suanwang.domain.file import Content
from suanwang.domain.ids import AllocationId, JobId, ProjectId
from suanwang.ports import Extent
from suanwang.sensing import workshop
from suanwang.sensing.carrying import SiteCache, pack, packing
from suanwang.sensing.workshop import FolderWorkshop, _piece, _points, inside

LEASE = Lease(
    allocation_id=AllocationId("j-1-1"),
    epoch=1,
    job_id=JobId("j-1"),
    project=ProjectId("demo"),
    owner="li",
    name="train",
    setup="",
    run="python train.py",
    env={"SEED": "7"},
    nodes=1,
    cores=2,
    memory_gb=4.0,
    devices=None,
    time_limit_s=600,
    array_index=3,
    array_count=8,
)


class Link:
    """The network's files, in memory."""

    def __init__(self) -> None:
        self.files = MemoryFiles()

    def received(self, sha256: str) -> int:
        return self.files.received(sha256)

    def append(self, sha256: str, offset: int, data: bytes) -> int:
        return self.files.append(sha256, offset, data)

    def finish(self, sha256: str, size: int) -> None:
        self.files.finish(sha256, size)

    def read(self, sha256: str, start: int) -> Iterator[bytes]:
        if sha256 not in self.files.whole:
            raise NotFound("no such content, or not yours to read", field="sha256")
        return self.files.open(sha256, start)


class Place:
    """A workshop with its link, and what the run of `LEASE` does in its folder."""

    def __init__(self, root: Path, **datasets: Path) -> None:
        self.root, self.link = root / "site", Link()
        self.root.mkdir()
        self.cache = SiteCache(root / "cache", 10**9)
        self.shop = self.again(**datasets)
        self.folder = self.root / "runs" / LEASE.allocation_id
        self.work = self.folder / "work"

    def again(self, **datasets: Path) -> FolderWorkshop:
        self.shop = FolderWorkshop(
            root=self.root,
            link=self.link,  # type: ignore[arg-type]
            cache=self.cache,
            site="guian",
            datasets=datasets,
        )
        return self.shop

    def file(self, data: bytes) -> Content:
        return Content(sha256=self.link.files.put(data), size=len(data))

    def packed(self, source: Path) -> Content:
        made = pack(source, self.cache.incoming)
        self.link.files.put(made.path.read_bytes())
        return made.content


@pytest.fixture
def place(tmp_path: Path) -> Place:
    data = tmp_path / "scans"
    data.mkdir()
    (data / "one.txt").write_text("patient")
    return Place(tmp_path, scans=data)


def lease(**changes: Any) -> Lease:
    return replace(LEASE, **changes)


# preparing


def test_inputs_are_laid_where_they_are_wanted(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "w.bin").write_bytes(b"\0weights")
    order = place.shop.prepare(
        lease(
            inputs=(
                StagedInput(path="in/digits.csv", content=place.file(b"1,2,3")),
                StagedInput(path="model", content=place.packed(folder)),
            )
        )
    )
    assert order.work_dir == place.work
    assert (place.work / "in/digits.csv").read_bytes() == b"1,2,3"
    assert (place.work / "model/deep/w.bin").read_bytes() == b"\0weights"


def test_the_order_carries_what_was_asked(place: Place) -> None:
    order = place.shop.prepare(lease(checkpoint_path="ckpt", partition="gpu", posix_user=None))
    assert (order.tag, order.cores, order.memory_gb, order.time_limit_s) == ("j-1-1", 2, 4.0, 600)
    assert order.partition == "gpu"
    assert order.env["SEED"] == "7"
    assert order.env["SUANWANG_ARRAY_INDEX"] == "3"
    assert order.env["SUANWANG_ARRAY_COUNT"] == "8"
    assert order.env["SUANWANG_RESUMED"] == "0"
    assert order.env["SUANWANG_CHECKPOINT_DIR"] == str(place.work / "ckpt")
    assert (place.work / "ckpt").is_dir()
    assert all(
        str(path).startswith(str(place.folder)) for path in (order.stdout_path, order.exit_path, order.lease_path)
    )


def test_a_user_cannot_set_what_the_product_sets(place: Place) -> None:
    order = place.shop.prepare(lease(env={"SUANWANG_JOB_ID": "j-other"}))
    assert order.env["SUANWANG_JOB_ID"] == "j-1"


def test_a_data_set_is_linked_and_never_copied(place: Place, tmp_path: Path) -> None:
    place.shop.prepare(lease(inputs=(StagedInput(path="in/scans", dataset="scans"),)))
    link = place.work / "in/scans"
    assert link.is_symlink()
    assert link.resolve() == tmp_path / "scans"
    place.shop.clear(LEASE)
    assert (tmp_path / "scans/one.txt").read_text() == "patient", "clearing up leaves the provider's data alone"


def test_a_data_set_the_site_no_longer_holds(place: Place) -> None:
    for name in ("maps", "../scans"):
        with pytest.raises(InvalidRequest, match="does not hold the data set"):
            place.shop.prepare(lease(inputs=(StagedInput(path="x", dataset=name),)))


def test_a_checkpoint_is_laid_and_the_run_told(place: Place, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "epoch").write_text("3")
    order = place.shop.prepare(lease(checkpoint_path="ckpt", checkpoint=place.packed(kept)))
    assert (place.work / "ckpt/epoch").read_text() == "3"
    assert order.env["SUANWANG_RESUMED"] == "1"


def test_preparing_again_begins_anew(place: Place) -> None:
    place.shop.prepare(LEASE)
    (place.work / "half").write_text("cut short")
    place.shop.prepare(LEASE)
    assert list(place.work.iterdir()) == []


def test_content_the_network_does_not_have(place: Place) -> None:
    missing = Content(sha256="0" * 64, size=3)
    with pytest.raises(InvalidRequest):
        place.shop.prepare(lease(inputs=(StagedInput(path="x", content=missing),)))


ESCAPES = ["../x", "/etc/x", "a/../../x", "..", "a/../..", "x\0y", ".", "a/.."]


@pytest.mark.parametrize("path", ESCAPES)
def test_no_path_leads_out_of_the_work_folder(place: Place, tmp_path: Path, path: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    for asked in (
        lease(inputs=(StagedInput(path=path, content=place.file(b"x")),)),
        lease(inputs=(StagedInput(path=path, dataset="scans"),)),
    ):
        with pytest.raises(InvalidRequest):
            place.shop.prepare(asked)
    outside = [found for found in tmp_path.rglob("*") if place.root not in found.parents and found != place.root]
    assert not [found for found in outside if found.name == "x"]
    assert before


@pytest.mark.parametrize("path", ["../x", "/etc", "x\0y"])
def test_nor_does_a_checkpoint_or_an_output(place: Place, path: str) -> None:
    with pytest.raises(InvalidRequest):
        place.shop.prepare(lease(checkpoint_path=path))
    place.shop.prepare(LEASE)
    with pytest.raises(InvalidRequest):
        place.shop.collect(lease(outputs=(("all", path),)))


@pytest.mark.parametrize("path", ["in/scans/new.txt", "in/scans/deep/new.txt"])
def test_nothing_is_laid_through_a_link_into_the_providers_data(place: Place, tmp_path: Path, path: str) -> None:
    with pytest.raises(InvalidRequest, match="lies in another input"):
        place.shop.prepare(
            lease(
                inputs=(
                    StagedInput(path="in/scans", dataset="scans"),
                    StagedInput(path=path, content=place.file(b"x")),
                )
            )
        )
    with pytest.raises(InvalidRequest):
        place.shop.prepare(
            lease(inputs=(StagedInput(path="in/scans", dataset="scans"),), checkpoint_path="in/scans/ckpt")
        )
    assert [entry.name for entry in (tmp_path / "scans").iterdir()] == ["one.txt"]


def test_two_inputs_at_one_path(place: Place) -> None:
    with pytest.raises(InvalidRequest, match="two inputs"):
        place.shop.prepare(
            lease(
                inputs=(
                    StagedInput(path="in", content=place.file(b"a")),
                    StagedInput(path="./in", dataset="scans"),
                )
            )
        )


@given(st.text(max_size=30))
@settings(max_examples=200, deadline=None)
def test_inside_is_inside_or_refused(path: str) -> None:
    try:
        target = inside(Path("/work"), path)
    except InvalidRequest:
        return
    assert ".." not in target.parts
    assert target == Path("/work") or Path("/work") in target.parents


# leases on file


def test_a_lease_on_file_outlives_the_agent(place: Place) -> None:
    until = datetime(2026, 3, 1, 9, tzinfo=UTC)
    assert place.shop.until(LEASE) is None
    place.shop.extend(LEASE, until)
    assert place.again().until(LEASE) == until
    assert (place.folder / "lease").read_text() == f"{int(until.timestamp())}\n"


@pytest.mark.parametrize("text", ["", "soon", "9" * 40, "-1e9"])
def test_a_lease_file_the_run_spoilt_is_none(place: Place, text: str) -> None:
    place.shop.prepare(LEASE)
    (place.folder / "lease").write_text(text)
    assert place.shop.until(LEASE) is None


def test_a_lease_is_never_written_through_a_link(place: Place, tmp_path: Path) -> None:
    """Where the site maps a POSIX user, the run's folder is his, and the agent is not."""
    precious = tmp_path / "precious"
    precious.write_text("keep")
    place.shop.prepare(LEASE)
    (place.folder / ".lease.part").symlink_to(precious)
    (place.folder / "lease").symlink_to(precious)
    place.shop.extend(LEASE, NOW)
    assert precious.read_text() == "keep"
    assert place.shop.until(LEASE) == NOW


# logs


def log(place: Place, stream: str = "stdout") -> Path:
    place.folder.mkdir(parents=True, exist_ok=True)
    return place.folder / stream


def read_all(place: Place, extent: Extent | None = None) -> str:
    """The log as the network puts it together."""
    at, text = (extent or Extent()).stdout, ""
    while True:
        pieces, _ = place.shop.read(LEASE, Extent(stdout=at))
        if not pieces:
            return text
        (piece,) = pieces
        assert piece.offset == at
        text += piece.text
        at += piece.size


def test_a_log_is_read_in_pieces_from_where_the_network_is(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workshop, "PIECE", 7)
    log(place).write_text("算网: 即取即用\nend", encoding="utf-8")
    assert read_all(place) == "算网: 即取即用\nend"
    assert read_all(place, Extent(stdout=6)) == ": 即取即用\nend"
    assert place.shop.read(LEASE, Extent(stdout=1000)) == ((), ())


def test_a_character_that_is_not_written_yet_waits(place: Place) -> None:
    """A buffer is flushed in mid-character, and the rest comes much later."""
    whole = "网".encode()
    log(place).write_bytes(b"ok " + whole[:1])
    pieces, _ = place.shop.read(LEASE, Extent())
    assert [piece.text for piece in pieces] == ["ok "]
    for size in (1, 2):
        log(place).write_bytes(b"ok " + whole[:size])
        assert place.shop.read(LEASE, Extent(stdout=3))[0] == ()
    log(place).write_bytes(b"ok " + whole)
    assert [piece.text for piece in place.shop.read(LEASE, Extent(stdout=3))[0]] == ["网"]


def test_what_is_no_text_is_replaced_and_passes(place: Place) -> None:
    log(place).write_bytes(b"\xff\xfe\x80ok\xe7\xbd")
    assert read_all(place) == "\N{REPLACEMENT CHARACTER}" * 3 + "ok"


@given(st.text(max_size=60), st.lists(st.integers(1, 9), min_size=1, max_size=40))
@settings(deadline=None)
def test_any_text_in_any_cuts_comes_out_whole(
    tmp_path_factory: pytest.TempPathFactory, text: str, cuts: list[int]
) -> None:
    path = tmp_path_factory.mktemp("log") / "stdout"
    data = text.encode(errors="replace")
    at, written, got = 0, 0, ""
    for cut in [*cuts, len(data)]:
        written = min(len(data), written + cut)
        path.write_bytes(data[:written])
        piece: LogPiece | None = _piece(path, "stdout", at)
        if piece is not None:
            got += piece.text
            at += piece.size
    assert got == data.decode()


@given(st.binary(max_size=80))
@settings(deadline=None)
def test_any_bytes_pass_but_for_a_cut_off_end(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("log") / "stdout"
    path.write_bytes(data)
    at = 0
    while (piece := _piece(path, "stdout", at)) is not None:
        assert piece.size > 0
        assert len(piece.text) <= piece.size, "the network refuses more"
        at += piece.size
    assert len(data) - at <= 3


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "missing"])
def test_a_log_that_is_no_file_is_not_read(place: Place, tmp_path: Path, kind: str) -> None:
    """A link to the agent's own credential, a pipe nobody writes to: neither read nor waited for."""
    secret = tmp_path / "credential"
    secret.write_text("sw_secret")
    for name in ("stdout", "stderr", "metrics.jsonl"):
        path = log(place, name)
        match kind:
            case "link":
                path.symlink_to(secret)
            case "pipe":
                os.mkfifo(path)
            case "folder":
                path.mkdir()
    assert place.shop.read(LEASE, Extent()) == ((), ())


# curves


def curve(path: Path, *lines: object, stored: int = 0) -> list[tuple[int, str, float, float]]:
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return [(p.line, p.name, p.step, p.value) for p in _points(path, stored)]


def test_figures_of_each_line(tmp_path: Path) -> None:
    path = tmp_path / "m"
    found = curve(path, {"step": 1, "loss": 0.5, "acc": 0.9}, {"loss": 0.4}, {"step": 3, "loss": 0.3})
    assert found == [(1, "loss", 1, 0.5), (1, "acc", 1, 0.9), (2, "loss", 2, 0.4), (3, "loss", 3, 0.3)]
    assert curve(path, {"loss": 1}, {"loss": 2}, stored=1) == [(2, "loss", 2, 2)]


def test_a_line_that_is_not_ended_waits(tmp_path: Path) -> None:
    assert curve(tmp_path / "m", {"loss": 1}, '{"loss": 2}') == [(1, "loss", 1, 1)]


@pytest.mark.parametrize(
    "line",
    [
        "not json\n",
        "\n",
        "[1, 2]\n",
        '"loss"\n',
        "null\n",
        '{"loss": NaN}\n',
        '{"loss": Infinity}\n',
        '{"loss": 1e999}\n',
        '{"loss": ' + "9" * 400 + "}\n",
        '{"loss": ' + "9" * 5000 + "}\n",
        '{"step": "x", "loss": 1}\n',
        '{"step": null, "loss": 1}\n',
        '{"step": ' + "9" * 400 + ', "loss": 1}\n',
        '{"loss": true}\n',
        '{"loss": {"deep": 1}}\n',
        "[" * 100_000 + "\n",
        '{"a":' * 5000 + "\n",
        "x" * 100_000 + "\n",
        "\0\0\n",
    ],
)
def test_hostile_lines_are_passed_over(tmp_path: Path, line: str) -> None:
    assert curve(tmp_path / "m", {"loss": 1}, line, {"loss": 3}) == [(1, "loss", 1, 1), (3, "loss", 3, 3)]


def test_bytes_that_are_no_text_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(b'\xff\xfe{"loss": 1}\n{"loss": 2}\n')
    assert [point.value for point in _points(path, 0)] == [2]


def test_a_figures_name_can_be_stored_and_shown(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_text('{"a\\u0000b\\ud800\\u001b[31m损失": 1}\n{"' + "n" * 500 + '": 2}\n', encoding="utf-8")
    assert [point.name for point in _points(path, 0)] == ["ab[31m损失", "n" * 64]


def test_a_line_gives_only_so_many_figures(tmp_path: Path) -> None:
    assert len(curve(tmp_path / "m", {f"f{n}": n for n in range(100)})) == workshop.FIGURES


def test_a_long_stretch_of_junk_does_not_hide_what_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workshop, "LINES", 3)
    lines: list[object] = ["junk\n"] * 10 + [{"loss": n} for n in range(5)]
    first = curve(tmp_path / "m", *lines)
    assert [line for line, *_ in first] == [11, 12, 13]
    assert [line for line, *_ in curve(tmp_path / "m", *lines, stored=13)] == [14, 15]


# checkpoints and outputs


@pytest.fixture
def rested(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written just now counts as written a while ago."""
    monkeypatch.setattr(packing, "_SETTLING_NS", -(10**15))


@pytest.mark.usefixtures("rested")
def test_a_checkpoint_is_sent_once_for_each_change(place: Place) -> None:
    asked = lease(checkpoint_path="ckpt")
    place.shop.prepare(asked)
    assert place.shop.checkpoint(asked) is None, "an empty folder is no checkpoint"
    (place.work / "ckpt/epoch").write_text("1")
    first = place.shop.checkpoint(asked)
    assert first is not None
    assert first.folder
    assert place.link.files.size(first.sha256) == first.size
    assert place.shop.checkpoint(asked) is None, "nothing new"
    (place.work / "ckpt/epoch").write_text("two")
    second = place.shop.checkpoint(asked)
    assert second is not None
    assert second != first


def test_a_checkpoint_that_is_being_written_waits(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = lease(checkpoint_path="ckpt")
    place.shop.prepare(asked)
    monkeypatch.setattr(packing, "_SETTLING_NS", 10**15)
    (place.work / "ckpt/epoch").write_text("1")
    assert place.shop.checkpoint(asked) is None, "it was written just now"
    monkeypatch.setattr(packing, "_SETTLING_NS", -(10**15))
    assert place.shop.checkpoint(asked) is not None


def test_a_job_without_a_checkpoint_and_one_whose_folder_is_gone(place: Place) -> None:
    place.shop.prepare(LEASE)
    assert place.shop.checkpoint(LEASE) is None
    assert place.shop.checkpoint(lease(checkpoint_path="gone")) is None


def test_outputs_are_sent_by_their_content(place: Place) -> None:
    place.shop.prepare(LEASE)
    (place.work / "out").mkdir()
    (place.work / "out/model").write_text("weights")
    (place.work / "score.txt").write_text("0.97")
    files = place.shop.collect(lease(outputs=(("model", "out"), ("score", "score.txt"))))
    assert [(file.name, file.content.folder, file.held) for file in files] == [
        ("model", True, False),
        ("score", False, False),
    ]
    assert files[1].content.sha256 == hashlib.sha256(b"0.97").hexdigest()
    assert all(place.link.files.size(file.content.sha256) == file.content.size for file in files)


def test_a_missing_output_is_named(place: Place) -> None:
    place.shop.prepare(LEASE)
    with pytest.raises(InvalidRequest, match="did not leave its output 'model' at out") as caught:
        place.shop.collect(lease(outputs=(("model", "out"),)))
    assert caught.value.field == "outputs.model"


def test_what_may_not_leave_stays_in_the_sites_cache(place: Place) -> None:
    place.shop.prepare(LEASE)
    (place.work / "out").write_text("private")
    (file,) = place.shop.collect(lease(outputs=(("out", "out"),), hold_files=True))
    assert file.held
    assert place.link.files.size(file.content.sha256) is None
    assert place.cache.path(file.content.sha256) is not None


@pytest.mark.parametrize("path", ["leak", "leak/passwd", "deep/leak"])
def test_an_output_that_is_a_link_out_of_the_folder_is_refused(place: Place, tmp_path: Path, path: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/passwd").write_text("root")
    place.shop.prepare(LEASE)
    (place.work / "leak").symlink_to(tmp_path / "outside")
    (place.work / "deep").mkdir()
    (place.work / "deep/leak").symlink_to(tmp_path / "outside/passwd")
    with pytest.raises(InvalidRequest):
        place.shop.collect(lease(outputs=(("x", path),)))


def test_clearing_takes_everything_and_twice_is_no_error(place: Place) -> None:
    place.shop.prepare(LEASE)
    place.shop.clear(LEASE)
    place.shop.clear(LEASE)
    assert not place.folder.exists()


def test_a_posix_user_the_site_does_not_have(place: Place) -> None:
    with pytest.raises(InvalidRequest) as caught:
        place.shop.prepare(lease(posix_user="nobody-of-that-name"))
    assert caught.value.field == "posix_user"
