"""Gauges of the way to another site: round-trip delay and throughput against an HTTP echo.

Owns what is sent and how the answer is judged. The echo answers GET with anything short and POST with the body it got.
Knows nothing of what lies behind an address.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Protocol

import httpx
import numpy as np

from suanwang.domain.errors import InvalidRequest
from suanwang.sensing.probing.gauge import Gauge, NotMeasurable, Timer
from suanwang.sensing.probing.reckoning import megabits_per_second

_SHORT_ANSWER_BYTES = 64 * 1024


class Transport(Protocol):
    def __call__(self, method: str, url: str, body: bytes, *, most_bytes: int) -> bytes:
        """Send, and return the answer's body of at most `most_bytes`. Raises `NotMeasurable` when there is none."""


def http_transport(client: httpx.Client) -> Transport:
    """A transport over `client`, which keeps its connection open from one call to the next."""

    def send(method: str, url: str, body: bytes, *, most_bytes: int) -> bytes:
        received = bytearray()
        try:
            with client.stream(method, url, content=body or None) as answer:
                answer.raise_for_status()
                for part in answer.iter_bytes():
                    received += part
                    if len(received) > most_bytes:
                        raise NotMeasurable(f"the echo sent more than the {most_bytes} bytes expected")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotMeasurable(f"the echo did not answer: {error}") from error
        return bytes(received)

    return send


def link_gauges(links: Mapping[str, str], *, transport: Transport, payload_bytes: int, timer: Timer) -> list[Gauge]:
    """Delay (`network.delay_ms`) and throughput (`network.throughput`) of each link, name → address of its echo.

    A name becomes a suffix of the metric; the empty name, for a single link, none. Raises `InvalidRequest` for an
    address that is not HTTP.
    """
    gauges: list[Gauge] = []
    for name, url in links.items():
        if not url.startswith(("http://", "https://")):
            raise InvalidRequest(f"{url[:80]!r} is no HTTP address", field="links", allowed="http:// or https://")
        suffix = f".{name}" if name else ""
        delay = partial(_delay, url, transport, timer)
        throughput = partial(_throughput, url, transport, payload_bytes, timer)
        label = name or url
        gauges += [
            Gauge(metric_type=f"network.delay_ms{suffix}", unit="ms", label=f"delay to {label}", prepare=delay),
            Gauge(
                metric_type=f"network.throughput{suffix}",
                unit="Mbps",
                label=f"throughput to {label}",
                prepare=throughput,
            ),
        ]
    return gauges


@contextlib.contextmanager
def _delay(url: str, transport: Transport, timer: Timer) -> Iterator[Callable[[], float]]:
    """There and back, milliseconds, on a connection that is already open."""

    def measure() -> float:
        begun = timer()
        transport("GET", url, b"", most_bytes=_SHORT_ANSWER_BYTES)
        return (timer() - begun) * 1e3

    measure()
    yield measure


@contextlib.contextmanager
def _throughput(url: str, transport: Transport, payload_bytes: int, timer: Timer) -> Iterator[Callable[[], float]]:
    """Payload there and back over the whole time of the exchange: a floor of what the link carries."""
    payload = np.random.default_rng(0).bytes(payload_bytes)

    def measure() -> float:
        begun = timer()
        answer = transport("POST", url, payload, most_bytes=payload_bytes)
        lasted = timer() - begun
        if answer != payload:
            raise NotMeasurable("the echo did not send back what it got")
        return megabits_per_second(transferred_bytes=2 * payload_bytes, seconds=lasted)

    yield measure
