"""Requirement, quote, trial, learning, capability and catalogue over HTTP and through the client."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from tests.factories import pool
from tests.unit.api.api_world import NOW, World, offering, world
from tests.unit.quoted_runs import A100, CORES, HUGE, VISION

from suanwang.client import Client, quote_models
from suanwang.client.wire import Patience
from suanwang.control.quotes import VALID_FOR
from suanwang.domain.errors import Conflict, InvalidRequest, NotFound, TooLarge
from suanwang.domain.exchange import CurvePoint, Phase, RunReport, SiteReport, SyncRequest
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import SiteId
from suanwang.domain.sample import Sample, Source
from suanwang.domain.site import Price
from suanwang.taskfile import read_tasks

TEXT = {"Content-Type": "application/yaml"}
NEED = {"work": "network", "network": "resnet50", "samples": 1281167, "epochs": 90}
TASK = "name: hello\nrun: echo hello\nresources: {cores: 2, expected: 30m}\n"
HORINGER = Principal(name="agent-horinger", role=Role.AGENT, site_id=SiteId("horinger"))


class Net:
    """The API's small network, with 贵安 connected and eight A100 at 和林格尔."""

    def __init__(self, made: World) -> None:
        self.world = made
        made.network.sites.invite(
            made.operator,
            "horinger",
            offering(
                name_zh="和林格尔",
                name_en="Horinger",
                connector="slurm",
                nodes=2,
                devices=(pool(A100),),
                price=Price(core_hour_yuan=Decimal("0.1"), device_hour_yuan={A100: Decimal(10)}),
                declares={"device.matmul.bf16": 250.0},
            ),
        )
        self.session = made.network.sites.join(HORINGER).reply.session
        self.guian = made.agent()
        self.guian.tell()
        self.tell()

    def tell(self, *runs: RunReport, samples: tuple[Sample, ...] = ()) -> Any:
        report = SiteReport(cores=16, memory_gb=64.0, devices={A100: 8})
        request = SyncRequest(
            session=self.session, sent_at=self.world.clock.at, runs=runs, site=report, samples=samples
        )
        return self.world.network.sites.sync(HORINGER, request)

    def client(self, by: str = "alice", *, chinese: bool = False) -> Client:
        patience = Patience(pause=lambda _: None)
        return Client(
            "http://network", f"secret-of-{by}", transport=self.world.transport, patience=patience, chinese=chinese
        )

    def run_one(self, *points: CurvePoint, hours: float) -> None:
        """The one lease of 和林格尔, from start to end."""
        (lease,) = self.tell().start
        told = RunReport(
            allocation_id=lease.allocation_id, epoch=lease.epoch, phase=Phase.RUNNING, started_at=self.world.clock.at
        )
        self.tell(told)
        begun = self.world.clock.at
        self.world.clock.at = begun + (VALID_FOR * hours)
        from suanwang.domain.connector import RunState

        ended = RunReport(
            allocation_id=lease.allocation_id,
            epoch=lease.epoch,
            phase=Phase.ENDED,
            started_at=begun,
            ended_at=self.world.clock.at,
            outcome=RunState.SUCCEEDED,
            exit_code=0,
            points=points,
        )
        self.tell(ended)
        self.guian.tell()


@pytest.fixture
def net() -> Iterator[Net]:
    with world() as made:
        yield Net(made)


def test_a_need_is_reckoned_from_text_and_from_json(net: Net) -> None:
    said = net.world.ask("POST", "/v1/needs", content=VISION.encode(), headers=TEXT)
    assert said.status_code == 200, said.text
    found = quote_models.RequirementView.model_validate_json(said.content)
    assert [estimate.device for estimate in found.estimates] == [A100], "what the network has"
    with net.client() as client:
        assert client.requirement(NEED) == found
        several = client.requirement(VISION, devices=["h100 sxm", "Ascend 910B"], count=8)
    assert {(estimate.device, estimate.cards) for estimate in several.estimates} == {
        ("nvidia-h100-sxm", 8),
        ("huawei-ascend-910b", 8),
    }
    training = {"work": "pretrain", "model": {"parameters": "7B"}, "tokens": "200B"}
    with net.client() as client:
        estimate = client.requirement(training, devices=["h100 sxm"], count=64).estimates[0]
    assert estimate.split is not None
    assert estimate.split.tensor * estimate.split.pipeline * estimate.split.data == 64
    assert estimate.memory is not None
    assert 0 < estimate.memory.total_gb < 80
    assert estimate.mfu is not None
    assert estimate.work_pd == pytest.approx(6 * 7e9 * 200e9 / 8.64e19)
    assert estimate.card_hours.mid == pytest.approx(64 * estimate.hours.mid)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"work": "pretrain"}, "model"),
        ({"work": "nothing"}, "work"),
        ({**NEED, "epochs": -1}, "epochs"),
        ({**NEED, "samples": 0}, "samples"),
        ({**NEED, "samples": "many"}, "samples"),
        ({**NEED, "colour": "red"}, "colour"),
        ({"work": "finetune", "model": {"config": {}}, "tokens": 1, "method": "full"}, "model.config"),
        ([1, 2], "file"),
    ],
)
def test_a_wrong_need_names_its_field(net: Net, body: object, field: str) -> None:
    for path in ("/v1/needs", "/v1/quotes?project=demo"):
        said = net.world.ask("POST", path, json=body)
        assert said.status_code == 422
        assert said.headers["content-type"] == "application/problem+json"
        assert said.json()["field"].startswith(field)
        assert said.json()["detail"]


def test_numbers_that_are_none_and_bodies_that_are_too_much(net: Net) -> None:
    said = net.world.ask("POST", "/v1/needs", content=b"work: core_hours\ncore_hours: .nan\n", headers=TEXT)
    assert said.status_code == 422
    assert said.json()["field"] == "core_hours"
    assert net.world.ask("POST", "/v1/needs", content=b'{"work": 1e999}').status_code == 422
    assert net.world.ask("POST", "/v1/needs", content=b"#" * 300_000, headers=TEXT).status_code == 413
    assert net.world.ask("POST", "/v1/needs", content=b"x", headers={"Content-Type": "image/png"}).status_code == 422
    assert net.world.ask("POST", "/v1/needs?count=0", json=NEED).status_code == 422
    assert net.world.ask("POST", "/v1/needs?devices=nothing-such", json=NEED).json()["field"] == "devices"
    assert net.world.ask("POST", "/v1/needs", json=NEED, by=None).status_code == 401


def test_a_quote_is_made_shared_and_used(net: Net) -> None:
    with net.client() as client, net.client("bob") as stranger:
        made = client.quote(VISION, title="resnet", objective="fastest")
        assert made.id.startswith("q-")
        assert (made.title, made.source, made.expired) == ("resnet", VISION, False)
        assert made.expires_at - made.created_at == VALID_FOR
        assert made.page == f"/quotes/{made.id}"
        assert [out.code for out in made.excluded] == ["no_device"]
        assert made.offers[0].cards == 8
        assert stranger.quoted(made.id) == client.quoted(made.id) == made
        tasks = read_tasks("name: train\nrun: ./train\n").tasks
        with pytest.raises(NotFound):
            stranger.submit(tasks, quote=made.id)
        done = client.submit(tasks, quote=made.id, offer=2)
        job = client.job(done.jobs[0].id)
        offer = made.offers[1]
        assert job.task["resources"]["devices"]["count"] == offer.devices_per_node
        assert job.task["constraints"]["sites"] == ["horinger"]
        net.world.network.turn()
        net.run_one(hours=offer.hours.mid)
        net.world.network.turn()
        assert client.job(job.id).billed_fen == pytest.approx(offer.price_yuan.mid * 100, abs=1)
        (lesson,) = client.lessons()
        assert (lesson.job, lesson.device, lesson.interrupted) == (job.id, A100, False)
        assert lesson.measured_hours == pytest.approx(offer.hours.mid, rel=1e-4)
        assert stranger.lessons()[0].job is None
        (belief,) = client.beliefs()
        assert (belief.device, belief.runs) == (A100, 1)
        assert belief.factor.low < belief.factor.mid < belief.factor.high
        net.world.clock.at = NOW + 3 * VALID_FOR + VALID_FOR * offer.hours.mid
        assert client.quoted(made.id).expired
        with pytest.raises(Conflict, match="expired"):
            client.submit(tasks, quote=made.id)


def test_a_task_is_quoted_by_its_own_objective_or_another(net: Net) -> None:
    with net.client() as client:
        from_text = client.quote(TASK)
        from_task = client.quote(read_tasks(TASK).tasks[0], objective="price=1,finish=2")
    assert {offer.site for offer in from_text.offers} == {"guian", "horinger"}
    assert from_text.offers[0].hours.mid == 0.5
    assert from_text.title == from_task.title == "hello"
    assert from_text.offers[0].prediction is None
    two = net.world.ask("POST", "/v1/quotes", content=f"{TASK}---\n{TASK.replace('hello', 'b')}".encode(), headers=TEXT)
    assert two.status_code == 422
    assert two.json()["detail"].startswith("2 tasks")
    wrong = net.world.ask("POST", "/v1/quotes?objective=prettiest", content=TASK.encode(), headers=TEXT)
    assert wrong.status_code == 422
    assert "objective" in wrong.json()["field"]
    zero = net.world.ask("POST", "/v1/quotes?objective=price=0", content=TASK.encode(), headers=TEXT)
    assert zero.status_code == 422


def test_a_preview_keeps_nothing_and_tells_problems(net: Net) -> None:
    with net.client(chinese=True) as client:
        found = client.preview_quote(VISION, devices=["A100 SXM4 80GB"])
        assert found.offers
        assert found.problems == []
        assert "没有加速卡" in found.excluded[0].text
        wrong = client.preview_quote("work: network\nsamples: -1\n")
        assert wrong.offers == []
        assert wrong.problems[0].field == "samples" or "flops" in wrong.problems[0].message
        nowhere = client.preview_quote(HUGE)
        assert nowhere.offers == []
        assert {out.code for out in nowhere.excluded} == {"no_device", "unfit"}
        task = client.preview_quote(TASK)
        assert len(task.offers) == 2
        with pytest.raises(NotFound):
            client.quoted("q-0000000000001")
        with pytest.raises(TooLarge):
            client.preview_quote("#" * 300_000 + "\nwork: network\n")
    assert net.world.store._quotes == {}


def test_offers_belong_to_quotes(net: Net) -> None:
    said = net.world.ask("POST", "/v1/jobs?offer=1", json={"tasks": [{"name": "a", "run": "true"}]})
    assert (said.status_code, said.json()["field"]) == (422, "offer")
    with net.client() as client:
        made = client.quote(CORES)
        tasks = [*read_tasks("name: a\nrun: 'true'\n").tasks, *read_tasks("name: b\nrun: 'true'\n").tasks]
        with pytest.raises(InvalidRequest, match="a quote is for one"):
            client.submit(tasks, quote=made.id)
        with pytest.raises(InvalidRequest, match="no offer 99"):
            client.submit(tasks[:1], quote=made.id, offer=99)
        once = client.submit(tasks[:1], quote=made.id, key="k1")
        assert client.submit(tasks[:1], quote=made.id, key="k1").replayed
        assert once.count == 1
        regulator = net.client("rita")
        with pytest.raises(InvalidRequest):
            regulator.quote(CORES)
        regulator.close()


def test_a_trial_is_extrapolated_by_its_own_clock(net: Net) -> None:
    with net.client() as client:
        made = client.quote(VISION)
        job = client.submit(read_tasks("name: trial\nrun: ./t\n").tasks, quote=made.id).jobs[0]
        net.world.network.turn()
        with pytest.raises(InvalidRequest, match="no steps yet"):
            client.extrapolate(job.id, 1000)
        points = [
            CurvePoint(line=n, name=name, step=10.0 * n, value=value)
            for n in range(1, 400)
            for name, value in (("loss", 1 / n), ("elapsed_s", 5 + 2.0 * n))
        ]
        net.run_one(*points, hours=0.2)
        found = client.extrapolate(job.id, 10_000)
        assert found.step_s.mid == pytest.approx(0.2)
        assert found.seconds.mid == pytest.approx(5 + 0.2 * 10_000)
        assert found.seconds.low <= found.seconds.mid <= found.seconds.high
        assert found.sure
        assert not client.extrapolate(job.id, 1e9).sure
        with net.client("bob") as stranger, pytest.raises(NotFound):
            stranger.extrapolate(job.id, 10)
    for steps in ("0", "-1", "nan", "1e400", "x"):
        assert net.world.ask("POST", f"/v1/jobs/{job.id}/extrapolate?steps={steps}").status_code == 422


def test_without_a_clock_of_its_own_steps_count_when_they_were_heard_of(net: Net) -> None:
    with net.client() as client:
        made = client.quote(VISION)
        job = client.submit(read_tasks("name: trial\nrun: ./t\n").tasks, quote=made.id).jobs[0]
        net.world.network.turn()
        (lease,) = net.tell().start
        begun = net.world.clock.at
        line = 0
        for second in range(10, 70, 10):
            net.world.clock.at = begun + VALID_FOR * second / 3600
            new = []
            for step in (second - 5, second):
                line += 1
                new.append(CurvePoint(line=line, name="loss", step=float(step), value=1.0))
            net.tell(
                RunReport(
                    allocation_id=lease.allocation_id,
                    epoch=lease.epoch,
                    phase=Phase.RUNNING,
                    started_at=begun,
                    points=tuple(new),
                )
            )
        assert client.extrapolate(job.id, 3600).seconds.mid == pytest.approx(3600)


def test_capability_keeps_nominal_measured_and_sold_apart(net: Net) -> None:
    sample = Sample(
        metric_type="device.0.matmul.bf16",
        unit="TFLOPS",
        value=150.0,
        source=Source.MEASURED,
        statistic="median",
        observed_at=NOW,
    )
    net.tell(samples=(sample,))
    with net.client("bob") as client:
        found = client.capability("horinger")
        whole = client.capability()
        with pytest.raises(NotFound):
            client.capability("nowhere")
    bf16 = next(dimension for dimension in found.dimensions if dimension.metric == "compute.rate.bf16")
    assert bf16.nominal is not None
    assert bf16.measured is not None
    assert bf16.sold is not None
    assert (bf16.nominal.value, bf16.measured.value, bf16.sold.value) == (2496.0, 150.0, 2000.0)
    assert (bf16.measured.source, bf16.measured.statistic, bf16.measured.parts) == ("probe", "sum of median", 1)
    assert {dimension.side for dimension in found.dimensions} == {"computing", "network"}
    assert [fell.ratio for fell in found.shortfalls] == [0.6]
    assert {part.name for part in whole.parts} == {"guian", "horinger"}
    assert next(unit for unit in found.units if unit.work_class == "dense_training").units.mid == pytest.approx(8)


def test_the_catalogue_is_searched_and_shows_its_sources(net: Net) -> None:
    with net.client() as client:
        every = client.accelerators()
        assert len(every) >= 80
        assert {row.id for row in client.accelerators("h100")} >= {"nvidia-h100-sxm", "nvidia-h100-pcie"}
        assert any(row.id == "nvidia-h100-sxm" for row in client.accelerators("H100 SMX"))
        h100 = client.accelerator("NVIDIA H100 SXM5 80GB")
        assert h100.id == "nvidia-h100-sxm"
        dense, sparse, printed = h100.rates["fp16"], h100.sparse_rates["fp16"], h100.printed["fp16"]  # type: ignore[index]
        assert (dense.value, sparse.value, printed.value) == (989.4, 1978.9, 1979.0)
        assert "sparsity" in printed.note
        assert {dense.source, printed.source} <= {source.key for source in h100.sources}
        assert len(client.processors()) >= 30
        with pytest.raises(NotFound, match="nearest"):
            client.accelerator("h1000 sxm")


def test_the_description_has_examples_and_schemas(net: Net) -> None:
    described = net.world.ask("GET", "/v1/openapi.json").json()
    schemas = described["components"]["schemas"]
    for name in ("Need", "Work", "PretrainForm", "QuoteView", "RequirementView", "CapabilityView"):
        assert name in schemas, name
    body = described["paths"]["/v1/quotes"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "application/yaml", "text/plain"}
    for content in body.values():
        example = content["example"]
        said = net.world.ask(
            "POST",
            "/v1/quotes/preview",
            **({"json": example} if isinstance(example, dict) else {"content": example.encode(), "headers": TEXT}),
        )
        assert said.json()["problems"] == []
