"""Traces and clocks under whatever Hypothesis makes up."""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from suanwang.domain.errors import SuanwangError
from suanwang.twin.fitting import fit
from suanwang.twin.generator import generate
from suanwang.twin.profile import read_profile, shipped
from suanwang.twin.trace import Trace, trace_of
from suanwang.twin.traces import clock, read_trace, write_trace
from suanwang.twin.traces.series import Fill, read_areas

AMOUNTS = st.floats(0, 1e6, allow_nan=False)
TIMES = st.integers(0, 2**40)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1, max_size=8)


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    count = draw(st.integers(1, 12))
    groups = draw(st.lists(NAMES, min_size=1, max_size=3))
    homes = draw(st.lists(NAMES, max_size=2))

    def column(values: st.SearchStrategy[object], kind: type) -> Any:
        return np.array(draw(st.lists(values, min_size=count, max_size=count)), kind)

    return trace_of(
        name=draw(NAMES),
        source=draw(NAMES),
        submit_ms=column(TIMES, np.int64),
        run_ms=column(TIMES, np.int64),
        limit_ms=column(TIMES, np.int64),
        cores=column(AMOUNTS, np.float64),
        memory_gb=column(AMOUNTS, np.float64),
        devices=column(AMOUNTS, np.float64),
        group=column(st.integers(0, len(groups) - 1), np.int64),
        groups=groups,
        home=column(st.integers(-1, len(homes) - 1), np.int64),
        homes=homes,
        epoch_ms=draw(st.none() | st.integers(-(2**40), 2**40)),
        left_out=draw(st.lists(NAMES, max_size=2)),
    )


@given(traces(), st.sampled_from(["parquet", "csv"]))
@settings(max_examples=40, deadline=None)
def test_our_own_form_loses_nothing(trace: Trace, ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t.{ending}"
        write_trace(trace, path)
        again = read_trace(path)
    assert again.digest == trace.digest
    assert (again.name, again.source, again.left_out) == (trace.name, trace.source, trace.left_out)


@given(
    st.lists(
        st.tuples(st.integers(0, 10**9), st.integers(0, 10**6), st.integers(1, 999), st.integers(1, 9)),
        min_size=1,
        max_size=20,
    )
)
@settings(max_examples=40, deadline=None)
def test_a_log_written_in_any_order_is_the_same_trace(rows: list[tuple[int, int, int, int]]) -> None:
    def text(order: list[tuple[int, tuple[int, int, int, int]]]) -> str:
        lines = [
            f"{n} {at} -1 {run} {cores} -1 -1 -1 -1 -1 1 {user} -1 -1 -1 -1 -1 -1"
            for n, (at, run, cores, user) in order
        ]
        return "\n".join(lines) + "\n"

    told = [(number, row) for number, row in enumerate(sorted(set(rows)), start=1)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.swf"
        found = []
        for order in (told, told[::-1]):
            path.write_text(text(order))
            found.append(read_trace(path, "swf"))
    jobs = [sorted(zip(one.submit_ms, one.run_ms, one.cores, one.group, strict=True)) for one in found]
    assert jobs[0] == jobs[1]
    assert float((found[0].cores * found[0].run_ms).sum()) == sum(run * 1000 * cores for _, (_, run, cores, _) in told)


def ends_well(read: Callable[[Path], object], data: bytes, name: str) -> None:
    """Whatever the bytes are: a value, or an error of ours that names a field."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            read(path)
        except SuanwangError as error:
            named = error.field
        else:
            named = "a value"
    assert named


@given(st.binary(max_size=400))
@settings(max_examples=150, deadline=None)
def test_no_bytes_end_in_anything_but_a_trace_or_our_own_error(data: bytes) -> None:
    ends_well(read_trace, data, "any")


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_sample_ends_in_a_trace_or_our_own_error(data: st.DataObject) -> None:
    samples = Path(__file__).parents[1] / "data" / "traces"
    name = data.draw(
        st.sampled_from(sorted(path.name for path in samples.iterdir() if path.suffix in (".csv", ".swf", ".json")))
    )
    text = bytearray((samples / name).read_bytes()[:3_000])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 5))] = data.draw(
            st.sampled_from([b"", b",", b"\n", b"-1", b"\xff", b"9" * 20, b'"', b"nan"])
        )
    ends_well(read_trace, bytes(text), name)


SERIES = b"zone,datetime_utc,price\nA,2020-01-01 00:00:00,1\nA,2020-01-01 01:00:00,-2\nB,2020-01-01 01:00:00,3\nB,2020-01-01 02:00:00,4\n"


@given(st.data(), st.sampled_from([None, "hold", "linear"]))
@settings(max_examples=100, deadline=None)
def test_a_damaged_series_ends_in_series_or_our_own_error(data: st.DataObject, fill: Fill | None) -> None:
    text = bytearray(SERIES)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 4))] = data.draw(
            st.sampled_from([b"", b",", b"\n", b"-", b"\xff", b"9", b'"'])
        )
    ends_well(lambda path: read_areas(path, fill=fill), bytes(text), "series.csv")


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_archive_ends_in_a_trace_or_our_own_error(data: st.DataObject) -> None:
    held = io.BytesIO()
    with tarfile.open(
        fileobj=held, mode="w", format=data.draw(st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
    ) as made:
        for name in ("x" * 150 + ".csv", "β.csv"):
            info = tarfile.TarInfo(name)
            info.size = len(SERIES)
            made.addfile(info, io.BytesIO(SERIES))
    text = bytearray(held.getvalue()[:6_000])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at] = data.draw(st.integers(0, 255))
    ends_well(lambda path: read_trace(path, member="β.csv"), bytes(text), "some.tar")


@given(
    st.lists(st.datetimes(datetime(1980, 1, 1), datetime(2030, 1, 1)), min_size=1, max_size=20),  # noqa: DTZ001 - naive on purpose
    st.sampled_from(["Europe/Berlin", "America/Los_Angeles", "Asia/Shanghai", "Australia/Lord_Howe"]),
    st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_local_times_are_what_the_zone_database_says(times: list[datetime], zone: str, near: int) -> None:
    # Half of them near changes of the clocks, where the rule has to decide.
    changes = [
        datetime.fromisoformat(at)
        for at in ("2020-03-29 02:00", "2020-10-25 02:00", "2020-04-05 01:45", "2020-11-01 01:00")
    ]
    times = [at.replace(microsecond=0) for at in times]
    times += [changes[near] + timedelta(minutes=at.minute) for at in times]

    def refuse(row: int, allowed: str) -> NoReturn:
        raise AssertionError((times[row], allowed))

    text = pa.chunked_array([pa.array([at.isoformat(" ") for at in times])])
    found = clock.of_text(text, zone, refuse).unix_ms
    for at, unix_ms in zip(times, found.tolist(), strict=True):
        # fold=0 is the first of two comings, and the offset before a gap: our rule.
        assert unix_ms == round(at.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).timestamp() * 1000)


@given(st.integers(0, 2**32), st.sampled_from(shipped()), st.integers(1, 300), st.floats(0.1, 10))
@settings(max_examples=25, deadline=None)
def test_whatever_is_drawn_is_a_trace(seed: int, name: str, jobs: int, load: float) -> None:
    profile = read_profile(name)
    trace = generate(profile, np.random.default_rng(seed), jobs=jobs, load=load)
    assert len(trace) == jobs
    assert int(trace.submit_ms[0]) >= 0
    least, most = min(size.least_ms for size in profile.sizes), max(size.most_ms for size in profile.sizes)
    assert least <= int(trace.run_ms.min()) <= int(trace.run_ms.max()) <= most
    assert float(trace.cores.max()) <= max(size.cores[-1] for size in profile.sizes) * (1 + 1e-9)
    if jobs >= 50 and trace.span_ms > 0:
        assert fit(trace).fitted_jobs == jobs
