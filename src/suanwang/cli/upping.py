"""`suanwang up`: a network on this machine for a first real use.

Owns the order of its start: control plane, a project, this machine invited as a site, its agent, and the login of this
account. Starting again finds everything as it was.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from suanwang.cli import drafting, login
from suanwang.cli.logs import log_to
from suanwang.cli.options import open_client
from suanwang.cli.sites import publish_prices, read_declaration
from suanwang.cli.terminal import emit_line, note, said, say
from suanwang.domain.errors import NotFound, SuanwangError

if TYPE_CHECKING:
    from suanwang.serving import Serving
    from suanwang.settings import Settings

PROJECT, SITE = "main", "here"
POLL_S = 0.5
"""The agent is on the same machine, so it may call often; SUANWANG_POLL_S comes before it."""
_END_S = 5.0


def run_up(settings: Settings, *, place: str, as_json: bool) -> None:
    """Run until Ctrl-C or TERM. Raises what starting the control plane raises."""
    from suanwang.serving import serve

    home = settings.home.expanduser().resolve()
    home.mkdir(parents=True, exist_ok=True)
    if "poll_s" not in settings.model_fields_set:
        settings = settings.model_copy(update={"poll_s": POLL_S})
    site_file = home / "site.yaml"
    if not site_file.exists():
        site_file.write_text(drafting.of_this_host(SITE, place=place), encoding="utf-8")
    read_declaration(site_file)
    stop = threading.Event()
    first = _FirstSteps(home=home, site_file=site_file, stop=stop, as_json=as_json)
    with (home / "network.log").open("a", encoding="utf-8") as log, first:
        log_to(log, only_warnings=True)
        # Serving answers only once this returns, so what talks to it has a thread of its own.
        serve(settings, on_ready=first.begin, stop=stop)
    if first.error is not None:
        raise first.error


class _FirstSteps:
    """What follows once the control plane answers."""

    def __init__(self, *, home: Path, site_file: Path, stop: threading.Event, as_json: bool) -> None:
        self._home = home
        self._site_file = site_file
        self._stop = stop
        self._as_json = as_json
        self._agent: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self.error: SuanwangError | None = None

    def __enter__(self) -> _FirstSteps:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def begin(self, serving: Serving) -> None:
        self._thread = threading.Thread(target=self._run, args=(serving,), name="up", daemon=True)
        self._thread.start()

    def _run(self, serving: Serving) -> None:
        try:
            self._join(serving.url, serving.operator_token)
        except SuanwangError as error:
            self.error = error
            self._stop.set()

    def _join(self, url: str, token: str) -> None:
        declaration = read_declaration(self._site_file)
        with open_client(url, token) as client:
            client.create_project(PROJECT, "First project")
            join = None
            try:
                client.site(declaration.id)
                client.change_site(declaration.id, declaration.offering)
                if not (self._home / "site" / "credential").exists():
                    join = client.join_token(declaration.id)
            except NotFound:
                join = client.invite_site(declaration.id, declaration.offering).join_token
            publish_prices(client, declaration)
        self._agent = self._start_agent(url, join)
        self._tell(url, token)

    def _start_agent(self, url: str, join: str | None) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "suanwang.cli", "agent", "--site", str(self._site_file), "--url", url]
        command += ["--home", str(self._home / "site"), "--with-parent"]
        env = {name: value for name, value in os.environ.items() if name != "SUANWANG_TOKEN"}
        if join is not None:
            env["SUANWANG_JOIN_TOKEN"] = join
        with (self._home / "agent.log").open("ab") as log:
            return subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _tell(self, url: str, token: str) -> None:
        kept = login.stored()
        mine = kept is None or kept.url == url
        if mine:
            login.store(login.Login(url=url, token=token))
        if self._as_json:
            emit_line({"url": url, "project": PROJECT, "site": SITE, "home": str(self._home), "logged_in": mine})
            return
        say(said(f"the network is up at {url}; this machine is its site {SITE!r}, declared in {self._site_file}"))
        if mine:
            say(said("this account is logged in to it; try: suanwang submit task.yaml --watch"))
        else:
            note("this account is logged in elsewhere; for this network:")
            say(f"  export SUANWANG_URL={url} SUANWANG_TOKEN=$(cat {self._home / 'operator-token'})")
        sys.stdout.flush()

    def _end(self) -> None:
        """Stop the agent, in the middle of whatever it measures; the next start takes up the runs it holds."""
        if self._thread is not None:
            self._thread.join(timeout=_END_S)
        if self._agent is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._agent.send_signal(signal.SIGTERM)
        try:
            self._agent.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._agent.kill()
            self._agent.wait()
