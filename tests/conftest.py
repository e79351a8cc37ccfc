"""Property tests draw the same examples in every run, however long one takes; `make soak` draws new ones."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("soak", deadline=None)
settings.load_profile("soak" if os.environ.get("SUANWANG_SOAK") == "1" else "repeatable")
