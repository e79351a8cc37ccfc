"""Traces cut and sped up."""

from __future__ import annotations

import numpy as np
import pytest

from suanwang.domain.errors import InvalidRequest
from suanwang.twin.trace import Trace, trace_of


def made(submit: list[int], **changes: object) -> Trace:
    values: dict[str, object] = {
        "name": "t",
        "source": "made up",
        "submit_ms": np.array(submit, np.int64),
        "run_ms": np.array(submit, np.int64) + 1,
    }
    return trace_of(**{**values, **changes})  # type: ignore[arg-type]  # the columns of each test


def test_columns_are_put_in_the_order_of_submission() -> None:
    trace = made([30, 10, 20, 10], cores=np.array([3.0, 1.0, 2.0, 1.5]))
    assert trace.submit_ms.tolist() == [10, 10, 20, 30]
    assert trace.cores.tolist() == [1.0, 1.5, 2.0, 3.0]
    assert trace.limit_ms.tolist() == trace.run_ms.tolist()
    assert trace.home.tolist() == [-1] * 4


def test_cut_and_sped_up() -> None:
    trace = made([10, 20, 30, 40], epoch_ms=1000)
    assert trace.head(2).submit_ms.tolist() == [10, 20]
    assert len(trace.head(0)) == 0
    assert trace.between(20, 40).submit_ms.tolist() == [20, 30]
    assert trace.at_load(2).submit_ms.tolist() == [10, 15, 20, 25]
    assert trace.span_ms == 30
    for load in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InvalidRequest):
            trace.at_load(load)


def test_a_digest_tells_traces_apart_by_what_a_play_depends_on() -> None:
    trace = made([1, 2])
    assert trace.digest == made([2, 1], name="other", left_out=["x"]).digest
    assert (
        len({trace.digest, made([1, 3]).digest, made([1, 2], epoch_ms=0).digest, made([1, 2], groups=["a"]).digest})
        == 4
    )


def test_nonsense_is_refused() -> None:
    for changes in (
        {"run_ms": np.array([1, -1])},
        {"cores": np.array([1.0, np.nan])},
        {"group": np.array([0, 3])},
        {"home": np.array([0, 0]), "homes": []} | {"home": np.array([-2, 0])},
        {"cores": np.array([1.0])},
    ):
        with pytest.raises(InvalidRequest):
            made([1, 2], **changes)
    with pytest.raises(InvalidRequest, match="no job"):
        made([])
