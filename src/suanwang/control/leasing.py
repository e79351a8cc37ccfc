"""A lease in full: what an agent needs to run one allocation.

Owns the resolution of names to content: `TASK/NAME` to the outputs of the jobs this one needs, `NAME` to a file of the
project, `dataset:NAME` to the site's own data, `listing:ID@VERSION` to what is sold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from suanwang.control.contracts.listed import delivered, listed_of
from suanwang.domain.connector import DeviceSlots
from suanwang.domain.errors import InvalidRequest
from suanwang.domain.exchange import Lease, StagedInput
from suanwang.domain.file import FileRecord
from suanwang.domain.ids import JobId, SiteId
from suanwang.domain.job import Allocation, Job
from suanwang.domain.lifecycle import JobState
from suanwang.domain.site import Site
from suanwang.ports import Store
from suanwang.trading.listings import SOURCE


def output_name(job_id: JobId, name: str) -> str:
    """The project file under which output `name` of a job is kept."""
    return f"{job_id}/{name}"


def sources(job: Job, needs: Mapping[JobId, Job]) -> list[tuple[str, str]]:
    """(project file name, path) of each input that is a file; an array's output becomes one path per member."""
    found: list[tuple[str, str]] = []
    for wanted in job.task.inputs:
        if wanted.source.startswith(("dataset:", SOURCE)):
            continue
        task, slash, name = wanted.source.partition("/")
        writers = [n for n in needs.values() if slash and task in (n.task.name, n.id)]
        if not writers:
            found.append((wanted.source, wanted.path))
        for writer in sorted(writers, key=lambda n: n.array_index):
            path = f"{wanted.path}/{writer.array_index}" if writer.task.count > 1 else wanted.path
            found.append((output_name(writer.id, name), path))
    return found


def files_of(store: Store, job: Job) -> list[tuple[FileRecord, str]]:
    """(file, path) of each input. Raises `InvalidRequest` naming one that does not exist."""
    if not job.task.inputs:
        return []
    found: list[tuple[FileRecord, str]] = []
    for name, path in sources(job, store.jobs_by_id(job.needs)):
        record = store.file(job.project, name)
        if record is None:
            raise InvalidRequest(
                f"the project has no file {name!r}; upload it, or name an output of a task in `needs`",
                field="inputs",
                allowed="a file of the project, TASK/OUTPUT, dataset:NAME or listing:ID",
            )
        found.append((record, path))
    for listing, path in listed_of(store, job):
        record = delivered(listing)
        if record is not None:
            found.append((record, path))
    return found


def bound_to(store: Store, job: Job) -> SiteId | None:
    """The one site that the job's files and the data sets it pays for bind it to. Raises `InvalidRequest`."""
    files = files_of(store, job)
    sold = [listing.site for listing, _ in listed_of(store, job) if listing.site is not None]
    return held_at(files, sold)


def held_at(files: Sequence[tuple[FileRecord, str]], also: Iterable[SiteId] = ()) -> SiteId | None:
    """The one site the job is bound to by a file that may not leave it. Raises `InvalidRequest` where there are two."""
    sites = {record.site_id for record, _ in files if record.site_id is not None} | set(also)
    if len(sites) > 1:
        raise InvalidRequest(
            f"files held at {', '.join(sorted(sites))} may not leave these sites, so no site can read them all",
            field="inputs",
            allowed="files held at one site",
        )
    return next(iter(sites), None)


def lease_in_full(store: Store, job: Job, allocation: Allocation, site: Site) -> Lease:
    """What the agent gets. Raises `InvalidRequest` where an input is gone."""
    task, need, offer = job.task, job.task.resources, site.offering
    staged = [StagedInput(path=path, content=record.content) for record, path in files_of(store, job)]
    staged += [
        StagedInput(path=wanted.path, dataset=wanted.source.removeprefix("dataset:"))
        for wanted in task.inputs
        if wanted.source.startswith("dataset:")
    ]
    staged += [
        StagedInput(path=path, dataset=listing.dataset)
        for listing, path in listed_of(store, job)
        if listing.content is None
    ]
    pool = next((p for p in offer.devices if p.model == allocation.device_model), None)
    accounts = offer.accounts
    return Lease(
        allocation_id=allocation.id,
        epoch=allocation.epoch,
        job_id=job.id,
        project=job.project,
        owner=job.owner,
        name=task.name,
        setup=task.setup,
        run=task.run,
        env=task.env,
        nodes=task.nodes,
        cores=need.cores,
        memory_gb=need.memory_gb,
        devices=DeviceSlots(model=pool.model, kind=pool.kind, count=need.devices.count)
        if pool and need.devices
        else None,
        time_limit_s=need.time_limit_s,
        array_index=job.array_index,
        array_count=task.count,
        inputs=tuple(staged),
        outputs=tuple((output.name, output.path) for output in task.outputs),
        checkpoint_path=task.checkpoint.path if task.checkpoint else None,
        checkpoint=job.checkpoint if task.checkpoint else None,
        hold_files=bool(task.constraints.residency) or job.held_at is not None,
        partition=task.slurm.partition or offer.partition,
        account=task.slurm.account,
        qos=task.slurm.qos,
        posix_user=accounts.get(f"{job.project}/{job.owner}") or accounts.get(job.project),
        signal=task.signal,
        begun=bool(allocation.phase) or allocation.started_at is not None,
        cancel=job.state is JobState.CANCELLING,
    )
