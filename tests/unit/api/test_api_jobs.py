"""Jobs over HTTP: submit in every form, look, explain, cancel, and what others may not see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.unit.api.api_world import World, world

from suanwang.client import models

NATIVE = "name: hello\nrun: echo hello\nresources: {cores: 2, memory: 2GB}\n"
SBATCH = "#!/bin/bash\n#SBATCH --job-name=legacy\n#SBATCH --cpus-per-task=2\n#SBATCH --time=10\necho hello\n"
SKYPILOT = "name: sky\nnum_nodes: 1\nresources: {cpus: 2}\nrun: echo hello\n"


@pytest.fixture
def net() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.mark.parametrize(
    ("content_type", "text", "name"),
    [
        ("application/yaml", NATIVE, "hello"),
        ("text/plain; charset=utf-8", SBATCH, "legacy"),
        ("text/yaml", SKYPILOT, "sky"),
    ],
)
def test_every_form_of_task_file_becomes_a_job(net: World, content_type: str, text: str, name: str) -> None:
    reply = net.ask("POST", "/v1/jobs", content=text.encode(), headers={"Content-Type": content_type})
    assert reply.status_code == 201, reply.text
    answer = models.Submitted.model_validate_json(reply.content)
    assert [job.name for job in answer.jobs] == [name]
    assert answer.jobs[0].state == "queued"
    assert answer.jobs[0].project == "demo"
    assert answer.count == 1


def test_an_array_is_listed_with_its_members_and_found_by_its_first(net: World) -> None:
    first = net.submit("sweep", count=3)
    assert first["array"] == {"id": first["id"], "index": 0, "count": 3}
    page = net.ask("GET", f"/v1/jobs?array={first['id']}").json()
    assert sorted(job["array"]["index"] for job in page["items"]) == [0, 1, 2]
    cancelled = net.ask("POST", f"/v1/jobs/{first['id']}/cancel?array=true").json()
    assert cancelled["count"] == 3
    assert {job["state"] for job in cancelled["jobs"]} == {"cancelled"}


def test_pages_follow_each_other_without_loss(net: World) -> None:
    wanted = {net.submit(f"job-{n}")["id"] for n in range(5)}
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(10):
        page = net.ask("GET", "/v1/jobs", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [job["id"] for job in page["items"]]
        assert len(page["items"]) <= 2
        cursor = page["next"]
        if cursor is None:
            break
    assert sorted(seen) == sorted(wanted)
    assert len(set(seen)) == 5


def test_lists_are_narrowed_by_every_filter(net: World) -> None:
    ran, _ = net.run("x\n", name="ran")
    net.submit("waits")
    net.submit("theirs", by="bob")
    for query, names in {
        "state=succeeded": {"ran"},
        "state=succeeded&state=queued": {"ran", "waits"},
        "site=guian": {"ran"},
        "name=waits": {"waits"},
        "owner=alice": {"ran", "waits"},
        "owner=nobody": set(),
        "project=demo": {"ran", "waits"},
        "project=other": set(),
    }.items():
        page = net.ask("GET", f"/v1/jobs?{query}").json()
        assert {job["name"] for job in page["items"]} == names, query
    everyone = net.ask("GET", "/v1/jobs", by="rita").json()
    assert {job["name"] for job in everyone["items"]} == {"ran", "waits", "theirs"}
    counts = net.ask("GET", "/v1/jobs/counts").json()["counts"]
    assert (counts["succeeded"], counts["queued"], counts["failed"]) == (1, 1, 0)
    assert ran["id"]


def test_a_finished_job_is_told_in_full(net: World) -> None:
    job, _ = net.run("epoch 1\n", "epoch 2\n")
    base = f"/v1/jobs/{job['id']}"
    detail = models.JobDetail.model_validate_json(net.ask("GET", base).content)
    assert detail.state == "succeeded"
    assert detail.exit_code == 0
    assert detail.usage.wall_s == 90
    assert str(detail.usage.cost_yuan) == "0.00250000"
    assert detail.task == {"name": "hello", "run": "echo hello"}
    assert detail.why is not None
    assert detail.why.chosen is not None
    assert detail.why.chosen.site == "guian"
    (allocation,) = models.Allocations.model_validate_json(net.ask("GET", base + "/allocations").content).items
    assert (allocation.site, allocation.state, allocation.outcome) == ("guian", "ended", "succeeded")
    logs = models.Logs.model_validate_json(net.ask("GET", base + "/logs").content)
    assert [piece.text for piece in logs.items] == ["epoch 1\n", "epoch 2\n"]
    rest = net.ask("GET", f"{base}/logs?after={logs.items[0].seq}").json()
    assert [piece["text"] for piece in rest["items"]] == ["epoch 2\n"]
    usage = models.UsageRecords.model_validate_json(net.ask("GET", base + "/usage").content).items
    assert sum((record.to_at - record.from_at).total_seconds() for record in usage) == 90
    kinds = [event["kind"] for event in net.ask("GET", base + "/events").json()["items"]]
    assert kinds[0] == "job.accepted"
    assert kinds[-1] == "job.succeeded"
    assert net.ask("GET", base + "/points").json() == {"items": []}
    assert net.ask("GET", base + "/explain").json()["verdict"] == "ended"


def test_lists_stay_light(net: World) -> None:
    net.run("x\n")
    (job,) = net.ask("GET", "/v1/jobs").json()["items"]
    assert "task" not in job
    assert "why" not in job
    assert set(job) == set(models.JobView.model_fields)


def test_another_projects_job_does_not_exist_for_others(net: World) -> None:
    job, _ = net.run("secret output\n")
    for path in ("", "/logs", "/logs?follow=true", "/explain", "/points", "/allocations", "/usage", "/events"):
        reply = net.ask("GET", f"/v1/jobs/{job['id']}{path}", by="bob")
        assert reply.status_code == 404, path
        assert reply.json()["type"] == "urn:suanwang:problem:not-found"
    assert net.ask("POST", f"/v1/jobs/{job['id']}/cancel", by="bob").status_code == 404
    assert net.ask("GET", f"/v1/events?job={job['id']}", by="bob").status_code == 404
    assert net.ask("GET", f"/v1/bills/lines?job={job['id']}", by="bob").json()["items"] == []


def test_a_provider_sees_what_ran_at_his_own_site_only(net: World) -> None:
    job, _ = net.run("x\n")
    waiting = net.submit("elsewhere")
    assert net.ask("GET", f"/v1/jobs/{job['id']}", by="guian").status_code == 200
    assert [j["id"] for j in net.ask("GET", "/v1/jobs?site=guian", by="guian").json()["items"]] == [job["id"]]
    assert net.ask("GET", f"/v1/jobs/{waiting['id']}", by="guian").status_code == 404
    assert net.ask("GET", f"/v1/jobs/{job['id']}", by="wuhu").status_code == 404
    assert net.ask("GET", "/v1/jobs?site=guian", by="wuhu").json()["items"] == []
    assert net.ask("POST", f"/v1/jobs/{job['id']}/cancel", by="guian").status_code == 403


def test_a_regulator_sees_and_changes_nothing(net: World) -> None:
    job = net.submit()
    assert net.ask("GET", f"/v1/jobs/{job['id']}", by="rita").status_code == 200
    assert net.ask("POST", f"/v1/jobs/{job['id']}/cancel", by="rita").status_code == 403
    reply = net.ask("POST", "/v1/jobs", by="rita", json={"tasks": [{"name": "a", "run": "x"}], "project": "demo"})
    assert reply.status_code == 403


def test_cancelling_twice_is_harmless(net: World) -> None:
    job = net.submit()
    for _ in range(2):
        reply = net.ask("POST", f"/v1/jobs/{job['id']}/cancel")
        assert reply.status_code == 200
        assert reply.json()["jobs"][0]["state"] == "cancelled"
    events = net.ask("GET", f"/v1/jobs/{job['id']}/events").json()["items"]
    assert [event["actor"] for event in events if event["kind"] == "job.cancelled"] == ["alice"]


def test_a_key_makes_repetition_harmless(net: World) -> None:
    body = {"tasks": [{"name": "once", "run": "x"}]}
    first = net.ask("POST", "/v1/jobs", json=body, headers={"Idempotency-Key": "mine 1"})
    again = net.ask("POST", "/v1/jobs", json=body, headers={"Idempotency-Key": "mine 1"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["replayed"] is True
    assert again.json()["jobs"][0]["id"] == first.json()["jobs"][0]["id"]
    other = {"tasks": [{"name": "once", "run": "y"}]}
    clash = net.ask("POST", "/v1/jobs", json=other, headers={"Idempotency-Key": "mine 1"})
    assert clash.status_code == 409
    assert clash.json()["field"] == "Idempotency-Key"
    assert len(net.ask("GET", "/v1/jobs").json()["items"]) == 1


@pytest.mark.parametrize("key", ["x" * 201, " ", "tab\there", b"\xc3\xa9"])
def test_keys_that_nobody_can_read_are_refused(net: World, key: Any) -> None:
    reply = net.ask("POST", "/v1/jobs", json={"tasks": [{"name": "a", "run": "x"}]}, headers={"Idempotency-Key": key})
    assert reply.status_code == 422
    assert reply.json()["field"] == "Idempotency-Key"
    assert net.ask("GET", "/v1/jobs").json()["items"] == []


def test_every_problem_of_a_file_is_named_with_its_line(net: World) -> None:
    text = "name: hello\nrun: x\nresources: {cores: 0}\nruns: 3\n"
    reply = net.ask("POST", "/v1/jobs", content=text, headers={"Content-Type": "application/yaml"})
    assert reply.status_code == 422
    assert reply.headers["content-type"] == "application/problem+json"
    problems = reply.json()["problems"]
    assert [(p["field"], p["line"]) for p in problems] == [("resources.cores", 3), ("runs", 4)]
    assert net.ask("GET", "/v1/jobs").json()["items"] == []


def test_local_files_have_to_be_uploaded_first(net: World) -> None:
    text = "name: hello\nrun: x\ninputs: {data.csv: ./data.csv}\n"
    reply = net.ask("POST", "/v1/jobs", content=text, headers={"Content-Type": "text/plain"})
    assert reply.status_code == 422
    assert "your own machine" in reply.json()["detail"]
    preview = net.ask("POST", "/v1/jobs/preview", content=text, headers={"Content-Type": "text/plain"}).json()
    assert [upload["local_path"] for upload in preview["uploads"]] == ["./data.csv"]
    assert [task["verdict"] for task in preview["tasks"]] == ["runs"] or preview["tasks"][0]["verdict"] == "waits"


def test_a_preview_submits_nothing_and_gives_a_reason_for_each_site(net: World) -> None:
    net.agent().tell()
    tasks = [{"name": "fits", "run": "x"}, {"name": "huge", "run": "x", "resources": {"cores": 64}}]
    reply = net.ask("POST", "/v1/jobs/preview", json={"tasks": tasks})
    preview = models.Preview.model_validate_json(reply.content)
    assert [(task.name, task.verdict) for task in preview.tasks] == [("fits", "runs"), ("huge", "refused")]
    (reason,) = preview.tasks[1].why.excluded
    assert (reason.site, reason.code, reason.need, reason.have) == ("guian", "cores", "64", "8")
    assert reason.text == "a node has 8 cores; the job needs 64"
    chinese = net.ask("POST", "/v1/jobs/preview", json={"tasks": tasks}, headers={"Accept-Language": "zh-CN,en;q=0.5"})
    assert chinese.json()["tasks"][1]["why"]["excluded"][0]["text"] == "每节点 8 核；作业需要 64 核"
    assert net.ask("GET", "/v1/jobs").json()["items"] == []
    assert not [e for e in net.ask("GET", "/v1/events", by="olga").json()["items"] if e["kind"].startswith("job.")]


def test_a_preview_answers_with_the_problems_of_a_file(net: World) -> None:
    reply = net.ask("POST", "/v1/jobs/preview", content="name: X Y\nrun: x\n", headers={"Content-Type": "text/plain"})
    assert reply.status_code == 200
    (problem,) = reply.json()["problems"]
    assert (problem["field"], problem["line"]) == ("name", 1)
    nowhere = {"tasks": [{"name": "a", "run": "x", "constraints": {"circle": "within 5 ms of Atlantis"}}]}
    found = net.ask("POST", "/v1/jobs/preview", json=nowhere).json()
    assert found["problems"][0]["field"] == "constraints.circle.place"
    assert net.ask("POST", "/v1/jobs/preview", json={**nowhere, "project": "other"}).status_code == 403


def test_a_job_no_site_can_run_is_refused_with_reasons(net: World) -> None:
    net.agent().tell()
    job = net.submit("huge", resources={"cores": 64})
    assert job["state"] == "refused"
    explained = net.ask("GET", f"/v1/jobs/{job['id']}/explain").json()
    assert explained["verdict"] == "refused"
    assert explained["why"]["excluded"][0]["code"] == "cores"


def test_waiting_jobs_name_what_they_need(net: World) -> None:
    tasks = [{"name": "one", "run": "x"}, {"name": "two", "run": "x", "needs": ["one"]}]
    jobs = net.ask("POST", "/v1/jobs", json={"tasks": tasks}).json()["jobs"]
    one, two = (next(j for j in jobs if j["name"] == name) for name in ("one", "two"))
    assert two["needs"] == [one["id"]]
    explained = net.ask("GET", f"/v1/jobs/{two['id']}/explain").json()
    assert (explained["verdict"], explained["needs"]) == ("blocked", {one["id"]: "queued"})


def test_secret_looking_environment_values_are_not_shown(net: World) -> None:
    job = net.submit(env={"HF_TOKEN": "hf_abc", "DB_PASSWORD": "hunter2", "EPOCHS": "3"})
    reply = net.ask("GET", f"/v1/jobs/{job['id']}")
    assert reply.json()["task"]["env"] == {"HF_TOKEN": "***", "DB_PASSWORD": "***", "EPOCHS": "3"}
    stored = net.store.job(job["id"])
    assert stored is not None
    assert stored.task.env["HF_TOKEN"] == "hf_abc"


def test_projects_named_twice_must_agree(net: World) -> None:
    body = {"tasks": [{"name": "a", "run": "x"}], "project": "demo"}
    assert net.ask("POST", "/v1/jobs?project=demo", json=body).status_code == 201
    assert net.ask("POST", "/v1/jobs?project=other", json=body, by="olga").status_code == 422
    assert net.ask("POST", "/v1/jobs", json={**body, "project": "other"}).status_code == 403
    assert net.ask("POST", "/v1/jobs", json={"tasks": body["tasks"]}, by="olga").json()["field"] == "project"
