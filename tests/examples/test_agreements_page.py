"""Every command of the page about agreements, run in its order in one folder, as a reader types them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.services.cli_process import environment, first_json, running, until_none_left

PAGE = Path(__file__).parents[2] / "docs" / "agreements.md"
BLOCK = re.compile(r"^```(\w+)(?: ([^\n]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("demo"), pytest.mark.timeout(300)]


def test_the_page_works_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    (background,) = [text for _, name, text in blocks if name == "background"]
    scripts = [text for _, name, text in blocks if not name]
    assert len(scripts) == 3
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
    for expected in ("project:main  ", "main-here", "offered", "SHA-256", "availability", '"kind":"agreement"'):
        assert expected in done.stdout, expected
    assert re.search(r"^main-here +1 +signed", done.stdout, re.MULTILINE)
    assert until_none_left(tmp_path) == []
