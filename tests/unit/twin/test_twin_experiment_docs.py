"""The page about experiments: what it shows can be read, its first experiment runs, and no condition is missing from it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from suanwang.domain.allowance import Allowance
from suanwang.domain.task import Priority
from suanwang.twin.experiment import CONDITIONS, plays
from suanwang.twin.experimentfile import ExperimentSection, parse_experiment
from suanwang.twin.network import DEVICES, PLAIN, rows
from suanwang.twin.networkfile import parse_network
from suanwang.twin.running import run

PAGE = (Path(__file__).parents[3] / "docs" / "twin.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_the_first_experiment_runs(tmp_path: Path) -> None:
    experiment = parse_experiment(SHOWN[0], filename="first.yaml", folder=tmp_path)
    ran = run(experiment, tmp_path, jobs=1)
    assert ran.made == len(plays(experiment)) == 3
    assert [row["policy"] for row in ran.rows] == ["joint", "nearest"]


def test_the_network_can_be_played_on() -> None:
    network = parse_network(SHOWN[2], filename="pair.yaml")
    made, fits = rows(network, np.ones(2), devices=True)
    assert made.site.tolist() == [0, 1, 1]
    assert fits[[PLAIN, DEVICES]].sum() == 3


def test_projects_are_read_as_shown(tmp_path: Path) -> None:
    found = parse_experiment(SHOWN[1], filename="shares.yaml", folder=tmp_path).projects
    assert found is not None
    assert found.by == "homes"
    assert found.allowances["centre-1"] == Allowance(weight=2, cores=400)
    assert found.priorities == {"centre-2": Priority.LOW}


def test_every_key_and_condition_is_on_the_page() -> None:
    assert len(SHOWN) == 3
    for name in (*CONDITIONS, *ExperimentSection.model_fields):
        assert f"`{name}`" in PAGE, name
