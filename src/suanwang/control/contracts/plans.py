"""Plans: subscriptions and committed use, bought by projects and billed by the month.

Owns who may buy one, its months, and the fees. A month's fee is one chain of transfers named by plan and month: whatever dies or
happens twice, it is paid once. What the hours then cost is `electricity.pricing`'s: nothing, until they are used up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from suanwang.control.billing.budgets import check_order
from suanwang.control.people import check_project
from suanwang.control.rules import Rules
from suanwang.domain.errors import Conflict, InvalidRequest, NotFound
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import ProjectId, SiteId
from suanwang.domain.job import Event
from suanwang.domain.pricing import Package, PlanMonth
from suanwang.domain.site import Site
from suanwang.electricity.pricing import HOUR_US, month_of, next_month
from suanwang.ports import Clock, Store
from suanwang.trading.budgets import Draw
from suanwang.trading.ledger import Account, Owner, Transfer, account_id
from suanwang.trading.owning import weights
from suanwang.trading.published import published
from suanwang.trading.settlement import opened, parties, split

MOST_MONTHS = 60
FURTHEST = timedelta(days=366)
FEES_AT_ONCE = 500
CODE = "plan"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OnOffer:
    """A package of the list in force at a site."""

    site: SiteId
    version: int
    package: Package


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """A month of a plan, and what of its hours is used."""

    month: PlanMonth
    paid: bool
    used_us: int


class Plans:
    def __init__(self, store: Store, clock: Clock, rules: Rules) -> None:
        self._store = store
        self._clock = clock
        self._rules = rules

    def on_offer(self, caller: Principal) -> Sequence[OnOffer]:
        """The packages of every site's list in force."""
        now = self._clock.now()
        return [each for site in self._store.sites() for each in _packages(site, now)]

    def buy(
        self,
        caller: Principal,
        plan: str,
        project: ProjectId,
        site_id: SiteId,
        package: str,
        *,
        months: int | None = None,
        begins: datetime | None = None,
        version: int | None = None,
        trial: bool = False,
    ) -> Sequence[Bought]:
        """Buy `months` of a package (its shortest term by default) from the present month on, or from that of `begins`.

        In the present month what was used before counts for nothing. The same `plan` of the same project again changes
        nothing. With `version` only from that price list; with `trial` only say what it would be.
        Raises `InvalidRequest`, `NotFound`, `Conflict` where the first fee cannot be paid or a month is taken.
        """
        if not caller.may_change(project):
            raise NotFound(f"no project {project[:100]!r} of yours", field="project", allowed="see `project list`")
        check_project(self._store, project)
        if not _NAME.fullmatch(plan):
            raise InvalidRequest("this is no name of a plan", field="plan", allowed="1 to 60 of a-z, 0-9 and -")
        had = [each for each in self.of(caller, project) if each.month.plan == plan]
        if had:
            if (had[0].month.site_id, had[0].month.package.name) != (site_id, package):
                raise Conflict(
                    f"project {project} has another plan {plan!r}", field="plan", allowed="a name of its own"
                )
            return had
        site, now = self._site(site_id), self._clock.now()
        wanted = self._wanted(site, package, now)
        if version not in (None, wanted.version):
            raise Conflict("the price list has changed", field="version", allowed=f"{wanted.version}")
        count = wanted.package.months if months is None else months
        if not wanted.package.months <= count <= MOST_MONTHS:
            allowed = f"{wanted.package.months} to {MOST_MONTHS}"
            raise InvalidRequest(f"this package is not sold for {count} months", field="months", allowed=allowed)
        first = month_of(now if begins is None else begins)
        if not month_of(now) <= first <= now + FURTHEST:
            raise InvalidRequest("it cannot begin then", field="begins", allowed="from this month on, within a year")
        made = self._months(caller, plan, project, site, wanted, first, count, now)
        self._check_means(made[0], now)
        check_order(self._store, project, caller.name, made[0].fee_fen, now)
        if trial:
            return [Bought(month=month, paid=False, used_us=0) for month in made]
        event = Event(
            kind="plan.bought",
            at=now,
            project=project,
            site_id=site_id,
            actor=caller.name,
            data={"plan": plan, "package": package, "months": count, "fee_fen": made[0].fee_fen},
        )
        self._store.add_plan(made, [event], [published(each) for each in made])
        fees_due(self._store, self._rules, now, made[:1] if first <= now else ())
        return [each for each in self.of(caller, project) if each.month.plan == plan]

    def of(self, caller: Principal, project: ProjectId | None = None) -> Sequence[Bought]:
        """Months of plans that the caller pays, earns or watches, by month."""
        mine = caller.projects if caller.role is Role.USER else None
        if project is not None and not caller.may_see(project):
            raise NotFound(f"no project {project[:100]!r} of yours", field="project", allowed="see `project list`")
        found = self._store.plan_months(mine if project is None else (project,), None)
        return [
            Bought(month=month, paid=paid, used_us=self._used(month))
            for month, paid in found
            if caller.role is not Role.PROVIDER or caller.provider == month.provider
        ]

    def _used(self, month: PlanMonth) -> int:
        """Of its own hours."""
        of = month.project, month.site_id, month.package.device
        before = month.below_us - month.package.device_hours * HOUR_US
        used = self._store.device_us(*of, month.from_at, month.to_at) - before
        return min(max(0, used), month.package.device_hours * HOUR_US)

    def _months(
        self,
        caller: Principal,
        plan: str,
        project: ProjectId,
        site: Site,
        wanted: OnOffer,
        first: datetime,
        count: int,
        now: datetime,
    ) -> list[PlanMonth]:
        package, made, begin = wanted.package, list[PlanMonth](), first
        for _ in range(count):
            end = next_month(begin)
            before = 0
            if begin <= now:
                before = self._store.device_us(project, site.id, package.device, begin, end)
            made.append(
                PlanMonth(
                    plan=plan,
                    project=project,
                    site_id=site.id,
                    provider=site.offering.provider,
                    owners=site.offering.owners,
                    package=package,
                    version=wanted.version,
                    from_at=begin,
                    to_at=end,
                    below_us=before + package.device_hours * HOUR_US,
                    fee_fen=int(package.fee_yuan * 100),
                    bought_at=now,
                    bought_by=caller.name,
                )
            )
            begin = end
        return made

    def _wanted(self, site: Site, package: str, now: datetime) -> OnOffer:
        there = _packages(site, now)
        found = next((each for each in there if each.package.name == package), None)
        if found is None:
            allowed = ", ".join(each.package.name for each in there) or "none of this site"
            raise InvalidRequest(f"{site.id} has no package {package[:60]!r} now", field="package", allowed=allowed)
        return found

    def _check_means(self, month: PlanMonth, now: datetime) -> None:
        account = self._store.account(account_id(Owner.PROJECT, month.project)) or _payer(self._rules, month)
        left = account.available_fen
        if month.from_at <= now and left is not None and left < month.fee_fen:
            raise Conflict(
                f"the first month costs {month.fee_fen} fen, and project {month.project} has {left} left",
                field="project",
                allowed="after `wallet top-up`",
            )

    def _site(self, site_id: SiteId) -> Site:
        site = self._store.site(site_id)
        if site is None:
            raise NotFound(f"no site {site_id!r}", field="site", allowed="see `suanwang site list`")
        return site


def _packages(site: Site, now: datetime) -> list[OnOffer]:
    in_force = [each for each in site.offering.price.lists if each.valid_from <= now]
    if not in_force:
        return []
    return [OnOffer(site=site.id, version=in_force[-1].version, package=each) for each in in_force[-1].packages]


def fees_due(store: Store, rules: Rules, now: datetime, months: Iterable[PlanMonth] | None = None) -> int:
    """Pay the fees of months that have begun, or of these; returns how many were paid. One that its project cannot pay is
    tried again after `rules.settle_retry_s`; it covers nothing until then."""
    paid = 0
    for month in store.plan_fees(now, FEES_AT_ONCE) if months is None else months:
        chain = fee_chain(month, rules)
        done = not chain
        if chain:
            store.open_accounts([_payer(rules, month), *(opened(each.credit) for each in chain)])
            event = Event(
                kind="plan.billed",
                at=now,
                project=month.project,
                site_id=month.site_id,
                data={"plan": month.plan, "month": month.month, "fee_fen": month.fee_fen},
            )
            draw = Draw(project=month.project, person=month.bought_by, amount_fen=month.fee_fen)
            done = store.post([chain], now, [event], draw)[0].done
        store.plan_paid(month, None if done else now + timedelta(seconds=rules.settle_retry_s))
        paid += done
    return paid


def fee_chain(month: PlanMonth, rules: Rules) -> tuple[Transfer, ...]:
    """The transfers of a fee, over those who share the site's earnings and the network."""
    shared = parties(month.provider, rules.commission_bp, weights(month.owners) if month.owners else None)
    amounts = split(month.fee_fen, [party.weight for party in shared])
    return tuple(
        Transfer(
            id=f"{month.key}/{number}",
            chain=month.key,
            debit=account_id(Owner.PROJECT, month.project),
            credit=party.account,
            amount_fen=amount,
            code=CODE,
        )
        for number, (party, amount) in enumerate(zip(shared, amounts, strict=True))
        if amount
    )


def _payer(rules: Rules, month: PlanMonth) -> Account:
    return Account(
        id=account_id(Owner.PROJECT, month.project),
        owner=Owner.PROJECT,
        name=month.project,
        floor_fen=-rules.project_credit_fen,
    )
