"""Every command of the tutorial, run in its order in one folder, as a reader types them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.services.cli_process import environment, first_json, running, until_none_left

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+)(?: ([^\n]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("demo"), pytest.mark.timeout(300)]


def blocks() -> list[tuple[str, str, str]]:
    """(language, file name or `background` or nothing, text) of each block, in order."""
    return BLOCK.findall(TUTORIAL.read_text(encoding="utf-8"))


def test_the_tutorial_works_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    found = blocks()
    scripts = []
    for language, name, text in found:
        if name and name != "background":
            (tmp_path / name).write_text(text, encoding="utf-8")
        elif not name:
            assert language == "sh", text
            scripts.append(text)
    [background] = [text for _, name, text in found if name == "background"]
    assert len(scripts) >= 7
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "suanwang"
    program.write_text(f"#!{sys.executable}\nfrom suanwang.cli import main\n\nmain()\n", encoding="utf-8")
    program.chmod(0o755)
    arguments = background.split()[1:]
    with running(*arguments, "--json", home=tmp_path, SUANWANG_PORT="0") as process:
        assert first_json(process, tmp_path)["logged_in"] is True
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join(scripts)],
            env=environment(tmp_path, PATH=f"{programs}{os.pathsep}{os.environ['PATH']}"),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for expected in ("hello from here", "written by the first", "still runs", "3 of 3 jobs succeeded", "a: 5"):
        assert expected in done.stdout + done.stderr, expected
    assert until_none_left(tmp_path) == []


def test_documents_link_to_files_that_exist() -> None:
    root = TUTORIAL.parents[1]
    missing = [
        f"{page.relative_to(root)}: {target}"
        for page in [*root.glob("*.md"), *root.glob("docs/*.md")]
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert missing == []


def test_both_readmes_show_the_same_commands() -> None:
    root = TUTORIAL.parents[1]

    def commands(page: str) -> list[str]:
        text = (root / page).read_text(encoding="utf-8")
        return [line.partition("#")[0].strip() for _, _, block in BLOCK.findall(text) for line in block.splitlines()]

    assert commands("README.md") == commands("README.zh.md")
