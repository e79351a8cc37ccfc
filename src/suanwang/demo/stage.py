"""The demo's network: a control plane, a project, three sites and their agents.

Owns how it is brought up. Leases are short here, so that the loss of a site is noticed while one watches.
"""

from __future__ import annotations

import importlib.util
import secrets
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from suanwang.demo.processes import Children
from suanwang.domain.errors import Unavailable
from suanwang.domain.identity import Role
from suanwang.domain.lifecycle import SiteState
from suanwang.sitefile import read_site

if TYPE_CHECKING:
    from suanwang.client import Client

PROJECT, USER = "digits", "xiaosuan"
SITES = ("guian", "horinger", "wuhu")
_JOIN_S = 60.0
_SETTINGS = {
    "SUANWANG_LEASE_TTL_S": "6",
    "SUANWANG_FENCE_MARGIN_S": "3",
    "SUANWANG_SUSPECT_AFTER_S": "3",
    "SUANWANG_POLL_S": "0.3",
    "SUANWANG_TURN_EVERY_S": "0.2",
    "SUANWANG_METER_EVERY_S": "2",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A network that is up. `user` submits as the project's own member, `operator` sees everything."""

    url: str
    user: Client
    operator: Client
    user_token: str
    children: Children
    home: Path

    def start_agent(self, site: str, join: str | None = None) -> None:
        """Start a site's agent; with a join token the first time."""
        folder = self.home / "sites" / site
        arguments = ["agent", "--site", str(folder / "site.yaml"), "--url", self.url, "--home", str(folder / "agent")]
        self.children.start(f"agent-{site}", arguments, {"SUANWANG_JOIN_TOKEN": join} if join else {})

    def black_out(self, site: str) -> int:
        """A site loses power: its agent and its runs are gone at once, and nobody tells the network."""
        return self.children.black_out(f"agent-{site}")


def bring_up(
    *, home: Path, port: int, children: Children, closing: ExitStack, chinese: bool, tell: Callable[[str, str], None]
) -> Stage:
    """Start everything and wait until all three sites are reachable. `tell(english, chinese)` hears each step.

    Raises `Unavailable` with a process's last words where it does not come up.
    """
    from suanwang.client import Client

    secret = secrets.token_urlsafe(32)
    tell("starting the control plane and its PostgreSQL", "启动控制平面与内置 PostgreSQL")
    url = children.start_and_hear(
        "serve",
        ["serve", "--home", str(home / "network"), "--port", str(port), "--json"],
        {**_SETTINGS, "SUANWANG_OPERATOR_TOKEN": secret},
    )
    operator = closing.enter_context(Client(url, secret, chinese=chinese))
    operator.create_project(PROJECT, "Handwritten digits")
    token = operator.create_token(USER, Role.USER, projects=[PROJECT], ttl_s=86400, note="demo").secret
    user = closing.enter_context(Client(url, token, chinese=chinese))
    stage = Stage(url=url, user=user, operator=operator, user_token=token, children=children, home=home)
    tell("three sites join: Guian, Horinger, Wuhu", "三个站点加入：贵安、和林格尔、芜湖")
    for site in SITES:
        stage.start_agent(site, _invite(stage, site))
    _await_sites(stage)
    return stage


def _invite(stage: Stage, site: str) -> str | None:
    """Lay out the site's folder and register it; None where an earlier demo in this home did that."""
    folder = stage.home / "sites" / site
    folder.mkdir(parents=True, exist_ok=True)
    text = (resources.files("suanwang.demo") / "sites" / f"{site}.yaml").read_text(encoding="utf-8")
    (folder / "site.yaml").write_text(text, encoding="utf-8")
    if site == "wuhu":
        _lay_patients(folder / "datasets" / "patients")
    declaration = read_site(text, filename=f"{site}.yaml")
    if (folder / "agent" / "credential").exists():
        stage.operator.change_site(site, declaration.offering)
        return None
    return stage.operator.invite_site(declaration.id, declaration.offering).join_token


def _lay_patients(folder: Path) -> None:
    """The data a hospital holds: scikit-learn's copy of the Wisconsin breast cancer data, 569 patients."""
    found = importlib.util.find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        raise Unavailable("scikit-learn is not installed, and the demo's data are in it: install requirements.lock")
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(found.submodule_search_locations[0]) / "datasets" / "data" / "breast_cancer.csv"
    shutil.copyfile(source, folder / source.name)


def _await_sites(stage: Stage) -> None:
    give_up_at = time.monotonic() + _JOIN_S
    while True:
        states = {site.id: site.state for site in stage.operator.sites()}
        if all(states.get(site) is SiteState.REACHABLE for site in SITES):
            return
        stage.children.check()
        if time.monotonic() > give_up_at:
            silent = ", ".join(site for site in SITES if states.get(site) is not SiteState.REACHABLE)
            raise Unavailable(f"{silent} did not join within {_JOIN_S:.0f} s; see {stage.home / 'logs'}")
        time.sleep(0.2)
