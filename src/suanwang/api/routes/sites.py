"""Routes about sites: join, change, drain, see."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Response

from suanwang.api import answering
from suanwang.api.answering import answer
from suanwang.api.asking import Asked, Body, Route, Strict
from suanwang.api.describing import FAULT, takes
from suanwang.client import models
from suanwang.control.sites import SiteView
from suanwang.domain.ids import SiteId
from suanwang.domain.site import Held, Offering

router = APIRouter(prefix="/v1/sites", tags=["sites"], route_class=Route, responses=FAULT)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSite:
    """A site to register: its own short name and what its provider declares."""

    id: str
    offering: Offering


NEW_SITE = Strict(NewSite)
OFFERING = Strict(Offering)

_OFFERING = {
    "name_zh": "贵安",
    "name_en": "Gui'an",
    "provider": "guian-cloud",
    "region": "guizhou",
    "latitude": 26.4,
    "longitude": 106.5,
    "connector": "slurm",
    "nodes": 4,
    "cores_per_node": 64,
    "memory_gb_per_node": 512,
    "devices": [
        {
            "model": "huawei-ascend-910b",
            "kind": "npu",
            "count": 32,
            "per_node": 8,
            "memory_gb": 64,
            "precisions": ["fp16", "bf16", "int8"],
            "power_w": 400,
        }
    ],
    "price": {
        "core_hour_yuan": "0.10",
        "memory_gb_hour_yuan": "0.01",
        "device_hour_yuan": {"huawei-ascend-910b": "6.50"},
        "electricity": {"flat_yuan_per_kwh": "0.62"},
    },
    "pue": 1.2,
    "carbon_g_per_kwh": 420,
}


@router.get("", response_model=models.SiteList)
def every(ask: Asked) -> Response:
    """Every site with what is held of it."""
    caller = ask.caller
    return answer({"items": [answering.site(view, caller) for view in ask.network.sites.all(caller)]})


@router.post(
    "",
    status_code=201,
    response_model=models.Invited,
    openapi_extra=takes("NewSite", {"id": "guian", "offering": _OFFERING}),
)
def invite(ask: Asked, body: Body) -> Response:
    """Register a site; the answer has the join token its agent starts with."""
    caller = ask.caller
    asked = NEW_SITE.read(body)
    site, secret = ask.network.sites.invite(caller, asked.id, asked.offering)
    view = SiteView(site=site, held=Held())
    return answer({"site": answering.site(view, caller), "join_token": secret}, 201)


@router.get("/{site_id}", response_model=models.SiteView)
def show(ask: Asked, site_id: str) -> Response:
    """One site."""
    caller = ask.caller
    return answer(answering.site(ask.network.sites.get(caller, SiteId(site_id)), caller))


@router.put("/{site_id}", response_model=models.SiteView, openapi_extra=takes("Offering", _OFFERING))
def change(ask: Asked, site_id: str, body: Body) -> Response:
    """A new declaration; leases that stand keep the price they were granted at."""
    caller = ask.caller
    ask.network.sites.change(caller, SiteId(site_id), OFFERING.read(body))
    return answer(answering.site(ask.network.sites.get(caller, SiteId(site_id)), caller))


@router.post("/{site_id}/drain", response_model=models.SiteView)
def drain(ask: Asked, site_id: str) -> Response:
    """Give the site no more work; what runs there runs on."""
    return _opened(ask, site_id, open_=False)


@router.post("/{site_id}/open", response_model=models.SiteView)
def open_again(ask: Asked, site_id: str) -> Response:
    """Give the site work again."""
    return _opened(ask, site_id, open_=True)


def _opened(ask: Asked, site_id: str, *, open_: bool) -> Response:
    caller = ask.caller
    ask.network.sites.drain(caller, SiteId(site_id), open_=open_)
    return answer(answering.site(ask.network.sites.get(caller, SiteId(site_id)), caller))


@router.post("/{site_id}/join-token", status_code=201, response_model=models.JoinToken)
def join_token(ask: Asked, site_id: str) -> Response:
    """A new join token, valid a week, shown once."""
    secret = ask.network.sites.join_token(ask.caller, SiteId(site_id))
    return answer({"site": site_id, "join_token": secret}, 201)


@router.get("/{site_id}/samples", response_model=models.Samples)
def samples(ask: Asked, site_id: str) -> Response:
    """The newest of each figure its agent senses."""
    found = ask.network.sites.samples(ask.caller, SiteId(site_id))
    return answer({"items": [answering.sample(sample) for sample in found]})
