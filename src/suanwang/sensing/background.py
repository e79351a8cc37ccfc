"""Long work beside the agent's loop, so that a large file never makes a lease run out."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Threads:
    """Implements `agent.Background` on a few threads. The dictionary is the loop's alone; threads only fill futures."""

    def __init__(self, workers: int = 4) -> None:
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="carry")
        self._work: dict[str, Future[object]] = {}

    def busy(self, key: str) -> bool:
        return key in self._work

    def start(self, key: str, work: Callable[[], object]) -> None:
        if key not in self._work:
            self._work[key] = self._pool.submit(work)

    def take(self, key: str) -> tuple[object, Exception | None] | None:
        future = self._work.get(key)
        if future is None or not future.done():
            return None
        del self._work[key]
        error = future.exception()
        if isinstance(error, Exception):
            return None, error
        if error is not None:
            raise error
        return future.result(), None

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
