"""Every command of the page about listings, run in its order in one folder, as a reader types them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.services.cli_process import environment, first_json, running, until_none_left

PAGE = Path(__file__).parents[2] / "docs" / "listings.md"
BLOCK = re.compile(r"^```(\w+)(?: ([^\n]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("demo"), pytest.mark.timeout(300)]


def test_the_page_works_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    scripts: list[str] = []
    background = ""
    for language, name, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if name == "background":
            background = text
        elif name:
            (tmp_path / name).write_text(text, encoding="utf-8")
        else:
            assert language == "sh", text
            scripts.append(text)
    assert len(scripts) == 4
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "suanwang"
    program.write_text(f"#!{sys.executable}\nfrom suanwang.cli import main\n\nmain()\n", encoding="utf-8")
    program.chmod(0o755)
    path = os.pathsep.join((str(programs), str(Path(sys.executable).parent), os.environ["PATH"]))
    with running(*background.split()[1:], "--json", home=tmp_path, SUANWANG_PORT="0") as process:
        assert first_json(process, tmp_path)["logged_in"] is True
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join(scripts)],
            env=environment(tmp_path, PATH=path),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    said = done.stdout + done.stderr
    for expected in (
        "listing:shouting@1.0",
        "main/few-words-1.0  ¥12.00",
        "one\ntwo",
        "TWO",
        "shouting@1.0: 1",
    ):
        assert expected in said, expected
    assert re.search(r"^shouting@1.0 +j-\S+ +main +here +project:lab +2.50 +paid", said, re.MULTILINE)
    assert until_none_left(tmp_path) == []
