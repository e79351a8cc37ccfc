"""Joining and keeping sites (算力并网).

Owns who may invite, change, drain and see a site, and what a declaration must hold. A site's agent speaks through
`control.sync`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from suanwang.control import sync as exchange
from suanwang.control.billing.prices import with_lists
from suanwang.control.people import People, check_slug
from suanwang.control.rules import Rules
from suanwang.control.standing import check_declared
from suanwang.control.wording import region_of
from suanwang.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from suanwang.domain.exchange import JoinReply, SyncReply, SyncRequest
from suanwang.domain.identity import Principal, Role
from suanwang.domain.ids import SiteId
from suanwang.domain.job import Event
from suanwang.domain.sample import Sample
from suanwang.domain.site import Held, Offering, Site
from suanwang.electricity.daily import check_daily
from suanwang.electricity.tariff import check_tariff
from suanwang.ports import Clock, Store
from suanwang.trading.owning import checked_owners
from suanwang.trading.published import Published, declared_of, published

JOIN_TTL_S = 7 * 86400
TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteView:
    """A site with what the network's leases hold of it."""

    site: Site
    held: Held


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """`credential` is the agent's own secret, given once."""

    reply: JoinReply
    credential: str | None


class Sites:
    def __init__(self, store: Store, clock: Clock, rules: Rules, people: People) -> None:
        self._store = store
        self._clock = clock
        self._rules = rules
        self._people = people

    def invite(self, caller: Principal, site_id: str, offering: Offering) -> tuple[Site, str]:
        """Register a site; returns it with the join token its agent starts with."""
        self._may_change(caller, offering.provider)
        offering = _numbered(_placed(offering), 1)
        now = self._clock.now()
        site = Site(id=SiteId(check_slug(site_id, "id")), offering=offering, state_since=now)
        event = Event(kind="site.invited", at=now, site_id=site.id, actor=caller.name)
        self._store.add_site(site, (event,), (published(declared_of(site.id, offering, 1, now)),))
        return site, self.join_token(caller, site.id)

    def join_token(self, caller: Principal, site_id: SiteId) -> str:
        """A new join token for a site: valid a week."""
        site = self._get(site_id)
        self._may_change(caller, site.offering.provider)
        principal = Principal(name=f"join-{site_id}", role=Role.JOIN, site_id=site_id)
        _, secret = self._people.site_token(caller.name, principal, ttl_s=JOIN_TTL_S, note=f"join {site_id}")
        return secret

    def join(self, caller: Principal) -> Joined:
        """Begin an agent's session. A join token gets the agent a credential of its own; an agent keeps its one."""
        caller.must_be(Role.JOIN, Role.AGENT)
        assert caller.site_id is not None, "site tokens name their site"
        session = exchange.begin_session(self._store, caller.site_id, self._clock.now())
        credential = None
        if caller.role is Role.JOIN:
            agent = Principal(name=f"agent-{caller.site_id}", role=Role.AGENT, site_id=caller.site_id)
            _, credential = self._people.site_token(caller.name, agent, ttl_s=None, note=f"agent {caller.site_id}")
        reply = JoinReply(
            site_id=caller.site_id,
            session=session,
            lease_ttl_s=self._rules.lease_ttl_s,
            poll_s=self._rules.poll_s,
            fence_margin_s=self._rules.fence_margin_s,
        )
        return Joined(reply=reply, credential=credential)

    def sync(self, caller: Principal, request: SyncRequest) -> SyncReply:
        """An agent's call. Raises `Forbidden`, `Conflict` (an old session), `InvalidRequest`."""
        caller.must_be(Role.AGENT)
        assert caller.site_id is not None, "site tokens name their site"
        return exchange.sync(self._store, self._rules, caller.site_id, request, self._clock.now())

    def change(self, caller: Principal, site_id: SiteId, offering: Offering) -> Site:
        """A new declaration; leases that stand keep the price they were granted at."""
        self._may_change(caller, self._get(site_id).offering.provider)
        self._may_change(caller, offering.provider)
        offering = _placed(offering)
        # What its jobs are held for may be another price now.
        return self._put(caller, site_id, "site.changed", {}, unhold=True, offering=offering)

    def drain(self, caller: Principal, site_id: SiteId, *, open_: bool) -> Site:
        """Stop (or take up again) giving work to a site; what runs there runs on."""
        self._may_change(caller, self._get(site_id).offering.provider)
        return self._put(caller, site_id, "site.opened" if open_ else "site.drained", {}, unhold=not open_, open=open_)

    def get(self, caller: Principal, site_id: SiteId) -> SiteView:
        """Any caller with a token may see the sites: the network is a market."""
        return SiteView(site=self._get(site_id), held=self._store.held().get(site_id, Held()))

    def all(self, caller: Principal) -> Sequence[SiteView]:
        held = self._store.held()
        return [SiteView(site=site, held=held.get(site.id, Held())) for site in self._store.sites()]

    def samples(self, caller: Principal, site_id: SiteId) -> Sequence[Sample]:
        return self._store.samples(self._get(site_id).id)

    def _put(
        self,
        caller: Principal,
        site_id: SiteId,
        kind: str,
        data: Mapping[str, object],
        *,
        unhold: bool = False,
        **changes: object,
    ) -> Site:
        for _ in range(TRIES):
            site = self._get(site_id)
            moved = replace(site, revision=site.revision + 1, **changes)  # type: ignore[arg-type]
            leaves, now = list[Published](), self._clock.now()
            if moved.offering is not site.offering:
                offering, declared = with_lists(moved.offering, site.offering.price.lists), site.offering.price.declared
                was = declared_of(site_id, site.offering, declared, now)
                if declared and declared_of(site_id, offering, declared, now) != was:
                    declared += 1
                    leaves.append(published(declared_of(site_id, offering, declared, now)))
                moved = replace(moved, offering=_numbered(offering, declared))
            event = Event(kind=kind, at=now, site_id=site_id, actor=caller.name, data=data)
            try:
                self._store.put_site(moved, (event,), unhold=unhold, published=leaves)
            except Conflict:
                continue
            return moved
        raise Conflict(f"site {site_id} is being changed by others; try again")

    def _get(self, site_id: SiteId) -> Site:
        site = self._store.site(site_id)
        if site is None:
            raise NotFound(f"no site {site_id!r}", field="site", allowed="see `suanwang site list`")
        return site

    def _may_change(self, caller: Principal, provider: str) -> None:
        caller.must_be(Role.OPERATOR, Role.PROVIDER)
        if caller.role is Role.PROVIDER and caller.provider != provider:
            raise Forbidden(f"{caller.name!r} speaks for {caller.provider}, not {provider}", field="provider")


def _placed(offering: Offering) -> Offering:
    """A checked declaration whose region is the network's own identifier: `贵州` and `guizhou` are one hub."""
    check_offering(offering)
    check_declared(offering)
    return replace(offering, region=region_of(offering.region), owners=checked_owners(offering.owners))


def _numbered(offering: Offering, declared: int) -> Offering:
    return replace(offering, price=replace(offering.price, declared=declared))


_MOST_DECIMALS = 9
"""Of a price: bills carry it digit by digit."""


def _plain(price: Decimal) -> float:
    """For comparing: ordering a `Decimal` that is no number raises. Too many decimals are no number either."""
    exponent = price.as_tuple().exponent
    return float(price) if isinstance(exponent, int) and exponent >= -_MOST_DECIMALS else math.nan


def check_offering(offering: Offering) -> None:
    """Raises `InvalidRequest` naming the field for a declaration that cannot be true."""
    ranges: tuple[tuple[str, float, float, float], ...] = (
        ("latitude", offering.latitude, -90, 90),
        ("longitude", offering.longitude, -180, 180),
        ("nodes", offering.nodes, 1, 1_000_000),
        ("cores_per_node", offering.cores_per_node, 1, 4096),
        ("memory_gb_per_node", offering.memory_gb_per_node, 0.1, 65_536),
        ("pue", offering.pue, 1.0, 5.0),
        ("carbon_g_per_kwh", offering.carbon_g_per_kwh, 0, 2000),
        ("core_power_w", offering.core_power_w, 0, 1000),
        ("price.core_hour_yuan", _plain(offering.price.core_hour_yuan), 0, 1e6),
        ("price.memory_gb_hour_yuan", _plain(offering.price.memory_gb_hour_yuan), 0, 1e6),
    )
    for field, value, least, most in ranges:
        if not (math.isfinite(value) and least <= value <= most):
            raise InvalidRequest(f"{field} = {value:g} is not possible", field=field, allowed=f"{least:g} to {most:g}")
    if offering.price.lists or offering.price.dated:
        message = "price lists are published by themselves"
        raise InvalidRequest(message, field="price.lists", allowed="left out; see `suanwang price publish`")
    if offering.price.electricity is not None:
        check_tariff(offering.price.electricity, "price.electricity")
    elif offering.price.electricity_passed_on:
        message = "electricity is passed on, but its tariff is not said"
        raise InvalidRequest(message, field="price.electricity", allowed="a tariff")
    check_daily(offering.carbon_daily, "carbon_daily")
    checked_owners(offering.owners)
    models = [pool.model for pool in offering.devices]
    if len(set(models)) != len(models):
        raise InvalidRequest("a device model is declared twice", field="devices", allowed="one pool per model")
    for index, pool in enumerate(offering.devices):
        field = f"devices[{index}]"
        if not (0 < pool.per_node <= 1024 and 0 < pool.count <= pool.per_node * offering.nodes):
            raise InvalidRequest(
                f"{pool.count} × {pool.model} do not fit {offering.nodes} nodes of {pool.per_node}",
                field=f"{field}.count",
                allowed=f"1 to {pool.per_node * offering.nodes}",
            )
        if not 0 < pool.memory_gb <= 4096 or not 0 <= pool.power_w <= 20_000:
            raise InvalidRequest("a device's memory or power is not possible", field=field, allowed="GB, W")
        price = offering.price.device_hour_yuan.get(pool.model)
        if price is None or not 0 <= _plain(price) <= 1_000_000:
            raise InvalidRequest(
                f"{pool.model} has no possible price",
                field=f"price.device_hour_yuan.{pool.model}",
                allowed="0 to 1,000,000",
            )
