"""What the catalogue holds of accelerators and processors, and whether it can be true."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from itertools import chain

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from referencing import Registry, Resource

from suanwang import catalog
from suanwang.domain.device import Accelerator, Figure
from suanwang.domain.precision import DeviceKind, Precision

DATA = files("suanwang.catalog").joinpath("data")
MISSION = {
    # The white paper's table 7: model, INT8, FP16, memory GB, W, nm, as printed.
    "nvidia-a100-pcie-80gb": ("A100 80GB PCIe", 624, 312, 80, 300, 7),
    "nvidia-h100-sxm": ("H100 SXM", 3958, 1979, 80, 700, 4),
    "amd-mi100": ("MI100", 184.6, 184.6, 32, 300, 7),
    "google-tpu-v5p": ("TPU v5p", 918, 459, 95, None, None),
    "hygon-z100": ("深算一号", None, None, None, 350, None),
    "huawei-ascend-310": ("昇腾310", 16, 8, None, 8, 12),
    "huawei-ascend-910": ("昇腾910", 640, 320, None, 310, 7),
    "huawei-ascend-910b": ("昇腾910B", None, 376, None, 400, 7),
    "cambricon-mlu370-x4": ("MLU370-X4", 256, 96, 24, 75, 7),
    "biren-104p": ("壁砺104P", 1024, None, 32, 300, 7),
    "biren-br100": ("BR100", 2048, 1024, 32, 300, 7),
    "iluvatar-bi-v100": ("天垓100", 256, 128, 32, 250, 7),
}
ALSO_NAMED = (
    "Maia 100", "MLU370-X8", "MLU370-M8", "思元590", "590", "深算二号 DCU", "天垓150", "智铠100", "昆仑芯K200", "MTT S4000",
    "VA1", "VE1",
)  # fmt: skip


def _validator(name: str) -> Draft202012Validator:
    schemas = {
        path.name: json.loads(path.read_text("utf-8"))
        for path in DATA.joinpath("schema").iterdir()
        if path.name.endswith(".json")
    }
    registry: Registry = Registry().with_resources(
        (key, Resource.from_contents(schema)) for key, schema in schemas.items()
    )
    return Draft202012Validator(schemas[name], registry=registry)


def _figures(device: Accelerator) -> list[Figure]:
    single = (device.memory_gb, device.memory_bandwidth_gb_s, device.power_w, device.process_nm)
    groups = (device.rates.values(), device.sparse_rates.values(), device.printed.values())
    links = (link.bandwidth_gb_s for link in device.links)
    return [figure for figure in chain(single, *groups, links) if figure is not None]


def test_every_device_file_fits_its_schema() -> None:
    validator = _validator("devices.schema.json")
    paths = [path for folder in ("accelerators", "processors") for path in DATA.joinpath(folder).iterdir()]
    assert len(paths) >= 15
    for path in paths:
        errors = [
            f"{path.name}: {error.json_path}: {error.message}"
            for error in validator.iter_errors(json.loads(path.read_text("utf-8")))
        ]
        assert errors == []


def test_the_schema_refuses_what_the_loader_refuses() -> None:
    validator = _validator("devices.schema.json")
    entry = {"model": "X", "rates": {"fp16": -1}}
    assert not validator.is_valid({"accelerators": {"x": entry}})
    assert not validator.is_valid({"accelerators": {"x": {"model": "X", "rates": {"fp99": 1}}}})
    assert not validator.is_valid({"accelerators": {"X Y": {"model": "X"}}})
    assert validator.is_valid({"accelerators": {"x": {"model": "X", "rates": {"fp16": [1, "a", "b"]}}}})


def test_the_geography_fits_its_schema() -> None:
    validator = _validator("geography.schema.json")
    for name in ("geography.json", "centres.json"):
        document = json.loads(DATA.joinpath(name).read_text("utf-8"))
        assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)] == []


def test_counts() -> None:
    accelerators = catalog.accelerators().values()
    assert len(accelerators) >= 80
    assert sum(device.domestic for device in accelerators) >= 40
    assert len(catalog.processors()) >= 30
    vendors = {device.vendor for device in accelerators}
    assert vendors >= {
        "NVIDIA", "AMD", "Intel", "Google", "AWS", "Microsoft", "Huawei", "Hygon", "Cambricon", "Biren", "Iluvatar",
        "Moore Threads", "Kunlunxin", "MetaX", "Enflame", "T-Head", "Vastai",
    }  # fmt: skip


@pytest.mark.parametrize("device", sorted(MISSION))
def test_the_white_papers_rows_are_kept_as_printed(device: str) -> None:
    name, int8, fp16, memory_gb, power_w, process_nm = MISSION[device]
    held = catalog.accelerator(str(name))
    assert held.id == device
    printed = {"int8": int8, "fp16": fp16, "memory_gb": memory_gb, "power_w": power_w, "process_nm": process_nm}
    for what, value in printed.items():
        if value is None:
            assert what not in held.printed
        else:
            assert held.printed[what].value == value
            assert held.printed[what].source == "s1-table-7"


@pytest.mark.parametrize("name", ALSO_NAMED)
def test_every_other_device_the_documents_name_is_known(name: str) -> None:
    assert catalog.accelerator(name).model


def test_both_figures_of_the_h100_are_to_be_seen() -> None:
    device = catalog.accelerator("H100")
    assert device.rates[Precision.FP16].value == 989.4
    assert device.sparse_rates[Precision.FP16].value == 1978.9
    assert device.printed["fp16"].value == 1979
    assert "sparsity" in device.printed["fp16"].note
    assert device.printed["int8"].value == pytest.approx(2 * device.rates[Precision.INT8].value, rel=0.001)


def test_every_figure_has_a_source_that_exists_and_its_date() -> None:
    references = catalog.references()
    for device in catalog.accelerators().values():
        dated = [(figure.source, figure.published_on) for figure in _figures(device)]
        if device.released is not None:
            dated.append((device.released.source, device.released.published_on))
        for source, published_on in dated:
            assert references[source].published_on == published_on
            assert re.match(r"20[012]\d", published_on), (device.id, source)
    for processor in catalog.processors().values():
        for figure in (processor.cores, processor.base_ghz, processor.fp64_flops_per_cycle, processor.power_w):
            assert figure is None or references[figure.source].published_on == figure.published_on


def test_every_source_is_cited() -> None:
    folders = [DATA.joinpath("accelerators"), DATA.joinpath("processors")]
    text = DATA.joinpath("sources.json").read_text("utf-8")
    text += "".join(path.read_text("utf-8") for folder in folders for path in folder.iterdir())
    for key in catalog.references():
        assert text.count(f'"{key}"') >= 2, f"{key} is defined and never cited"


def test_rates_grow_as_precision_falls() -> None:
    """A narrower format is never slower, within the tolerance of rounding and with the parts that are known to differ."""
    falls = [
        (Precision.FP32, Precision.FP16), (Precision.FP32, Precision.BF16), (Precision.FP64, Precision.FP32),
        (Precision.TF32, Precision.FP16), (Precision.FP16, Precision.FP8), (Precision.BF16, Precision.FP8),
        (Precision.FP16, Precision.INT8), (Precision.INT8, Precision.INT4), (Precision.FP64, Precision.FP64_TENSOR),
    ]  # fmt: skip
    # Blackwell Ultra gave integers up for FP4; MI100's BF16 is half its FP16, and its INT8 no faster.
    known = {("nvidia-b300", Precision.INT8), ("nvidia-gb300", Precision.INT8)}
    for device in catalog.accelerators().values():
        for wide, narrow in falls:
            if (device.id, narrow) in known or not {wide, narrow} <= set(device.rates):
                continue
            assert device.rates[narrow].value >= 0.99 * device.rates[wide].value, (device.id, wide, narrow)


def test_sparse_rates_are_twice_the_dense_ones() -> None:
    seen = 0
    for device in catalog.accelerators().values():
        for precision, sparse in device.sparse_rates.items():
            assert sparse.value == pytest.approx(2 * device.rates[precision].value, rel=0.02), (device.id, precision)
            seen += 1
    assert seen > 100


def test_no_dense_rate_equals_a_known_sparse_one() -> None:
    """The usual mistake of listings: a with-sparsity figure in a dense column."""
    sparse_prints = {"nvidia-h100-sxm": 1979, "nvidia-h200-sxm": 1979, "nvidia-l4": 242, "nvidia-a100-sxm-80gb": 624,
                     "nvidia-b200": 4500, "nvidia-l40s": 733, "nvidia-rtx-4090": 330.4}  # fmt: skip
    for device, value in sparse_prints.items():
        assert catalog.accelerators()[device].rate(Precision.FP16) != pytest.approx(value, rel=0.01)


def test_memory_power_and_dates_are_possible() -> None:
    for device in catalog.accelerators().values():
        best = max((figure.value for figure in device.rates.values()), default=None)
        if device.memory_gb and device.memory_bandwidth_gb_s:
            # The whole memory is read in 5 ms (HBM of large stacks) to one second (DDR of inference cards).
            assert 0.005 <= device.memory_gb.value / device.memory_bandwidth_gb_s.value <= 1.0, device.id
        if best is not None and device.memory_bandwidth_gb_s:
            # Operations per byte at the ridge; outside this a unit was mistaken.
            assert 10 <= best * 1e3 / device.memory_bandwidth_gb_s.value <= 3000, device.id
        if best is not None and device.power_w:
            assert 0.02 <= best / device.power_w.value <= 10, device.id
        if device.released:
            assert 2014 <= int(device.released.value[:4]) <= 2027, device.id
        if device.process_nm:
            assert 2 <= device.process_nm.value <= 28, device.id


def test_links_say_which_way_they_were_counted() -> None:
    h100, gaudi = catalog.accelerator("H100"), catalog.accelerator("Gaudi3")
    assert h100.links[0].each_way_gb_s == 450
    assert gaudi.links[0].each_way_gb_s == 600


def test_what_nobody_published_is_absent() -> None:
    for name in ("深算二号 DCU", "昆仑芯P800", "燧原S60", "VE1"):
        device = catalog.accelerator(name)
        assert not device.rates
        assert device.note
    assert catalog.accelerator("VE1").rate(Precision.FP16) is None


def test_kinds_are_those_of_the_field() -> None:
    kinds = {device.kind for device in catalog.accelerators().values()}
    assert kinds == {DeviceKind.GPU, DeviceKind.NPU, DeviceKind.DCU, DeviceKind.TPU, DeviceKind.ASIC}


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("EPYC 7763", 2.51), ("Xeon Platinum 8380", 2.94), ("鲲鹏920", 1.33), ("SW26010", 3.06), ("Grace", 3.57),
        ("龙芯3C5000", 0.56), ("FT-2000+/64", 0.589), ("SW26010-Pro", 14.04),
    ],
)  # fmt: skip
def test_peak_of_processors(name: str, tflops: float) -> None:
    assert catalog.processor(name).fp64_tflops == pytest.approx(tflops, rel=0.01)


def test_processors_are_possible() -> None:
    for processor in catalog.processors().values():
        assert 8 <= processor.cores.value <= 400
        if processor.memory_channels and processor.memory_bandwidth_gb_s:
            assert 15 <= processor.memory_bandwidth_gb_s.value / processor.memory_channels.value <= 60, processor.id
        if processor.fp64_tflops is not None:
            assert 0.3 <= processor.fp64_tflops <= 20
    assert sum(processor.domestic for processor in catalog.processors().values()) >= 12


def test_entries_cannot_be_changed() -> None:
    held = catalog.accelerators()
    with pytest.raises(TypeError):
        held["x"] = held["nvidia-t4"]  # type: ignore[index]
    with pytest.raises(TypeError):
        held["nvidia-t4"].rates[Precision.FP64] = held["nvidia-t4"].rates[Precision.FP32]  # type: ignore[index]
    assert catalog.accelerators() is held
