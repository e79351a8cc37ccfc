"""Every command of the page about agreements, run in its order in one folder, as a reader types them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.examples.pages import said_by

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("demo"), pytest.mark.timeout(300)]


def test_the_page_works_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    said, _ = said_by("agreements.md", tmp_path, scripts=3)
    for expected in ("project:main  ", "main-here", "offered", "SHA-256", "availability", '"kind":"agreement"'):
        assert expected in said, expected
    assert re.search(r"^main-here +1 +signed", said, re.MULTILINE)
