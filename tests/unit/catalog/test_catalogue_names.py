"""Resolving names: what drivers, Slurm, Kubernetes and people say, and what hostile ones say."""

from __future__ import annotations

import pytest

from suanwang import catalog
from suanwang.catalog.names import NameIndex, normal
from suanwang.domain.errors import InvalidRequest


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nvidia-h100-sxm", "nvidia-h100-sxm"),
        ("H100", "nvidia-h100-sxm"),
        ("gpu:h100", "nvidia-h100-sxm"),
        ("gres/gpu:H100", "nvidia-h100-sxm"),
        ("NVIDIA H100 80GB HBM3", "nvidia-h100-sxm"),
        ("NVIDIA-A100-SXM4-80GB", "nvidia-a100-sxm-80gb"),
        ("NVIDIA A100-PCIE-40GB", "nvidia-a100-pcie-40gb"),
        ("nvidia-a100-80gb", "nvidia-a100-sxm-80gb"),
        ("Tesla V100-SXM2-32GB", "nvidia-v100-sxm-32gb"),
        ("NVIDIA GeForce RTX 4090", "nvidia-rtx-4090"),
        ("ＲＴＸ　4090", "nvidia-rtx-4090"),
        ("AMD Instinct MI300X", "amd-mi300x"),
        ("ascend910b", "huawei-ascend-910b"),
        ("npu:ascend910b", "huawei-ascend-910b"),
        ("昇腾 910B", "huawei-ascend-910b"),
        ("Ascend910B4-1", "huawei-ascend-910b4-1"),
        ("huawei.com/Ascend910B2", "huawei-ascend-910b2"),
        ("huawei.com/Ascend910A", "huawei-ascend-910"),
        ("iluvatar.ai/BI-V150-vgpu", "iluvatar-bi-v150"),
        ("cambricon.com/mlu590", "cambricon-mlu590"),
        ("MLU370X8", "cambricon-mlu370-x8"),
        ("mlu370-x4", "cambricon-mlu370-x4"),
        ("深算一号", "hygon-z100"),
        ("K100_AI", "hygon-k100-ai"),
        ("沐曦 曦云C500", "metax-c500"),
        ("PPU-ZW810E", "thead-ppu-810e"),
        ("Trillium", "google-tpu-v6e"),
    ],
)
def test_names_people_and_machines_use(name: str, expected: str) -> None:
    assert catalog.accelerator(name.replace("沐曦 ", "")).id == expected


@pytest.mark.parametrize(
    "name", ["nvidia.com/gpu", "amd.com/gpu", "hygon.com/dcu", "cambricon.com/mlu", "mlu370", "r100"]
)
def test_a_name_of_many_is_not_one_device(name: str) -> None:
    with pytest.raises(InvalidRequest, match="say which one") as caught:
        catalog.accelerator(name, field="resources.devices.model")
    assert caught.value.field == "resources.devices.model"
    assert caught.value.allowed is not None
    named = {device.id for device in catalog.accelerators_named(name)}
    assert len(named) > 1
    assert caught.value.allowed.split(", ")[0] in named


@pytest.mark.parametrize("name", ["gpu", "npu", "GPU:", "dcu:"])
def test_a_bare_kind_names_nothing_or_many(name: str) -> None:
    with pytest.raises(InvalidRequest):
        catalog.accelerator(name)


def test_a_family_gives_its_siblings() -> None:
    named = {device.id for device in catalog.accelerators_named("A100")}
    assert named == {"nvidia-a100-sxm-40gb", "nvidia-a100-sxm-80gb", "nvidia-a100-pcie-40gb", "nvidia-a100-pcie-80gb"}
    assert [device.id for device in catalog.accelerators_named("nvidia-t4")] == ["nvidia-t4"]
    assert {device.id for device in catalog.accelerators_named("ascend910b-series")} >= {
        "huawei-ascend-910b1",
        "huawei-ascend-910b4",
    }


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("H1000", "nvidia-h100-sxm"),
        ("ascend 910d", "huawei-ascend-910"),
        ("MI300Z", "amd-mi300x"),
        ("MLU37O-X8", "cambricon-mlu370-x8"),
        ("RTX4009", "nvidia-rtx-4090"),
    ],
)
def test_an_unknown_name_gets_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(InvalidRequest, match="no accelerator of the catalogue") as caught:
        catalog.accelerator(wrong)
    assert caught.value.allowed is not None
    assert near in caught.value.allowed


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        " ",
        "\0",
        "a" * 201,
        "\n\n",
        "../../etc/passwd",
        "'; drop table devices; --",
        "\u202egpu",
        "💥" * 50,
        "{}",
        "null",
    ],
)
def test_hostile_names_are_refused_and_not_echoed_raw(hostile: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        catalog.accelerator(hostile)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 500


def test_names_that_are_no_text_are_refused() -> None:
    for value in (None, 7, ["h100"], b"h100"):
        with pytest.raises(InvalidRequest):
            catalog.accelerator(value)  # type: ignore[arg-type]


def test_no_own_name_means_two_things() -> None:
    index = NameIndex("thing")
    index.own("a", ["Name"], "file")
    index.own("a", ["name"], "file")
    with pytest.raises(InvalidRequest, match="names both a and b") as caught:
        index.own("b", ["NA-ME"], "file")
    assert caught.value.field == "b.aliases"


def test_an_own_name_wins_over_a_shared_one() -> None:
    index = NameIndex("thing")
    index.share("b", ["x"])
    index.share("a", ["x"])
    index.own("a", ["x"], "file")
    assert index.one("X", "field") == "a"
    assert set(index.all_of("x", "field")) == {"a", "b"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Intel(R) Xeon(R) Platinum 8380 CPU @ 2.30GHz", "intel-xeon-platinum-8380"),
        ("AMD EPYC 7763 64-Core Processor", "amd-epyc-7763"),
        ("Kunpeng-920", "huawei-kunpeng-920-6426"),
        ("Hygon C86 7285 32-core Processor", "hygon-7285"),
        ("飞腾S2500", "phytium-s2500"),
        ("graviton3", "aws-graviton3"),
    ],
)
def test_names_of_processors(name: str, expected: str) -> None:
    assert catalog.processor(name).id == expected


def test_an_unknown_processor_gets_the_nearest() -> None:
    with pytest.raises(InvalidRequest, match="no processor of the catalogue") as caught:
        catalog.processor("EPYC 7764")
    assert caught.value.allowed is not None
    assert "amd-epyc-7763" in caught.value.allowed


def test_normal_ignores_case_width_and_separators() -> None:
    assert normal("GPU:A100_SXM4-80GB") == normal("ａ100 sxm4 80gb") == "a100sxm480gb"
