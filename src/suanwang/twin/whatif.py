"""What if: the live network's present state as a twin, once as it is and once changed.

Owns what is taken from the live network and what is assumed where it says nothing. Writes an experiment's files for
`laboratory`; plays nothing. The work is what waits and runs now, and what ended lately, coming again at the same hours.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import yaml

from suanwang.control.leasing import sources
from suanwang.control.network import Network
from suanwang.domain.allowance import Allowance
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.identity import Principal
from suanwang.domain.ids import JobId, ProjectId
from suanwang.domain.job import Job
from suanwang.domain.lifecycle import ENDED, JobState, SiteState
from suanwang.domain.site import Offering, Site
from suanwang.domain.task import Objective, Priority
from suanwang.electricity.series import HOUR_MS
from suanwang.electricity.tariff import price_series
from suanwang.ports import JobQuery
from suanwang.twin.accounting import BYTES_PER_GB
from suanwang.twin.laboratory import EXPERIMENT, STARTERS, Experiment, Laboratory

PLAN = "variants.json"
TRACE = "live.csv"
AS_IT_IS, CHANGED = "as it is", "what if"
MOST_JOBS = 20_000
"""Of what waits and runs now, and as many again of what ended lately."""
NOTE = (
    "Sites, prices, PUE and carbon are as the sites declare them, less what others use of them now; every two sites are "
    "assumed to have a link of 1 Gbit/s, a lost one carries nothing, and data take the quickest way over the others (files of "
    "the live network go from and to its own store, over each site's line to it). Jobs are played without their constraints of "
    "place; as many as have input files have data, drawn around their sizes, at the place of their project. What runs now begins "
    "with what is left of it. Projects take turns with their weights and their quotas of cores and memory; as many jobs as now "
    "are of high and low priority, drawn."
)
_PAGE = 500
_LINE_GBPS = 1.0
_LEAST_S = 1.0
_COLUMNS = ("submit_ms", "run_ms", "limit_ms", "cores", "memory_gb", "devices", "group", "home")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is asked for; at least one of the changes."""

    hours: int = 48
    """Of recent work that comes again."""
    add_like: str | None = None
    """A site is added that is like this one, with `add_capacity` times its capacity."""
    add_capacity: float = 1.0
    lose_site: str | None = None
    lose_link: str | None = None
    """A site whose links carry no data, or its link to `lose_link_to` alone: data go by way of other sites then."""
    lose_link_to: str | None = None
    price_factor: float | None = None
    price_site: str | None = None
    """None: everywhere."""
    policies: tuple[str, ...] = ("joint", "nearest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One job of the live network as the twin plays it; no more of it is kept, since there may be many."""

    submit_ms: int
    """From now."""
    run_ms: int
    limit_ms: int
    cores: float
    memory_gb: float
    devices: float
    group: str
    may_wait_s: int
    may_be_interrupted: bool
    objective: Objective
    priority: Priority
    data_gb: float
    """Of its input files, as far as they are known."""


def what_if(network: Network, laboratory: Laboratory, caller: Principal, change: Change, title: str = "") -> Experiment:
    """Start the experiment. Raises `Forbidden`, `InvalidRequest` where the change makes no sense or there is no work."""
    caller.must_be(*STARTERS)
    sites = _usable(network, caller)
    _check(change, sites)
    now = network.clock.now()
    work = list(_work(network, caller, now, change.hours))
    if not work:
        raise InvalidRequest(
            "there is no work to play: nothing waits, runs or ended lately", field="hours", allowed="a longer time"
        )
    as_it_is = _network_file(sites, now)
    if change.lose_link and not any(piece.data_gb > 0 for piece in work):
        raise InvalidRequest(
            "no data would cross that link: none of the work has input files of a known size",
            field="lose_link",
            allowed="a network whose jobs have input files",
        )
    files = {
        "now.yaml": _yaml(as_it_is),
        "changed.yaml": _yaml(changed(as_it_is, change)),
        TRACE: _trace_file(work, now),
        **{
            name: _yaml(_experiment_file(file, work, change, network.store.allowances()))
            for name, file in _FILES.items()
        },
        PLAN: json.dumps({"variants": [AS_IT_IS, CHANGED], "files": list(_FILES), "change": said(change)}).encode(),
    }
    return laboratory.start(caller, title or said(change), files, kind="what-if")


_FILES: Mapping[str, str] = {EXPERIMENT: "now.yaml", "changed-experiment.yaml": "changed.yaml"}
"""Experiment file → network file of each variant."""


def said(change: Change) -> str:
    """The change in a line."""
    parts = []
    if change.add_like:
        parts.append(f"+ {change.add_like} × {change.add_capacity:g}")
    if change.lose_site:
        parts.append(f"− {change.lose_site}")
    if change.lose_link:
        parts.append(f"− link {change.lose_link}" + (f" - {change.lose_link_to}" if change.lose_link_to else ""))
    if change.price_factor is not None:
        parts.append(f"price × {change.price_factor:g}" + (f" @ {change.price_site}" if change.price_site else ""))
    return ", ".join(parts)


def changed(network: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """A network file with the change made."""
    sites = [dict(site) for site in network["sites"] if site["id"] != change.lose_site]
    if change.price_factor is not None:
        wanted = change.price_site
        sites = [_dearer(site, change.price_factor) if wanted in (None, site["id"]) else site for site in sites]
    if change.add_like:
        like = next(site for site in network["sites"] if site["id"] == change.add_like)
        sites.append(_added(like, change.add_capacity, {site["id"] for site in network["sites"]}))
    places = [_homeless(place, network) if place["id"] == change.lose_site else place for place in network["places"]]
    links = dict(network["links"])
    if change.lose_link:
        others = {each["id"] for each in (*sites, *places)} - {change.lose_link}
        if change.lose_link_to:
            others = {change.lose_link_to}
        links["cut"] = [{"between": [change.lose_link, other]} for other in sorted(others)]
    return {**network, "network": "live-changed", "sites": sites, "places": places, "links": links}


def _homeless(place: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """Users of a lost site are still where they were."""
    lost = next(site for site in network["sites"] if site["id"] == place["id"])
    return {"id": place["id"], "name": lost["name"], "position": lost["position"], "share": place["share"]}


def _dearer(site: Mapping[str, Any], factor: float) -> dict[str, Any]:
    pools = [
        {
            **pool,
            "price": {
                name: value * factor if isinstance(value, float) else value for name, value in pool["price"].items()
            },
        }
        for pool in site["pools"]
    ]
    power = {
        name: value * factor if name in ("flat_yuan_per_kwh", "fixed_yuan_per_kwh") else value
        for name, value in site["electricity"].items()
    }
    return {**site, "pools": pools, "electricity": power}


def _added(like: Mapping[str, Any], factor: float, taken: set[str]) -> dict[str, Any]:
    name = next(f"{like['id']}-{n}" for n in range(2, len(taken) + 3) if f"{like['id']}-{n}" not in taken)
    pools = [
        {**pool, **{key: pool[key] * factor for key in ("cores", "memory_gb", "devices") if key in pool}}
        for pool in like["pools"]
    ]
    names = {language: f"{text} +" for language, text in like["name"].items()}
    return {**like, "id": name, "name": names, "pools": pools}


def _check(change: Change, sites: Sequence[Site]) -> None:
    known = [site.id for site in sites]
    asked = {
        "add_site.like": change.add_like,
        "lose_site": change.lose_site,
        "lose_link": change.lose_link,
        "lose_link_to": change.lose_link_to,
        "price_site": change.price_site,
    }
    for field, site in asked.items():
        if site is not None and site not in known:
            raise InvalidRequest(
                f"no site {site[:60]!r} is connected now", field=field, allowed=", ".join(known) or "none is connected"
            )
    if not known:
        raise InvalidRequest("no site is connected now", field="what_if", allowed="a network with sites")
    if change.lose_site and len(known) == 1 and not change.add_like:
        raise InvalidRequest("the only site cannot be lost", field="lose_site", allowed="a network with more sites")
    if change.lose_link_to and change.lose_link in (None, change.lose_link_to):
        raise InvalidRequest(
            "a link has two ends",
            field="lose_link_to",
            allowed="another site than that of lose_link, which is said too",
        )
    if change.lose_link and len(known) == 1 and not change.add_like:
        raise InvalidRequest("the only site has no link", field="lose_link", allowed="a network with more sites")
    if not (change.add_like or change.lose_site or change.lose_link or change.price_factor is not None):
        raise InvalidRequest(
            "nothing is changed", field="what_if", allowed="one or more of add_site, lose_site, lose_link, price_factor"
        )


def _usable(network: Network, caller: Principal) -> list[Site]:
    views = network.sites.all(caller)
    return [view.site for view in views if view.site.state is SiteState.REACHABLE and view.site.open]


def _network_file(sites: Sequence[Site], now: datetime) -> dict[str, Any]:
    return {
        "network": "live",
        "title": {"en": "The live network", "zh": "当前网络"},
        "note": NOTE,
        "links": {"gbps": _LINE_GBPS},
        "places": [{"site": site.id, "id": site.id, "share": float(site.offering.cores)} for site in sites],
        "sites": [_site_file(site, now) for site in sites],
    }


def _site_file(site: Site, now: datetime) -> dict[str, Any]:
    offer = site.offering
    tariff = offer.price.electricity
    power: dict[str, Any] = {"carbon": offer.carbon_g_per_kwh}
    if offer.carbon_daily:
        power["shape"] = list(offer.carbon_daily)
    if tariff is None:
        power["flat_yuan_per_kwh"] = 0.0
    elif tariff.area:
        power |= {"tariff": tariff.area, "flat_yuan_per_kwh": float(tariff.flat_yuan_per_kwh)}
        power["fixed_yuan_per_kwh"] = float(tariff.fixed_yuan_per_kwh)
    else:
        # A tariff of the site's own: its mean over the coming day stands for every hour.
        from_ms = _hour_ms(now)
        day = price_series(tariff, from_ms, from_ms + 24 * HOUR_MS)
        power["flat_yuan_per_kwh"] = float(day.integral(from_ms, from_ms + 24 * HOUR_MS)) / 24
    return {
        "id": site.id,
        "name": {"zh": offer.name_zh, "en": offer.name_en},
        "position": {"latitude": offer.latitude, "longitude": offer.longitude},
        "electricity": power,
        "pue": offer.pue,
        "pools": list(_pools(site, offer)),
    }


def _pools(site: Site, offer: Offering) -> Iterator[dict[str, Any]]:
    """Its devices with the cores of their nodes, and the cores that are left; what others use of it is taken off."""
    measured = site.measured
    cores = float(measured.cores - measured.foreign_cores if measured else offer.cores)
    memory = measured.memory_gb - measured.foreign_memory_gb if measured else offer.memory_gb
    price: dict[str, Any] = {
        "core_hour": float(offer.price.core_hour_yuan),
        "gb_hour": float(offer.price.memory_gb_hour_yuan),
        "electricity": "beside" if offer.price.electricity_passed_on else "included",
    }
    with_devices = 0.0
    for pool in offer.devices:
        count = (
            measured.devices.get(pool.model, 0) - measured.foreign_devices.get(pool.model, 0)
            if measured
            else pool.count
        )
        part = min(0.9, pool.count / max(pool.per_node, 1) / max(offer.nodes, 1)) / len(offer.devices)
        if count <= 0 or cores * part <= 0:
            continue
        with_devices += part
        hour = offer.price.device_hour_yuan.get(pool.model)
        yield {
            "cores": cores * part,
            "memory_gb": max(memory * part, 0.001),
            "devices": float(count),
            "model": pool.model,
            "watts": {"core": offer.core_power_w, "device": pool.power_w or 300.0},
            "price": {**price, "device_hour": float(hour or 0)},
        }
    yield {
        "cores": max(cores * (1 - with_devices), 0.001),
        "memory_gb": max(memory * (1 - with_devices), 0.001),
        "watts": {"core": offer.core_power_w},
        "price": price,
    }


def _work(network: Network, caller: Principal, now: datetime, hours: int) -> Iterator[Work]:
    """What waits and runs now comes at once; what ended in the last `hours` comes again as many hours after it came."""
    since = now - timedelta(hours=hours)
    present = [state for state in JobState if state not in ENDED]
    sizes = _Sizes(network)
    for job, needs in _jobs(network, caller, JobQuery(states=present)):
        yield _piece(job, 0, _expected_s(job, now), sizes.data_gb(job, needs))
    for job, needs in _jobs(network, caller, JobQuery(states=[JobState.SUCCEEDED, JobState.FAILED])):
        if job.submitted_at < since:
            return
        if job.usage.wall_s > 0:
            came_ms = (job.submitted_at - since) // timedelta(milliseconds=1)
            yield _piece(job, came_ms, job.usage.wall_s, sizes.data_gb(job, needs))


class _Sizes:
    """How much data jobs read; what projects have is asked once for each whose jobs read any."""

    def __init__(self, network: Network) -> None:
        self._store = network.store
        self._bytes: dict[ProjectId, dict[str, int]] = {}

    def data_gb(self, job: Job, needs: Mapping[JobId, Job]) -> float:
        """Of its files that are there; data sets stay at their site, and do not count."""
        if not job.task.inputs:
            return 0.0
        if job.project not in self._bytes:
            self._bytes[job.project] = dict(self._of(job.project))
        known = self._bytes[job.project]
        return sum(known.get(name, 0) for name, _ in sources(job, needs)) / BYTES_PER_GB

    def _of(self, project: ProjectId) -> Iterator[tuple[str, int]]:
        cursor: str | None = None
        for _ in range(MOST_JOBS // _PAGE):
            found, cursor = self._store.files(project, cursor, _PAGE)
            yield from ((record.name, record.content.size) for record in found)
            if cursor is None:
                return


def _jobs(network: Network, caller: Principal, query: JobQuery) -> Iterator[tuple[Job, Mapping[JobId, Job]]]:
    """Each with the jobs that it needs, where it reads what they wrote."""
    cursor: str | None = None
    for _ in range(MOST_JOBS // _PAGE):
        found, cursor = network.jobs.page(caller, query, cursor, _PAGE)
        wanted = {need for job in found if job.task.inputs for need in job.needs}
        needs = network.store.jobs_by_id(sorted(wanted)) if wanted else {}
        for job in found:
            yield job, {need: needs[need] for need in job.needs if need in needs}
        if cursor is None:
            return


def _expected_s(job: Job, now: datetime) -> float:
    """What is left of it, by what its user expects, else half its limit."""
    resources = job.task.resources
    whole = float(resources.expected_s or resources.time_limit_s / 2)
    gone = (now - job.started_at) / timedelta(seconds=1) if job.started_at else 0.0
    return max(whole - gone, whole / 10)


def _piece(job: Job, submit_ms: int, run_s: float, data_gb: float) -> Work:
    need, nodes = job.task.resources, job.task.nodes
    run_s = max(run_s, _LEAST_S)
    return Work(
        submit_ms=submit_ms,
        run_ms=round(run_s * 1000),
        limit_ms=round(max(run_s, need.time_limit_s) * 1000),
        cores=float(need.cores * nodes),
        memory_gb=float(need.memory_gb * nodes),
        devices=float(need.devices.count * nodes) if need.devices else 0.0,
        group=job.project,
        may_wait_s=job.task.flexibility.may_wait_s,
        may_be_interrupted=job.task.flexibility.may_be_interrupted,
        objective=job.task.objective,
        priority=job.task.priority,
        data_gb=data_gb,
    )


def _trace_file(work: Sequence[Work], now: datetime) -> bytes:
    """In the product's own form of a trace. Projects become numbers: what is played may be seen by everybody."""
    groups = _numbered(work)
    about = {
        "version": 1,
        "name": "live",
        "source": "this network's queue and recent jobs",
        "epoch_ms": _hour_ms(now),
        "left_out": [],
        "groups": [_called(at) for at in groups.values()],
        "homes": [],
    }
    lines = [f"# suanwang trace {json.dumps(about, ensure_ascii=True)}", ",".join(_COLUMNS)]
    lines += [
        f"{p.submit_ms},{p.run_ms},{p.limit_ms},{p.cores!r},{p.memory_gb!r},{p.devices!r},{groups[p.group]},-1"
        for p in sorted(work, key=lambda piece: piece.submit_ms)
    ]
    return ("\n".join(lines) + "\n").encode()


def _numbered(work: Sequence[Work]) -> dict[str, int]:
    return {name: at for at, name in enumerate(sorted({piece.group for piece in work}))}


def _called(number: int) -> str:
    return f"project {number + 1}"


def _allowed(allowance: Allowance) -> dict[str, Any]:
    """Quotas of cores and memory, which hold whatever the network is changed to."""
    found: dict[str, Any] = {"weight": allowance.weight}
    if allowance.cores is not None:
        found["cores"] = allowance.cores
    if allowance.memory_gb is not None:
        found["memory_gb"] = allowance.memory_gb
    return found


def _experiment_file(
    network: str, work: Sequence[Work], change: Change, allowances: Mapping[ProjectId, Allowance]
) -> dict[str, Any]:
    patient = [piece.may_wait_s / 3600 for piece in work if piece.may_wait_s > 0]
    weights = [piece.objective for piece in work]
    moved = [math.log(piece.data_gb) for piece in work if piece.data_gb > 0]
    count = len(work)
    return {
        "experiment": "what-if",
        "title": {"en": f"What if: {said(change)}", "zh": f"假如：{said(change)}"},
        "trace": {"file": TRACE},
        "network": network,
        "policies": list(change.policies),
        "seeds": 1,
        "conditions": {
            "flexible_share": len(patient) / count,
            "wait_hours": min(sum(patient) / len(patient), 8784.0) if patient else 0.0,
            "interruptible_share": sum(piece.may_be_interrupted for piece in work) / count,
            "data_share": len(moved) / count,
            "data_gb": math.exp(sum(moved) / len(moved)) if moved else 0.0,
            "data_sigma": min(statistics.pstdev(moved), 5.0) if moved else 0.0,
            "price_weight": sum(weight.price for weight in weights) / count,
            "carbon_weight": sum(weight.carbon for weight in weights) / count,
            "finish_weight": max(sum(weight.finish for weight in weights) / count, 0.01),
            "home": "groups",
            "high_share": sum(piece.priority is Priority.HIGH for piece in work) / count,
            "low_share": sum(piece.priority is Priority.LOW for piece in work) / count,
        },
        "sharing": {
            "projects": {
                _called(number): _allowed(allowances[ProjectId(name)])
                for name, number in _numbered(work).items()
                if name in allowances
            }
        },
        "record": {"bound": False, "jobs": True},
    }


def _hour_ms(now: datetime) -> int:
    return int(now.timestamp()) // 3600 * HOUR_MS


def _yaml(value: Mapping[str, Any]) -> bytes:
    text: str = yaml.dump(dict(value), Dumper=_WrittenOut, allow_unicode=True, sort_keys=False)
    return text.encode()


class _WrittenOut(yaml.SafeDumper):
    """Our readers take no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
