"""The JSON that rows keep: exact, readable by older and newer code, and free of what no database holds."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType

import pytest

from suanwang.adapters.store.codec import REPLACEMENT, Codec, clean, dump_free, load_free
from suanwang.domain.job import Figures
from suanwang.domain.site import Price
from suanwang.domain.task import Task


def test_values_come_back_equal() -> None:
    price = Price(core_hour_yuan=Decimal("0.10"), device_hour_yuan={"a": Decimal("3.000")})
    codec = Codec(Price)
    assert codec.load(codec.dump(price)) == price
    assert str(codec.load(codec.dump(price)).core_hour_yuan) == "0.10"


def test_figures_that_are_no_numbers_survive() -> None:
    codec = Codec(Figures)
    back = codec.load(codec.dump(Figures(price_yuan=math.inf, carbon_g=math.nan, energy_kwh=-math.inf, finish_s=0.0)))
    assert back.price_yuan == math.inf
    assert math.isnan(back.carbon_g)
    assert back.energy_kwh == -math.inf


def test_what_newer_code_added_is_passed_over_and_what_older_code_lacked_has_its_default() -> None:
    codec = Codec(Price)
    assert codec.load('{"core_hour_yuan": "1", "unheard_of": [1]}') == Price(core_hour_yuan=Decimal(1))


def test_equal_texts_share_one_object_only_where_asked() -> None:
    text = '{"core_hour_yuan": "1"}'
    shared, own = Codec(Price, shared=True), Codec(Price)
    assert shared.load(text) is shared.load(text)
    assert own.load(text) is not own.load(text)


def test_the_latest_text_is_that_of_the_same_object() -> None:
    codec = Codec(Price)
    first, second = Price(core_hour_yuan=Decimal(1)), Price(core_hour_yuan=Decimal(2))
    texts = [codec.dump(first), codec.dump(first), codec.dump(second), codec.dump(first)]
    assert texts[0] == texts[1] == texts[3] != texts[2]


def test_read_only_mappings_are_written_like_others() -> None:
    codec = Codec(Task)
    task = Task(name="a", run="b", env=MappingProxyType({"K": "v"}))
    assert codec.load(codec.dump(task)) == task


@pytest.mark.parametrize("bad", ["\0", "a\ud800", "中\0", "中\ud83d"])
def test_text_is_cleaned_wherever_it_stands(bad: str) -> None:
    good = bad[:-1] + REPLACEMENT
    assert clean(bad) == good
    codec = Codec(Task)
    assert codec.load(codec.dump(Task(name=bad, run="b" + bad))) == Task(name=good, run="b" + good)
    assert load_free(dump_free({"k": [bad, {bad: bad}]})) == {"k": [good, {good: good}]}


@pytest.mark.parametrize("text", ["", "plain", "中文 🚀", "a\\u0000b", "\x01\x7f"])
def test_other_text_is_left_alone(text: str) -> None:
    assert clean(text) == text
    codec = Codec(Task)
    assert codec.load(codec.dump(Task(name=text, run=text))) == Task(name=text, run=text)
    assert load_free(dump_free({"k": text})) == {"k": text}


def test_plain_values_become_texts() -> None:
    at = datetime(2025, 1, 1, tzinfo=UTC)
    written = dump_free(
        {"at": at, "fen": Decimal("1.10"), "set": {"b", "a"}, "map": MappingProxyType({"x": 1}), "t": (1,)}
    )
    assert load_free(written) == {
        "at": "2025-01-01T00:00:00+00:00",
        "fen": "1.10",
        "set": ["a", "b"],
        "map": {"x": 1},
        "t": [1],
    }
