"""One hub has many names, and nobody gains another's data by taking his name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tests.factories import Circle, site, task

from suanwang import catalog
from suanwang.control.wording import positions, region_of, resolve
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.site import Site
from suanwang.domain.task import Constraints

GUIAN = site("guian", name_zh="贵安", name_en="Guian", region="guizhou", provider="guian-dc")
WUHU = site("wuhu", name_zh="芜湖", name_en="Wuhu", region=region_of("长三角"), provider="Wuhu-DC")
SITES = (GUIAN, WUHU)


def resolved(among: Sequence[Site] = SITES, /, **limits: Any) -> Constraints:
    return resolve([task(**limits)], among)[0].constraints


@pytest.mark.parametrize("name", ["贵州", "Guizhou", "guizhou", "GUIZHOU", " guizhou "])
def test_a_hub_by_any_of_its_names(name: str) -> None:
    assert resolved(regions=(name,)).regions == ("guizhou",)


def test_every_hub_answers_to_its_own_names() -> None:
    for hub in catalog.hubs().values():
        for name in (hub.id, hub.name_zh, hub.name_en, *hub.aliases):
            assert region_of(name) == hub.id, name


def test_two_names_of_one_hub_are_one() -> None:
    assert resolved(regions=("贵州", "guizhou")).regions == ("guizhou",)


def test_a_region_outside_the_hubs_is_what_its_sites_call_it() -> None:
    abroad = site("kl", region="Kuala Lumpur")
    assert resolved([abroad], regions=("kuala lumpur",)).regions == ("Kuala Lumpur",)
    assert region_of("Kuala Lumpur") == "Kuala Lumpur"


@pytest.mark.parametrize("name", ["芜湖", "Wuhu", "wuhu"])
def test_a_site_by_any_of_its_names(name: str) -> None:
    assert resolved(sites=(name,)).sites == ("wuhu",)
    assert resolved(residency=(name,)).residency == ("wuhu",)


def test_residency_may_be_a_region() -> None:
    assert resolved(residency=("贵州", "芜湖")).residency == ("guizhou", "wuhu")


def test_a_providers_case_does_not_matter() -> None:
    assert resolved(providers=("wuhu-dc",)).providers == ("Wuhu-DC",)


@pytest.mark.parametrize("name", ["上海", "Shanghai", "shanghai"])
def test_a_circle_by_any_name_of_its_place(name: str) -> None:
    circle = resolved(circle=Circle(place=name, within_ms=5)).circle
    assert circle is not None
    assert circle.place == "shanghai"
    assert circle.place in positions()


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"regions": ("atlantis",)}, "constraints.regions"),
        ({"regions": ("芜湖",)}, "constraints.regions"),
        ({"residency": ("atlantis",)}, "constraints.residency"),
        ({"sites": ("guizhou",)}, "constraints.sites"),
        ({"providers": ("nobody",)}, "constraints.providers"),
        ({"circle": Circle(place="atlantis", within_ms=5)}, "constraints.circle.place"),
    ],
)
def test_a_name_that_means_nothing_here_is_refused(limits: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        resolved(**limits)
    assert caught.value.field == field
    assert caught.value.allowed


def test_a_task_without_names_comes_back_as_it_is() -> None:
    plain = task()
    assert resolve([plain], SITES)[0] is plain


def test_a_site_that_takes_anothers_identifier_for_its_name_does_not_get_its_data() -> None:
    thief = site("zz-thief", name_zh="guian", name_en="贵州", region="Nowhere")
    assert resolved([*SITES, thief], residency=("guian",)).residency == ("guian",)
    assert resolved([*SITES, thief], residency=("贵州",)).residency == ("guizhou",)
    assert resolved([*SITES, thief], sites=("guian",)).sites == ("guian",)


def test_a_region_that_takes_a_hubs_name_does_not_become_it() -> None:
    thief = site("thief", region="贵州")
    assert resolved([GUIAN, thief], regions=("贵州",)).regions == ("guizhou",)


def test_a_name_that_two_sites_bear_must_be_said_more_exactly() -> None:
    twin = site("wuhu-2", name_zh="芜湖", name_en="Wuhu 2")
    with pytest.raises(InvalidRequest, match="several sites") as caught:
        resolved([*SITES, twin], residency=("芜湖",))
    assert caught.value.allowed == "wuhu, wuhu-2"
    assert resolved([*SITES, twin], residency=("wuhu-2",)).residency == ("wuhu-2",)
