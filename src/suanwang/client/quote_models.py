"""What the API answers about requirements, quotes, learning, capability and the catalogue, as pydantic models.

Owns these answers' field names, as `client.models` does for the rest.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from suanwang.client.models import Answer, Asked, ExclusionView, PriceView, ProblemView, VouchedView
from suanwang.domain.device import Direction, Isa
from suanwang.domain.precision import DeviceKind, Precision
from suanwang.measuring.workclass import WorkClass


class SpanView(Answer):
    """A figure with the bounds that hold it eight times in ten; equal bounds where it is exact."""

    low: float
    mid: float
    high: float


# Requirements


class SplitView(Answer):
    """How a model lies on the cards: tensor × pipeline × data, experts over `expert`, ZeRO stage 0 to 3."""

    tensor: int
    pipeline: int
    data: int
    expert: int
    zero: int


class ServingView(Answer):
    """How one replica of a served model runs, and how many there are."""

    tensor: int
    pipeline: int
    replicas: int
    batch: int
    ttft_s: SpanView
    tpot_s: SpanView
    requests_per_s: SpanView
    output_tokens_per_s: SpanView


class MemoryView(Answer):
    """GB on the fullest card."""

    total_gb: float
    weights_gb: float
    gradients_gb: float
    optimizer_gb: float
    activations_gb: float
    kv_cache_gb: float


class WasteView(Answer):
    """What computing in `used` costs over `sufficient`."""

    used: Precision
    sufficient: Precision
    card_hours: float
    energy_kwh: float | None


class EstimateView(Answer):
    """What the need takes on one kind of device. `cards` are cores for CPU work; kWh is None where power is unknown."""

    device: str
    work_class: WorkClass
    precision: Precision
    cards: int
    least_cards: int
    work_pd: float
    counted_pd: float
    hours: SpanView
    card_hours: SpanView
    unit_hours: SpanView
    energy_kwh: SpanView | None
    efficiency: SpanView
    mfu: SpanView | None
    step_s: SpanView | None
    split: SplitView | None
    serving: ServingView | None
    memory: MemoryView | None
    waste: WasteView | None
    assumptions: list[str]


class UnfitView(Answer):
    """A device that cannot do the work, and why."""

    device: str
    reason: str


class RequirementView(Answer):
    """The device that takes the fewest card-hours first."""

    estimates: list[EstimateView]
    unfit: list[UnfitView]


# Quotes


class PredictionView(Answer):
    """What is expected of the run; its outcome teaches."""

    device: str
    work_class: str
    published_hours: float
    hours: SpanView


class PricePart(Answer):
    """The hours of an expected run that have one price. `text` is what its bill lines will say."""

    text: str
    from_at: datetime
    hours: float
    yuan: float


class OfferView(Answer):
    """One way to do the work; `number` is its rank. `price` are the unit prices that bind; `parts` are how the price of the
    expected hours comes about."""

    number: int
    site: str
    device_model: str | None
    cards: int
    nodes: int
    devices_per_node: int
    cores_per_node: int
    memory_gb_per_node: float
    start_at: datetime
    hours: SpanView
    finish_at: datetime
    price_yuan: SpanView
    energy_kwh: SpanView
    carbon_g: SpanView
    score: float
    price: PriceView
    voucher: VouchedView | None = None
    parts: list[PricePart] = []
    prediction: PredictionView | None


class QuoteView(Answer):
    """Offers, best first, and why every other site has none. `page` is its address on this network."""

    id: str
    project: str
    owner: str
    title: str
    source: str
    created_at: datetime
    expires_at: datetime
    expired: bool
    offers: list[OfferView]
    excluded: list[ExclusionView]
    assumptions: list[str]
    work_pd: float | None
    page: str


class QuotePreview(Answer):
    """What a quote would say; nothing is kept. With `problems` there is nothing else: put right what they name."""

    offers: list[OfferView]
    excluded: list[ExclusionView]
    assumptions: list[str]
    work_pd: float | None
    problems: list[ProblemView]


# Trials and learning


class ExtrapolationView(Answer):
    """The whole run, as far as a trial tells. `reach`: whole run over trial, in steps."""

    seconds: SpanView
    step_s: SpanView
    startup_s: float
    reach: float
    sure: bool
    remark: str


class LessonView(Answer):
    """Prediction against outcome. `job` is None for another project's; an interrupted run taught nothing."""

    job: str | None
    site: str
    device: str
    work_class: str
    predicted_hours: SpanView
    published_hours: float
    measured_hours: float
    z: float
    outlier: bool
    interrupted: bool
    factor_before: float
    factor_after: float
    at: datetime


class Lessons(Answer):
    items: list[LessonView]


class BeliefView(Answer):
    """Efficiency of a device in a class of work over the published rule's; 1 where nothing was learnt."""

    device: str
    work_class: str
    factor: SpanView
    runs: int
    outliers: int


class Beliefs(Answer):
    items: list[BeliefView]


# Capability


class QuantityView(Answer):
    """One figure, where it comes from and how it was taken; `parts` of `of` members contributed."""

    value: float
    source: str
    statistic: str
    parts: int
    of: int


class DimensionView(Answer):
    """Three separate numbers for one property; None where nobody gave one."""

    metric: str
    unit: str
    side: Literal["computing", "storage", "network"]
    nominal: QuantityView | None
    measured: QuantityView | None
    sold: QuantityView | None


class UnitView(Answer):
    """Reference cards (NVIDIA A100 80GB SXM) worth, in one class of work."""

    work_class: WorkClass
    units: SpanView


class PartView(Answer):
    """Nodes, one model of card, or what a site has once; of the network, one site."""

    kind: str
    name: str
    count: int
    dimensions: list[DimensionView]
    units: list[UnitView]


class ShortfallView(Answer):
    """A probed rate under what the site declares: it is placed and quoted by what was measured."""

    site: str
    metric: str
    declared: float
    measured: float
    ratio: float
    at: datetime


class CapabilityView(Answer):
    """Nominal, measured and sold figures of a site or of the network."""

    name: str
    dimensions: list[DimensionView]
    units: list[UnitView]
    parts: list[PartView]
    shortfalls: list[ShortfallView]
    remarks: list[str]


# The catalogue


class FigureView(Answer):
    """One printed number. `source` is a key of `sources`."""

    value: float
    source: str
    published_on: str
    note: str


class FactView(Answer):
    value: str
    source: str
    published_on: str
    note: str


class LinkView(Answer):
    """GB/s of one device over all its lanes, counted as `direction` says."""

    name: str
    bandwidth_gb_s: FigureView
    direction: Direction


class ReferenceView(Answer):
    """A document that figures are taken from."""

    key: str
    title: str
    publisher: str
    published_on: str
    locator: str
    licence: str


class AcceleratorRow(Answer):
    """An accelerator in a list. Rates are dense peaks in TFLOPS (TOPS for integers)."""

    id: str
    vendor: str
    model: str
    kind: DeviceKind
    domestic: bool
    rates: dict[Precision, float]
    memory_gb: float | None
    memory_bandwidth_gb_s: float | None
    power_w: float | None
    released: str | None


class AcceleratorList(Answer):
    items: list[AcceleratorRow]


class AcceleratorView(Answer):
    """One accelerator in full. `rates` are dense, `sparse_rates` need structured sparsity, `printed` is what the
    programme's documents print, right or wrong."""

    id: str
    vendor: str
    model: str
    kind: DeviceKind
    domestic: bool
    rates: dict[Precision, FigureView]
    sparse_rates: dict[Precision, FigureView]
    printed: dict[str, FigureView]
    memory_gb: FigureView | None
    memory_type: str | None
    memory_bandwidth_gb_s: FigureView | None
    links: list[LinkView]
    power_w: FigureView | None
    process_nm: FigureView | None
    released: FactView | None
    software: list[str]
    aliases: list[str]
    families: list[str]
    slurm_gres: list[str]
    kubernetes: list[str]
    note: str
    units: list[UnitView]
    sources: list[ReferenceView]


class ProcessorRow(Answer):
    """A server processor, one socket."""

    id: str
    vendor: str
    model: str
    isa: Isa
    domestic: bool
    cores: int
    base_ghz: float | None
    fp64_tflops: float | None
    memory_bandwidth_gb_s: float | None
    power_w: float | None
    released: str | None


class ProcessorList(Answer):
    items: list[ProcessorRow]
