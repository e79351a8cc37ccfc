"""What a site publishes of its prices, as leaves of the log: declarations, price lists, and the months of plans it sold.

Owns their form and their names, and which of them the unit prices of a usage record follow from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

from suanwang.domain.ids import SiteId
from suanwang.domain.pricing import Formula, PlanMonth, PriceList
from suanwang.domain.site import Offering, Price
from suanwang.electricity.tariff import check_tariff
from suanwang.trading import plainform
from suanwang.trading.leaves import canonical
from suanwang.trading.market.product import CORE
from suanwang.trading.strict import mapping, text

DECLARED, PRICES, PLAN = "declared", "prices", "plan"
Name = tuple[str, str]
"""Kind, and what it is called within the kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A leaf that the log is to have."""

    kind: str
    name: str
    leaf: str

    @property
    def sha256(self) -> str:
        return sha256(self.leaf.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What of a site's declaration its prices follow from; numbered by `price.declared`."""

    site: SiteId
    provider: str
    at: datetime
    price: Price
    pue: float
    power_w: Mapping[str, float] = field(default_factory=dict)
    """Of one device, by catalogue identifier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A version of a site's price list."""

    site: SiteId
    version: PriceList


Stated = Declared | Listed | PlanMonth


def declared_of(site: SiteId, offering: Offering, number: int, at: datetime) -> Declared:
    return Declared(
        site=site,
        provider=offering.provider,
        at=at,
        price=replace(offering.price, lists=(), declared=number),
        # Whoever declares may have said whole numbers.
        pue=float(offering.pue),
        power_w={pool.model: float(pool.power_w) for pool in offering.devices},
    )


def name_of(value: Stated) -> Name:
    match value:
        case Declared():
            return DECLARED, f"{value.site}/{value.price.declared}"
        case Listed():
            return PRICES, f"{value.site}/{value.version.version}"
        case PlanMonth():
            return PLAN, value.key


def published(value: Stated) -> Published:
    kind, name = name_of(value)
    return Published(kind=kind, name=name, leaf=canonical({"kind": kind, **plainform.shown(value)}))


def stated(leaf: object) -> Stated:
    """What a leaf says. Raises `ValueError`, `TypeError`, `InvalidRequest` for one that `published` did not write."""
    said = dict(mapping(leaf))
    kinds: Mapping[str, type[Stated]] = {DECLARED: Declared, PRICES: Listed, PLAN: PlanMonth}
    kind = text(said.pop("kind", None))
    if kind not in kinds:
        raise ValueError(f"a leaf of kind {', '.join(kinds)} is wanted")
    found = plainform.read(kinds[kind], said)
    if isinstance(found, Declared) and (
        found.price.lists or found.price.dated or found.price.prepaid or found.price.customer
    ):
        raise ValueError("a declaration says its posted prices alone")
    if isinstance(found, Declared) and found.price.electricity is not None:
        check_tariff(found.price.electricity, "electricity")
    if published(found).leaf != canonical(mapping(leaf)):
        raise ValueError(f"{kind} {name_of(found)[1]} is not written canonically")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What the prices of a run were bound by, as the leaf of each of its records says."""

    declared: int
    lists: tuple[int, ...] = ()
    """Versions by their dates; 0 is what was declared before the first one. Empty: the site had published none."""
    plans: tuple[str, ...] = ()
    organisation: str = ""
    interruptible: bool = False
    prepaid: str = ""

    def names(self, site: SiteId) -> Iterator[Name]:
        """Of all that the log must have had before the run."""
        yield DECLARED, f"{site}/{self.declared}"
        yield from ((PRICES, f"{site}/{version}") for version in self.lists if version)
        yield from ((PLAN, key) for key in self.plans)


def bound_of(price: Price) -> Bound | None:
    """None where the log does not have what the price follows from: it was bound before declarations were logged."""
    if not price.declared:
        return None
    first = price.dated[0].discounts if price.dated else ()
    return Bound(
        declared=price.declared,
        lists=tuple(each.version for each in price.dated),
        plans=tuple(each.plan_month for each in first if each.below_us is not None),
        organisation=price.customer.organisation if price.customer else "",
        interruptible=price.customer is not None and price.customer.interruptible,
        prepaid=price.prepaid,
    )


def prepaid(price: Price, device: str) -> Price:
    """A price with nothing for the device (or `core`) of a right: that was paid. Electricity is in what was paid too."""
    if device == CORE:
        dated = tuple(replace(each, core_hour_yuan=Decimal(0)) for each in price.dated)
        made = replace(price, core_hour_yuan=Decimal(0), dated=dated)
    else:
        made = replace(
            price,
            device_hour_yuan={**price.device_hour_yuan, device: Decimal(0)},
            dated=tuple(replace(each, device=Formula()) for each in price.dated),
        )
    return replace(made, electricity_passed_on=False, prepaid=device)


def names_in(leaves: Sequence[Mapping[str, Any]]) -> set[Name]:
    """Of all that these usage leaves say they were bound by."""
    found: set[Name] = set()
    for leaf in leaves:
        if "bound" in leaf:
            found.update(plainform.read(Bound, leaf["bound"]).names(SiteId(leaf["site"])))
    return found
