"""Open pages: each hears of what it may see, soon, and every stream ends when it should."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import pytest
from tests.browser.world import OPERATOR, OTHER, PROJECT, STRANGER, USER, World

from suanwang.domain.errors import Unavailable
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import JobId, SiteId
from suanwang.domain.job import Event
from suanwang.web.live import Live, Pace
from suanwang.web.visiting import VISITOR, SiteNames

QUICK = Pace(every_s=0.01, pause_s=0.0, heartbeat_s=0.05)
PATIENCE_S = 20.0
NAMES = SiteNames({SiteId("guian"): "贵安"})


async def until(stream: AsyncIterator[bytes], wanted: Callable[[str], bool]) -> list[str]:
    """The parts of a stream up to the first that is wanted."""
    parts: list[str] = []
    async with asyncio.timeout(PATIENCE_S):
        async for part in stream:
            parts.append(part.decode())
            if wanted(parts[-1]):
                return parts
    raise AssertionError(f"the stream ended after {parts}")


async def to_the_end(stream: AsyncIterator[bytes]) -> list[str]:
    async with asyncio.timeout(PATIENCE_S):
        return [part.decode() async for part in stream]


async def close(stream: AsyncIterator[bytes]) -> None:
    assert isinstance(stream, AsyncGenerator)
    await stream.aclose()


def happen(world: World, kind: str, project: str | None = None, job: str | None = None) -> None:
    event = Event(
        kind=kind,
        at=world.clock.now(),
        project=None if project is None else PROJECT if project == PROJECT else OTHER,
        job_id=None if job is None else JobId(job),
    )
    world.store.append_events((event,))


def beat(part: str) -> bool:
    return part.startswith(":")


def test_each_hears_what_he_may_see() -> None:
    world = World(["guian"])

    async def heard_by(caller: Principal) -> set[str]:
        live = Live(world.network, QUICK)
        stream = live.changes(caller, None)
        await until(stream, beat)
        happen(world, "job.started", PROJECT, "j-1")
        happen(world, "token.created")
        parts = await until(stream, lambda part: "event: network" in part)
        parts += await until(stream, beat)
        await close(stream)
        assert live.listeners == 0
        return {line for part in parts for line in part.splitlines() if line.startswith("event: ")}

    both, public = {"event: network", "event: jobs"}, {"event: network"}
    assert asyncio.run(heard_by(USER)) == both
    assert asyncio.run(heard_by(OPERATOR)) == both
    assert asyncio.run(heard_by(STRANGER)) == public
    assert asyncio.run(heard_by(VISITOR)) == public


def test_what_concerns_nobody_wakes_nobody() -> None:
    world = World(["guian"])

    async def listen() -> list[str]:
        live = Live(world.network, QUICK)
        stream = live.changes(USER, None)
        await until(stream, beat)
        happen(world, "token.created")
        happen(world, "file.added", PROJECT)
        parts = await until(stream, beat)
        parts += await until(stream, beat)
        await close(stream)
        return parts

    assert all(beat(part) for part in asyncio.run(listen()))


def test_a_job_is_followed_to_its_end() -> None:
    world = World(["guian"])
    (job,) = world.submit("name: a\nrun: x\ncheckpoint: ckpt/\n")
    world.beat()
    world.say(job.id, "\x1b[31mone\x1b[0m\n</script>\n")
    world.plot(job.id, 1, loss=0.5)
    world.beat()

    async def follow() -> list[str]:
        live = Live(world.network, QUICK)
        stream = live.job(USER, None, job.id, 0, NAMES)
        parts = await until(stream, lambda part: "event: points" in part)
        world.say(job.id, "two\n")
        world.finish(job.id)
        await asyncio.to_thread(world.beat)
        parts += await to_the_end(stream)
        assert live.listeners == 0
        return parts

    parts = asyncio.run(follow())
    logs = [json.loads(part.split("data: ")[1]) for part in parts if "event: log" in part]
    assert "".join(log["text"] for log in logs) == "one\n</script>\ntwo\n"
    assert {(log["run"], log["site"], log["stream"]) for log in logs} == {(1, "贵安", "stdout")}
    assert any("event: changed" in part for part in parts)
    assert "event: end" in parts[-1]

    async def resume() -> list[str]:
        return await to_the_end(Live(world.network, QUICK).job(USER, None, job.id, 1, NAMES))

    again = [part for part in asyncio.run(resume()) if "event: log" in part]
    assert len(again) == 1
    assert again[0].startswith("id: 2\n")


def test_another_projects_job_says_nothing() -> None:
    world = World(["guian"])
    (job,) = world.submit("name: a\nrun: x\n", STRANGER)
    world.beat()
    world.say(job.id, "secret\n")
    world.beat()

    async def follow() -> list[str]:
        return await to_the_end(Live(world.network, QUICK).job(USER, None, job.id, 0, NAMES))

    assert asyncio.run(follow()) == ["retry: 2000\n\n"]


def test_a_revoked_token_ends_its_streams() -> None:
    world = World(["guian"])
    token, secret = world.network.people.create_token(OPERATOR, USER)
    (job,) = world.submit("name: a\nrun: x\n")
    world.beat()

    async def listen() -> None:
        live = Live(world.network, QUICK)
        streams = [live.changes(USER, secret), live.job(USER, secret, job.id, 0, NAMES)]
        for stream in streams:
            await until(stream, beat)
        world.network.people.revoke(OPERATOR, token.id)
        for stream in streams:
            await to_the_end(stream)

    asyncio.run(listen())


def test_closing_ends_every_stream_from_any_thread() -> None:
    world = World(["guian"])
    (job,) = world.submit("name: a\nrun: x\nconstraints: {sites: guian}\nresources: {cores: 1}\n")

    async def listen() -> None:
        live = Live(world.network, Pace(every_s=0.01, pause_s=0.0))
        open_ones = [live.changes(USER, None), live.changes(VISITOR, None), live.job(USER, None, job.id, 0, NAMES)]
        ends = [asyncio.create_task(to_the_end(stream)) for stream in open_ones]
        async with asyncio.timeout(PATIENCE_S):
            while live.listeners < len(open_ones):
                await asyncio.sleep(0.001)
        await asyncio.to_thread(live.close)
        await asyncio.wait_for(asyncio.gather(*ends), PATIENCE_S)
        with pytest.raises(Unavailable):
            live.changes(USER, None)

    asyncio.run(listen())


def test_there_is_a_most_of_open_pages_and_a_page_that_leaves_makes_room() -> None:
    world = World(["guian"])

    async def listen() -> None:
        live = Live(world.network, Pace(every_s=0.01, pause_s=0.0, heartbeat_s=0.05, listeners=1))
        stream = live.changes(USER, None)
        await until(stream, beat)
        with pytest.raises(Unavailable):
            live.changes(USER, None)
        await close(stream)
        other = live.changes(USER, None)
        await until(other, beat)
        await close(other)

    asyncio.run(listen())


def test_a_provider_hears_of_jobs_at_his_own_sites() -> None:
    world = World(["guian"])
    provider = Principal(name="guian-desk", role=Role.PROVIDER, provider="贵安云谷")

    async def listen(caller: Principal) -> str:
        stream = Live(world.network, QUICK).changes(caller, None)
        await until(stream, beat)
        world.submit("name: a\nrun: x\n", STRANGER)
        await asyncio.to_thread(world.beat)
        parts = await until(stream, lambda part: "event: network" in part)
        parts += await until(stream, beat)
        await close(stream)
        return "".join(parts)

    assert "event: jobs" in asyncio.run(listen(provider))
    assert "event: jobs" not in asyncio.run(listen(Principal(name="x", role=Role.PROVIDER, provider="江淮计算")))
