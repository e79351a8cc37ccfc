"""Cursors and page sizes as callers may send them.

Owns what a cursor looks like and how large a page may be. Knows nothing of what is on the page.
"""

from __future__ import annotations

from suanwang.domain.errors import InvalidRequest

MAX_PAGE = 20_000


def page_size(limit: int) -> int:
    """`limit` within 1 and `MAX_PAGE`, so that no answer is unbounded."""
    return max(1, min(limit, MAX_PAGE))


def position(cursor: str) -> int:
    """The row number a cursor stands for. Raises `InvalidRequest`."""
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise InvalidRequest(
            "cursor is none of ours: send the one the last page came with, or none",
            field="cursor",
            allowed="a cursor from an earlier page",
        )
    return int(cursor)
