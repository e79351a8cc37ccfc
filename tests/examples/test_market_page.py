"""Every command of the page about the market, run in its order in one folder, as a reader types them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.examples.pages import said_by

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("demo"), pytest.mark.timeout(300)]


def test_the_page_works_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    said = "".join(said_by("market.md", tmp_path, scripts=7))
    for expected in (
        "cores-of-today",
        "on demand",
        "1 of 1 units at posted prices",
        "buy-two-hours.1",
        "open until its call",
    ):
        assert expected in said, expected
    assert re.search(r"^stand-for-call +cancelled", said, re.MULTILINE)
    assert re.search(r"^buy-two-hours +filled", said, re.MULTILINE)
