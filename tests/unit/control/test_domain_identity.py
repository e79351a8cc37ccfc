"""Roles and what follows from them; credentials and their end."""

from __future__ import annotations

import pytest
from tests.factories import DEMO, NOW, OTHER, replace, seconds

from suanwang.domain.errors import Forbidden
from suanwang.domain.identity import Principal, Role, Token
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import Exclusion
from suanwang.domain.reasons import SENTENCES, sentence

SEES_ALL = (Role.OPERATOR, Role.REGULATOR)


@pytest.mark.parametrize("role", list(Role))
def test_who_sees_and_changes_a_project(role: Role) -> None:
    member = Principal(name="a", role=role, projects=(DEMO,))
    assert member.may_see(DEMO)
    assert member.may_see(OTHER) == (role in SEES_ALL)
    assert member.may_change(DEMO) == (role in (Role.USER, Role.OPERATOR))
    assert member.may_change(OTHER) == (role is Role.OPERATOR)
    assert not Principal(name="a", role=Role.USER).may_see(ProjectId(""))


@pytest.mark.parametrize("role", list(Role))
def test_a_role_that_is_missing_is_named(role: Role) -> None:
    caller = Principal(name="a", role=role)
    caller.must_be(role)
    others = [other for other in Role if other is not role]
    with pytest.raises(Forbidden) as caught:
        caller.must_be(*others)
    assert caught.value.field == "token"
    assert caught.value.allowed == " or ".join(others)


def test_a_token_lives_until_its_end() -> None:
    token = Token(id="t", digest="d", principal=Principal(name="a", role=Role.USER), created_at=NOW)
    assert token.valid(NOW + seconds(10**9))
    ending = replace(token, expires_at=NOW + seconds(60))
    assert ending.valid(NOW + seconds(59.999))
    assert not ending.valid(NOW + seconds(60))
    assert not replace(token, revoked_at=NOW).valid(NOW)


@pytest.mark.parametrize("code", sorted(SENTENCES))
@pytest.mark.parametrize("chinese", [False, True])
def test_every_reason_has_a_sentence_in_both_languages(code: str, chinese: bool) -> None:
    said = sentence(Exclusion(site=SiteId("s"), code=code, need="NEED", have="HAVE"), chinese=chinese)
    assert said
    assert "{" not in said
    assert any(ord(c) > 0x2E80 for c in said) == chinese


def test_a_reason_nobody_knows_is_shown_as_it_is() -> None:
    assert sentence(Exclusion(site=SiteId("s"), code="solar_flare")) == "solar_flare"
