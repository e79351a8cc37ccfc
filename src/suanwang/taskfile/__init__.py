"""The task file: what a user writes, read strictly into the domain's `Task`.

Owns the native YAML, the readers of sbatch scripts and SkyPilot tasks, and the stored form. Knows no site, no database
and no clock; it opens no file of the user's.
"""

from suanwang.taskfile.encoding import task_from_json, task_to_json
from suanwang.taskfile.native import read_native
from suanwang.taskfile.problems import InvalidTask, Problem
from suanwang.taskfile.reading import read_tasks
from suanwang.taskfile.sbatch import read_sbatch
from suanwang.taskfile.schema import json_schema
from suanwang.taskfile.skypilot import read_skypilot
from suanwang.taskfile.submission import Submission, TaskFormat, Upload, hide_secrets
from suanwang.taskfile.writing import write_task, write_tasks

__all__ = [
    "InvalidTask",
    "Problem",
    "Submission",
    "TaskFormat",
    "Upload",
    "hide_secrets",
    "json_schema",
    "read_native",
    "read_sbatch",
    "read_skypilot",
    "read_tasks",
    "task_from_json",
    "task_to_json",
    "write_task",
    "write_tasks",
]
