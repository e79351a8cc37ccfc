"""Logging in, and keeping sites, people, files and bills by the command line."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.unit.api.api_world import World, world
from tests.unit.cli.cli_shell import URL, Shell

from suanwang.cli import login
from suanwang.domain.ids import SiteId
from suanwang.domain.lifecycle import SiteState

SITE = """\
id: wuhu
name: {zh: 芜湖, en: Wuhu}
provider: wuhu-cloud
region: yangtze-delta
place: 芜湖
nodes: 2
cores_per_node: 4
memory_per_node: 16GB
price: {core_hour: 0.20}
pue: 1.25
connector: {kind: local}
"""


@pytest.fixture
def net() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.fixture
def shell(net: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(net, monkeypatch, capsys, tmp_path)


def test_login_keeps_the_token_from_others_and_serves_the_next_commands(shell: Shell, tmp_path: Path) -> None:
    done = shell("login", URL, by=None, stdin=b"secret-of-alice\n")
    assert (done.code, "alice" in done.out) == (0, True)
    path = tmp_path / "config" / "suanwang" / "config.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "secret-of-alice" not in done.out + done.err
    assert shell("whoami", "--json", by=None).json["name"] == "alice"
    assert shell("whoami", "--json", by="bob").json["name"] == "bob", "the environment comes first"
    assert shell("logout", by=None).code == 0
    assert shell("whoami", by=None).code == 4


def test_a_wrong_token_is_not_kept(shell: Shell) -> None:
    done = shell("login", URL, by=None, stdin=b"wrong\n")
    assert done.code == 4
    assert login.stored() is None


def test_a_kept_token_goes_to_no_other_address(shell: Shell) -> None:
    login.store(login.Login(url=URL, token="secret"))
    done = shell("--url", "http://elsewhere", "whoami", by=None)
    assert done.code == 4
    assert "no token for http://elsewhere is known" in done.err


def test_without_a_login_the_next_step_is_named(shell: Shell) -> None:
    done = shell("job", "list", by=None)
    assert done.code == 4
    assert "suanwang login URL" in done.err


def test_a_login_file_nobody_can_read_is_named(shell: Shell) -> None:
    path = login.config_path()
    path.parent.mkdir(parents=True)
    path.write_text("url = [")
    done = shell("whoami", by=None)
    assert done.code == 3
    assert str(path) in done.err


def test_a_site_is_invited_changed_drained_and_opened(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(SITE)
    invited = shell("site", "invite", "site.yaml", by="wuhu")
    assert invited.code == 0
    assert invited.out.strip() not in invited.err, "the token is printed where it was asked for, and nowhere else"
    assert shell("site", "invite", "site.yaml", by="wuhu").code == 6
    (tmp_path / "site.yaml").write_text(SITE.replace("core_hour: 0.20", "core_hour: 0.30"))
    changed = shell("site", "change", "site.yaml", "--json", by="wuhu").json
    assert float(changed["offering"]["price"]["core_hour_yuan"]) == 0.3
    assert shell("site", "drain", "wuhu", "--json", by="wuhu").json["open"] is False
    assert shell("site", "open", "wuhu", "--json", by="wuhu").json["open"] is True
    assert {site["id"] for site in shell("site", "list", "--json").json} == {"guian", "wuhu"}
    assert "芜湖 / Wuhu" in shell("site", "show", "wuhu").out
    token = shell("site", "join-token", "wuhu", "--json", by="wuhu").json["join_token"]
    assert token not in invited.out


def test_a_user_may_not_invite_and_a_site_file_is_checked_here(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(SITE)
    assert shell("site", "invite", "site.yaml").code == 4
    (tmp_path / "site.yaml").write_text(SITE.replace("pue: 1.25", "pue: 0.5"))
    done = shell("site", "invite", "site.yaml", by="wuhu")
    assert (done.code, "pue" in done.err) == (3, True)
    assert shell("site", "invite", "missing.yaml", by="wuhu").code == 3
    assert shell("site", "show", "nowhere").code == 5


def test_a_token_is_made_listed_and_revoked_and_its_secret_shown_once(shell: Shell) -> None:
    made = shell("token", "create", "carol", "--project", "demo", "--days", "1", "--note", "laptop", by="olga")
    secret = made.out.strip()
    assert made.code == 0
    assert secret not in made.err
    listed = shell("token", "list", by="olga")
    assert "carol" in listed.out
    assert secret not in listed.out + listed.err
    [row] = [row for row in shell("token", "list", "--json", by="olga").json if row["name"] == "carol"]
    assert shell("token", "revoke", row["id"], by="olga").code == 0
    assert shell("token", "revoke", "t-nothing", by="olga").code == 5
    assert shell("token", "create", "eve", "--role", "operator").code == 4


def test_projects_are_made_by_the_operator(shell: Shell) -> None:
    assert shell("project", "create", "new", "--title", "New work", by="olga").code == 0
    assert "New work" in shell("project", "list", by="olga").out
    assert shell("project", "create", "mine").code == 4
    assert shell("project", "create", "No Name", by="olga").code == 3


def test_a_file_comes_back_as_it_went(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(bytes(range(256)) * 100)
    assert shell("file", "put", "data.bin", "set").code == 0
    assert shell("file", "get", "set", "back.bin").code == 0
    assert (tmp_path / "back.bin").read_bytes() == (tmp_path / "data.bin").read_bytes()
    assert "set" in shell("file", "list").out
    assert shell("file", "get", "nothing").code == 5
    assert shell("file", "put", "missing").code == 3


def test_a_folder_comes_back_as_it_went_and_overwrites_nothing(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / "a").write_text("a")
    assert shell("file", "put", "tree").code == 0
    assert shell("file", "get", "tree", "back").code == 0
    assert (tmp_path / "back" / "deep" / "a").read_text() == "a"
    assert shell("file", "get", "tree", "back").code == 6


def test_bills_are_summed_and_listed(shell: Shell, net: World) -> None:
    net.run("x\n")
    totals = shell("bill", "totals", "--json").json
    assert [(row["project"], row["provider"]) for row in totals["items"]] == [("demo", "guian-cloud")]
    lines = shell("bill", "lines", "--json").json
    assert sum(line["amount_fen"] for line in lines) == totals["amount_fen"]
    assert "guian-cloud" in shell("bill", "totals").out
    assert shell("bill", "lines", "--from", "2030-01-01", "--json").json == []
    assert (
        shell(
            "bill",
            "lines",
            by="bob",
        ).out.count("j-")
        == 0
    )


def test_a_draft_of_this_host_is_a_site_file(shell: Shell, tmp_path: Path) -> None:
    from suanwang.sitefile import read_site

    done = shell("site", "template", "--place", "贵安", "--id", "lab", by=None)
    declaration = read_site(done.out)
    assert (declaration.id, declaration.offering.region, declaration.connector.kind) == ("lab", "guizhou", "local")
    assert declaration.offering.cores >= 1
    assert shell("site", "template", "--place", "Atlantis", by=None).code == 3


def test_schema_and_version_need_no_network(shell: Shell) -> None:
    assert shell("schema", by=None).json["title"] == "Suanwang task"
    assert shell("version", "--json", by=None).json["version"]


def test_nothing_is_free_at_a_site_that_is_lost(shell: Shell, net: World) -> None:
    at = datetime(2026, 3, 2, 8, tzinfo=UTC)
    site = net.store.site(SiteId("guian"))
    assert site is not None
    cores = site.offering.cores
    assert f"–/{cores}" in shell("site", "list").out, "its agent has not joined"
    for state, said in ((SiteState.REACHABLE, f"{cores}/{cores}"), (SiteState.LOST, f"–/{cores}")):
        site = net.store.site(SiteId("guian"))
        assert site is not None
        net.store.put_site(replace(site, state=state, state_since=at, revision=site.revision + 1), ())
        listed = shell("site", "list")
        assert said in listed.out
        assert ("lost since 20" in shell("site", "show", "guian").out) is (state is SiteState.LOST)
