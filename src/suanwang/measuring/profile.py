"""What the reckoning needs of a device. Owns `DeviceProfile`; the catalogue's entry becomes one by `profile_of`.

Knows nothing of sources: a figure that nobody could source is None, and what needs it says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from suanwang.domain.device import Accelerator
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.precision import DeviceKind, Precision
from suanwang.measuring.checks import number, whole

_HOST_LINKS = ("pcie", "ethernet", "roce", "infiniband")
"""Links of these names lead to the host or out of the node, not to a neighbour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceProfile:
    """One card: dense peak rates in TFLOPS (TOPS for integers), memory in GB of 10^9 bytes, links in GB/s each way."""

    name: str
    """Catalogue identifier."""
    kind: DeviceKind
    rates: Mapping[Precision, float]
    memory_gb: float
    memory_bandwidth_gb_s: float
    intra_link_gb_s: float | None = None
    """To the other cards of its node."""
    inter_link_gb_s: float | None = None
    """To cards of other nodes, this card's share of the node's network."""
    power_w: float | None = None
    per_node: int = 8

    def __post_init__(self) -> None:
        number(self.memory_gb, "device.memory_gb", most=1e5)
        number(self.memory_bandwidth_gb_s, "device.memory_bandwidth_gb_s", most=1e6)
        whole(self.per_node, "device.per_node", most=1024)
        for name in ("intra_link_gb_s", "inter_link_gb_s", "power_w"):
            if getattr(self, name) is not None:
                number(getattr(self, name), f"device.{name}", most=1e6)
        for precision, rate in self.rates.items():
            number(rate, f"device.rates.{precision}", most=1e6)

    @property
    def training_rate(self) -> float | None:
        """The 16-bit matrix rate that published efficiencies refer to: BF16, else FP16."""
        return self.rates.get(Precision.BF16, self.rates.get(Precision.FP16))

    @property
    def balance(self) -> float | None:
        """16-bit operations per byte of memory bandwidth, the ridge of the roofline (Williams 2009, fig. 1)."""
        rate = self.training_rate
        return None if rate is None else rate * 1e3 / self.memory_bandwidth_gb_s


def profile_of(accelerator: Accelerator, *, per_node: int = 8, inter_link_gb_s: float | None = None) -> DeviceProfile:
    """The profile of a catalogue entry. `per_node` and the node's network belong to a site, so they are given.

    Raises `InvalidRequest` where the catalogue lacks memory, its bandwidth or every rate.
    """
    memory, bandwidth = accelerator.memory_gb, accelerator.memory_bandwidth_gb_s
    if memory is None or bandwidth is None or not accelerator.rates:
        missing = "memory_gb" if memory is None else "memory_bandwidth_gb_s" if bandwidth is None else "rates"
        message = f"no source gives {missing} of {accelerator.id}; measure it with a probe or choose another device"
        raise InvalidRequest(message, field="device", allowed="a device whose memory, bandwidth and rates are known")
    links = [link.each_way_gb_s for link in accelerator.links if not link.name.lower().startswith(_HOST_LINKS)]
    host = [link.each_way_gb_s for link in accelerator.links if link.name.lower().startswith("pcie")]
    return DeviceProfile(
        name=accelerator.id,
        kind=accelerator.kind,
        rates=MappingProxyType({precision: figure.value for precision, figure in accelerator.rates.items()}),
        memory_gb=memory.value,
        memory_bandwidth_gb_s=bandwidth.value,
        intra_link_gb_s=max(links or host, default=None),
        inter_link_gb_s=inter_link_gb_s,
        power_w=None if accelerator.power_w is None else accelerator.power_w.value,
        per_node=per_node,
    )


REFERENCE = DeviceProfile(
    name="nvidia-a100-sxm-80gb",
    kind=DeviceKind.GPU,
    rates=MappingProxyType(
        {
            Precision.FP64: 9.7,
            Precision.FP64_TENSOR: 19.5,
            Precision.FP32: 19.5,
            Precision.TF32: 156.0,
            Precision.FP16: 312.0,
            Precision.BF16: 312.0,
            Precision.INT8: 624.0,
            Precision.INT4: 1248.0,
        }
    ),
    memory_gb=80.0,
    memory_bandwidth_gb_s=2039.0,
    intra_link_gb_s=300.0,
    inter_link_gb_s=25.0,
    power_w=400.0,
)
"""The card that one unit is defined by: NVIDIA A100 80GB SXM, figures of its datasheet (NVIDIA, June 2021)."""
