"""Property tests draw the same examples in every run; `make soak` draws new ones."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True)
if os.environ.get("SUANWANG_SOAK") != "1":
    settings.load_profile("repeatable")
