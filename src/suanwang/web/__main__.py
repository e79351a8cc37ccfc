"""`python -m suanwang.web`: bring the Chinese catalogue up to date with the pages, and name what has no translation."""

import sys

from suanwang.web.wording import refresh

gaps = refresh()
for gap in gaps:
    print("not translated:", gap)  # noqa: T201 - this is a command
sys.exit(bool(gaps))
