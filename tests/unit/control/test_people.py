"""Secrets, roles, projects: who may make what for whom."""

from __future__ import annotations

import pytest
from tests.factories import DEMO, OPERATOR, OTHER, PROVIDER, REGULATOR, STRANGER, USER, SmallNetwork, replace

from suanwang.control.people import LONGEST_TTL_S, digest_of
from suanwang.domain.errors import Forbidden, InvalidRequest, NotFound, SuanwangError, Unauthorized
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import ProjectId, SiteId


@pytest.fixture
def small() -> SmallNetwork:
    return SmallNetwork()


def test_a_secret_opens_for_its_principal_and_only_its_digest_is_kept(small: SmallNetwork) -> None:
    token, secret = small.network.people.create_token(OPERATOR, USER)
    assert small.network.people.authenticate(secret) == USER
    assert token.digest == digest_of(secret)
    assert secret not in repr(small.store.tokens())
    assert secret not in repr(small.store.events(0, 100))


@pytest.mark.parametrize("secret", [None, "", "sw_wrong", "secret-1\0"])
def test_a_wrong_secret_opens_nothing(small: SmallNetwork, secret: str | None) -> None:
    small.network.people.create_token(OPERATOR, USER)
    with pytest.raises(Unauthorized, match="no valid token"):
        small.network.people.authenticate(secret)


def test_a_token_expires(small: SmallNetwork) -> None:
    _, secret = small.network.people.create_token(OPERATOR, USER, ttl_s=60)
    small.clock.advance(59)
    assert small.network.people.authenticate(secret) == USER
    small.clock.advance(1)
    with pytest.raises(Unauthorized, match="expired or was revoked"):
        small.network.people.authenticate(secret)


def test_a_revoked_token_opens_nothing(small: SmallNetwork) -> None:
    token, secret = small.network.people.create_token(OPERATOR, USER)
    small.network.people.revoke(USER, token.id)
    with pytest.raises(Unauthorized):
        small.network.people.authenticate(secret)
    assert small.kinds()[-1] == "token.revoked"


@pytest.mark.parametrize("ttl_s", [0, -1, 0.5, float("nan"), float("inf"), LONGEST_TTL_S + 1])
def test_a_token_lives_a_second_to_a_year(small: SmallNetwork, ttl_s: float) -> None:
    with pytest.raises(InvalidRequest) as caught:
        small.network.people.create_token(OPERATOR, USER, ttl_s=ttl_s)
    assert caught.value.field == "ttl_s"


def test_a_user_makes_narrower_tokens_of_his_own(small: SmallNetwork) -> None:
    wide = replace(USER, projects=(DEMO, OTHER))
    _, secret = small.network.people.create_token(wide, USER, ttl_s=3600)
    assert small.network.people.authenticate(secret).projects == (DEMO,)


@pytest.mark.parametrize(
    "wanted",
    [
        replace(USER, projects=(DEMO, OTHER)),
        replace(USER, role=Role.OPERATOR),
        replace(USER, role=Role.REGULATOR),
        replace(USER, role=Role.PROVIDER, provider="guian-dc"),
        STRANGER,
    ],
)
def test_a_user_makes_nothing_wider(small: SmallNetwork, wanted: Principal) -> None:
    with pytest.raises(Forbidden):
        small.network.people.create_token(USER, wanted)
    assert not small.store.tokens()


@pytest.mark.parametrize("caller", [PROVIDER, REGULATOR, Principal(name="a", role=Role.AGENT, site_id=SiteId("s"))])
def test_only_operators_make_tokens_for_others(small: SmallNetwork, caller: Principal) -> None:
    with pytest.raises(Forbidden):
        small.network.people.create_token(caller, USER)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (Principal(name="Li", role=Role.USER), "name"),
        (Principal(name="../li", role=Role.USER), "name"),
        (Principal(name="l" * 64, role=Role.USER), "name"),
        (Principal(name="agent", role=Role.AGENT, site_id=SiteId("s")), "role"),
        (Principal(name="join", role=Role.JOIN, site_id=SiteId("s")), "role"),
        (Principal(name="dc", role=Role.PROVIDER), "provider"),
        (Principal(name="li", role=Role.USER, projects=(ProjectId("nowhere"),)), "projects"),
    ],
)
def test_what_cannot_be_is_named(small: SmallNetwork, wanted: Principal, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        small.network.people.create_token(OPERATOR, wanted)
    assert caught.value.field == field


def test_everybody_sees_and_revokes_his_own_tokens_only(small: SmallNetwork) -> None:
    mine, _ = small.network.people.create_token(OPERATOR, USER)
    theirs, _ = small.network.people.create_token(OPERATOR, STRANGER)
    assert [t.id for t in small.network.people.tokens(USER)] == [mine.id]
    assert {t.id for t in small.network.people.tokens(REGULATOR)} == {mine.id, theirs.id}
    for caller, token in ((USER, theirs), (REGULATOR, theirs)):
        with pytest.raises(NotFound):
            small.network.people.revoke(caller, token.id)


def test_a_namesake_in_another_role_is_somebody_else(small: SmallNetwork) -> None:
    operators, _ = small.network.people.create_token(OPERATOR, Principal(name="li", role=Role.OPERATOR))
    assert small.network.people.tokens(USER) == []
    with pytest.raises(NotFound):
        small.network.people.revoke(USER, operators.id)


def test_seeding_twice_changes_nothing(small: SmallNetwork) -> None:
    first = small.network.people.seed(OPERATOR, "the-secret")
    assert small.network.people.seed(OPERATOR, "the-secret") == first
    assert len(small.store.tokens()) == 1
    assert small.network.people.authenticate("the-secret") == OPERATOR


def test_projects_are_the_operators_to_make(small: SmallNetwork) -> None:
    small.network.people.create_project(OPERATOR, "genomics", "  ")
    assert "genomics" in {p.id for p in small.network.people.projects(OPERATOR)}
    assert next(p.title for p in small.network.people.projects(OPERATOR) if p.id == "genomics") == "genomics"
    assert [p.id for p in small.network.people.projects(USER)] == [DEMO]
    with pytest.raises(Forbidden):
        small.network.people.create_project(USER, "mine", "Mine")


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "a/../b", "项目", "a" * 64])
def test_a_projects_name_is_short_and_plain(small: SmallNetwork, name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        small.network.people.create_project(OPERATOR, name, "title")
    assert caught.value.field == "id"


def test_errors_never_carry_the_secret(small: SmallNetwork) -> None:
    with pytest.raises(SuanwangError) as caught:
        small.network.people.authenticate("sw_very-secret")
    assert "very-secret" not in str(caught.value) + repr(caught.value.__dict__)
