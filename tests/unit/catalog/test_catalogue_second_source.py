"""The catalogue's figures against a second, independent listing.

The table is a sample of Epoch AI, "Machine Learning Hardware" (https://epoch.ai/data/machine-learning-hardware, CC-BY-4.0,
version of 2025-12-05), converted to TFLOPS, TOPS, GB/s and W. Figures that the catalogue itself takes from there are left out.
Where the two disagree by more than 6 %, the difference is listed with its reason.
"""

from __future__ import annotations

import pytest

from suanwang import catalog
from suanwang.domain.device import Accelerator
from suanwang.domain.precision import Precision

AGREED = """
aws-trainium3 fp32=183 tf32=671 fp16=671 fp8=2517
google-tpu-v7 bf16=2307 fp8=4614 bandwidth=7370
nvidia-gb300 tf32=1250 fp16=2500 fp8=5000 bandwidth=8000
nvidia-b300 tf32=1100 fp16=2250 fp8=4500
amd-mi355x fp16=2516.6 int8=5033.2 bandwidth=8000 power=1400
amd-mi350x fp16=2309.6 fp8=4600 int8=4614 bandwidth=8000 power=1000
nvidia-gb200 tf32=1250 fp16=2500 fp8=5000 int8=5000 bandwidth=8000
aws-trainium2 fp16=667 fp8=1299 bandwidth=2900
nvidia-h200-sxm fp64=33.45 fp32=66.91 tf32=494.5 fp16=989.5 fp8=1979 int8=1979 bandwidth=4800 power=700
nvidia-b200 tf32=1125 fp16=2250 fp8=4500 int8=4500 bandwidth=7700 power=1000
huawei-ascend-910c bandwidth=3200
amd-mi325x fp64=81.7 fp32=163.4 tf32=653.7 fp16=1307.4 int8=2600 bandwidth=6000 power=1000
intel-gaudi3 bf16=1678 fp8=1678 bandwidth=3700 power=900
microsoft-maia-100 bf16=800
google-tpu-v6e bf16=918 int8=1836 bandwidth=1640
nvidia-h100-nvl bandwidth=3938 power=400
google-tpu-v5p bf16=459 int8=918 bandwidth=2765
amd-mi300x fp64=81.7 fp32=163.4 tf32=653.7 fp16=1307.4 int8=2614.9 bandwidth=5300 power=750
nvidia-h20 fp32=44 tf32=74 fp16=148 int8=296 bandwidth=4000 power=400
google-tpu-v5e bf16=197 int8=393 bandwidth=819
nvidia-gh200-144gb fp64=33.45 fp32=66.91 tf32=494.5 fp16=989.5 int8=1979 bandwidth=4900
aws-inferentia2 fp32=47.5 tf32=190 fp16=190 fp8=190 int8=380 bandwidth=820
nvidia-h800-sxm fp16=989 int8=1979 bandwidth=3360 power=700
nvidia-l4 fp32=30.29 tf32=60 fp16=121 int8=242 bandwidth=300.1 power=72
intel-max-1100 fp32=22.22 bandwidth=1230 power=300
intel-max-1550 fp32=52.43 bandwidth=3280 power=600
amd-mi300a fp64=61.3 fp32=122.6 tf32=490.3 fp16=980.6 int8=1961.2 bandwidth=5300
metax-c500 fp32=18 tf32=140 int8=560
iluvatar-mr-v100 fp32=24
nvidia-rtx-6000-ada fp32=91.06 fp8=729
nvidia-a800-pcie-80gb fp64=9.746 fp32=19.49 tf32=155.9 fp16=311.8 bandwidth=1940
aws-trainium fp32=47.5 tf32=190 fp16=190
nvidia-l40 fp32=90.52 fp16=181 int8=362 bandwidth=864 power=300
nvidia-h100-pcie fp64=25.61 fp32=51.22 tf32=378 fp16=756 bandwidth=2040 power=350
nvidia-rtx-4090 fp32=82.6 tf32=82.6 int8=660.6 bandwidth=1008 power=450
nvidia-h100-sxm fp64=33.45 fp32=66.91 tf32=494.7 fp16=989.4 int8=1979 bandwidth=3350 power=700
nvidia-a800-sxm-80gb fp64=9.746 fp32=19.49 tf32=155.9 fp16=311.8 bandwidth=2040 power=400
intel-gaudi2 bf16=450 fp8=865 bandwidth=2450 power=600
huawei-ascend-910b power=400
amd-mi250x fp64=47.87 fp32=47.87 fp16=383 int8=383 bandwidth=3280 power=500
google-tpu-v4 bf16=275 int8=275 bandwidth=1200
nvidia-a10g bandwidth=600.2 power=150
nvidia-rtx-a5000 fp32=27.77 bandwidth=768 power=230
nvidia-a10 fp32=31.24 int8=250 bandwidth=600.2 power=150
iluvatar-bi-v100 power=250
cambricon-mlu290-m5 int8=512 bandwidth=1228 power=350
nvidia-a100-sxm-80gb fp64=9.746 fp32=19.49 tf32=156 fp16=312 int8=624 bandwidth=2039 power=400
nvidia-rtx-a6000 fp32=38.7 bandwidth=768 power=300
nvidia-a40 fp32=37.42 tf32=74.8 fp16=149.7 int8=299.3 bandwidth=695.8 power=300
nvidia-rtx-3090 fp32=35.58 int8=284 bandwidth=936 power=350
nvidia-a100-pcie-40gb fp64=9.746 fp32=19.49 tf32=156 fp16=312 int8=624
nvidia-a100-sxm-40gb fp64=9.746 fp32=19.49 tf32=156 fp16=312 int8=624 bandwidth=1560 power=400
google-tpu-v4i bf16=138 bandwidth=614 power=175
nvidia-v100s-pcie fp64=8.177 fp32=16.35 fp16=130 bandwidth=1130 power=250
huawei-ascend-910 power=310
cambricon-mlu270-f4 int8=128 bandwidth=102 power=150
cambricon-mlu270-s4 int8=128 bandwidth=102 power=70
huawei-ascend-310 int8=16 power=8
nvidia-t4 fp32=8.141 bandwidth=320 power=70
google-tpu-v3 bf16=123 bandwidth=900 power=450
nvidia-v100-pcie-32gb fp64=7.066 fp32=14.13 fp16=112 bandwidth=897 power=250
nvidia-v100-sxm-32gb fp64=7.834 fp32=15.67 fp16=125 bandwidth=898 power=300
nvidia-v100-sxm-16gb fp64=7.834 fp32=15.67 fp16=125 bandwidth=897 power=300
nvidia-v100-pcie-16gb fp64=7.066 fp32=14.13 fp16=112 bandwidth=897 power=250
google-tpu-v2 bf16=46 power=280
nvidia-p40 fp32=11.76 power=250
nvidia-p100-pcie fp64=4.763 fp32=9.526 bandwidth=732.2 power=250
nvidia-p100-sxm fp64=5.304 fp32=10.61 power=300
huawei-ascend-950dt fp8=1000 bandwidth=4000
"""

DISAGREED = {
    ("amd-mi355x", "fp8"): (4600.0, "the listing repeats the MI350X"),
    ("nvidia-b200", "fp64"): (31.04, "the listing takes a reseller's table"),
    ("microsoft-maia-100", "power"): (500.0, "the white paper prints the design power, others the provisioned one"),
    ("nvidia-h800-sxm", "fp64"): (29.65, "the listing prints the rate before the export cut"),
    ("amd-mi300a", "power"): (760.0, "the peak of the APU against its default"),
    ("iluvatar-mr-v100", "int8"): (384.0, "the vendor's sheet gives twice FP16"),
    ("aws-trainium", "bandwidth"): (9800.0, "the listing gives the sum of a node"),
    ("nvidia-rtx-4090", "fp16"): (330.0, "accumulating in FP16 against FP32"),
    ("huawei-ascend-910b", "bandwidth"): (1228.0, "the listing describes a 32 GB grade"),
    ("nvidia-p40", "bandwidth"): (694.3, "the listing doubles it"),
}


def _held(device: Accelerator, what: str) -> float:
    if what == "bandwidth":
        assert device.memory_bandwidth_gb_s is not None
        return device.memory_bandwidth_gb_s.value
    if what == "power":
        assert device.power_w is not None
        return device.power_w.value
    return device.rates[Precision(what)].value


def _rows() -> list[tuple[str, str, float]]:
    rows = []
    for line in AGREED.strip().splitlines():
        device, *figures = line.split()
        for figure in figures:
            what, value = figure.split("=")
            rows.append((device, what, float(value)))
    return rows


def test_the_sample_is_wide() -> None:
    rows = _rows()
    assert len(rows) > 250
    assert len({device for device, _, _ in rows}) > 65


@pytest.mark.parametrize("device", sorted({device for device, _, _ in _rows()}))
def test_every_sampled_figure_agrees(device: str) -> None:
    held = catalog.accelerators()[device]
    for name, what, value in _rows():
        if name == device:
            assert _held(held, what) == pytest.approx(value, rel=0.06), what


def test_known_differences_are_differences_still() -> None:
    for (device, what), (value, why) in DISAGREED.items():
        assert why
        assert _held(catalog.accelerators()[device], what) != pytest.approx(value, rel=0.06), (device, what)
