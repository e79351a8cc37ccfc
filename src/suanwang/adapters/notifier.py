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
    """Sends each notice as a POST to `url`; without a `url` notices are dropped as told to nobody.

    A receiver that does not answer is left alone for a while, longer each time: the control loop waits for these calls.
    """

    def __init__(self, url: str | None, *, transport: httpx.BaseTransport | None = None) -> None:
        self._url = url
        self._client = httpx.Client(timeout=5, transport=transport)
        self._silences = 0
        self._quiet_until: datetime | None = None

    def deliver(self, store: Store, now: datetime) -> int:
        """Send what is due; returns how many were told."""
        if self._quiet_until is not None and now < self._quiet_until:
            return 0
        told = 0
        for notice in store.notices_due(now, BATCH):
            answer = 200 if self._url is None else self._send(notice.id, dict(notice.payload))
            if answer is not None and 200 <= answer < 300:
                store.notice_done(notice.id)
                told += 1
                continue
            store.notice_failed(notice.id, now + _pause(notice.attempts))
            if answer is None:
                self._quiet_until = now + _pause(self._silences)
                self._silences += 1
                return told
        self._silences, self._quiet_until = 0, None
        return told

    def _send(self, notice_id: int, payload: dict[str, object]) -> int | None:
        """The receiver's status, or None where it did not answer."""
        assert self._url is not None, "only called where there is an address"
        try:
            # The identifier lets the receiver drop what it has heard already.
            return self._client.post(self._url, json={"id": notice_id, **payload}).status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            log.warning("notice.failed", id=notice_id, error=type(error).__name__)
            return None

    def close(self) -> None:
        self._client.close()


def _pause(failures: int) -> timedelta:
    return timedelta(seconds=min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(failures, 20)))
