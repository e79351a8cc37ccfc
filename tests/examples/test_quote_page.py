"""Every command of the page about quotes, run in its order in one folder, as a reader types them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.examples.pages import said_by

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("demo"), pytest.mark.timeout(300)]


def test_the_page_works_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    said = "".join(said_by("quote.md", tmp_path, scripts=6))
    for expected in ("nvidia-h100-sxm", "huawei-ascend-910b", "Assumed", "binds until", "8999995500000500000"):
        assert expected in said, expected
    assert re.search(r"cpu@\S+ +cpu ", said), "the run under the quote taught"
    assert re.search(r"^Sure +(yes|no) *$", said, re.MULTILINE), "the trial says how sure it is"
