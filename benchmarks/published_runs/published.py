"""The published runs as values: reads `runs/*.yaml` and `devices.yaml`. Shared by `evaluate.py` and `refit.py`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from suanwang.domain.precision import DeviceKind, Precision
from suanwang.measuring.architectures import model_from_config
from suanwang.measuring.efficiency import training_peak_tflops
from suanwang.measuring.flops import Recompute, TrainingWork, forward_flops_per_token, training_work
from suanwang.measuring.models import Model, model_of_size
from suanwang.measuring.profile import DeviceProfile
from suanwang.measuring.regression import Conditions

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedWork:
    """Operations as the source prints them, and how it counts."""

    flops: float
    convention: str
    """`6nd`, `full_attention` (PaLM 2022, appendix B) or `hardware` (with recomputation)."""
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRun:
    """One run with its outcome."""

    id: str
    name: str
    family: str
    kind: str
    """`run`, `throughput` (a measured rate times the tokens) or `work` (operations only)."""
    model: Model
    tokens: float
    context: int
    recompute: Recompute
    precision: Precision
    device: DeviceProfile
    cards: int | None
    card_hours: float | None
    published: PublishedWork | None
    sources: tuple[dict[str, str], ...]

    @property
    def work(self) -> TrainingWork:
        return training_work(self.model, tokens=self.tokens, context=self.context, recompute=self.recompute)

    @property
    def conditions(self) -> Conditions:
        return Conditions(
            balance=self.device.balance or 0.0,
            active_parameters=self.model.active_parameters,
            context=self.context,
            sparse=self.model.experts is not None or self.model.stated_active is not None,
        )

    @property
    def peak_flops_per_h(self) -> float:
        """Operations one card could do in an hour at peak."""
        return training_peak_tflops(self.device, self.precision)[0] * 1e12 * 3600

    @property
    def efficiency(self) -> float:
        """Measured: operations done over what the cards could have done."""
        assert self.card_hours is not None
        return self.work.hardware / (self.card_hours * self.peak_flops_per_h)

    def counted(self, convention: str) -> float:
        """Operations by the source's own convention."""
        match convention:
            case "6nd":
                return self.work.simple
            case "full_attention":
                return 3 * forward_flops_per_token(self.model, self.context) * self.tokens
            case "hardware":
                return self.work.hardware
        raise ValueError(f"convention {convention!r} is not known")


def devices() -> dict[str, DeviceProfile]:
    """The cards of the published runs."""
    raw = yaml.safe_load((HERE / "devices.yaml").read_text("utf-8"))
    return {
        name: DeviceProfile(
            name=name,
            kind=DeviceKind(entry["kind"]),
            rates={Precision(key): float(entry[key]) for key in ("bf16", "fp16", "fp8") if key in entry},
            memory_gb=float(entry["memory_gb"]),
            memory_bandwidth_gb_s=float(entry["memory_bandwidth_gb_s"]),
        )
        for name, entry in raw.items()
    }


def runs() -> list[PublishedRun]:
    """All runs, by identifier."""
    cards = devices()
    return [_run(yaml.safe_load(path.read_text("utf-8")), cards) for path in sorted((HERE / "runs").glob("*.yaml"))]


def judged(every: list[PublishedRun]) -> list[PublishedRun]:
    """Those whose card-hours are known."""
    return [run for run in every if run.card_hours is not None]


def _run(raw: dict[str, Any], cards: dict[str, DeviceProfile]) -> PublishedRun:
    described = raw["model"]
    if "config" in described:
        model = model_from_config(described["config"], name=raw["name"])
    else:
        model = model_of_size(described["numbers"].pop("parameters"), name=raw["name"], **described["numbers"])
    published = raw.get("published_work")
    return PublishedRun(
        id=raw["id"],
        name=raw["name"],
        family=raw["family"],
        kind=raw["kind"],
        model=model,
        tokens=float(raw["tokens"]),
        context=int(raw["context"]),
        recompute=Recompute(raw["recompute"]),
        precision=Precision(raw["precision"]),
        device=cards[raw["device"]],
        cards=raw.get("cards"),
        card_hours=float(raw["card_hours"]) if "card_hours" in raw else None,
        published=PublishedWork(**published) if published else None,
        sources=tuple(raw["sources"]),
    )
