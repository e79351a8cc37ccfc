"""What runs beside the agent's loop: threads, and the gauge."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from tests.factories import NOW, seconds
from tests.simulation.world import Inline

from suanwang.domain.connector import Load, NodeShape
from suanwang.domain.sample import Sample, Source
from suanwang.sensing.background import Threads
from suanwang.sensing.gauge import LOAD_EVERY, PROBE_EVERY, Gauge, load_samples

LOAD = Load(
    nodes=(NodeShape(count=2, cores=8, memory_gb=32.0, devices={"chip": 4}),),
    cores_free=5,
    memory_free_gb=7.5,
    devices_free={"chip": 3},
    pending=1,
    running=2,
)
PROBED = Sample(
    metric_type="compute.matmul.fp64",
    unit="TFLOPS",
    value=0.1,
    source=Source.MEASURED,
    statistic="median",
    observed_at=NOW,
)


def waited(threads: Threads, key: str) -> tuple[object, Exception | None]:
    """The result of `key`, which comes within seconds."""
    for _ in range(1000):
        found = threads.take(key)
        if found is not None:
            return found
        threading.Event().wait(0.005)
    raise AssertionError(f"{key} never ended")


def test_work_is_done_once_for_each_key_and_taken_once() -> None:
    threads, go, calls = Threads(), threading.Event(), []

    def work() -> str:
        calls.append(1)
        assert go.wait(10)
        return "done"

    threads.start("a", work)
    threads.start("a", work)
    assert threads.busy("a")
    assert threads.take("a") is None
    go.set()
    assert waited(threads, "a") == ("done", None)
    assert not threads.busy("a")
    assert threads.take("a") is None
    assert calls == [1]
    threads.close()


def test_an_error_is_handed_over_not_raised() -> None:
    threads = Threads()

    def fail() -> None:
        raise OSError("disk full")

    threads.start("a", fail)
    _, error = waited(threads, "a")
    assert isinstance(error, OSError)
    threads.close()


def test_a_key_nobody_started() -> None:
    threads = Threads()
    assert not threads.busy("a")
    assert threads.take("a") is None
    threads.close()


def test_load_is_sampled_now_and_then() -> None:
    gauge = Gauge(Inline(), None)
    values = {sample.metric_type: sample.value for sample in gauge.sense(NOW, LOAD, busy=False)[0]}
    assert values == {
        "compute.cores": 16,
        "compute.cores_free": 5,
        "memory.total": 64,
        "memory.free": 7.5,
        "queue.pending": 1,
        "queue.running": 2,
        "devices.chip.free": 3,
    }
    assert gauge.sense(NOW + seconds(1), LOAD, busy=False)[0] == []
    assert gauge.sense(NOW + LOAD_EVERY, LOAD, busy=False)[0] == load_samples(LOAD, NOW + LOAD_EVERY)
    assert gauge.sense(NOW + 2 * LOAD_EVERY, None, busy=False)[0] == []


def test_the_host_is_probed_once_a_day_and_only_while_nothing_runs() -> None:
    probes: list[int] = []

    def probe() -> list[Sample]:
        probes.append(1)
        return [PROBED]

    gauge = Gauge(Inline(), probe)
    assert gauge.sense(NOW, None, busy=True)[0] == []
    assert probes == []
    gauge.sense(NOW, None, busy=False)
    assert gauge.sense(NOW + seconds(2), None, busy=False)[0] == [PROBED]
    assert gauge.sense(NOW + PROBE_EVERY - timedelta(seconds=1), None, busy=False)[0] == []
    gauge.sense(NOW + PROBE_EVERY, None, busy=False)
    assert probes == [1, 1]


@pytest.mark.parametrize("error", [OSError("no space"), ValueError("bad")])
def test_a_probe_that_fails_warns_until_one_succeeds(error: Exception) -> None:
    results: list[Exception | None] = [error, None]

    def probe() -> list[Sample]:
        failure = results.pop(0)
        if failure is not None:
            raise failure
        return [PROBED]

    gauge = Gauge(Inline(), probe)
    gauge.sense(NOW, None, busy=False)
    assert gauge.sense(NOW + seconds(1), None, busy=False) == ([], (f"its probe failed: {error}",))
    assert gauge.sense(NOW + seconds(2), None, busy=False)[1] == (f"its probe failed: {error}",)
    later = NOW + PROBE_EVERY
    gauge.sense(later, None, busy=False)
    assert gauge.sense(later + seconds(1), None, busy=False) == ([PROBED], ())
