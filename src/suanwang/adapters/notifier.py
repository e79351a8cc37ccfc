"""Telling the outside what is in the outbox, at least once.

Owns delivery over HTTP and when to try again. The address is the operator's, never a user's.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import httpx
import structlog

from suanwang.ports import Store

log = structlog.get_logger("suanwang.notifier")
BATCH = 100
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 3600.0


class Notifier:
    """Sends each notice as a POST to `url`; without a `url` notices are dropped as told to nobody."""

    def __init__(self, url: str | None, *, transport: httpx.BaseTransport | None = None) -> None:
        self._url = url
        self._client = httpx.Client(timeout=10, transport=transport)

    def deliver(self, store: Store, now: datetime) -> int:
        """Send what is due; returns how many were told."""
        told = 0
        for notice in store.notices_due(now, BATCH):
            if self._url is None or self._send(notice.id, dict(notice.payload)):
                store.notice_done(notice.id)
                told += 1
            else:
                pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**notice.attempts)
                store.notice_failed(notice.id, now + timedelta(seconds=pause))
        return told

    def _send(self, notice_id: int, payload: dict[str, object]) -> bool:
        assert self._url is not None, "only called where there is an address"
        try:
            # The identifier lets the receiver drop what it has heard already.
            response = self._client.post(self._url, json={"id": notice_id, **payload})
        except httpx.HTTPError as error:
            log.warning("notice.failed", id=notice_id, error=type(error).__name__)
            return False
        return response.is_success

    def close(self) -> None:
        self._client.close()
