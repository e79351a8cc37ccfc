"""The need file: its forms, its examples and its errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from suanwang.domain.errors import InvalidRequest, TooLarge
from suanwang.domain.precision import Precision
from suanwang.measuring.estimating import estimate
from suanwang.measuring.need import CoreHoursNeed, FineTuneNeed, InferenceNeed, Method, SampleNeed, TrainingNeed
from suanwang.measuring.profile import REFERENCE
from suanwang.needfile import read_need

EXAMPLES = sorted((Path(__file__).parents[3] / "docs" / "examples" / "need").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_can_be_estimated(path: Path) -> None:
    assert estimate(read_need(path.read_bytes(), filename=path.name), REFERENCE).hours.mid > 0


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 5


def test_counts_may_carry_a_suffix() -> None:
    need = read_need("work: pretrain\nmodel: {parameters: 7B}\ntokens: 1.5T\nglobal_batch_tokens: 4M\n")
    assert isinstance(need, TrainingNeed)
    assert (need.model.parameters, need.tokens, need.global_batch_tokens) == (7e9, 1.5e12, 4e6)
    same = read_need('{"work": "pretrain", "model": {"parameters": 7e9}, "tokens": 1500000000000}')
    assert isinstance(same, TrainingNeed)
    assert same.tokens == need.tokens


def test_every_kind_of_work_is_read() -> None:
    tuned = read_need("work: finetune\nmodel: {parameters: 7B}\ntokens: 1M\nmethod: lora\nweights_precision: int4")
    assert isinstance(tuned, FineTuneNeed)
    assert (tuned.method, tuned.weights_precision) == (Method.LORA, Precision.INT4)
    served = read_need(
        "work: inference\nmodel: {parameters: 7B}\nprompt_tokens: 100\noutput_tokens: 50\noutput_tokens_per_s: 500"
    )
    assert isinstance(served, InferenceNeed)
    assert served.requests_per_s == 10
    network = read_need("work: network\nnetwork: resnet50\nsamples: 1M\ntraining: false")
    assert isinstance(network, SampleNeed)
    assert not network.training
    assert isinstance(read_need("work: core_hours\ncore_hours: 1000"), CoreHoursNeed)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("work: dream", "work"),
        ("tokens: 1T", "work"),
        ("model_type: llama", "work"),
        ("[1]", "file"),
        ("work: pretrain\ntokens: 1T", "model"),
        ("work: pretrain\nmodel: {parameters: 7B}", "tokens"),
        ("work: pretrain\nmodel: {parameters: 7B}\ntokens: 1T\nspeed: 3", "speed"),
        ("work: pretrain\nmodel: {parameters: 7B}\ntokens: many", "tokens"),
        ("work: pretrain\nmodel: {parameters: 7B}\ntokens: .nan", "tokens"),
        ("work: pretrain\nmodel: {parameters: 7B}\ntokens: -1", "tokens"),
        ("work: pretrain\nmodel: {parameters: 7B}\ntokens: true", "tokens"),
        ("work: pretrain\nmodel: {parameters: 7B}\ntokens: 1T\nmicro_batch: true", "micro_batch"),
        ("work: pretrain\nmodel: {parameters: 7B}\ntokens: 1T\nprecision: fp12", "precision"),
        ("work: pretrain\nmodel: {}\ntokens: 1T", "model.parameters"),
        ("work: pretrain\nmodel: {parameters: 1e999}\ntokens: 1T", "model.parameters"),
        ("work: pretrain\nmodel: {parameters: 7B, layers: 1000000000}\ntokens: 1T", "model.layers"),
        ("work: pretrain\nmodel: {parameters: 7B, config: {model_type: llama}}\ntokens: 1T", "model"),
        ("work: pretrain\nmodel: {config: {model_type: llama}}\ntokens: 1T", "model.config.hidden_size"),
        ("work: finetune\nmodel: {parameters: 7B}\ntokens: 1T", "method"),
        ("work: inference\nmodel: {parameters: 7B}\nprompt_tokens: 9\noutput_tokens: 9", "requests_per_s"),
        ("work: network\nsamples: 1M", "flops_per_sample"),
        ("work: network\nnetwork: brain\nsamples: 1M", "network"),
        ("work: simulation\noperations: 1e18\nbytes_moved: 0", "bytes_moved"),
    ],
)
def test_a_wrong_file_names_its_field(text: str, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_need(text)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "text", ["", "a: 1\n---\nb: 2", "a: [", "a: &x 1\nb: *x", "work: pretrain\nwork: pretrain", "\0"]
)
def test_text_that_is_no_single_mapping_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        read_need(text)


def test_an_oversize_file_is_refused() -> None:
    with pytest.raises(TooLarge):
        read_need("# " + "x" * (1 << 20))
