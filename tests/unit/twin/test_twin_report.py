"""The twin's report: right figures in words and tables, nothing absurd, nothing from files becomes markup."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from tests.unit.twin.twin_results import POLICIES, write_results

from suanwang.domain.errors import InvalidRequest
from suanwang.twin.report import write_report
from suanwang.twin.report.comparing import difference, mean_of, unbeaten
from suanwang.twin.report.drawing import MOST_BINS, MOST_SITES, drawn
from suanwang.twin.report.page import embedded
from suanwang.twin.report.reading import read
from suanwang.twin.report.results import Contender, Hours, Place, Results
from suanwang.twin.report.telling import compared, summary
from suanwang.twin.report.words import MEASURES, Measure, Number, Words, shown, written

COST = next(measure for measure in MEASURES if measure.key == "cost_yuan")
WAITING = next(measure for measure in MEASURES if measure.key == "waiting_mean_h")
SHARE = next(measure for measure in MEASURES if measure.key == "cores_busy_share")


def test_means_have_students_interval() -> None:
    # 1..5: s = sqrt(2.5), t(0.975, 4) = 2.7764451 (tables), half = t s / sqrt(5).
    mean, half = mean_of([1, 2, 3, 4, 5])
    assert mean == 3
    assert half == pytest.approx(2.7764451 * math.sqrt(2.5) / math.sqrt(5))
    assert mean_of([7.0]).mean == 7
    assert math.isnan(mean_of([7.0]).half)
    assert math.isnan(mean_of([math.nan]).mean)
    assert mean_of([0.1, 0.1, 0.1]).half == 0.0


def test_differences_are_taken_seed_by_seed() -> None:
    ours, theirs = {1: 90.0, 2: 180.0, 3: 270.0}, {1: 100.0, 2: 190.0, 3: 280.0, 4: 1.0}
    found = difference(COST, ours, theirs)
    assert found.amount == Number(-10.0, 0.0)
    assert found.percent is not None
    assert found.percent.mean == pytest.approx(-1000 / 190)
    assert found.told


@pytest.mark.parametrize(
    ("measure", "ours", "theirs"),
    [
        (WAITING, {1: 5.0}, {1: 0.0}),
        (WAITING, {1: 5.0}, {1: 0.001}),
        (COST, {1: 5_000.0}, {1: 3.0}),
        (SHARE, {1: 0.6}, {1: 0.3}),
    ],
)
def test_no_percentage_of_next_to_nothing(measure: Measure, ours: dict[int, float], theirs: dict[int, float]) -> None:
    found = difference(measure, ours, theirs)
    assert found.percent is None
    text = compared(measure, found, "nearest")
    assert "%" not in text.en
    assert "%" not in text.zh


def test_what_seeds_do_not_tell_apart_is_not_told() -> None:
    found = difference(COST, {1: 100.0, 2: 103.0, 3: 99.0}, {1: 101.0, 2: 100.0, 3: 102.0})
    assert not found.told
    assert "do not tell apart" in compared(COST, found, "nearest").en


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=8))
def test_the_front_is_what_nobody_beats(points: list[tuple[int, int]]) -> None:
    def beaten(one: tuple[int, int]) -> bool:
        return any(a <= one[0] and b <= one[1] and (a, b) != one for a, b in points)

    assert sorted(unbeaten(points)) == [at for at, one in enumerate(points) if not beaten(one)]


@given(st.text())
def test_embedded_text_ends_no_element(text: str) -> None:
    found = embedded({"name": text})
    assert not set("<>&") & set(found)
    assert json.loads(found) == {"name": text}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (12345.6, "12,346"),
        (1.2345, "1.23"),
        (0.00123, "0.00123"),
        (math.nan, "–"),
        (3.0, "3"),
        (1e-9, "1.00e-09"),
    ],
)
def test_figures_are_written_with_three_digits(value: float, text: str) -> None:
    assert written(value) == text


def test_a_figure_carries_the_digits_of_its_interval() -> None:
    assert shown(COST, Number(10_429.4, 58.2)) == "10,429 ± 58"
    assert shown(WAITING, Number(1.20345, 0.0253)) == "1.203 ± 0.025"
    assert shown(SHARE, Number(0.4321, math.nan)) == "43.2 %"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return read(folder)


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    return write_report(folder).read_text(encoding="utf-8")


def test_the_summary_names_the_best_and_how_far_it_is(results: Results) -> None:
    said = [line.en for line in summary(results, results.cases[0])]
    assert said[0].startswith("4 policies were played; 3 seeds")
    cost = next(line for line in said if line.startswith("Cost to users: best"))
    values = {c: results.values(results.cases[0], c, "cost_yuan") for c in results.contenders(results.cases[0])}
    ours, base = values[Contender("cheapest", "easy")], values[Contender("nearest", "easy")]
    percent = 100 * (sum(ours.values()) / sum(base.values()) - 1)
    assert f"best is cheapest with {shown(COST, mean_of(list(ours.values())))}" in cost
    assert f"{written(abs(percent))} % less than nearest" in cost
    assert any(
        "Nobody else has both less cost and less carbon than cheapest, joint and greenest" in line for line in said
    )
    assert any("the fluid bound is 9,000 yuan" in line for line in said)
    moved = summary(results, results.cases[0])
    assert all(len(line) == 2 and line.zh != line.en for line in moved)


def test_data_that_came_the_long_way_are_told(results: Results, tmp_path: Path) -> None:
    assert not any("by way of" in line.en for line in summary(results, results.cases[0]))
    found = read(write_results(tmp_path, detours_count=12.0))
    last = summary(found, found.cases[0])[-1]
    assert "12 starts of joint" in last.en
    assert "joint 有 12 次启动" in last.zh


def test_every_measure_of_every_play_is_in_the_table(results: Results, text: str) -> None:
    for case in results.cases:
        for contender in results.contenders(case):
            for measure in results.measures:
                assert shown(measure, mean_of(list(results.values(case, contender, measure.key).values()))) in text
    assert "fragmentation_share" not in {measure.key for measure in results.measures}, "no play had a number of it"


def test_the_file_needs_nothing_else(text: str) -> None:
    tags = _tags(text)
    for name, attributes in tags:
        assert "src" not in attributes, name
        assert not any(key.startswith("on") for key in attributes)
        assert name != "link"
        assert name != "a"
    assert "default-src 'none'" in text
    assert "Apache License" in text
    assert "Licensed to the Apache Software Foundation" in text
    assert "Mike Bostock" in text, "the licence of what the drawing library took from d3"


def test_labels_in_both_languages(text: str) -> None:
    assert text.count('<span lang="zh-Hans">') == text.count('<span lang="en">') > 50
    assert "模型结果" in text
    assert "Modelled" in text


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


def test_nothing_from_files_becomes_markup(tmp_path: Path) -> None:
    folder = write_results(
        tmp_path / "evil",
        policies=(*POLICIES[:1], (HOSTILE, HOSTILE)),
        seeds=1,
        loads=(1.0,),
        hours=4,
        title=HOSTILE,
        names=[HOSTILE] * 6,
    )
    text = write_report(folder).read_text(encoding="utf-8")
    assert "<img src=x" not in text
    assert "alert(1)</script>" not in text
    figures = re.search(r'id="figures">(.*?)</script>', text)
    assert figures is not None
    assert json.loads(figures[1])["sites"][0]["name"]["zh"] == HOSTILE
    assert "one seed, so no intervals" in text


def test_columns_that_nobody_foresaw_are_shown(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "more", seeds=2, loads=(1.0,), hours=3, swaps_count=12.0)
    assert "swaps count" in write_report(folder).read_text(encoding="utf-8")


def test_a_long_play_on_many_sites_is_thinned_and_keeps_its_sums() -> None:
    sites = [Place(id=f"s{n}", name=Words(f"s{n}", f"s{n}")) for n in range(100)]
    chance = np.random.default_rng(7)
    grid = chance.random((100, 8760))
    courses = dict.fromkeys(("busy", "kw", "queue", "price", "carbon"), grid)
    hours = Hours(play="p", sites=tuple(site.id for site in sites), start_ms=0, step_ms=3_600_000, **courses)
    found = drawn(_bare(sites, hours))
    (play,) = found["cases"][0]["plays"]
    assert len(found["sites"]) == MOST_SITES
    assert len(play["kw"][0]) <= MOST_BINS
    width = play["step"] // 3_600_000
    total = sum(np.array(row[:-1]).sum() for row in play["kw"]) * width
    assert total == pytest.approx(grid[:, : width * (len(play["kw"][0]) - 1)].sum(), rel=1e-3)
    assert len(json.dumps(found)) < 1_000_000


def _bare(sites: list[Place], hours: Hours) -> Results:
    from suanwang.twin.report.results import Play

    play = Play(id="p", case=(), contender=Contender("joint", "easy"), seed=0, values={"cost_yuan": 1.0})
    return Results(
        name="n",
        title=Words("t", "t"),
        source="",
        plays=[play],
        measures=[COST],
        places=sites,
        hours=[hours],
        waiting={},
    )


def test_a_network_that_was_made_smaller_is_drawn_full_where_it_was_full() -> None:
    sites = [Place(id="a", name=Words("a", "a"), capacity=75.0), Place(id="b", name=Words("b", "b"), capacity=25.0)]
    busy = np.array([[22.5, 15.0], [7.5, 0.0]])  # Of 30, which is 0.3 of what is described: 1.0 and 0.5.
    courses = dict.fromkeys(("busy", "kw", "queue", "price", "carbon"), busy)
    hours = Hours(play="p", sites=("a", "b"), start_ms=0, step_ms=3_600_000, **courses)
    bare = _bare(sites, hours)
    (play,) = bare.plays
    played = replace(play, values={**play.values, "cores_busy_share": 0.75})
    assert drawn(replace(bare, plays=[played]))["cases"][0]["capacity"] == 0.3


@pytest.mark.parametrize("missing", ["results.parquet", "experiment.json"])
def test_a_folder_without_results_says_so(tmp_path: Path, missing: str) -> None:
    folder = write_results(tmp_path / "part", seeds=1, loads=(1.0,), hours=2)
    (folder / missing).write_bytes(b"cut off")
    with pytest.raises(InvalidRequest, match=re.escape(missing)):
        write_report(folder)
    assert not (folder / "report.html").exists()


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, Any]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def _tags(text: str) -> list[tuple[str, dict[str, Any]]]:
    parser = _Tags()
    parser.feed(text)
    return parser.found


def test_what_projects_held_and_were_entitled_to_is_told(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "shared", seeds=1, loads=(1.0,), hours=4)
    rows = [
        {"play": f"1-{policy}-{order}-0", "project": project, "hour": hour * 3_600_000, "share": held, "entitled": to}
        for policy, order in POLICIES[1:]
        for project, course in {
            "physics": [(0.5, 0.4), (0.25, 0.4), (0.0, 0.0), (0.9, 1.0)],
            HOSTILE: [(0.125, 0.6), (0.375, 0.6), (0.5, 1.0), (0.0, 0.0)],
        }.items()
        for hour, (held, to) in enumerate(course)
    ]
    parquet.write_table(pa.Table.from_pylist(rows), folder / "shares.parquet")
    text = write_report(folder).read_text(encoding="utf-8")
    table = text[text.index('id="shares-0"') :]
    assert table.count('<td class="num">55.0 %<small>60.0 %</small></td>') == len(POLICIES) - 1, "means of its hours"
    assert table.count('<td class="num">33.3 %<small>73.3 %</small></td>') == len(POLICIES) - 1
    assert table.count('<td class="num">–<small>–</small></td>') == 2, "of the play that has no shares"
    assert "<img src=x" not in text
    drawn_of = drawn(read(folder))
    assert drawn_of["projects"] == ["physics", HOSTILE]
    without, *others = drawn_of["cases"][0]["plays"]
    assert "shares" not in without
    assert others[0]["shares"]["held"] == [[0.5, 0.25, 0, 0.9], [0.125, 0.375, 0.5, 0]]
    assert others[0]["shares"]["entitled"][0] == [0.4, 0.4, 0, 1]
