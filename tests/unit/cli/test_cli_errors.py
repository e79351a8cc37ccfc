"""Exit codes and messages: scripts rely on the codes, people on the words."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from suanwang.cli.app import app, run
from suanwang.cli.exits import Exit, JobFailed, UsageError, describe, exit_code, report
from suanwang.domain.errors import (
    Conflict,
    Fenced,
    Forbidden,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    SuanwangError,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnreadableReply,
)
from suanwang.taskfile import InvalidTask, Problem

CODES = [
    (UsageError("x"), 2),
    (InvalidRequest("x"), 3),
    (TooLarge("x"), 3),
    (InvalidTask([Problem(field="run", message="x")], filename="t"), 3),
    (Unauthorized("x"), 4),
    (Forbidden("x"), 4),
    (NotFound("x"), 5),
    (Conflict("x"), 6),
    (Fenced("x"), 6),
    (Unavailable("x"), 7),
    (OutcomeUnknown("x", tag="t"), 7),
    (JobFailed("x"), 8),
    (UnreadableReply("x"), 1),
    (SuanwangError("x"), 1),
    (ValueError("x"), 1),
    (KeyboardInterrupt(), 130),
]


@pytest.mark.parametrize(("error", "code"), CODES, ids=lambda value: type(value).__name__)
def test_each_kind_of_error_has_its_code(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


def test_the_manual_has_every_code() -> None:
    manual = (Path(__file__).parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", manual, re.MULTILINE)} == {int(code) for code in Exit}


def test_a_message_says_field_allowed_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    _terminal(monkeypatch, "C.UTF-8")
    said = describe(Unauthorized("no valid token", field="Authorization", allowed="Bearer TOKEN"))
    assert said.splitlines() == [
        "error: no valid token",
        "  field: Authorization",
        "  allowed: Bearer TOKEN",
        "  next: log in with `suanwang login URL`, or set SUANWANG_URL and SUANWANG_TOKEN",
    ]


def test_a_message_is_in_the_terminals_language(monkeypatch: pytest.MonkeyPatch) -> None:
    _terminal(monkeypatch, "zh_CN.UTF-8")
    assert describe(Unauthorized("no valid token", field="token", allowed="a token of yours")).splitlines() == [
        "错误：没有有效的令牌",
        "  字段：token",
        "  允许：您的令牌",
        "  下一步：请用 `suanwang login URL` 登录，或设置 SUANWANG_URL 与 SUANWANG_TOKEN",
    ]
    problems = [Problem(field="run", message="the script is empty", allowed="a shell script", line=2)]
    assert describe(InvalidTask(problems, filename="t.yaml")) == (
        "错误：t.yaml：第 2 行，run：脚本为空（允许：shell 脚本）"
    )


def test_what_is_wrong_with_options_is_said_in_the_terminals_language(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, said in (
        (["job", "list", "--limit", "x"], "'--limit' 的值无效：须为整数，字符串无法解析为整数"),
        (["fly"], "没有命令 'fly'。"),
        (["job", "list", "--fly"], "没有选项：--fly"),
    ):
        _terminal(monkeypatch, "zh_CN.UTF-8")
        monkeypatch.setattr(sys, "argv", ["suanwang", *arguments])
        with pytest.raises(SystemExit) as ended:
            run()
        assert ended.value.code == Exit.USAGE
        assert f"错误：{said}" in capsys.readouterr().err


def _terminal(monkeypatch: pytest.MonkeyPatch, language: str) -> None:
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", language)


def test_a_defect_is_no_traceback_unless_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SUANWANG_DEBUG", raising=False)
    assert report(ValueError("odd")) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "ValueError: odd" in said
    monkeypatch.setenv("SUANWANG_DEBUG", "1")
    report(ValueError("odd"))
    assert "ValueError: odd" in capsys.readouterr().err


def test_help_loads_neither_models_nor_servers() -> None:
    """Start-up time is what a person waits for at every command; what costs most of it is counted, not timed."""
    code = (
        "import sys; import suanwang.cli.app; "
        "print(sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'pydantic', 'httpx', 'numpy', 'fastapi', 'sqlalchemy', 'yaml', 'rich', 'psycopg', 'suanwang_none'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stdout


def test_unknown_commands_and_options_are_usage_errors() -> None:
    for arguments in (["fly"], ["job", "list", "--fly"], ["submit"], ["bill", "lines", "--limit", "0"]):
        done = subprocess.run(
            [sys.executable, "-m", "suanwang.cli", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2, (arguments, done.stderr)
        assert "Traceback" not in done.stderr


def test_the_manual_has_every_command() -> None:
    manual = (Path(__file__).parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")
    named = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    for group in app.registered_groups:
        assert group.typer_instance is not None
        for command in group.typer_instance.registered_commands:
            own = command.name or getattr(command.callback, "__name__", "").replace("_", "-")
            named.add(f"{group.name} {own}")
    missing = [name for name in sorted(named) if not re.search(rf"`{re.escape(name)}[ `]", manual)]
    assert missing == []
