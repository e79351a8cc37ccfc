"""What vouchers pay of bills that are still to come: for starts, runs, previews and quotes.

Owns the question to the store. By which rules one pays is `trading.vouchers`'s, and what it paid of a line is held by
`redeeming`, which takes vouchers in the same order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from suanwang import catalog
from suanwang.domain.identity import Project
from suanwang.domain.ids import JobId, ProjectId
from suanwang.domain.job import Job
from suanwang.domain.site import Site
from suanwang.ports import Store
from suanwang.scheduling.purses import Aid
from suanwang.trading.ledger import AccountId
from suanwang.trading.vouchers import Use, Voucher, holds, refusal


def aids(store: Store, jobs: Iterable[Job], now: datetime) -> Mapping[JobId, tuple[Aid, ...]]:
    """Job → the vouchers that may pay for it: the one that its bill is paid with, else those that are redeemed by
    themselves, in that order. Without jobs that none may pay for."""
    wanted = list(jobs)
    projects = {project.id: project for project in store.projects()}
    live = live_for(store, {job.project for job in wanted}, projects, now)
    if not live:
        return {}
    sites, bound = store.sites(), store.bound_vouchers([job.id for job in wanted])
    each = {
        project: {voucher.id: aid(voucher, project, projects, sites, now) for voucher in vouchers}
        for project, vouchers in live.items()
    }
    found: dict[JobId, tuple[Aid, ...]] = {}
    for job in wanted:
        mine, known = each.get(job.project, {}), bound.get(job.id)
        automatic = (voucher.id for voucher in live.get(job.project, ()) if voucher.automatic)
        names = automatic if known is None else [known]
        if some := tuple(mine[name] for name in names if name in mine):
            found[job.id] = some
    return found


def unbound(store: Store, project: ProjectId, now: datetime) -> tuple[tuple[Aid, ...], Mapping[str, int]]:
    """The vouchers that are redeemed by themselves for new jobs of a project, and what is left in each."""
    projects = {each.id: each for each in store.projects()}
    live = [each for each in live_for(store, [project], projects, now).get(project, ()) if each.automatic]
    sites = store.sites() if live else ()
    return tuple(aid(each, project, projects, sites, now) for each in live), left_of(store, [v.account for v in live])


def live_for(
    store: Store, wanted: Iterable[ProjectId], projects: Mapping[ProjectId, Project], now: datetime
) -> Mapping[ProjectId, Sequence[Voucher]]:
    """Project → the vouchers that it holds, in the order in which they are redeemed; without projects that hold none."""
    names = {name: _organisation(projects, name) for name in wanted}
    holders = {f"project:{name}" for name in names} | {f"organisation:{each}" for each in names.values() if each}
    live = store.live_vouchers(holders, now) if holders else ()
    found = {name: [each for each in live if holds(each, name, organisation)] for name, organisation in names.items()}
    return {name: vouchers for name, vouchers in found.items() if vouchers}


def aid(
    voucher: Voucher, project: ProjectId, projects: Mapping[ProjectId, Project], sites: Sequence[Site], now: datetime
) -> Aid:
    """What the voucher is for starts of the project's jobs at these sites."""
    places = [(site, model) for site in sites for model in (None, *(pool.model for pool in site.offering.devices))]
    organisation = _organisation(projects, project)
    return Aid(
        voucher=voucher.id,
        purse=voucher.account,
        portion=voucher.portion,
        until_at=voucher.until_at,
        at=frozenset(
            (site.id, model)
            for site, model in places
            if refusal(voucher, use(project, organisation, site, model, now)) is None
        ),
    )


def left_of(store: Store, accounts: Iterable[AccountId]) -> dict[str, int]:
    """Account → what it can still pay."""
    names = sorted(set(accounts))
    found = store.accounts(names, None, len(names))[0] if names else ()
    return {**dict.fromkeys(names, 0), **{each.id: each.available_fen or 0 for each in found}}


def use(project: ProjectId, organisation: str, site: Site, model: str | None, at: datetime) -> Use:
    """What a run that starts there would be billed for."""
    offering = site.offering
    return Use(
        project=project,
        organisation=organisation,
        provider=offering.provider,
        owners=tuple(offering.owners),
        region=offering.region,
        device=model,
        domestic=domestic(model),
        from_at=at,
        to_at=at,
    )


def domestic(device: str | None) -> bool:
    """Whether the catalogue knows the device as made in China."""
    found = catalog.accelerators().get(device) if device else None
    return found is not None and found.domestic


def _organisation(projects: Mapping[ProjectId, Project], name: ProjectId) -> str:
    return projects[name].organisation if name in projects else ""
