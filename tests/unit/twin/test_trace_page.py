"""Everything the page about traces shows, run in its order in one folder."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from suanwang.cli.app import run
from suanwang.twin.profile import read_profile, shipped
from suanwang.twin.traces import FORMATS

PAGE = (Path(__file__).parents[3] / "docs" / "traces.md").read_text(encoding="utf-8")


def test_the_page_works(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    commands = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    scripts = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert (len(commands), len(scripts)) == (1, 1)
    for line in commands[0].splitlines():
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        with pytest.raises(SystemExit) as ended:
            run()
        assert not ended.value.code, capsys.readouterr().err
    capsys.readouterr()
    exec(compile(scripts[0], "traces.md", "exec"), {})
    assert "'run': 0.0" in capsys.readouterr().out


def test_the_page_lists_every_format_and_profile() -> None:
    for name in FORMATS:
        assert f"| `{name}` |" in PAGE, name
    for name in shipped():
        assert re.search(rf"\| `{name}` \| {read_profile(name).fitted_jobs:,} ", PAGE), name
