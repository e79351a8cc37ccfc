"""A submission as a request carries it: JSON tasks, or the text of a task file in any of its formats.

Owns which media type means what. What is a correct task is the task file's business.
"""

from __future__ import annotations

from suanwang.api.asking import model_of
from suanwang.client.models import NewJobs
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.ids import ProjectId
from suanwang.taskfile import InvalidTask, Problem, Submission, read_tasks
from suanwang.taskfile.native import read_documents
from suanwang.taskfile.problems import Findings
from suanwang.taskfile.yamltext import Document

JSON_TYPES = frozenset({"", "application/json"})
TEXT_TYPES = frozenset(
    {
        "application/yaml",
        "application/x-yaml",
        "text/yaml",
        "text/x-yaml",
        "text/plain",
        "application/x-sh",
        "text/x-shellscript",
    }
)


def read(content_type: str, body: bytes, project: str | None) -> tuple[Submission, ProjectId | None]:
    """The tasks of a body and the project that pays, None for the caller's first.

    Raises `InvalidTask` with every problem, and `InvalidRequest` for a media type nobody reads.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in TEXT_TYPES:
        return read_tasks(body, filename="task"), _project(project)
    if media_type not in JSON_TYPES:
        raise InvalidRequest(
            f"nobody here reads {media_type[:80]!r}",
            field="Content-Type",
            allowed="application/json, application/yaml, text/plain",
        )
    asked = model_of(NewJobs, body)
    if project is not None and asked.project is not None and project != asked.project:
        raise InvalidRequest("the body and the query name two projects", field="project", allowed="one project")
    documents = [Document(value=task) for task in asked.tasks]
    return read_documents(documents, Findings("task")), _project(asked.project or project)


def must_be_uploaded(submission: Submission) -> None:
    """Raises `InvalidTask` for tasks that read files of the submitting machine: nobody here can open them."""
    if submission.uploads:
        raise InvalidTask(
            [
                Problem(
                    field="inputs",
                    message=f"{upload.local_path[:200]!r} is a file of your own machine",
                    allowed=f"upload it first and name it here as {upload.name!r}; `suanwang submit` does both",
                )
                for upload in submission.uploads
            ],
            filename="task",
        )


def _project(name: str | None) -> ProjectId | None:
    return None if name is None else ProjectId(name)
