"""Writes `task.schema.json` anew: `python -m suanwang.taskfile`."""

from suanwang.taskfile.schema import SCHEMA_PATH, schema_text

SCHEMA_PATH.write_text(schema_text(), encoding="utf-8")
