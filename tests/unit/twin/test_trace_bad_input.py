"""What is wrong with a file is said with its name, line and field, and what would be right."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as papq
import pytest

from suanwang.domain.errors import InvalidRequest, NotFound, TooLarge
from suanwang.twin.traces import mooncake, opendc, read_trace, swf, table, write_trace
from suanwang.twin.traces.source import open_source

DATA = Path(__file__).parents[2] / "data" / "traces"
GAIA = "arrival_time,length,cpus\n0.5,1.5,1\n2.25,1,4\n"
SWF = "1 0 5 100 4 -1 -1 4 200 -1 1 7 1 -1 -1 2 -1 -1\n"
OWN = "submit_ms,run_ms,limit_ms,cores,memory_gb,devices,group,home\n"
ABOUT = (
    '# suanwang trace {"version":1,"name":"n","source":"s","epoch_ms":null,"left_out":[],"groups":["g"],"homes":[]}\n'
)


def refused(path: Path, kind: str | None = None, **options: object) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read_trace(path, kind, **options)  # type: ignore[arg-type]  # options are each format's own
    error = caught.value
    assert path.name in error.message or error.field in (*options, "format"), error.message
    assert error.field
    assert error.allowed
    return error


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GAIA + "3.5,1\n", "line 4 has 2 fields"),
        (GAIA + "3.5,1,2,7\n", "line 4 has 4 fields"),
        (GAIA + "3.5,1,\n", "line 4, cpus: an empty value"),
        (GAIA + "3.5,-1,2\n", "line 4, length: -1"),
        (GAIA + "3.5,inf,2\n", "line 4, length: inf"),
        (GAIA + "3.5,1e300,2\n", "line 4, length: 1e+300"),
        (GAIA + "3.5,soon,2\n", "line 4, length: 'soon'"),
        (GAIA + "\n3.5,1,2\n", "line 4 is empty"),
        (GAIA.replace("cpus", "cpu"), "its format is not recognised"),
        (GAIA.replace("cpus", "cpus,colour"), "unknown column 'colour'"),
        (GAIA.replace("length", "arrival_time"), "its format is not recognised"),
        ("arrival_time,length,cpus\n", "a header and no rows"),
        ("arrival_time,length,cpus\n10,20,1\n", "may be hours or seconds"),
        (GAIA + "3.5,\xff,2\n", "line 4 is no text"),
        (GAIA + '3.5,"1\n",2\n', "has a value over several lines"),
        (SWF.replace("100", '"100'), "line 1, run time: '\"100'"),
        ("hello\n", "its format is not recognised"),
        (";\n; Computer: none\n", "comments and no jobs"),
        (SWF + "2 10 5 100 4\n", "line 2 has 5 fields"),
        (SWF + SWF.replace("1 0", "2 -7", 1), "line 2, submit time: -7"),
        (SWF + SWF.replace(" 100 ", " -100 ", 1).replace("1 0", "2 0", 1), "line 2, run time: -100"),
        (SWF + SWF, "line 2, job number: '1', as on line 1,"),
        (SWF.replace(" 100 ", " -1 ", 1), "has no job that ran"),
        (SWF.replace("1 7 1", "9 7 1"), "line 1, status: 9"),
        (SWF.replace("2 -1 -1\n", "99999999 -1 -1\n") + SWF.replace("1 0", "2 0", 1), "line 1, partition"),
        ('{"timestamp": 0, "input_length": 5, "output_length": 6}\n{"timestamp": 0,\n', "line 2 is no JSON"),
        ('{"timestamp": 0, "input_length": -5, "output_length": 6}\n', "line 1, input_length: -5"),
        ('{"timestamp": 0, "input_length": true, "output_length": 6}\n', "line 1, input_length: True"),
        ('{"timestamp": 0, "input_length": 5, "output_length": 6, "x": 1}\n', "line 1, x: 1"),
        ('{"timestamp": 0, "output_length": 6}\n', "line 1, input_length: None"),
        ("[1, 2]", "job 0, submitted_time: 'nothing'"),
        ("[", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "is no list of jobs"),
        (
            "timestamp,duration,num_gpus,gpu_time,cluster\n2017-13-05 01:30:00,6,1,6,a\n",
            "line 2, timestamp: '2017-13-05",
        ),
        ("timestamp,duration,num_gpus,gpu_time,cluster\n,6,1,6,a\n", "line 2, timestamp: an empty value"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9,-4,10\n", "line 2, ContextTokens: -4"),
        (ABOUT + OWN + "0,1,1,1,0,0,0,-1\n5,1,1,1,0,0,0.5,-1\n", "line 4, group: 0.5"),
        (ABOUT + OWN, "a header and no rows"),
        (ABOUT.replace('"version":1', '"version":2') + OWN + "0,1,1,1,0,0,0,-1\n", "is not one of ours"),
        ("# suanwang trace x\n" + OWN + "0,1,1,1,0,0,0,-1\n", "does not say what it is"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "trace").write_bytes(text.encode("latin-1"))
    error = refused(tmp_path / "trace")
    assert says in f"{error.message} {error.field}", error.message


def test_a_trace_of_ours_is_checked_as_any_other(tmp_path: Path) -> None:
    for rows, says in (("5,1,1,1,0,0,0,-1\n0,1,1,1,0,0,0,-1\n", "order"), ("0,1,1,1,0,0,7,-1\n", "group")):
        (tmp_path / "t.csv").write_text(ABOUT + OWN + rows)
        with pytest.raises(InvalidRequest, match=says):
            read_trace(tmp_path / "t.csv")
    with pytest.raises(InvalidRequest, match="not written as"):
        write_trace(read_trace(DATA / "federation.swf"), tmp_path / "t.xlsx")


def test_doubled_identities_ends_before_beginnings_and_lists_without_times(tmp_path: Path) -> None:
    pods = (DATA / "alibaba-2023-pods.csv").read_text()
    cases = {
        "unique": pods + pods.splitlines()[1] + "\n",
        "a time from 100 on": pods.replace("100,1000,100", "100,50,100"),
        "without times": "name,cpu_milli,memory_mib,num_gpu,gpu_milli\npod-0,1,1,1,1000\n",
        "gpu_milli: 4600": pods.replace(",220,", ",4600,"),
    }
    for says, text in cases.items():
        (tmp_path / "pods.csv").write_text(text)
        assert says in refused(tmp_path / "pods.csv").message
    log = (DATA / "philly.json").read_text()
    for says, text in {
        "jobid": log.replace("application_3", "application_1"),
        "end_time": log.replace("2017-10-07 01:13:23", "2017-10-07 01:00:00"),
        "start_time": log.replace("2017-10-07 01:13:30", "soon"),
        "attempts": log.replace('"attempts": []', '"attempts": 3'),
    }.items():
        (tmp_path / "log.json").write_text(text)
        assert refused(tmp_path / "log.json").field == says


def test_options_that_a_format_does_not_take() -> None:
    path = DATA / "federation.swf"
    assert "zone" in refused(path, zone="UTC").message
    assert "swf" in str(refused(path, "swff").allowed)
    assert refused(DATA / "gaia-pai_1k.csv.gz", unit="days").allowed == "hours, seconds"
    assert refused(DATA / "helios.csv", zone="Mars/Olympus").field == "zone"


def test_a_format_that_is_told_wrongly() -> None:
    assert "no column 'job_id'" in refused(DATA / "philly-sia.csv", "helios").message


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_packed_files_are_read_and_cut_ones_refused(tmp_path: Path, pack: object) -> None:
    packed = pack(GAIA.encode())  # type: ignore[operator]  # one of three functions on bytes
    path = tmp_path / "trace"
    path.write_bytes(packed)
    assert len(read_trace(path)) == 2
    path.write_bytes(packed[: len(packed) * 2 // 3])
    assert "cut short" in refused(path).message


def test_two_streams_in_one_file_are_one_text(tmp_path: Path) -> None:
    for pack in (gzip.compress, lzma.compress):
        (tmp_path / "trace").write_bytes(pack(GAIA.encode()) + pack(b"3.5,1,2\n"))
        assert len(read_trace(tmp_path / "trace")) == 3


def test_names_that_lie_and_packings_we_do_not_know(tmp_path: Path) -> None:
    (tmp_path / "trace.csv.gz").write_text(GAIA)
    assert "named as gzip" in refused(tmp_path / "trace.csv.gz").message
    (tmp_path / "trace.zip").write_bytes(b"PK\x03\x04rest")
    assert "zip" in refused(tmp_path / "trace.zip").message
    (tmp_path / "empty.csv").write_bytes(b"")
    assert "is empty" in refused(tmp_path / "empty.csv").message
    (tmp_path / "broken.parquet").write_bytes(b"PAR1" + b"\0" * 100)
    assert "damaged Parquet" in refused(tmp_path / "broken.parquet").message
    for missing in (tmp_path / "nowhere.csv", tmp_path):
        with pytest.raises(NotFound):
            read_trace(missing)


def test_a_bomb_does_not_unpack(tmp_path: Path) -> None:
    for pack in (gzip.compress, lzma.compress, bz2.compress):
        (tmp_path / "bomb").write_bytes(pack(b"\n" * (4 << 20)))
        with pytest.raises(TooLarge):
            open_source(tmp_path / "bomb", most_bytes=1 << 20)


def archive(path: Path, *members: tuple[str, bytes | None]) -> None:
    with tarfile.open(path, "w:gz") as made:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                made.addfile(info)
            else:
                info.size = len(content)
                made.addfile(info, io.BytesIO(content))


def test_archives(tmp_path: Path) -> None:
    path = tmp_path / "traces.tar.gz"
    archive(path, ("../../escape.csv", GAIA.encode()), ("link.csv", None), (".DS_Store", b"x"))
    assert len(read_trace(path)) == 2, "the one file there is, wherever its name points"
    assert not (tmp_path.parent.parent / "escape.csv").exists()
    with pytest.raises(NotFound) as caught:
        read_trace(path, member="link.csv")
    assert caught.value.allowed == "../../escape.csv"
    archive(path, ("a/one.csv", GAIA.encode()), ("b/two.csv", (GAIA + "3.5,1,2\n").encode()), ("none.csv", b""))
    assert len(read_trace(path, member="two.csv")) == 3
    assert len(read_trace(path, member="a/one.csv")) == 2
    with pytest.raises(NotFound, match="say which"):
        read_trace(path)
    assert "is empty" in refused(path, member="none.csv").message
    archive(path, ("only.csv", None))
    assert "no file" in refused(path).message
    (tmp_path / "plain.csv").write_text(GAIA)
    assert "no archive" in refused(tmp_path / "plain.csv", member="x").message


def test_an_archive_that_ends_too_soon(tmp_path: Path) -> None:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as made:
        info = tarfile.TarInfo("one.csv")
        info.size = 2000
        made.addfile(info, io.BytesIO(b"x" * 2000))
    (tmp_path / "cut.tar").write_bytes(held.getvalue()[:1000])
    with pytest.raises(InvalidRequest, match=r"cut short|damaged"):
        read_trace(tmp_path / "cut.tar")


def test_tables_too_large_for_memory_are_refused_before_they_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trace"
    path.write_text(",".join(f"c{n}" for n in range(table.MOST_COLUMNS + 1)) + "\n1\n")
    with pytest.raises(TooLarge):
        read_trace(path)
    for module in (table, swf, mooncake):
        monkeypatch.setattr(module, "MOST_ROWS", 5)
    for text in (GAIA + "3.5,1,1\n" * 9, SWF + "\n" * 9, '{"timestamp":0,"input_length":5,"output_length":6}\n' * 9):
        path.write_text(text)
        with pytest.raises(TooLarge):
            read_trace(path)


def test_a_small_parquet_file_cannot_hold_very_much_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MOST_BYTES", 1_000_000)
    columns = dict.fromkeys(opendc.NEEDS[1:], pa.array([1] * 2_000))
    coded = pa.DictionaryArray.from_arrays(pa.array([0] * 2_000, pa.int32()), pa.array(["x" * 1_000]))
    for texts in (coded, coded.cast(pa.string())):
        papq.write_table(pa.table({"id": texts, **columns}), tmp_path / "t.parquet")
        assert (tmp_path / "t.parquet").stat().st_size < 100_000
        with pytest.raises(TooLarge, match="too much text"):
            read_trace(tmp_path / "t.parquet")
    papq.write_table(pa.table({"id": pa.array([[1]] * 2_000), **columns}), tmp_path / "t.parquet")
    assert "of kind list" in refused(tmp_path / "t.parquet").message
