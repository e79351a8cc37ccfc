"""The way to a cluster by Slurm's own commands.

Owns which command answers which question, and in which order sources are asked about a job: the controller, then the
accounting where it is on, then the completion file where there is one. Text is made in `commands`, read in `parsing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from suanwang.domain.connector import RunOrder, RunState
from suanwang.domain.errors import OutcomeUnknown, Unavailable, UnreadableReply
from suanwang.sensing.connectors.slurm import commands, parsing
from suanwang.sensing.connectors.slurm.facts import JobFacts, NodeFacts
from suanwang.sensing.connectors.slurm.process import Call, Done, Run, hand_over

_BATCH = 500
"""Ids on one command line."""
_JOBCOMP_TAIL_BYTES = 16 * 2**20
"""How much of the completion file's end is searched: it grows for ever."""
_UTC = {"TZ": "UTC", "SLURM_TIME_FORMAT": "standard"}


class CommandGateway:
    """Asks a cluster through `run`. `prepare` makes a run's folders its own account's before it is sent."""

    def __init__(self, run: Run, *, prepare: Callable[[RunOrder], None] = hand_over) -> None:
        self._run = run
        self._prepare = prepare
        self._config: dict[str, str] | None = None

    def submit(self, order: RunOrder, *, comment: str, gres: str | None) -> str:
        self._prepare(order)
        argv = commands.sbatch(order, comment=comment, gres=gres)
        done = self._run(Call(argv=argv, stdin=commands.script_text(order), posix_user=order.posix_user))
        if done.status == 0:
            try:
                return parsing.job_id(done.out)
            except UnreadableReply as error:
                raise OutcomeUnknown(error.message, tag=order.tag) from error
        raise parsing.submission_error(done.err, tag=order.tag)

    def jobs(self, native_ids: Sequence[str]) -> Sequence[JobFacts]:
        found: dict[str, JobFacts] = {}
        for batch in _batches([native_id for native_id in native_ids if native_id.isdigit()]):
            found |= {job.native_id: job for job in self._known_to_controller(batch)}
            missing = [native_id for native_id in batch if native_id not in found]
            found |= {job.native_id: job for job in self._known_to_records(native_ids=missing)}
        return list(found.values())

    def jobs_named(self, names: Sequence[str]) -> Sequence[JobFacts]:
        found: list[JobFacts] = []
        for batch in _batches(names):
            done = self._ask(commands.squeue(names=batch))
            found += [self._with_status(job) for job in parsing.squeue_jobs(done.out, others=True)]
            missing = [name for name in batch if all(job.name != name for job in found)]
            found += self._known_to_records(names=missing)
        return found

    def queue(self) -> Sequence[JobFacts]:
        done = self._ask(commands.squeue(states="PENDING,CONFIGURING,RUNNING,SUSPENDED,COMPLETING"))
        return parsing.squeue_jobs(done.out, others=True)

    def cancel(self, native_id: str, *, posix_user: str | None) -> None:
        done = self._run(Call(argv=commands.scancel(native_id), posix_user=posix_user))
        gone = any(words in done.err for words in ("Invalid job id", "already completing", "already completed"))
        if done.timed_out or (done.status != 0 and done.err.strip() and not gone):
            raise Unavailable(f"scancel {native_id} failed, ask again: {done.err.strip()[:300]}")

    def nodes(self, *, partition: str | None = None) -> Sequence[NodeFacts]:
        return parsing.sinfo_nodes(self._ask(commands.sinfo(partition=partition)).out)

    def _known_to_controller(self, native_ids: Sequence[str]) -> list[JobFacts]:
        done = self._run(Call(argv=commands.squeue(native_ids=native_ids), env=_UTC))
        if "Invalid job id specified" in done.err:
            # Said only where the one id asked for is unknown: of several, unknown ones are left out.
            return []
        _check(done, "squeue")
        return [self._with_status(job) for job in parsing.squeue_jobs(done.out)]

    def _with_status(self, job: JobFacts) -> JobFacts:
        """squeue does not tell how a failed program ended; `scontrol` does, as long as the controller remembers."""
        if job.state is not RunState.FAILED:
            return job
        done = self._run(Call(argv=commands.show_job(job.native_id), env=_UTC))
        if done.status != 0:
            return job
        # Only the status is taken: what a user wrote into his job's name must not become its state.
        return replace(job, exit_code=parsing.shown_job(done.out).exit_code)

    def _known_to_records(self, *, native_ids: Sequence[str] = (), names: Sequence[str] = ()) -> list[JobFacts]:
        if not native_ids and not names:
            return []
        config = self._settings()
        found: list[JobFacts] = []
        if not config.get("AccountingStorageType", "").endswith("none"):
            done = self._ask(commands.sacct(native_ids=native_ids, names=names))
            found = parsing.sacct_jobs(done.out)
        if not found and config.get("JobCompType") == "jobcomp/filetxt":
            text = _tail(Path(config.get("JobCompLoc", "")))
            found = list(parsing.jobcomp_jobs(text, native_ids=native_ids, names=names))
        return found

    def _settings(self) -> dict[str, str]:
        if self._config is None:
            self._config = parsing.config(self._ask(commands.show_config()).out)
        return self._config

    def _ask(self, argv: Sequence[str]) -> Done:
        done = self._run(Call(argv=argv, env=_UTC))
        _check(done, argv[0])
        return done


def _check(done: Done, command: str) -> None:
    if done.timed_out:
        raise Unavailable(f"{command} got no answer in time, ask again: {done.err.strip()[:300]}")
    if done.status != 0:
        raise Unavailable(f"{command} failed, ask again: {done.err.strip()[:300]}")


def _batches(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), _BATCH):
        yield values[start : start + _BATCH]


def _tail(path: Path) -> str:
    """The end of a file that this process may not be allowed to read; nothing then."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _JOBCOMP_TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
