"""Which of two files a text is: a need (`work: …`) or a task. Owns that rule; reads neither."""

from __future__ import annotations

import re

from suanwang.domain.errors import SuanwangError
from suanwang.needfile.plain import plain_values

_KEY = re.compile(rb"^[\"']?work[\"']?[ \t]*:", re.MULTILINE)


def is_need(text: bytes) -> bool:
    """Whether `text` has `work` as a key of its one mapping; a task file never has."""
    body = text.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not body.startswith(b"{"):
        return _KEY.search(body) is not None
    try:
        value = plain_values(text, filename="file")
    except SuanwangError:
        return False
    return isinstance(value, dict) and "work" in value
