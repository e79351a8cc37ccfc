"""What those who earn, run and watch the network look back on: income, commission, use, the record, signed checkpoints.

Owns who may see which of it. Nothing here decides or changes anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from suanwang.control.billing.proofs import Proofs
from suanwang.control.billing.wallets import Wallets
from suanwang.domain.errors import Forbidden, InvalidRequest, NotFound
from suanwang.domain.identity import Principal, Role
from suanwang.domain.job import Event
from suanwang.domain.site import Site
from suanwang.ports import Clock, Flow, SiteDay, Store, TrailQuery
from suanwang.trading.agreements import ZONE, month_begins, month_number
from suanwang.trading.checkpoint import Checkpoint
from suanwang.trading.ledger import AccountId
from suanwang.trading.merkle import continues

MOST_MONTHS, MOST_DAYS = 60, 92
_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """A site's use by day against what it declares today: shares from 0 to 1, None where it has none of a kind."""

    site: Site
    days: tuple[date, ...]
    cores: tuple[float | None, ...]
    devices: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Two checkpoints held against each other."""

    old: Checkpoint
    new: Checkpoint
    signed: bool
    """Whether both signatures hold, by the same key."""
    continues: bool
    """Whether the newer log begins with the older one."""
    proof: tuple[bytes, ...]

    @property
    def holds(self) -> bool:
        return self.signed and self.continues


class Overview:
    def __init__(self, store: Store, clock: Clock, wallets: Wallets, proofs: Proofs) -> None:
        self._store = store
        self._clock = clock
        self._wallets = wallets
        self._proofs = proofs

    def flows(self, caller: Principal, account: str, months: int = 12) -> Sequence[Flow]:
        """What an account got and gave, by month, this one and those before it. Raises `NotFound` for one not of the
        caller's."""
        if not 1 <= months <= MOST_MONTHS:
            raise InvalidRequest("so many months are not shown", field="months", allowed=f"1 to {MOST_MONTHS}")
        found = self._wallets.account(caller, account)
        this = month_number(self._clock.now())
        return self._store.flows(AccountId(found.id), month_begins(this - months + 1), month_begins(this + 1))

    def provider(self, caller: Principal, wanted: str) -> str:
        """Whose business is looked at: a provider's own, or for operator and regulator any. Raises `Forbidden`, `NotFound`."""
        if caller.role is Role.PROVIDER and caller.provider:
            if wanted not in ("", caller.provider):
                raise Forbidden(
                    "another provider's business is not yours to see", field="provider", allowed=caller.provider
                )
            return caller.provider
        caller.must_be(Role.PROVIDER, Role.OPERATOR, Role.REGULATOR)
        names = sorted({site.offering.provider for site in self._store.sites()})
        if wanted and wanted not in names:
            raise NotFound(
                f"no site has the provider {wanted[:100]!r}", field="provider", allowed=", ".join(names[:20])
            )
        return wanted or (names[0] if names else "")

    def used(self, caller: Principal, provider: str, days: int = 30) -> Sequence[Used]:
        """The sites of a provider the caller may look at (`provider`), by identifier; today is the last day."""
        named = self.provider(caller, provider)
        if not 1 <= days <= MOST_DAYS:
            raise InvalidRequest("so many days are not shown", field="days", allowed=f"1 to {MOST_DAYS}")
        sites = sorted((s for s in self._store.sites() if s.offering.provider == named), key=lambda site: site.id)
        today = self._clock.now().astimezone(ZONE).date()
        every = tuple(today - timedelta(days=back) for back in reversed(range(days)))
        found = self._store.site_days(
            [site.id for site in sites], _midnight(every[0]), _midnight(today + timedelta(days=1))
        )
        return [_used(site, every, {each.day: each for each in found if each.site_id == site.id}) for site in sites]

    def trail(self, caller: Principal, query: TrailQuery, before: int | None, limit: int) -> Sequence[Event]:
        """The record, newest first. For operators and regulators."""
        caller.must_be(Role.OPERATOR, Role.REGULATOR)
        return self._store.trail(query, before, min(limit, _PAGE))

    def checkpoints(self, caller: Principal, before: int | None, limit: int) -> Sequence[Checkpoint]:
        """Those that were signed, largest first. A checkpoint says nothing of what is in the log: any caller may have it."""
        return self._store.checkpoints(before, min(limit, _PAGE))

    def compared(self, old: Checkpoint, size: int) -> Compared:
        """Whether the log that was signed at `size` continues `old`, which may come from elsewhere. Raises `NotFound`,
        `InvalidRequest`."""
        new = self._proofs.checkpoint(size)
        if not 0 < old.size <= new.size:
            raise InvalidRequest(
                "the older checkpoint has to be of fewer leaves", field="old", allowed=f"1 to {new.size} leaves"
            )
        _, proof = self._proofs.consistency(old.size, new.size)
        return Compared(
            old=old,
            new=new,
            signed=old.holds() and new.holds() and old.key == new.key,
            continues=continues(
                old=old.size,
                old_root=bytes.fromhex(old.root),
                size=new.size,
                root=bytes.fromhex(new.root),
                proof=proof,
            ),
            proof=tuple(proof),
        )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZONE)


def _used(site: Site, every: Sequence[date], by_day: Mapping[date, SiteDay]) -> Used:
    offer = site.offering
    cores, cards = offer.nodes * offer.cores_per_node, sum(pool.count for pool in offer.devices)
    none = SiteDay(site_id=site.id, day=every[0], core_hours=0.0, device_hours=0.0)
    days = [by_day.get(day, none) for day in every]
    return Used(
        site=site,
        days=tuple(every),
        cores=tuple(_share(day.core_hours, cores) for day in days),
        devices=tuple(_share(day.device_hours, cards) for day in days),
    )


def _share(hours: float, capacity: int) -> float | None:
    return None if not capacity else hours / (24 * capacity)
