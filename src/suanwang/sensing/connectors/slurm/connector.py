"""A Slurm cluster as a `Connector`, whichever gateway leads to it.

Owns the promises: one run per tag, an answer for every tag, absence is not an end, and everything adopted after a
restart. It must not know how Slurm is asked; `cli` and `rest` are the two gateways.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from suanwang.domain.connector import Load, Observation, RunOrder, RunState
from suanwang.domain.errors import InvalidRequest, OutcomeUnknown, Unavailable
from suanwang.sensing.connectors.slurm.commands import check_order, comment_of, gres_name, gres_option, is_tag
from suanwang.sensing.connectors.slurm.facts import SAYS_NO_MORE, Gateway, JobFacts, NodeFacts, check_fits, load_of
from suanwang.sensing.connectors.slurm.spool import Record, Spool, exit_file


class SlurmConnector:
    """Runs orders on one cluster.

    `spool` is a folder of the connector's own. `gres_types` maps catalogue identifiers to the site's GRES (`type` or
    `name:type`). `label` stands before the tag in each job's comment and tells this network's jobs from others'.
    `partitions` limits what `load` counts; none means all.
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        spool: Path,
        gres_types: Mapping[str, str] | None = None,
        label: str = "suanwang",
        partitions: Sequence[str] = (),
    ) -> None:
        if not is_tag(label):
            raise InvalidRequest(f"{label!r} is no label", field="label", allowed="letters, digits, _ . -")
        self._gateway = gateway
        self._spool = Spool(spool)
        self._gres_types = dict(gres_types or {})
        self._models = {gres_name(kind): model for model, kind in self._gres_types.items()}
        self._label = label
        self._partitions = tuple(partitions)
        self._shapes: dict[str | None, Sequence[NodeFacts]] = {}

    def submit(self, order: RunOrder) -> str:
        check_order(order)
        gres = gres_option(order.devices, self._gres_types)
        record = self._spool.read(order.tag)
        if record is not None and record.native_id is not None:
            return record.native_id
        there = self._pick(order.tag, self._gateway.jobs_named([order.tag]))
        if there is not None:
            self._spool.write(replace(record or Record.of(order), native_id=there.native_id))
            return there.native_id
        if record is not None:
            raise OutcomeUnknown(
                f"{order.tag} was sent to Slurm before, no answer came, and Slurm does not show it: watch its tag",
                tag=order.tag,
            )
        self._check_fits(order, gres)
        record = Record.of(order)
        self._spool.write(record)
        try:
            native_id = self._gateway.submit(order, comment=comment_of(self._label, order), gres=gres)
        except (InvalidRequest, Unavailable):
            # Slurm has no such job for certain: the next attempt starts afresh.
            self._spool.remove(order.tag)
            raise
        self._spool.write(replace(record, native_id=native_id))
        return native_id

    def observe(self, tags: Sequence[str]) -> Mapping[str, Observation]:
        asked = [tag for tag in dict.fromkeys(tags) if is_tag(tag)]
        records = {tag: record for tag in asked if (record := self._spool.read(tag)) is not None}
        answers = {tag: record.end for tag, record in records.items() if record.end is not None}
        open_tags = [tag for tag in asked if tag not in answers]
        ids = {tag: record.native_id for tag in open_tags if (record := records.get(tag)) and record.native_id}
        by_tag = self._by_tag(self._gateway.jobs(list(ids.values())) if ids else ())
        sought = [tag for tag in open_tags if tag not in ids]
        by_tag |= self._by_tag(self._gateway.jobs_named(sought) if sought else ())
        for tag in open_tags:
            answers[tag] = self._answer(tag, records.get(tag), by_tag.get(tag, ()))
        return {tag: answers.get(tag) or Observation(tag=tag, state=RunState.UNKNOWN) for tag in tags}

    def cancel(self, tag: str) -> None:
        if not is_tag(tag):
            return
        record = self._spool.read(tag)
        if record is not None and record.end is not None:
            return
        native_id = record.native_id if record else None
        if native_id is None:
            job = self._pick(tag, self._gateway.jobs_named([tag]))
            if job is None or job.state.ended:
                return
            native_id = job.native_id
        self._gateway.cancel(native_id, posix_user=record.posix_user if record else None)
        self._spool.mark_cancelled(tag)

    def forget(self, tag: str) -> None:
        if is_tag(tag):
            self._spool.remove(tag)

    def running(self) -> Sequence[str]:
        # Here nobody asked for a tag, so a job without a comment is somebody else's.
        tags = (self._tag_of(job) for job in self._gateway.queue() if job.comment and not job.state.ended)
        return tuple(dict.fromkeys(tag for tag in tags if tag is not None))

    def load(self) -> Load:
        nodes: dict[str, NodeFacts] = {}
        for partition in self._partitions or (None,):
            nodes |= {node.name: node for node in self._gateway.nodes(partition=partition)}
        return load_of(nodes.values(), self._gateway.queue(), self._models)

    def _check_fits(self, order: RunOrder, gres: str | None) -> None:
        """Against the shapes seen last; before it refuses it looks again, since a cluster may have grown."""
        shapes = self._shapes.get(order.partition)
        if shapes is not None:
            try:
                return check_fits(order, shapes, gres=gres)
            except InvalidRequest:
                pass
        shapes = self._gateway.nodes(partition=order.partition)
        if not shapes and order.partition is not None:
            raise InvalidRequest(f"this cluster has no partition {order.partition!r} with nodes", field="partition")
        self._shapes[order.partition] = shapes
        return check_fits(order, shapes, gres=gres)

    def _answer(self, tag: str, record: Record | None, jobs: Sequence[JobFacts]) -> Observation:
        job = _newest(job for job in jobs if record is None or record.native_id in (None, job.native_id))
        seen = _seen(tag, record, job)
        if record is not None and job is not None and record.native_id is None:
            record = replace(record, native_id=job.native_id)
            self._spool.write(record)
        if record is not None and seen.state.ended:
            self._spool.write(replace(record, end=seen))
        return seen

    def _by_tag(self, jobs: Iterable[JobFacts]) -> dict[str, list[JobFacts]]:
        found: dict[str, list[JobFacts]] = {}
        for job in jobs:
            tag = self._tag_of(job)
            if tag is not None:
                found.setdefault(tag, []).append(job)
        return found

    def _pick(self, tag: str, jobs: Iterable[JobFacts]) -> JobFacts | None:
        return _newest(job for job in jobs if self._tag_of(job) == tag)

    def _tag_of(self, job: JobFacts) -> str | None:
        """The tag in a job's comment, where the label before it is ours; else its name where it has no comment."""
        if not job.comment:
            return job.name if is_tag(job.name) else None
        label, _, rest = job.comment.partition(":")
        tag = rest.split(" ", 1)[0]
        return tag if label == self._label and is_tag(tag) else None


def _newest(jobs: Iterable[JobFacts]) -> JobFacts | None:
    """Of several jobs of one tag the living one, else the one with the highest number."""
    return max(jobs, key=lambda job: (not job.state.ended, len(job.native_id), job.native_id), default=None)


def _seen(tag: str, record: Record | None, job: JobFacts | None) -> Observation:
    """What is known of a run: Slurm's word first, then the status on file, then our own wish to cancel.

    A job that Slurm lost may have run to its end all the same: then the status on file comes first.
    """
    left = exit_file(record.exit_path) if record is not None else None
    if job is not None and not (job.state is RunState.SITE_FAILED and left is not None):
        exit_code = job.exit_code
        if exit_code is None and left is not None and job.state in (RunState.SUCCEEDED, RunState.FAILED):
            exit_code = left[0]
        return Observation(
            tag=tag,
            state=job.state,
            native_id=job.native_id,
            started_at=job.started_at,
            ended_at=job.ended_at,
            exit_code=exit_code,
            reason="" if job.reason in SAYS_NO_MORE else job.reason,
            nodes=job.nodes,
            cpu_s=job.cpu_s,
            max_memory_gb=job.max_memory_gb,
        )
    native_id = job.native_id if job else record.native_id if record else None
    if left is not None:
        status, ended_at = left
        return Observation(
            tag=tag,
            state=RunState.FAILED if status else RunState.SUCCEEDED,
            native_id=native_id,
            started_at=job.started_at if job else None,
            ended_at=ended_at,
            exit_code=status,
            reason=f"Slurm {'lost' if job else 'no longer knows'} the job; the status is the run's own",
            nodes=job.nodes if job else (),
        )
    if record is not None and record.cancelled:
        reason = "cancelled as asked; Slurm no longer knows the job"
        return Observation(tag=tag, state=RunState.CANCELLED, native_id=native_id, reason=reason)
    return Observation(tag=tag, state=RunState.UNKNOWN, native_id=native_id)
