"""Many clients that each send one request a second over a connection of their own: the load, in a process of its own.

    python -m benchmarks.clients PORT TOKEN PROJECT --clients 200 --seconds 30

Owns the clients and their clocks. A request's time counts from when it was due, so that a slow answer cannot hide the
wait of the one behind it. Prints the times in milliseconds as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Heard:
    """What came of the requests so far."""

    took_ms: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)

    def failed(self, what: str) -> None:
        self.errors[what] = self.errors.get(what, 0) + 1


async def send_each_second(
    port: int, token: str, project: str, client: int, clients: int, seconds: int, heard: Heard
) -> None:
    """One client: its requests are spread over the second by its number."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    first = time.perf_counter() + 1 + client / clients
    for number in range(seconds):
        due = first + number
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        writer.write(_request(token, project, f"{client}-{number}"))
        try:
            status = await asyncio.wait_for(_answer(reader), timeout=30)
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            heard.failed(type(error).__name__)
            return
        heard.took_ms.append((time.perf_counter() - due) * 1e3)
        if status != 201:
            heard.failed(f"HTTP {status}")
    writer.close()


def _request(token: str, project: str, name: str) -> bytes:
    task = {
        "name": f"t{name}",
        "run": "python train.py",
        "resources": {"cores": 1, "memory": "1GB", "time_limit": "1h"},
    }
    body = json.dumps({"tasks": [task], "project": project}).encode()
    head = (
        f"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nIdempotency-Key: {name}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _answer(reader: asyncio.StreamReader) -> int:
    """The status of the next answer, once its body is here too."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = next((line for line in head.split("\r\n") if line.startswith("content-length:")), "content-length: 0")
    await reader.readexactly(int(length.partition(":")[2]))
    return int(head.split(" ", 2)[1])


async def _all(arguments: argparse.Namespace) -> Heard:
    heard = Heard()
    async with asyncio.TaskGroup() as group:
        for client in range(arguments.clients):
            group.create_task(
                send_each_second(
                    arguments.port,
                    arguments.token,
                    arguments.project,
                    client,
                    arguments.clients,
                    arguments.seconds,
                    heard,
                )
            )
    return heard


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("token")
    parser.add_argument("project")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=30)
    heard = asyncio.run(_all(parser.parse_args()))
    json.dump({"took_ms": heard.took_ms, "errors": heard.errors}, sys.stdout)


if __name__ == "__main__":
    main()
