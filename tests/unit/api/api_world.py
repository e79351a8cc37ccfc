"""A small network in memory with an API in front of it, for the tests of the API and of the client."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI

from suanwang.adapters.files import FsspecFiles
from suanwang.adapters.signing import Ed25519Signer
from suanwang.adapters.store.memory import MemoryStore
from suanwang.api.app import create_app
from suanwang.api.streams import StreamLimits
from suanwang.control.network import Network
from suanwang.control.wording import positions
from suanwang.domain.connector import RunState
from suanwang.domain.exchange import LogPiece, Phase, RunReport, SiteReport, SyncRequest
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import JobId, ProjectId, SiteId
from suanwang.domain.site import Offering, Price
from suanwang.trading.ledger import Owner, account_id
from suanwang.trading.settlement import opened
from suanwang.twin.checking import Checked, check_text
from suanwang.twin.laboratory import Laboratory

NOW = datetime(2026, 3, 1, 2, tzinfo=UTC)
QUICK = StreamLimits(poll_s=0.005, quiet_poll_s=0.01, heartbeat_s=0.02, longest_s=0.25)
_names = itertools.count()


PLAYER = (
    *(sys.executable, "-S", "-c"),
    "import pathlib, sys; [(pathlib.Path(sys.argv[1]) / name).write_text('{}') for name in ('report.html', 'summary.json')]",
)
"""Stands for the process that plays experiments."""


def checked(text: str) -> Checked:
    """Stands for the check of experiments; takes every text that has one."""
    check_text(text)
    return Checked(name="week", title_en="A week", title_zh="一周", plays=2, policies=("joint", "nearest"), seeds=1)


class SetClock:
    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at


class CountedIdentities:
    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def job_id(self) -> JobId:
        return JobId(f"j-{next(self._numbers):016d}")

    def token(self) -> tuple[str, str]:
        number = next(self._numbers)
        return f"t-{number:012d}", f"sw_secret-{number}"


def offering(**changes: Any) -> Offering:
    values: dict[str, Any] = {
        "name_zh": "贵安",
        "name_en": "Guian",
        "provider": "guian-cloud",
        "region": "guizhou",
        "latitude": 26.4,
        "longitude": 106.5,
        "connector": "local",
        "nodes": 1,
        "cores_per_node": 8,
        "memory_gb_per_node": 32.0,
        "price": Price(core_hour_yuan=Decimal("0.10")),
        "pue": 1.2,
        "carbon_g_per_kwh": 420.0,
        "accounts": {"demo": "demo-posix"},
    }
    return Offering(**{**values, **changes})


def offering_json(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name_zh": "芜湖",
        "name_en": "Wuhu",
        "provider": "wuhu-cloud",
        "region": "yangtze",
        "latitude": 31.3,
        "longitude": 118.4,
        "connector": "local",
        "nodes": 2,
        "cores_per_node": 4,
        "memory_gb_per_node": 16,
        "price": {"core_hour_yuan": "0.20"},
        "pue": 1.25,
        "carbon_g_per_kwh": 550,
    }
    return {**values, **changes}


class World:
    """`network` behind `app`, with a token for each role; requests go through the real ASGI application."""

    def __init__(self, portal: BlockingPortal, *, limits: StreamLimits = QUICK, home: Path | None = None) -> None:
        self.clock = SetClock()
        self.store = MemoryStore()
        self.network = Network(
            store=self.store,
            clock=self.clock,
            files=FsspecFiles(f"memory://api-world-{next(_names)}"),
            identities=CountedIdentities(),
            places=positions(),
            signer=Ed25519Signer("07" * 32),
        )
        self.operator = Principal(name="olga", role=Role.OPERATOR)
        self.network.people.create_project(self.operator, "demo", "Demo")
        self.network.people.create_project(self.operator, "other", "Other")
        demo, other = (ProjectId("demo"),), (ProjectId("other"),)
        for principal in (
            self.operator,
            Principal(name="alice", role=Role.USER, projects=demo),
            Principal(name="bob", role=Role.USER, projects=other),
            Principal(name="guian", role=Role.PROVIDER, provider="guian-cloud"),
            Principal(name="wuhu", role=Role.PROVIDER, provider="wuhu-cloud"),
            Principal(name="rita", role=Role.REGULATOR),
        ):
            self.network.people.seed(principal, f"secret-of-{principal.name}")
        _, self.join_token = self.network.sites.invite(self.operator, "guian", offering())
        self.laboratory = Laboratory(home, self.clock.now, command=PLAYER, check=checked)
        self.app: FastAPI = create_app(self.network, stream_limits=limits, laboratory=self.laboratory)
        self.portal = portal

    def agent_token(self) -> str:
        """A credential of 贵安's agent."""
        credential = self.agent().credential
        assert credential is not None
        return credential

    @property
    def transport(self) -> httpx.BaseTransport:
        return AppTransport(self.app, self.portal)

    def ask(
        self,
        method: str,
        path: str,
        *,
        by: str | None = "alice",
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> httpx.Response:
        """One request; `by` names whose token it carries."""
        sent = dict(headers or {})
        if token is not None or by is not None:
            sent["Authorization"] = f"Bearer {token or f'secret-of-{by}'}"
        with httpx.Client(transport=self.transport, base_url="http://network") as client:
            return client.request(method, path, headers=sent, **kwargs)

    def submit(self, name: str = "hello", *, by: str = "alice", **task: Any) -> dict[str, Any]:
        """The first job of one task."""
        reply = self.ask("POST", "/v1/jobs", by=by, json={"tasks": [{"name": name, "run": "echo hello", **task}]})
        assert reply.status_code == 201, reply.text
        job: dict[str, Any] = reply.json()["jobs"][0]
        return job

    def agent(self) -> Agent:
        """The agent of 贵安, joined."""
        return Agent(self)

    def run(self, *texts: str, outcome: str = "succeeded", name: str = "hello") -> tuple[dict[str, Any], Agent]:
        """A job that ran at 贵安 and wrote `texts`, one piece each."""
        job = self.submit(name)
        agent = self.agent()
        agent.tell()
        self.network.turn()
        agent.run_all(*texts, outcome=outcome)
        return job, agent

    def run_unheld(self) -> None:
        """As `run`, of a project that may not owe any more once its job has a lease: nobody holds or pays for it."""
        project = replace(opened(account_id(Owner.PROJECT, "demo")), floor_fen=None)
        self.store.open_accounts([project])
        self.store.set_floor(project.id, None, [])
        self.submit()
        agent = self.agent()
        agent.tell()
        self.network.turn()
        self.store.set_floor(project.id, 0, [])
        agent.run_all("hello\n")
        self.network.turn()


class Agent:
    """Speaks for 贵安 through the use cases, so that tests of other routes need no HTTP for it."""

    def __init__(self, world: World) -> None:
        self._world = world
        joined = world.network.sites.join(Principal(name="join", role=Role.JOIN, site_id=SiteId("guian")))
        self.session = joined.reply.session
        self.credential = joined.credential
        self._me = Principal(name="agent-guian", role=Role.AGENT, site_id=SiteId("guian"))

    def tell(self, *runs: RunReport) -> Any:
        request = SyncRequest(
            session=self.session, sent_at=self._world.clock.at, runs=runs, site=SiteReport(cores=8, memory_gb=32.0)
        )
        return self._world.network.sites.sync(self._me, request)

    def run_all(self, *texts: str, outcome: str | None = "succeeded") -> None:
        """Start every lease, print `texts`, and end with `outcome` (None: still running)."""
        for lease in self.tell().start:
            began = self._world.clock.at
            pieces, offset = [], 0
            for text in texts:
                size = len(text.encode())
                pieces.append(LogPiece(stream="stdout", offset=offset, text=text, size=size))
                offset += size
            self.tell(
                RunReport(
                    allocation_id=lease.allocation_id,
                    epoch=lease.epoch,
                    phase=Phase.RUNNING,
                    started_at=began,
                    logs=tuple(pieces),
                )
            )
            if outcome is None:
                continue
            self._world.clock.at += timedelta(seconds=90)
            self.tell(
                RunReport(
                    allocation_id=lease.allocation_id,
                    epoch=lease.epoch,
                    phase=Phase.ENDED,
                    started_at=began,
                    ended_at=self._world.clock.at,
                    outcome=RunState(outcome),
                    exit_code=0 if outcome == "succeeded" else 1,
                )
            )


class AppTransport(httpx.BaseTransport):
    """Sends a synchronous client's requests into an ASGI application."""

    def __init__(self, app: FastAPI, portal: BlockingPortal) -> None:
        self._inner = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._portal = portal

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._portal.call(self._handle, request)

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        content = b"".join([part async for part in _parts(request)])
        reply = await self._inner.handle_async_request(
            httpx.Request(request.method, request.url, headers=request.headers, content=content)
        )
        body = await reply.aread()
        # Streams end by themselves here; they are read whole and handed over at once.
        return httpx.Response(reply.status_code, headers=reply.headers, content=body)


async def _parts(request: httpx.Request) -> Any:
    stream = request.stream
    if isinstance(stream, httpx.SyncByteStream):
        for part in stream:
            yield part
            await asyncio.sleep(0)


@contextmanager
def world(*, limits: StreamLimits = QUICK) -> Iterator[World]:
    with start_blocking_portal() as portal, TemporaryDirectory() as home:
        made = World(portal, limits=limits, home=Path(home) / "experiments")
        yield made
        made.laboratory.close()
