"""What is told outside is told at least once, and a deaf receiver holds nobody up."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest
from tests.factories import OPERATOR, SmallNetwork, task

from suanwang.adapters.notifier import BATCH, LONGEST_PAUSE_S, Notifier


class Receiver:
    """Answers as the test says, and remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[dict[str, object]] = []
        self.answer: Callable[[httpx.Request], httpx.Response] = lambda _: httpx.Response(204)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.heard.append(json.loads(request.content))
        return self.answer(request)


def deaf(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectTimeout("no answer", request=request)


@pytest.fixture
def small() -> SmallNetwork:
    """Three ended jobs, so three notices."""
    made = SmallNetwork()
    made.join("guian")
    for job in made.submit(task(count=3)):
        made.network.jobs.cancel(OPERATOR, job.id)
    return made


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def notifier(receiver: Receiver) -> Notifier:
    return Notifier("http://receiver/hook", transport=httpx.MockTransport(receiver))


def test_each_notice_is_told_and_then_gone(small: SmallNetwork, receiver: Receiver, notifier: Notifier) -> None:
    assert notifier.deliver(small.store, small.clock.now()) == 3
    assert notifier.deliver(small.store, small.clock.now()) == 0
    assert [(n["kind"], n["project"]) for n in receiver.heard] == [("job.cancelled", "demo")] * 3
    assert len({n["id"] for n in receiver.heard}) == 3
    notifier.close()


def test_without_an_address_nothing_piles_up(small: SmallNetwork) -> None:
    assert Notifier(None).deliver(small.store, small.clock.now()) == 3
    assert small.store.notices_due(small.clock.now(), BATCH) == []


@pytest.mark.parametrize("status", [301, 404, 500, 503])
def test_a_refusal_is_tried_again_later_with_growing_pauses(
    small: SmallNetwork, receiver: Receiver, notifier: Notifier, status: int
) -> None:
    receiver.answer = lambda _: httpx.Response(status)
    assert notifier.deliver(small.store, small.clock.now()) == 0
    assert len(receiver.heard) == 3
    assert notifier.deliver(small.store, small.clock.advance(4.9)) == 0
    assert len(receiver.heard) == 3, "not before its time"
    notifier.deliver(small.store, small.clock.advance(0.1))
    assert len(receiver.heard) == 6
    notifier.deliver(small.store, small.clock.advance(9.9))
    assert len(receiver.heard) == 6
    receiver.answer = lambda _: httpx.Response(200)
    assert notifier.deliver(small.store, small.clock.advance(0.1)) == 3


def test_a_receiver_that_does_not_answer_costs_one_call_a_round(
    small: SmallNetwork, receiver: Receiver, notifier: Notifier
) -> None:
    receiver.answer = deaf
    for _ in range(9):
        notifier.deliver(small.store, small.clock.now())
    assert len(receiver.heard) == 1
    small.clock.advance(5)
    notifier.deliver(small.store, small.clock.now())
    assert len(receiver.heard) == 2
    receiver.answer = lambda _: httpx.Response(200)
    told = 0
    for _ in range(20):
        told += notifier.deliver(small.store, small.clock.advance(10))
    assert told == 3, "and nothing is lost"


def test_an_answer_that_got_lost_is_told_again(small: SmallNetwork, receiver: Receiver, notifier: Notifier) -> None:
    receiver.answer = deaf
    notifier.deliver(small.store, small.clock.now())
    receiver.answer = lambda _: httpx.Response(200)
    for _ in range(20):
        notifier.deliver(small.store, small.clock.advance(10))
    identifiers = [n["id"] for n in receiver.heard]
    assert len(identifiers) == 4
    assert len(set(identifiers)) == 3


def test_pauses_grow_to_an_hour_and_no_further(small: SmallNetwork, receiver: Receiver, notifier: Notifier) -> None:
    receiver.answer = lambda _: httpx.Response(500)
    for _ in range(40):
        notifier.deliver(small.store, small.clock.advance(LONGEST_PAUSE_S))
    heard = len(receiver.heard)
    notifier.deliver(small.store, small.clock.advance(LONGEST_PAUSE_S))
    assert len(receiver.heard) == heard + 3


@pytest.mark.parametrize("url", ["http://[broken", "no-scheme", "ftp://x/y"])
def test_an_address_that_is_none_breaks_nothing(small: SmallNetwork, url: str) -> None:
    notifier = Notifier(url)
    assert notifier.deliver(small.store, small.clock.now()) == 0
    assert len(small.store.notices_due(small.clock.advance(3600), BATCH)) == 3
