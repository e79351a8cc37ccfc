"""Whether a bill's unit prices are those that its sites had published before the runs began.

Owns that check: each record says which declaration, price lists and plans its run was bound by; their leaves are in the bill,
stand in the log before the lease, and give the record's price again. Knows no proof of inclusion.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from suanwang.domain.ids import AllocationId, SiteId
from suanwang.domain.pricing import Customer, PlanMonth, PriceList
from suanwang.domain.site import Price
from suanwang.electricity.pricing import bound_by, counts_volume, flat, meter_kw, next_change, pricing_at
from suanwang.electricity.supply import EPOCH
from suanwang.trading.billfile import Bill, Rated, Said
from suanwang.trading.holding import first_holds
from suanwang.trading.proving import Check, Failure, failure
from suanwang.trading.published import Bound, Declared, Listed, Name, name_of, prepaid
from suanwang.trading.rating import electricity_rate, used_us

_SHORT = {"declared": "declaration", "prices": "price list", "plan": "plan"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """`sources` are what unit prices follow from; `unproved` is what the file cannot show of them."""

    failures: tuple[Failure, ...]
    lines: int
    """Records whose unit prices follow."""
    sources: tuple[str, ...]
    unproved: tuple[str, ...]


def followed(bill: Bill) -> Followed:
    """Hold every record against what was published; of the records that do not follow, the first one is named."""
    found, begun = {name_of(each.value): each for each in bill.published}, _begun(bill)
    wrong: list[tuple[str, str]] = []
    lines, named = 0, set[Name]()
    for each in bill.usage:
        if each.bound is None:
            continue
        names = list(each.bound.names(each.record.site_id))
        named.update(names)
        message = next(_wrong(each, names, found, begun[each.record.allocation_id].leaf), "")
        if message:
            wrong.append((each.record.id, message))
        else:
            lines += 1
    failures = [_failed(f"usage {wrong[0][0]}", wrong[0][1], len(wrong) - 1)] if wrong else []
    failures += [_failed(_called(of), "no record of this bill is bound by it") for of in found if of not in named]
    known = {name for of in begun for name in first_holds(of)}
    failures += [
        _failed(f"transfer {lease.transfer.id}", "it is of no lease of this bill")
        for lease in bill.leases
        if lease.transfer.id not in known
    ]
    return Followed(
        failures=tuple(failures),
        lines=lines,
        sources=tuple(_called(name) for name in found if name in named),
        unproved=tuple(_unproved(bill, begun)),
    )


@dataclass(frozen=True, slots=True)
class _Begun:
    """The first leaf that the log has of a lease: that of its hold, or of its first record."""

    leaf: int
    held: bool


def _begun(bill: Bill) -> Mapping[AllocationId, _Begun]:
    held = {each.transfer.id: each.proven.index for each in bill.leases}
    found: dict[AllocationId, _Begun] = {}
    for each in bill.usage:
        lease = each.record.allocation_id
        if lease not in found:
            at = min((held[name] for name in first_holds(lease) if name in held), default=None)
            found[lease] = _Begun(each.proven.index, False) if at is None else _Begun(at, True)
    return found


def _unproved(bill: Bill, begun: Mapping[AllocationId, _Begun]) -> Iterator[str]:
    bare = [each.record.id for each in bill.usage if each.bound is None]
    if bare:
        yield f"that the unit prices of {len(bare)} lines, from {bare[0]} on, were its site's: the log has no list for them"
    late = [lease for lease, first in begun.items() if not first.held]
    if late and len(bare) < len(bill.usage):
        yield f"that prices were in the log before lease {late[0]} began, which held no money: before its first line they were"


def _wrong(each: Rated, names: list[Name], found: Mapping[Name, Said], before: int) -> Iterator[str]:
    """What is wrong with a record's unit prices, worst first."""
    for name in names:
        if name not in found:
            yield f"{_called(name)} is not in the bill"
            return
        if found[name].proven.index >= before:
            yield f"{_called(name)} was logged after its run began"
    assert each.bound is not None, "asked where a record says what bound it"
    price = _price(each, each.bound, [found[name] for name in names])
    if price is None:
        yield "the lists that it names do not stand by their dates"
        return
    record, line, used = each.record, each.line, used_us(each.line)
    if counts_volume(price) != (used is not None):
        yield "it does not count the month's volume as its list does"
    if pricing_at(price, record.from_at, used) != line.pricing:
        yield f"its price does not follow from {', '.join(_called(name) for name in names)}"
    if _units(flat(price, record.device_model, record.from_at, used), record.device_model) != _units(
        each.price, record.device_model
    ):
        yield f"its unit prices are not those of {', '.join(_called(name) for name in names)}"
    changes = next_change(price, record.from_at, record.to_at, record.devices, used)
    if record.corrects is None and changes < record.to_at:
        yield f"its price changes at {changes.isoformat()}, within it"
    rate = each.electricity
    if electricity_rate(price, rate.power_kw if rate else 0.0, record.from_at) != rate:
        yield "its electricity is not at the site's tariff"


def _price(each: Rated, bound: Bound, said: list[Said]) -> Price | None:
    """The price as it was bound, made anew; None where the versions stand in another order than that of their dates."""
    model, site = each.record.device_model, each.record.site_id
    values = [one.value for one in said]
    declared = next(value for value in values if isinstance(value, Declared))
    lists = {value.version.version: value.version for value in values if isinstance(value, Listed)}
    covers = [value.cover for value in values if isinstance(value, PlanMonth) and _covers(value, each, site)]
    versions: list[PriceList | None] = [lists[number] if number else None for number in bound.lists]
    dates = [(EPOCH, 0) if one is None else (one.valid_from, one.version) for one in versions]
    if dates != sorted(set(dates)) or len(covers) != len(bound.plans):
        return None
    price = replace(declared.price)
    if versions:
        power = declared.power_w.get(model) if model else None
        kw = Decimal(0) if power is None else meter_kw(power, declared.pue)
        customer = Customer(each.record.project, bound.organisation, bound.interruptible)
        price = bound_by(price, versions, None if power is None else model, kw, customer, covers)
    return prepaid(price, bound.prepaid) if bound.prepaid else price


def _covers(month: PlanMonth, each: Rated, site: SiteId) -> bool:
    bought = (month.project, month.site_id, month.package.device)
    return bought == (each.record.project, site, each.record.device_model)


def _units(price: Price, model: str | None) -> tuple[Decimal, ...]:
    device = price.device_hour_yuan.get(model, Decimal(0)) if model else Decimal(0)
    return price.core_hour_yuan, price.memory_gb_hour_yuan, device


def _called(name: Name) -> str:
    kind, of = name
    site, _, number = of.rpartition("/")
    return f"{_SHORT[kind]} {number} of {site}" if kind != "plan" else of


def _failed(where: str, message: str, more: int = 0) -> Failure:
    return failure(Check.PRICES, where, message + (f" (and {more} more)" if more else ""))
