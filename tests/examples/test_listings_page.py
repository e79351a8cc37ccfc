"""Every command of the page about listings, run in its order in one folder, as a reader types them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.examples.pages import said_by

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("demo"), pytest.mark.timeout(300)]


def test_the_page_works_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    said = "".join(said_by("listings.md", tmp_path, scripts=4))
    for expected in (
        "listing:shouting@1.0",
        "main/few-words-1.0  ¥12.00",
        "one\ntwo",
        "TWO",
        "shouting@1.0: 1",
    ):
        assert expected in said, expected
    assert re.search(r"^shouting@1.0 +j-\S+ +main +here +project:lab +2.50 +paid", said, re.MULTILINE)
