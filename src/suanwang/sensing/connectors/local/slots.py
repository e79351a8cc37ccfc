"""Which room a host has and who gets it: processors, memory and devices, first come first served.

Owns the reckoning of one host's capacity. Pure: knows nothing of files, processes or clocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one run asks of the host."""

    cores: int
    memory_bytes: int
    device_model: str | None = None
    device_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What one run holds: its need, and which processors and devices. Empty `cpus` means not pinned."""

    need: Need
    cpus: tuple[int, ...] = ()
    devices: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Free:
    """What nobody holds."""

    cores: int
    memory_bytes: int
    devices: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What the host declares. `cpus` are the processors runs are pinned to; empty where they are not pinned.

    Devices are numbered through in the order they are declared: with `{"a": 2, "b": 1}`, `b` is device 2.
    """

    cores: int
    memory_bytes: int
    devices: Mapping[str, int] = field(default_factory=dict)
    cpus: tuple[int, ...] = ()

    def free(self, held: Sequence[Held]) -> Free:
        """What is left beside `held`; never below zero, even where a capacity was lowered under running work."""
        used = dict.fromkeys(self.devices, 0)
        for one in held:
            if one.need.device_model in used:
                used[one.need.device_model] += one.need.device_count
        return Free(
            cores=max(0, self.cores - sum(one.need.cores for one in held)),
            memory_bytes=max(0, self.memory_bytes - sum(one.need.memory_bytes for one in held)),
            devices={model: max(0, count - used[model]) for model, count in self.devices.items()},
        )

    def never_fits(self, need: Need) -> tuple[str, str, str] | None:
        """Why this host can never run `need`: the field, the message and what is allowed; None when it can."""
        if not 1 <= need.cores <= self.cores:
            return "cores", f"{need.cores} cores asked, this host has {self.cores}", f"1 to {self.cores}"
        if not 0 < need.memory_bytes <= self.memory_bytes:
            asked, there = need.memory_bytes / 1e9, self.memory_bytes / 1e9
            return (
                "memory_gb",
                f"{asked:g} GB of memory asked, this host has {there:g}",
                f"more than 0, up to {there:g}",
            )
        if need.device_model is None:
            return None
        if need.device_model not in self.devices:
            allowed = ", ".join(self.devices) or "no devices"
            return "devices.model", f"this host has no device {need.device_model!r}", allowed
        there_are = self.devices[need.device_model]
        if not 1 <= need.device_count <= there_are:
            message = f"{need.device_count} devices {need.device_model} asked, this host has {there_are}"
            return "devices.count", message, f"1 to {there_are}"
        return None

    def grant(self, need: Need, held: Sequence[Held]) -> Held | None:
        """Hand out room beside what is `held`; None when it is full now. Lowest numbers first."""
        free = self.free(held)
        if need.cores > free.cores or need.memory_bytes > free.memory_bytes:
            return None
        cpus: tuple[int, ...] = ()
        if self.cpus:
            taken = {cpu for one in held for cpu in one.cpus}
            cpus = tuple(cpu for cpu in self.cpus if cpu not in taken)[: need.cores]
            if len(cpus) < need.cores:
                cpus = ()  # runs from before the host was pinned hold some: run unpinned rather than crowded
        devices: tuple[int, ...] = ()
        if need.device_model is not None:
            taken = {device for one in held for device in one.devices}
            numbers = self._numbers(need.device_model)
            devices = tuple(number for number in numbers if number not in taken)[: need.device_count]
            if len(devices) < need.device_count:
                return None
        return Held(need=need, cpus=cpus, devices=devices)

    def _numbers(self, model: str) -> range:
        first = 0
        for name, count in self.devices.items():
            if name == model:
                return range(first, first + count)
            first += count
        return range(0)
