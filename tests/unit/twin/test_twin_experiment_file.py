"""An experiment's file: what it may say, what comes of it, and what a play's digest depends on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from suanwang.domain.errors import InvalidRequest
from suanwang.electricity.series import HOUR_MS
from suanwang.twin.experiment import BOUND, CONDITIONS, Experiment, changed, plays
from suanwang.twin.experimentfile import (
    ConditionsSection,
    generated,
    parse_experiment,
    read_experiment,
    shipped_examples,
)

FILE = """
experiment: one
start: 2026-07-06
trace: {generated: federation-week, hours: 2, share: 0.1}
policies: [joint, nearest+fifo]
seeds: 2
conditions: {load: 0.5, wait_hours: 3}
vary:
  capacity: [0.5, 1]
  carbon_error: [0, 0.1, 0.2]
"""


def read(text: str = FILE, folder: Path = Path()) -> Experiment:
    return parse_experiment(text, filename="one.yaml", folder=folder)


def test_a_file_becomes_every_combination_of_policy_seed_and_what_varies() -> None:
    experiment = read()
    found = plays(experiment)
    assert len(found) == 2 * 3 * 2 * 3
    assert len({play.id for play in found}) == len(found)
    assert {play.policy for play in found} == {"joint", "nearest+fifo", BOUND}
    last = found[-1]
    assert dict(last.case) == {"capacity": 1.0, "carbon_error": 0.2}
    assert last.conditions.changes.capacity == 1.0
    assert last.conditions.foresight.carbon_error == 0.2
    assert last.conditions.rules.load == 0.5
    assert experiment.baseline == "joint"
    assert experiment.start_ms == 1_783_267_200_000
    assert [play.seed for play in found[:6]] == [1, 1, 1, 2, 2, 2]


def test_the_same_file_gives_the_same_digests_and_each_thing_that_counts_another() -> None:
    base = read()
    ids = [play.id for play in plays(base)]
    assert [play.id for play in plays(read())] == ids
    assert [play.id for play in plays(replace(base, title_en="another", text="", name="two"))] == ids
    for other in (
        replace(base, start_ms=(base.start_ms or 0) + HOUR_MS),
        replace(base, trace=replace(base.trace, share=0.2)),
        replace(base, network=replace(base.network, gbps=2.0)),
        replace(base, with_jobs=True),
        replace(base, conditions=changed(base.conditions, {"price_weight": 9.0})),
        replace(base, seeds=(3, 4)),
    ):
        assert not set(ids) & {play.id for play in plays(other)}


def test_every_condition_has_a_form_and_every_form_a_condition() -> None:
    assert set(ConditionsSection.model_fields) == set(CONDITIONS)
    with pytest.raises(InvalidRequest, match="nothing is called"):
        changed(read().conditions, {"luck": 1.0})


@pytest.mark.parametrize(
    ("before", "after", "field", "line"),
    [
        ("seeds: 2", "seeds: 0", "seeds", 6),
        ("seeds: 2", "seed: 2", "seed", 6),
        ("wait_hours: 3", "wait_hours: -3", "conditions.wait_hours", 7),
        ("wait_hours: 3", "patience: 3", "conditions.patience", 7),
        ("[0, 0.1, 0.2]", "[0, lots]", "vary.carbon_error[1]", 10),
        ("[0, 0.1, 0.2]", "[0, 0]", "vary.carbon_error", 10),
        ("capacity: [0.5, 1]", "kapacity: [0.5, 1]", "vary.kapacity", 9),
        ("capacity: [0.5, 1]", "capacity: []", "vary.capacity", 9),
        ("hours: 2", "hours: 0", "trace.hours", 4),
        ("experiment: one", "experiment: [one]", "experiment", 2),
    ],
)
def test_what_an_experiment_may_not_say(before: str, after: str, field: str, line: int) -> None:
    assert before in FILE
    with pytest.raises(InvalidRequest) as told:
        read(FILE.replace(before, after))
    assert told.value.field == field
    assert f"line {line}," in told.value.message


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ("nearest+fifo", "nearest+lifo", "policies[1]"),
        ("nearest+fifo", "oracle", "policies[1]"),
        ("nearest+fifo", "joint", "policies"),
        ("seeds: 2", "seeds: [1, 1]", "seeds"),
        ("2026-07-06", "2026-07-06T00:30", "start"),
        ("2026-07-06", "tomorrow", "start"),
        ("2026-07-06", "1969-01-01", "start"),
        ("seeds: 2", "baseline: cheapest", "baseline"),
        ("{generated: federation-week, hours: 2, share: 0.1}", "nowhere.swf", "trace.file"),
        ("generated: federation-week", "generated: weather", "trace.generated"),
        ("generated: federation-week", "generated: pai, file: a.swf", "trace"),
        ("seeds: 2", "network: nowhere.yaml", "network"),
        ("seeds: 2", "network: {network: bare}", "sites"),
        ("[0, 0.1, 0.2]", f"{[n / 100_000 for n in range(20_000)]}", "vary"),
    ],
)
def test_what_does_not_go_together_in_an_experiment(before: str, after: str, field: str) -> None:
    assert before in FILE
    with pytest.raises(InvalidRequest) as told:
        read(FILE.replace(before, after))
    assert told.value.field == field
    assert told.value.allowed or "missing" in told.value.message.lower() or "required" in told.value.message.lower()


def test_a_trace_file_counts_by_its_bytes_not_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for place in (tmp_path / "log.swf", tmp_path / "deep" / "other.swf"):
        place.write_text("; empty\n")
    ids = [
        {
            play.id
            for play in plays(read(FILE.replace("{generated: federation-week, hours: 2, share: 0.1}", name), tmp_path))
        }
        for name in ("log.swf", "deep/other.swf")
    ]
    assert ids[0] == ids[1]
    (tmp_path / "log.swf").write_text("; not empty\n")
    changed_ids = plays(read(FILE.replace("{generated: federation-week, hours: 2, share: 0.1}", "log.swf"), tmp_path))
    assert not ids[0] & {play.id for play in changed_ids}


def test_a_file_that_is_not_there_is_said_with_the_shipped_ones() -> None:
    with pytest.raises(InvalidRequest) as told:
        read_experiment(Path("nowhere.yaml"))
    assert "national-week" in (told.value.allowed or "")


@pytest.mark.parametrize("name", sorted(shipped_examples()))
def test_shipped_examples_are_right(name: str) -> None:
    experiment = read_experiment(Path(name))
    assert experiment.name == name
    assert plays(experiment)
    assert experiment.trace.name in generated()
