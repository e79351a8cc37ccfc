"""Price lists: publishing one, what is asked now, and every version there ever was.

Owns who may publish, what a list must hold, and its number. What it comes to for whom is `electricity.pricing`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from suanwang import catalog
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import Event
from suanwang.domain.pricing import Asked, Customer, Discount, Formula, Package, PlanMonth, PriceList, Pricing
from suanwang.domain.site import Offering, Price, Site
from suanwang.electricity.pricing import bound, counts_volume, month_of, next_month, pricing_at
from suanwang.ports import Clock, Store
from suanwang.trading.published import Listed, Stated, declared_of, name_of, published

TRIES = 5
MOST_WAITING = 20
"""Versions of a site whose date is still to come."""
MOST_DISCOUNTS, MOST_PACKAGES = 50, 20
MOST_MONTHS = 60
MOST_NAME, MOST_NOTE = 60, 500
MOST_YUAN, MOST_FACTOR = Decimal(1_000_000), Decimal(1000)
MOST_HOURS = 10**9
FURTHEST = timedelta(days=2 * 366)
HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What an hour at a site costs a project now; `device` None: of its cores and memory alone."""

    site: SiteId
    device: str | None
    pricing: Pricing | None
    """None where the site has published no list, or none is in force yet: what it declares holds."""
    price: Price
    used_hours: Decimal
    """Device hours of the month so far."""
    changes_at: datetime | None
    """When the next version holds."""


class Prices:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def publish(
        self,
        caller: Principal,
        site_id: SiteId,
        asked: Asked,
        valid_from: datetime | None = None,
        *,
        trial: bool = False,
    ) -> PriceList:
        """A new version for a site, from `valid_from` on (now at the earliest). Runs that were granted before keep theirs.
        What the newest version says already changes nothing. With `trial` only say what it would be.

        Raises `InvalidRequest` naming the field, `Forbidden`, `NotFound`, `Conflict` under contention.
        """
        for _ in range(TRIES):
            site = self._site(site_id)
            caller.must_be(Role.OPERATOR, Role.PROVIDER)
            if caller.role is Role.PROVIDER and caller.provider != site.offering.provider:
                message = f"{caller.name!r} speaks for {caller.provider}, not {site.offering.provider}"
                raise Forbidden(message, field="provider")
            wanted = checked(asked, site.offering)
            newest = next(iter(self._store.price_lists(site_id, None, 1)), None)
            if newest is not None and _says(newest, wanted) and valid_from in (None, newest.valid_from):
                return newest
            now, number = self._clock.now(), 1 if newest is None else newest.version + 1
            made = self._version(caller, site, number, wanted, _date(valid_from, now), now)
            if trial:
                return made
            event = Event(
                kind="site.priced",
                at=now,
                site_id=site_id,
                actor=caller.name,
                data={"version": made.version, "valid_from": made.valid_from.isoformat()},
            )
            lists = standing((*site.offering.price.lists, made), now)
            moved = replace(site, revision=site.revision + 1, offering=with_lists(site.offering, lists))
            try:
                leaf = published(Listed(site=site.id, version=made))
                self._store.put_site(moved, (event,), unhold=True, price_list=made, published=(leaf,))
            except Conflict:
                continue
            return made
        raise Conflict(f"site {site_id} is being changed by others; try again")

    def _version(
        self, caller: Principal, site: Site, number: int, asked: Asked, valid_from: datetime, now: datetime
    ) -> PriceList:
        waiting = sum(each.valid_from > now for each in site.offering.price.lists)
        if waiting >= MOST_WAITING:
            message = f"{waiting} price lists of {site.id} are still to come"
            raise InvalidRequest(message, field="valid_from", allowed=f"up to {MOST_WAITING} at a time")
        return PriceList(
            **_values(asked),
            version=number,
            valid_from=valid_from,
            published_at=now,
            published_by=caller.name,
        )

    def history(self, caller: Principal, site_id: SiteId, before: int | None, limit: int) -> Sequence[PriceList]:
        """Versions below `before`, newest first: any caller with a token may see them."""
        return self._store.price_lists(self._site(site_id).id, before, min(limit, 200))

    def now(
        self,
        caller: Principal,
        project: ProjectId | None,
        *,
        interruptible: bool = False,
        site: SiteId | None = None,
    ) -> Sequence[Asking]:
        """What every site, or one, asks `project` now, its own discounts taken; without one, what it asks everybody."""
        if project is not None and not caller.may_see(project):
            raise NotFound(f"no project {project[:100]!r} of yours", field="project", allowed="see `project list`")
        now, sites = self._clock.now(), self._store.sites() if site is None else [self._site(site)]
        payer = Customer()
        if project is not None:
            payer = payers(self._store, sites, now).get(project, Customer(project))
        payer = replace(payer, interruptible=interruptible)
        return [
            self._asking(each, device, payer, now)
            for each in sites
            for device in (None, *(pool.model for pool in each.offering.devices))
        ]

    def _asking(self, site: Site, device: str | None, payer: Customer, now: datetime) -> Asking:
        price = bound(site, device, payer, now)
        used_us = 0
        if device is not None and payer.project and price.dated:
            month = month_of(now)
            used_us = self._store.device_us(ProjectId(payer.project), site.id, device, month, next_month(month))
        later = [each.from_at for each in price.dated if each.from_at > now]
        return Asking(
            site=site.id,
            device=device,
            pricing=pricing_at(price, now, used_us if counts_volume(price) else None),
            price=price,
            used_hours=Decimal(used_us) / HOUR_US,
            changes_at=min(later, default=None),
        )

    def _site(self, site_id: SiteId) -> Site:
        site = self._store.site(site_id)
        if site is None:
            raise NotFound(f"no site {site_id!r}", field="site", allowed="see `suanwang site list`")
        return site


def _values(asked: Asked) -> dict[str, Any]:
    return {each.name: getattr(asked, each.name) for each in fields(Asked)}


def _says(version: PriceList, asked: Asked) -> bool:
    return _values(version) == _values(asked)


def payers(
    store: Store, sites: Sequence[Site], now: datetime, projects: Collection[ProjectId] = ()
) -> Mapping[ProjectId, Customer]:
    """What price lists look at in projects: organisations where a list asks for them, and plans whose hours are not used up.
    Of a plan the month that runs counts once its fee is paid, and the months to come. With what these `projects` have used
    this month, where it counts."""
    lists = [version for site in sites for version in site.offering.price.lists]
    if not lists:
        return {}
    found: dict[ProjectId, Customer] = {}
    if any(each.organisations for version in lists for each in version.discounts):
        found = {each.id: Customer(each.id, each.organisation) for each in store.projects()}
    with_plans = covered(found, store.plan_months(None, now), now, lambda month: _used(store, month))
    counting = {site.id for site in sites if _counts(site)}
    counting |= {site for payer in with_plans.values() for site, _, _ in payer.covers}
    if not counting or not projects:
        return with_plans
    begins = month_of(now)
    return using(with_plans, store.devices_used(projects, counting, begins, next_month(begins)))


def covered(
    known: Mapping[ProjectId, Customer],
    months: Iterable[tuple[PlanMonth, bool]],
    now: datetime,
    used: Callable[[PlanMonth], int],
) -> Mapping[ProjectId, Customer]:
    """`known` with plans whose months are not over, each with whether its fee is paid; `used` are device microseconds of its
    project's in a month that has begun."""
    found = dict(known)
    for month, paid in months:
        if month.from_at <= now and (not paid or used(month) >= month.below_us):
            continue
        payer = found.get(month.project, Customer(month.project))
        found[month.project] = replace(
            payer, covers=(*payer.covers, (month.site_id, month.package.device, month.cover))
        )
    return found


def using(
    known: Mapping[ProjectId, Customer], used: Iterable[tuple[ProjectId, SiteId, str, int]]
) -> Mapping[ProjectId, Customer]:
    """`known` with device microseconds that projects used of a site's device this month, in the order of the names."""
    found = dict(known)
    for project, site, device, used_us in used:
        payer = found.get(project, Customer(project))
        found[project] = replace(payer, used=(*payer.used, (site, device, used_us)))
    return found


def _counts(site: Site) -> bool:
    return any(each.above_device_hours is not None for v in site.offering.price.lists for each in v.discounts)


def _used(store: Store, month: PlanMonth) -> int:
    return store.device_us(month.project, month.site_id, month.package.device, month.from_at, month.to_at)


def log_declared(store: Store, now: datetime) -> None:
    """Log the prices of sites that joined before the log had them, so that bills of runs from now on prove them."""
    for site in store.sites():
        if site.offering.price.declared:
            continue
        numbered = replace(site.offering, price=replace(site.offering.price, declared=1))
        plans = [month for month, _ in store.plan_months(None, now) if month.site_id == site.id]
        lists = [Listed(site=site.id, version=each) for each in site.offering.price.lists]
        stated: list[Stated] = [declared_of(site.id, numbered, 1, now), *lists, *plans]
        wanted = {name_of(each): each for each in stated}
        there = store.published(wanted.keys())
        leaves = [published(each) for name, each in wanted.items() if name not in there]
        with suppress(Conflict):  # Somebody changed it meanwhile: the next time does it.
            store.put_site(replace(site, revision=site.revision + 1, offering=numbered), published=leaves)


def with_lists(offering: Offering, lists: tuple[PriceList, ...]) -> Offering:
    """`offering` with price lists, which it must still fit. Raises `InvalidRequest`."""
    for version in lists:
        if offering.price.electricity is None and any(each.factor for each in version.device_hour.values()):
            message = f"price list {version.version} follows the site's electricity price"
            raise InvalidRequest(message, field="price.electricity", allowed="a tariff")
    return replace(offering, price=replace(offering.price, lists=lists))


def standing(lists: Sequence[PriceList], now: datetime) -> tuple[PriceList, ...]:
    """The list in force and those to come; of several with one date the newest comes last and holds."""
    ordered = sorted(lists, key=lambda each: (each.valid_from, each.version))
    first = max((at for at, each in enumerate(ordered) if each.valid_from <= now), default=0)
    return tuple(ordered[first:])


def _date(valid_from: datetime | None, now: datetime) -> datetime:
    """A whole second, now at the earliest: what is in force never changes."""
    next_second = now.replace(microsecond=0) + timedelta(seconds=1)
    if valid_from is None:
        return next_second
    if valid_from.tzinfo is None or valid_from.microsecond or not now <= valid_from <= now + FURTHEST:
        raise InvalidRequest(
            f"a price list cannot hold from {valid_from.isoformat()} on",
            field="valid_from",
            allowed=f"a whole second with its offset, from now ({next_second.isoformat()}) on, within two years",
        )
    return valid_from.astimezone(UTC)


def checked(asked: Asked, offering: Offering) -> Asked:
    """`asked` with devices and brands as the catalogue writes them. Raises `InvalidRequest` naming the field."""
    _amount(asked.core_hour_yuan, "core_hour_yuan")
    _amount(asked.memory_gb_hour_yuan, "memory_gb_hour_yuan")
    if len(asked.note) > MOST_NOTE:
        raise InvalidRequest("the note is too long", field="note", allowed=f"up to {MOST_NOTE} characters")
    there = {pool.model for pool in offering.devices}
    formulas: dict[str, Formula] = {}
    for name, formula in asked.device_hour.items():
        field = f"device_hour.{name}"
        model = name if name in there else catalog.accelerator(name, field=field).id
        if model not in there:
            raise InvalidRequest(f"the site has no {model}", field=field, allowed=", ".join(sorted(there)) or "none")
        if model in formulas:
            raise InvalidRequest(f"{model} has two prices", field=field, allowed="one for each model")
        formulas[model] = _formula(formula, offering, field)
    if len(asked.discounts) > MOST_DISCOUNTS:
        raise InvalidRequest("too many discounts", field="discounts", allowed=f"up to {MOST_DISCOUNTS}")
    discounts = tuple(_discount(each, f"discounts.{at}") for at, each in enumerate(asked.discounts))
    names = [each.name for each in discounts]
    for at, name in enumerate(names):
        if name in names[:at]:
            raise InvalidRequest(f"two discounts are named {name!r}", field=f"discounts.{at}.name", allowed="one each")
    packages = tuple(_package(each, there, f"packages.{at}") for at, each in enumerate(asked.packages))
    if len(packages) > MOST_PACKAGES or len({each.name for each in packages}) < len(packages):
        raise InvalidRequest(
            "too many packages, or two of one name", field="packages", allowed=f"up to {MOST_PACKAGES}"
        )
    return replace(asked, device_hour=formulas, discounts=discounts, packages=packages)


def _package(value: Package, there: Collection[str], field: str) -> Package:
    name = _name(value.name, field)
    model = value.device if value.device in there else catalog.accelerator(value.device, field=f"{field}.device").id
    if model not in there:
        allowed = ", ".join(sorted(there)) or "none"
        raise InvalidRequest(f"the site has no {model}", field=f"{field}.device", allowed=allowed)
    _number(value.fee_yuan, f"{field}.fee_yuan", MOST_YUAN, 2)
    if not 1 <= value.device_hours <= MOST_HOURS:
        raise InvalidRequest("this is no month", field=f"{field}.device_hours", allowed=f"1 to {MOST_HOURS:,}")
    if not 1 <= value.months <= MOST_MONTHS:
        raise InvalidRequest("this is no term", field=f"{field}.months", allowed=f"1 to {MOST_MONTHS}")
    return replace(value, name=name, device=model)


def _name(text: str, field: str) -> str:
    name = text.strip()
    if not 0 < len(name) <= MOST_NAME or any(ord(c) < 32 for c in name):
        raise InvalidRequest("this is no name", field=f"{field}.name", allowed=f"1 to {MOST_NAME} characters")
    return name


def _formula(value: Formula, offering: Offering, field: str) -> Formula:
    _amount(value.base_yuan, f"{field}.base_yuan")
    _amount(value.floor_yuan, f"{field}.floor_yuan")
    _number(value.factor, f"{field}.factor", MOST_FACTOR, 4)
    if value.cap_yuan is not None:
        _amount(value.cap_yuan, f"{field}.cap_yuan")
        if value.cap_yuan < value.floor_yuan:
            raise InvalidRequest("the cap is below the floor", field=f"{field}.cap_yuan", allowed="the floor or more")
    if value.factor and offering.price.electricity is None:
        message = "the formula follows the site's electricity price, and the site declares none"
        raise InvalidRequest(message, field=f"{field}.factor", allowed="0, or a site file with `electricity`")
    return value


def _discount(value: Discount, field: str) -> Discount:
    name = _name(value.name, field)
    if value.below_us is not None:
        raise InvalidRequest(
            "only plans pay hours ahead", field=f"{field}.below_us", allowed="left out; see `packages`"
        )
    _number(value.percent, f"{field}.percent", Decimal(100), 4)
    if not value.percent:
        raise InvalidRequest("0 % is no discount", field=f"{field}.percent", allowed="more than 0, up to 100")
    for edge, at in (("from_at", value.from_at), ("until", value.until)):
        if at is not None and (at.tzinfo is None or at.microsecond or not 2000 <= at.year < 2200):
            raise InvalidRequest(
                "this is no instant", field=f"{field}.{edge}", allowed="a whole second with its offset"
            )
    if value.from_at is not None and value.until is not None and value.until <= value.from_at:
        raise InvalidRequest("it ends before it begins", field=f"{field}.until", allowed="after `from_at`")
    above = value.above_device_hours
    if above is not None and not 1 <= above <= MOST_HOURS:
        raise InvalidRequest("this is no step", field=f"{field}.above_device_hours", allowed=f"1 to {MOST_HOURS:,}")
    vendors = {each.vendor.casefold(): each.vendor for each in catalog.accelerators().values()}
    for brand in value.brands:
        if brand.casefold() not in vendors:
            allowed = ", ".join(sorted(vendors.values()))
            raise InvalidRequest(f"no vendor {brand[:60]!r}", field=f"{field}.brands", allowed=allowed)
    # Python subtracts instants of one zone by their wall clocks, which jump; in UTC they do not.
    from_at, until = (None if at is None else at.astimezone(UTC) for at in (value.from_at, value.until))
    brands = tuple(vendors[brand.casefold()] for brand in value.brands)
    return replace(value, name=name, brands=brands, from_at=from_at, until=until)


def _amount(value: Decimal, field: str) -> None:
    _number(value, field, MOST_YUAN, 9)


def _number(value: Decimal, field: str, most: Decimal, decimals: int) -> None:
    # Comparing a decimal that is no number raises.
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -decimals or not 0 <= value <= most:
        allowed = f"0 to {most:,}, with up to {decimals} decimals"
        raise InvalidRequest(f"{field} is not possible", field=field, allowed=allowed)
