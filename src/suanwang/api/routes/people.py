"""Routes about people: who the caller is, tokens, projects."""

from __future__ import annotations

from fastapi import APIRouter, Response

from suanwang.api import answering
from suanwang.api.answering import answer
from suanwang.api.asking import Asked, Body, Route, model_of
from suanwang.api.describing import FAULT, takes
from suanwang.client import models
from suanwang.domain.allowance import Allowance
from suanwang.domain.identity import Principal
from suanwang.domain.ids import ProjectId

router = APIRouter(prefix="/v1", tags=["people"], route_class=Route, responses=FAULT)


@router.get("/whoami", response_model=models.WhoAmI)
def whoami(ask: Asked) -> Response:
    """Whom the token belongs to."""
    return answer(answering.principal(ask.caller))


@router.get("/tokens", response_model=models.TokenList)
def tokens(ask: Asked) -> Response:
    """The caller's tokens; operators and regulators see everyone's. Secrets are never shown."""
    return answer({"items": [answering.token(token) for token in ask.network.people.tokens(ask.caller)]})


@router.post(
    "/tokens",
    status_code=201,
    response_model=models.CreatedToken,
    openapi_extra=takes("NewToken", {"name": "alice", "role": "user", "projects": ["demo"], "ttl_s": 2592000}),
)
def create_token(ask: Asked, body: Body) -> Response:
    """A new token; its secret is shown this once."""
    caller = ask.caller
    asked = model_of(models.NewToken, body)
    principal = Principal(
        name=asked.name,
        role=asked.role,
        projects=tuple(ProjectId(project) for project in asked.projects),
        provider=asked.provider,
    )
    token, secret = ask.network.people.create_token(caller, principal, ttl_s=asked.ttl_s, note=asked.note)
    return answer({"token": answering.token(token), "secret": secret}, 201)


@router.delete("/tokens/{token_id}", status_code=204, response_class=Response)
def revoke_token(ask: Asked, token_id: str) -> Response:
    """Revoke a token; it opens nothing from now on."""
    ask.network.people.revoke(ask.caller, token_id)
    return Response(status_code=204)


@router.get("/projects", response_model=models.ProjectList)
def projects(ask: Asked) -> Response:
    """Projects the caller may see."""
    return answer({"items": [answering.project(project) for project in ask.network.people.projects(ask.caller)]})


@router.post(
    "/projects",
    status_code=201,
    response_model=models.ProjectView,
    openapi_extra=takes("NewProject", {"id": "demo", "title": "Demonstration"}),
)
def create_project(ask: Asked, body: Body) -> Response:
    """A project, to which jobs, files and bills belong. One that exists is left as it is."""
    caller = ask.caller
    asked = model_of(models.NewProject, body)
    return answer(answering.project(ask.network.people.create_project(caller, asked.id, asked.title)), 201)


@router.put(
    "/projects/{project_id}/labels",
    response_model=models.ProjectView,
    openapi_extra=takes("NewLabels", {"organisation": "Tsinghua", "department": "Physics", "team": "Plasma"}),
)
def label_project(ask: Asked, project_id: str, body: Body) -> Response:
    """Say whose a project is; what is left out is forgotten. For operators."""
    caller = ask.caller
    said = model_of(models.NewLabels, body).model_dump(exclude_none=True)
    return answer(answering.project(ask.network.people.label_project(caller, ProjectId(project_id), said)))


@router.get("/projects/{project_id}/allowance", response_model=models.AllowanceView)
def allowance(ask: Asked, project_id: str) -> Response:
    """What a project may have, beside what it has."""
    return answer(answering.allowance(ask.network.allowances.of(ask.caller, ProjectId(project_id))))


@router.put(
    "/projects/{project_id}/allowance",
    response_model=models.AllowanceView,
    openapi_extra=takes(
        "NewAllowance",
        {"weight": 2, "cores": 512, "devices": {"nvidia-a100-80gb": 8}, "queued": 10000, "may_be_high": False},
    ),
)
def allow(ask: Asked, project_id: str, body: Body) -> Response:
    """Say what a project may have from now on: its weight beside others, its quotas, whether its jobs may be of high
    priority. It replaces what was said before. For operators."""
    caller = ask.caller
    said = Allowance(**model_of(models.NewAllowance, body).model_dump())
    return answer(answering.allowance(ask.network.allowances.put(caller, ProjectId(project_id), said)))
