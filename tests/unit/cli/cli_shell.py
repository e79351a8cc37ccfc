"""The real command line, run in this process against a network in memory; nothing but the transport is replaced."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.unit.api.api_world import World

from suanwang.cli.app import run
from suanwang.client import Client
from suanwang.client.wire import Patience

URL = "http://network"


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    """Runs commands as `by`. Each sees an own home folder and an English terminal unless told otherwise."""

    def __init__(
        self, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path
    ) -> None:
        self.world = world
        self.home = home
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        for name in ("LC_ALL", "LC_MESSAGES", "SUANWANG_URL", "SUANWANG_TOKEN", "SUANWANG_DEBUG", "SUANWANG_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("LANG", "C.UTF-8")
        monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
        monkeypatch.chdir(home)
        for module in ("options", "people"):
            monkeypatch.setattr(f"suanwang.cli.{module}.open_client", self._open)

    def _open(self, url: str, token: str | None) -> Client:
        from suanwang.cli.terminal import chinese

        return Client(
            url, token, transport=self.world.transport, patience=Patience(pause=lambda _: None), chinese=chinese()
        )

    def __call__(self, *arguments: str, by: str | None = "alice", stdin: bytes = b"") -> Done:
        with self._monkeypatch.context() as here:
            here.setattr(sys, "argv", ["suanwang", *arguments])
            here.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            if by is not None:
                here.setenv("SUANWANG_URL", URL)
                here.setenv("SUANWANG_TOKEN", f"secret-of-{by}")
            self._capsys.readouterr()
            # The server runs in this process too; its log is not the command's output.
            with capture_logs(), pytest.raises(SystemExit) as ended:
                run()
            captured = self._capsys.readouterr()
        code = ended.value.code
        return Done(code if isinstance(code, int) else int(code is not None), captured.out, captured.err)


@contextmanager
def running_job(world: World, *texts: str) -> Iterator[dict[str, Any]]:
    """A job that runs at 贵安 and has not ended."""
    job = world.submit()
    agent = world.agent()
    agent.tell()
    world.network.turn()
    agent.run_all(*texts, outcome=None)
    yield job
