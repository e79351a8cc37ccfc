"""The demo's six pieces of work: which files they are, and what of them can be seen from outside.

Owns the order and the names. What each piece must have done is `checking`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from suanwang.cli.submitting import upload_inputs
from suanwang.demo.stage import PROJECT, Stage
from suanwang.domain.lifecycle import ENDED, LIVE, JobState
from suanwang.taskfile import read_tasks

if TYPE_CHECKING:
    from suanwang.client import models

EPOCHS = 36
"""As `training.yaml` has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One task file and what it shows."""

    file: str
    jobs: tuple[str, ...]
    english: str
    chinese: str

    def title(self, *, chinese: bool) -> str:
        return self.chinese if chinese else self.english


TRAINING = Piece(
    file="training.yaml",
    jobs=("train-digits",),
    english="training that survives its site",
    chinese="训练：站点失效后续训",
)
SWEEP = Piece(
    file="sweep.yaml", jobs=("sweep",), english="sweep of eight over the sites", chinese="八组参数，跨站点并行"
)
WORKFLOW = Piece(
    file="workflow.yaml",
    jobs=("prepare", "score"),
    english="two steps at two sites",
    chinese="两步流程，跨站点传数据",
)
RESIDENCY = Piece(file="residency.yaml", jobs=("diagnose",), english="data may not leave Wuhu", chinese="数据不出芜湖")
NEARBY = Piece(file="inference.yaml", jobs=("answer",), english="within 5 ms of Shanghai", chinese="距上海 5 毫秒以内")
IMPOSSIBLE = Piece(file="impossible.yaml", jobs=("too-much",), english="no site can run this", chinese="没有站点能运行")
PIECES = (TRAINING, SWEEP, WORKFLOW, RESIDENCY, NEARBY, IMPOSSIBLE)


def submit_all(stage: Stage) -> Mapping[str, models.Submitted]:
    """Submit the six files, local inputs first; file → what was accepted."""
    folder = Path(str(resources.files("suanwang.demo") / "tasks"))
    done: dict[str, models.Submitted] = {}
    for piece in PIECES:
        submission = read_tasks((folder / piece.file).read_text(encoding="utf-8"), filename=piece.file)
        upload_inputs(stage.user, submission.uploads, project=PROJECT, folder=folder)
        done[piece.file] = stage.user.submit(submission.tasks, project=PROJECT)
    return done


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The network as the user sees it at one moment."""

    jobs: Mapping[str, Sequence[models.JobView]]
    """Task name → its jobs, by array index."""
    sites: Mapping[str, models.SiteView]
    epoch: int = 0
    """The training's newest epoch, of whichever run."""
    loss: float | None = None
    sites_of_training: tuple[str, ...] = ()
    """Every site that had it, oldest first."""
    submitted: frozenset[str] = field(default_factory=frozenset)

    def of(self, piece: Piece) -> Sequence[models.JobView]:
        return [job for name in piece.jobs for job in self.jobs.get(name, ())]

    @property
    def training(self) -> models.JobView | None:
        found = self.of(TRAINING)
        return found[0] if found else None

    @property
    def over(self) -> bool:
        """Whether all that was submitted has ended."""
        every = [job for piece in PIECES for job in self.of(piece)]
        return (
            bool(self.submitted)
            and {job.id for job in every} >= self.submitted
            and all(j.state in ENDED for j in every)
        )


def look(stage: Stage, submitted: frozenset[str]) -> Look:
    """Ask the network how everything is."""
    jobs: dict[str, list[models.JobView]] = {}
    for job in stage.user.jobs(projects=[PROJECT]):
        if job.id in submitted:
            jobs.setdefault(job.name, []).append(job)
    for members in jobs.values():
        members.sort(key=lambda job: job.array.index if job.array else 0)
    sites = {site.id: site for site in stage.user.sites()}
    training = jobs.get(TRAINING.jobs[0], [None])[0]
    if training is None:
        return Look(jobs=jobs, sites=sites, submitted=submitted)
    points = [point for point in stage.user.points(training.id) if point.name == "loss" and point.step is not None]
    newest = points[-1] if points else None
    return Look(
        jobs=jobs,
        sites=sites,
        epoch=int(newest.step) if newest and newest.step is not None else 0,
        loss=newest.value if newest else None,
        sites_of_training=tuple(one.site for one in stage.user.allocations(training.id)),
        submitted=submitted,
    )


def may_be_stopped(seen: Look) -> str | None:
    """The training's site, once its loss costs nothing but time: a checkpoint is kept and others' work there is over.

    Other work there is not waited for when the training is two thirds done.
    """
    training = seen.training
    if training is None or training.state is not JobState.RUNNING or training.checkpoint is None or seen.epoch < 4:
        return None
    others = [job for jobs in seen.jobs.values() for job in jobs if job.site == training.site and job.state in LIVE]
    return training.site if len(others) == 1 or seen.epoch >= EPOCHS * 2 // 3 else None
