"""Plays a page of the documents: its commands in their order, in one folder, as a reader types them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.services.cli_process import environment, first_json, running, until_none_left

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```(\w+)(?: ([^\n]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def said_by(page: str, folder: Path, *, scripts: int) -> tuple[str, str]:
    """What the page's `scripts` shell blocks print, on standard output and on standard error.

    The block named `background` starts the network they speak to; other named blocks are files. Fails where a command
    fails, or where a process is left when all are done.
    """
    blocks = BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    (background,) = [text for _, name, text in blocks if name == "background"]
    typed = [(language, text) for language, name, text in blocks if not name]
    assert {language for language, _ in typed} == {"sh"}
    assert len(typed) == scripts
    for _, name, text in blocks:
        if name and name != "background":
            (folder / name).write_text(text, encoding="utf-8")
    program = folder / "bin" / "suanwang"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom suanwang.cli import main\n\nmain()\n", encoding="utf-8")
    program.chmod(0o755)
    path = os.pathsep.join((str(program.parent), str(Path(sys.executable).parent), os.environ["PATH"]))
    with running(*background.split()[1:], "--json", home=folder, SUANWANG_PORT="0") as process:
        assert first_json(process, folder)["logged_in"] is True
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join(text for _, text in typed)],
            env=environment(folder, PATH=path),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert until_none_left(folder) == []
    return done.stdout, done.stderr
