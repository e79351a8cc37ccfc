"""The written and stored forms, and the schema that editors use."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from suanwang.domain.errors import UnreadableReply
from suanwang.domain.task import Task
from suanwang.taskfile import (
    InvalidTask,
    hide_secrets,
    json_schema,
    read_tasks,
    task_from_json,
    task_to_json,
    write_task,
    write_tasks,
)
from suanwang.taskfile.schema import SCHEMA_PATH, schema_text

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
TASK_FILES = sorted((EXAMPLES / "tasks").glob("*.yaml"))
ALL_FILES = [*TASK_FILES, *sorted((EXAMPLES / "sbatch").glob("*.sh")), *sorted((EXAMPLES / "skypilot").glob("*.yaml"))]


def test_there_are_examples_of_every_format() -> None:
    assert {path.parent.name for path in ALL_FILES} == {"tasks", "sbatch", "skypilot"}


@pytest.mark.parametrize("path", ALL_FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_example_is_read_in_its_own_format_and_round_trips(path: Path) -> None:
    submission = read_tasks(path.read_bytes(), filename=path.name)
    assert submission.format == {"tasks": "native"}.get(path.parent.name, path.parent.name)
    assert read_tasks(write_tasks(submission.tasks)).tasks == submission.tasks
    for task in submission.tasks:
        assert task_from_json(json.loads(json.dumps(task_to_json(task)))) == task


def test_every_task_in_the_document_is_read() -> None:
    document = (EXAMPLES.parent / "task-file.md").read_text(encoding="utf-8")
    least, whole, devices = re.findall(r"```yaml\n(.*?)```", document, re.DOTALL)
    assert read_tasks(least).tasks[0].name == "hello"
    prepare = "\n---\nname: prepare\nrun: x\noutputs: {clean: c}\n"
    (train, _) = read_tasks(whole + prepare).tasks
    assert (train.count, train.max_attempts, train.resources.time_limit_s) == (8, 3, 5400)
    assert set(yaml.safe_load(whole)) == set(json_schema()["properties"])
    for line in devices.strip().split("\n"):
        assert read_tasks(f"name: a\nrun: x\nresources:\n  {line}\n").tasks[0].resources.devices is not None


def test_defaults_are_neither_written_nor_stored() -> None:
    task = Task(name="a", run="echo hi")
    assert write_task(task) == "name: a\nrun: echo hi\n"
    assert task_to_json(task) == {"name": "a", "run": "echo hi"}


def test_scripts_are_written_as_blocks() -> None:
    assert write_task(Task(name="a", run="one\ntwo\n")) == "name: a\nrun: |\n  one\n  two\n"


@pytest.mark.parametrize(
    "row", [{}, {"name": "a"}, {"name": "a", "run": "x", "inputs": [1]}, {"name": "a", "run": "x", "resources": 3}]
)
def test_a_broken_row_is_unreadable(row: dict[str, Any]) -> None:
    with pytest.raises(UnreadableReply):
        task_from_json(row)


def test_secrets_can_be_hidden_before_a_task_is_shown() -> None:
    task = Task(name="a", run="x", env={"TOKEN": "hush", "N": "1"})
    assert dict(hide_secrets(task, ("TOKEN",)).env) == {"TOKEN": "***", "N": "1"}
    assert hide_secrets(task, ()) is task


def test_the_schema_file_is_current() -> None:
    assert SCHEMA_PATH.read_text(encoding="utf-8") == schema_text(), "run python -m suanwang.taskfile"


@pytest.mark.parametrize("path", TASK_FILES, ids=lambda path: path.name)
def test_examples_are_valid_under_the_schema(path: Path) -> None:
    validator = jsonschema_rs.validator_for(json_schema())
    for document in yaml.load_all(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader):
        numbers = json.loads(json.dumps(document), object_hook=_numbers)
        validator.validate(numbers)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a"},
        {"name": "a", "run": "x", "rum": "y"},
        {"name": "a", "run": "x", "count": 0},
        {"name": "a", "run": "x", "resources": {"cores": "many"}},
        {"name": "a", "run": "x", "objective": "best"},
        {"name": "a", "run": "x", "resources": {"devices": {"kind": "quantum"}}},
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(wrong: dict[str, Any]) -> None:
    assert not jsonschema_rs.is_valid(json_schema(), wrong)
    with pytest.raises(InvalidTask):
        read_tasks(json.dumps(wrong))


def test_every_key_of_the_schema_is_described() -> None:
    schema = json_schema()
    for section in (schema, *schema["$defs"].values()):
        assert section["description"]
        for name, value in section["properties"].items():
            assert value.get("description"), name


def _numbers(mapping: dict[str, Any]) -> dict[str, Any]:
    """What an editor's YAML reader makes of plain scalars."""
    plain = {"true": True, "false": False}
    return {
        key: int(value) if isinstance(value, str) and value.isdigit() else plain.get(str(value), value)
        for key, value in mapping.items()
    }
