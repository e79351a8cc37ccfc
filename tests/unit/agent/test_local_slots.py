"""Room on one host: what is free, who can never run here, who gets which processor and device."""

from __future__ import annotations

import pytest

from suanwang.sensing.connectors.local.slots import Capacity, Held, Need

GB = 10**9
HOST = Capacity(cores=4, memory_bytes=8 * GB, devices={"npu-a": 2, "npu-b": 1}, cpus=(0, 1, 2, 3))


def need(cores: int = 1, memory_gb: float = 1, model: str | None = None, count: int = 0) -> Need:
    return Need(cores=cores, memory_bytes=int(memory_gb * GB), device_model=model, device_count=count)


def test_grants_take_the_lowest_free_numbers_and_never_the_same_twice() -> None:
    first = HOST.grant(need(cores=2, model="npu-a", count=1), [])
    assert first is not None
    second = HOST.grant(need(cores=2, model="npu-a", count=1), [first])
    assert second is not None
    assert (first.cpus, first.devices) == ((0, 1), (0,))
    assert (second.cpus, second.devices) == ((2, 3), (1,))
    freed_first = HOST.grant(need(cores=1, model="npu-a", count=1), [second])
    assert freed_first is not None
    assert (freed_first.cpus, freed_first.devices) == ((0,), (0,))


def test_devices_are_numbered_through_in_the_order_declared() -> None:
    grant = HOST.grant(need(model="npu-b", count=1), [])
    assert grant is not None
    assert grant.devices == (2,)


@pytest.mark.parametrize(
    "asked", [need(cores=3), need(memory_gb=7), need(model="npu-a", count=2)], ids=["cores", "memory", "devices"]
)
def test_no_grant_while_one_kind_of_room_is_short(asked: Need) -> None:
    held = HOST.grant(need(cores=2, memory_gb=2, model="npu-a", count=1), [])
    assert held is not None
    assert HOST.grant(asked, [held]) is None
    assert HOST.grant(asked, []) is not None


def test_free_never_falls_below_zero_when_the_host_was_made_smaller() -> None:
    free = HOST.free([Held(need=need(cores=9, memory_gb=90, model="npu-a", count=5))])
    assert (free.cores, free.memory_bytes, free.devices) == (0, 0, {"npu-a": 0, "npu-b": 1})


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (need(cores=0), "cores"),
        (need(cores=5), "cores"),
        (need(memory_gb=0), "memory_gb"),
        (need(memory_gb=8.1), "memory_gb"),
        (need(model="tpu", count=1), "devices.model"),
        (need(model="npu-b", count=2), "devices.count"),
        (need(model="npu-b", count=0), "devices.count"),
    ],
)
def test_what_can_never_run_here_is_named_with_what_is_allowed(asked: Need, field: str) -> None:
    unfit = HOST.never_fits(asked)
    assert unfit is not None
    assert unfit[0] == field
    assert unfit[2]


def test_what_fits_the_empty_host_is_not_refused() -> None:
    assert HOST.never_fits(need(cores=4, memory_gb=8, model="npu-a", count=2)) is None


def test_runs_are_not_pinned_where_the_host_pins_nothing() -> None:
    grant = Capacity(cores=64, memory_bytes=GB).grant(need(cores=8), [])
    assert grant is not None
    assert grant.cpus == ()
