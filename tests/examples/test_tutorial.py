"""Every command of the tutorial, run in its order in one folder, as a reader types them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.examples.pages import BLOCK, DOCS, said_by

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("demo"), pytest.mark.timeout(300)]


def test_the_tutorial_works_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    said = "".join(said_by("tutorial.md", tmp_path, scripts=7))
    for expected in ("hello from here", "written by the first", "still runs", "3 of 3 jobs succeeded", "a: 5"):
        assert expected in said, expected


def test_documents_link_to_files_that_exist() -> None:
    root = DOCS.parent
    missing = [
        f"{page.relative_to(root)}: {target}"
        for page in [*root.glob("*.md"), *root.glob("docs/*.md")]
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert missing == []


def test_both_readmes_show_the_same_commands() -> None:
    root = DOCS.parent

    def commands(page: str) -> list[str]:
        text = (root / page).read_text(encoding="utf-8")
        return [line.partition("#")[0].strip() for _, _, block in BLOCK.findall(text) for line in block.splitlines()]

    assert commands("README.md") == commands("README.zh.md")
