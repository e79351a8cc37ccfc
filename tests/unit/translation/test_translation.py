"""What the network says in Chinese: every text has its Chinese, and what was said is found again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

import suanwang
from suanwang.domain.errors import Conflict, InvalidRequest, OutcomeUnknown
from suanwang.domain.ids import SiteId
from suanwang.domain.job import Exclusion
from suanwang.taskfile import InvalidTask, Problem
from suanwang.translation import catalogue, chinese, error_in_chinese, reason_in_chinese
from suanwang.translation.extraction import Sources
from suanwang.translation.matching import LONGEST, Matcher
from suanwang.translation.template import Template

STORED = catalogue.stored()
TEMPLATES = [Template.parsed(message) for message in STORED]
HOW = (
    "run `python -m suanwang.translation`, then put the Chinese of these into their empty msgstr in "
    f"src/suanwang/translation/{catalogue.PO.relative_to(catalogue.HERE)}"
)


def test_every_text_in_the_sources_has_its_chinese() -> None:
    found = Sources(Path(suanwang.__file__).parent).found
    known = {Template.parsed(message).shape for message, words in STORED.items() if words}
    missing = [f"{each.place}: {each.template.written}" for each in found if each.template.shape not in known]
    assert not missing, f"{HOW}:\n" + "\n".join(missing)
    said = {each.template.shape for each in found}
    gone = [each.written for each in TEMPLATES if each.shape not in said]
    assert not gone, "nobody says these any more: run `python -m suanwang.translation`:\n" + "\n".join(gone)


def test_holes_are_the_same_in_both_languages() -> None:
    assert catalogue.faults(STORED) == [], "their msgstr has holes that their msgid has not"


def test_each_text_is_found_again_with_what_fills_its_holes() -> None:
    for template, words in zip(TEMPLATES, STORED.values(), strict=True):
        filled = {name: f"X{number}" for number, name in enumerate(template.names)}
        text, expected = template.written.format(**filled), words.format(**filled)
        found = chinese(text)
        assert found.replace(" ", "") == expected.replace(" ", ""), f"{template.written!r} is taken for {found!r}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("there is no order 'no jobs' of yours", "没有属于您的订单 'no jobs'"),
        ("a job that is running cannot start; read it again", "运行中的作业不能启动；请重新读取"),
        ("lost contact with site guian; 3 of 3 attempts used", "与站点 guian 失去联系；已用 3/3 次尝试"),
        ("the site refused the run: this host has no account 'eva'", "站点拒绝了该运行：此主机没有账户 'eva'"),
        ("no jobs; the body is null", "没有作业；请求体为 null"),
        ("no jobs; whatever else", "no jobs; whatever else"),
        ("Bank of China", "Bank of China"),
        ("a sentence that nobody wrote is no text of ours", "a sentence that nobody wrote is no text of ours"),
        ("", ""),
        ("{0} %s {name!r}", "{0} %s {name!r}"),
    ],
)
def test_a_text_of_ours_is_said_in_chinese_and_any_other_as_it_is(text: str, said: str) -> None:
    assert chinese(text) == said


@given(
    st.text(max_size=200) | st.lists(st.sampled_from(["no", "site", "; ", ": ", "{", "'", "can run it"])).map(" ".join)
)
def test_any_text_is_taken(text: str) -> None:
    assert isinstance(chinese(text), str)


@given(st.sampled_from(TEMPLATES), st.text(st.characters(blacklist_categories=["Cs"]), max_size=30).map(repr))
def test_names_in_quotes_survive(template: Template, name: str) -> None:
    text = template.written.format(**dict.fromkeys(template.names, name))
    assert name in chinese(text) or not template.names


def test_what_is_longer_than_our_texts_is_left_alone() -> None:
    text = "there is no order '" + "x" * LONGEST + "' of yours"
    assert chinese(text) == text


def test_errors_keep_their_kind_and_field() -> None:
    said = error_in_chinese(Conflict("others do the same just now: try again", field="x", allowed="a new one"))
    assert type(said) is Conflict
    assert (said.message, said.field, said.allowed) == ("他人正在做同样的操作：请重试", "x", "新的版本")
    assert error_in_chinese(OutcomeUnknown("unknown words", tag="j-1")).tag == "j-1"


def test_every_problem_of_a_file_is_said_in_chinese() -> None:
    first = Problem(field="run", message="the script is empty", allowed="a shell script", line=3)
    one = error_in_chinese(InvalidTask([first], filename="t.yaml"))
    assert one.message == "t.yaml：第 3 行，run：脚本为空（允许：shell 脚本）"
    many = error_in_chinese(InvalidTask([first] * 102, filename="t.yaml"))
    assert many.message.startswith("t.yaml 有 102 处问题：\n- 第 3 行，run：脚本为空")
    assert many.message.endswith("\n- 另有 2 处")
    received = InvalidTask([first], filename="task")
    received.message = "说过了"
    assert error_in_chinese(received).message == "说过了"


def test_what_a_reason_counts_is_said_in_chinese() -> None:
    out = Exclusion(site=SiteId("wuhu"), code="busy", need="8 cores, 32 GB", have="4 cores, 16 GB")
    assert reason_in_chinese(out) == "当前已满：空闲 4 核，16 GB，需要 8 核，32 GB"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    count: int = Field(ge=1, le=9)
    names: list[str] = Field(min_length=1, max_length=2)
    name: str = Field(min_length=2, max_length=3, pattern="^[a-z]+$")
    on: bool
    share: float = Field(gt=0, lt=1, allow_inf_nan=False)


@pytest.mark.parametrize(
    "given_values",
    [
        {"count": "x", "names": "x", "name": 1, "on": "perhaps", "share": "x", "more": 1},
        {"count": 0, "names": [], "name": "x", "on": [], "share": 0},
        {"count": 10, "names": list("abc"), "name": "long", "share": float("inf")},
        {"count": 1.5, "names": ["a"], "name": "A-", "on": None, "share": 1},
        {},
        [],
    ],
)
def test_what_pydantic_says_is_said_in_chinese(given_values: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(_Strict).validate_python(given_values)
    for each in caught.value.errors():
        assert chinese(each["msg"]) != each["msg"], each["msg"]


def test_texts_are_read_from_the_sources(tmp_path: Path) -> None:
    (tmp_path / "room.py").write_text(
        """
class SuanwangError(Exception): ...
class Refused(SuanwangError): ...
_WHY = {"a": "it is a", **dict.fromkeys("bc", "it is b")}
FORMS = "letters and digits"

def check(value, name, what="the value", *, allowed=FORMS):
    if not value:
        raise Refused(f"{what} of {name!r} is empty", allowed=allowed)
    message = f"{value} is odd" if value else "nothing is odd"
    raise Refused(message + f": {_WHY[value]}")

def outer(allowed):
    def inner(value):
        raise Refused("it is refused", allowed=allowed)
    return inner

check(1, "x", "the price", allowed="1 to 9 yuan")
outer("more than that")
""",
        encoding="utf-8",
    )
    written = {each.template.written for each in Sources(tmp_path).found if not each.place.startswith("others")}
    assert written == {
        "{what} of {name} is empty",
        "letters and digits",
        "{value} is odd: {why}",
        "nothing is odd: {why}",
        "it is a",
        "it is b",
        "it is refused",
        "the price",
        "1 to 9 yuan",
        "more than that",
        "the value",
    }


def test_renaming_what_fills_a_hole_keeps_the_translation() -> None:
    assert Template.parsed("no site {site}").shape == Template.parsed("no site {id}").shape
    assert Template.parsed("a {{b}} {c}").written == "a {{b}} {c}"
    assert Matcher({"{a} and {a2} differ": "{a2} 与 {a} 不同"}).chinese("x and y differ") == "y 与 x 不同"


def test_an_error_is_not_changed_by_saying_it_in_chinese() -> None:
    error = InvalidRequest("the body is null", field="body", allowed="an object")
    error_in_chinese(error)
    assert (error.message, error.allowed) == ("the body is null", "an object")
