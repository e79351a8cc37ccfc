"""The table of error kinds: complete, and the same on both sides of the wire."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from suanwang.client.problems import RULES, Retry, from_problem, rule_of, to_problem
from suanwang.domain import errors
from suanwang.domain.errors import (
    Conflict,
    Fenced,
    InvalidRequest,
    OutcomeUnknown,
    SuanwangError,
    Unauthorized,
    Unavailable,
    UnreadableReply,
)
from suanwang.taskfile import InvalidTask, Problem

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, SuanwangError) and kind is not SuanwangError
]


def test_every_kind_has_its_own_rule() -> None:
    assert set(KINDS) <= set(RULES)
    assert len({rule.slug for rule in RULES.values()}) == len(RULES)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_survives_the_wire(kind: type[SuanwangError]) -> None:
    error: SuanwangError
    error = (
        OutcomeUnknown("sent", tag="j-1")
        if kind is OutcomeUnknown
        else kind("do this", field="count", allowed="1 to 9")
    )
    body = to_problem(error)
    back = from_problem(body["status"], body)
    assert type(back) is kind
    assert (back.message, back.field, back.allowed) == (error.message, error.field, error.allowed)
    if isinstance(back, OutcomeUnknown):
        assert back.tag == "j-1"


def test_every_problem_of_a_file_survives_the_wire() -> None:
    problems = [Problem(field="a", message="m", allowed="x", line=3), Problem(field="b", message="n")]
    error = InvalidTask(problems, filename="task.yaml")
    body = to_problem(error)
    assert body["status"] == 422
    back = from_problem(422, body)
    assert isinstance(back, InvalidTask)
    assert set(back.problems) == set(problems)
    assert back.message == error.message


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, None, Unauthorized),
        (409, "not an object", Conflict),
        (409, {"type": "urn:suanwang:problem:fenced"}, Fenced),
        (418, {}, InvalidRequest),
        (429, {}, Unavailable),
        (502, None, UnreadableReply),
        (503, {"type": 7, "detail": ["x"], "problems": "x"}, Unavailable),
        (599, None, Unavailable),
        (422, {"type": "about:blank", "problems": [7]}, InvalidRequest),
    ],
)
def test_answers_that_others_wrote_become_the_nearest_kind(
    status: int, body: object, kind: type[SuanwangError]
) -> None:
    error = from_problem(status, body)
    assert isinstance(error, kind)
    assert error.message


def test_only_what_did_nothing_may_be_sent_again() -> None:
    assert {kind for kind, rule in RULES.items() if rule.retry is Retry.WAIT} == {Unavailable}
    assert rule_of(Fenced("x")).status == 409
    assert rule_of(InvalidTask([Problem(field="a", message="m")], filename="f")).status == 422


def test_the_documented_table_is_this_one() -> None:
    text = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", text, re.MULTILINE)
    assert {(slug, int(status)) for slug, status in rows} == {(rule.slug, rule.status) for rule in RULES.values()}
