"""An existing sbatch script read as a task, with the meaning Slurm gives it.

Owns what each option becomes and what a user is told of those that become nothing. The options themselves are found
by `sbatch_options`, the shell around the script is written by `sbatch_script`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import TypeVar

from suanwang.domain.precision import DeviceKind
from suanwang.domain.task import SIGNALS
from suanwang.taskfile import quantities, slurm_amounts
from suanwang.taskfile.model import MOST_COPIES
from suanwang.taskfile.native import Draft, assemble
from suanwang.taskfile.problems import Findings, Path, dotted, quoted
from suanwang.taskfile.sbatch_options import OPTIONS, Fate, Given, options_of
from suanwang.taskfile.sbatch_script import Surroundings, around
from suanwang.taskfile.slurm_amounts import ArrayIndexes, Gres
from suanwang.taskfile.submission import Submission, TaskFormat
from suanwang.taskfile.words import looks_like_job, name_from
from suanwang.taskfile.yamltext import checked_text

DEFAULT_LIMIT_S = 86_400
MEMORY_PER_CORE_GB = 2.0

_ORIGINS: Mapping[str, str] = {
    "name": "job-name",
    "count": "array",
    "nodes": "nodes",
    "needs": "dependency",
    "env": "export",
    "resources.cores": "cpus-per-task",
    "resources.memory": "mem",
    "resources.time_limit": "time",
    "resources.devices": "gres",
    "constraints.deadline": "deadline",
    "slurm.partition": "partition",
    "slurm.account": "account",
    "slurm.qos": "qos",
    "signal": "signal",
}

T = TypeVar("T")


def read_sbatch(text: str | bytes, *, filename: str = "job.sh") -> Submission:
    """The task of an sbatch script. Raises `InvalidTask` with every problem, `TooLarge` above 1 MiB.

    Notes name every option that is not honoured and everything assumed in place of a cluster's own defaults.
    """
    script = checked_text(text, filename=filename)
    findings = Findings(filename)
    if "\r" in script:
        script = script.replace("\r\n", "\n").replace("\r", "\n")
        findings.note("The script has DOS line ends; they were taken out, as sbatch asks.")
    reader = _Reader(script, findings)
    draft = Draft(reader.draft(), reader.locate)
    return assemble([draft], findings, written_as=TaskFormat.SBATCH)


class _Reader:
    """The options of one script on their way to the native words."""

    def __init__(self, script: str, findings: Findings) -> None:
        self.script = script
        self.findings = findings
        # As in sbatch, the last of several wins.
        self.given: dict[str, Given] = {given.name: given for given in options_of(script, findings)}
        self.device_option = "gres"

    def draft(self) -> dict[str, object]:
        self._tell_fates()
        nodes, tasks_per_node = self._layout()
        devices = self._devices(nodes, tasks_per_node)
        cores = self._cores(tasks_per_node, devices.count if devices else 0)
        array = self._parsed("array", lambda text: slurm_amounts.parse_array(text, most=MOST_COPIES))
        name = self._name()
        surroundings = Surroundings(
            name=self._text("job-name") or name,
            nodes=nodes,
            tasks=self._count("ntasks") or nodes * tasks_per_node,
            tasks_per_node=tasks_per_node if "ntasks-per-node" in self.given else None,
            cores_per_task=self._count("cpus-per-task"),
            cores=cores,
            devices=devices.count if devices else 0,
            indexes=array.indexes if array else None,
            folder=self._folder(),
        )
        resources: dict[str, object] = {
            "cores": cores,
            "memory": self._memory_gb(cores, devices.count if devices else 0),
            "time_limit": quantities.spell_duration(self._limit_s()),
        }
        if devices is not None:
            resources["devices"] = _devices_section(devices)
        self._tell_array(array)
        self._tell_commands()
        draft: dict[str, object] = {
            "name": name,
            "run": around(self.script, surroundings, self.findings),
            "env": self._env(),
            "count": len(array.indexes) if array else 1,
            "nodes": nodes,
            "resources": resources,
            "needs": self._needs(),
            "constraints": self._constraints(),
            "slurm": self._slurm(),
        }
        signal = self._signal(nodes)
        if signal is not None:
            draft["signal"] = signal
        if "no-requeue" in self.given:
            draft["max_attempts"] = 1
        return draft

    def locate(self, path: Path) -> tuple[str, int | None]:
        """The option behind a native field."""
        field = dotted(path)
        for native, option in _ORIGINS.items():
            if field == native or field.startswith((f"{native}.", f"{native}[")):
                name = self.device_option if option == "gres" else option
                given = self.given.get(name)
                return f"--{name}", given.line if given else None
        return field, None

    def _refuse(self, name: str, message: str, allowed: str | None = None) -> None:
        given = self.given.get(name)
        self.findings.refuse(f"--{name}", message, allowed=allowed, line=given.line if given else None)

    def _text(self, name: str) -> str | None:
        given = self.given.get(name)
        return given.value if given and given.value else None

    def _parsed(self, name: str, parse: Callable[[str], T], allowed: str | None = None) -> T | None:
        given = self.given.get(name)
        if given is None:
            return None
        try:
            return parse(given.value)
        except ValueError as error:
            self._refuse(name, str(error), allowed or _FORMS.get(name, "a count of 1 or more"))
            return None

    def _count(self, name: str) -> int | None:
        return self._parsed(name, slurm_amounts.parse_count)

    def _tell_fates(self) -> None:
        for name, given in self.given.items():
            known = OPTIONS[name]
            if known.fate is Fate.NOTED:
                value = f"={given.value}" if given.value else ""
                self.findings.note(f"--{name}{quoted(value)[1:-1]} is not honoured: {known.reason}.")
            elif known.fate is Fate.REFUSED:
                self._refuse(name, known.reason)

    def _name(self) -> str:
        written = self._text("job-name")
        wanted = written or PurePath(self.findings.filename).stem
        name = name_from(wanted)
        if not name:
            name = "batch"
        if written is None:
            self.findings.note(f"--job-name is not given: the task is called {name}.")
        elif name != written:
            self.findings.note(f"--job-name={quoted(written)[1:-1]} becomes {name}, since names are a-z, 0-9 and -.")
        return name

    def _layout(self) -> tuple[int, int]:
        """Nodes, and tasks on each."""
        tasks, per_node = self._count("ntasks"), self._count("ntasks-per-node")
        asked = self._parsed("nodes", slurm_amounts.parse_nodes)
        if asked is None:
            nodes = -(-tasks // per_node) if tasks and per_node else 1
            if tasks and not per_node and tasks > 1:
                self.findings.note(f"--ntasks={tasks} without --nodes: all tasks are placed on one node.")
        else:
            nodes, most = asked
            if most > nodes:
                self.findings.note(f"--nodes={nodes}-{most}: the least number, {nodes}, is taken.")
            if tasks and tasks < nodes:
                self.findings.note(f"--nodes={nodes} is more than --ntasks={tasks}: as in Slurm, {tasks} are taken.")
                nodes = tasks
        return nodes, per_node or (-(-tasks // nodes) if tasks else 1)

    def _cores(self, tasks_per_node: int, devices: int) -> int:
        per_task, per_device = self._count("cpus-per-task"), self._count("cpus-per-gpu")
        cores = tasks_per_node * (per_task or 1)
        if per_device and not per_task and devices:
            cores = max(cores, per_device * devices)
        return max(cores, self._count("mincpus") or 1)

    def _memory_gb(self, cores: int, devices: int) -> float:
        per_node = self._parsed("mem", slurm_amounts.parse_size_gb)
        per_core = self._parsed("mem-per-cpu", slurm_amounts.parse_size_gb)
        per_device = self._parsed("mem-per-gpu", slurm_amounts.parse_size_gb)
        said = [name for name in ("mem", "mem-per-cpu", "mem-per-gpu") if name in self.given]
        if len(said) > 1:
            self._refuse(said[1], f"it excludes --{said[0]}: keep one of them")
        if per_device and not devices:
            self._refuse("mem-per-gpu", "the script asks for no device")
        total = per_node or (per_core or 0) * cores or (per_device or 0) * devices
        if not total:
            total = MEMORY_PER_CORE_GB * cores
            if not said:
                self.findings.note(f"--mem is not given: {total:g} GB per node are assumed, 2 GB a core.")
        return total

    def _limit_s(self) -> int:
        limit = self._parsed("time", slurm_amounts.parse_time_s)
        if "time" not in self.given:
            self.findings.note("--time is not given: a limit of 24 hours is assumed.")
        elif limit and limit > quantities.LONGEST_S:
            self._refuse("time", "it is longer than 365 days", "up to 365 days")
            return DEFAULT_LIMIT_S
        return limit or DEFAULT_LIMIT_S

    def _devices(self, nodes: int, tasks_per_node: int) -> Gres | None:
        """Devices per node; the options that say it must agree."""
        found: list[tuple[str, Gres]] = []
        for gres in self._parsed("gres", slurm_amounts.parse_gres) or ():
            if gres.name in set(DeviceKind):
                found.append(("gres", gres))
            elif gres.name in ("mps", "shard"):
                self._refuse("gres", f"{gres.name} is part of a device; only whole ones can be placed", "gpu:1")
            else:
                self.findings.note(f"--gres={quoted(gres.name)[1:-1]} is not honoured: only devices are placed.")
        for option, share in (("gpus-per-node", 1), ("gpus-per-task", tasks_per_node), ("gpus", 0)):
            for gres in self._parsed(option, _parse_gpus) or ():
                if share:
                    found.append((option, Gres(gres.name, gres.type, gres.count * share)))
                elif gres.count % nodes:
                    self._refuse(option, f"{gres.count} devices cannot be shared evenly by {nodes} nodes")
                else:
                    found.append((option, Gres(gres.name, gres.type, gres.count // nodes)))
        return self._agreed(found)

    def _agreed(self, found: list[tuple[str, Gres]]) -> Gres | None:
        if not found:
            return None
        self.device_option, agreed = found[0]
        for option, gres in found[1:]:
            if (gres.count, gres.name) != (agreed.count, agreed.name) or (
                gres.type and agreed.type and gres.type != agreed.type
            ):
                self._refuse(option, "one kind and number of devices per node can be placed", "one such request")
            elif gres.type and not agreed.type:
                self.device_option, agreed = option, gres
        return agreed

    def _env(self) -> dict[str, str]:
        text = self._text("export")
        if text is None:
            return {}
        env: dict[str, str] = {}
        for part in text.split(","):
            name, equals, value = part.partition("=")
            if equals:
                env[name] = value
            elif name.upper() not in ("NONE", "NIL"):
                self.findings.note(
                    f"--export={quoted(name)[1:-1]} is not honoured: the environment you submit from is not sent."
                )
        return env

    def _needs(self) -> list[str]:
        text = self._text("dependency")
        if text is None:
            return []
        needs: list[str] = []
        for part in text.split(","):
            kind, *jobs = part.split(":")
            if kind != "afterok" or not jobs or "?" in part:
                self._refuse("dependency", f"{quoted(part)} cannot be kept", "afterok:j-…, all of them")
                return []
            for job in jobs:
                if not looks_like_job(job):
                    self._refuse("dependency", f"{quoted(job)} is not a job of this network", "afterok:j-…")
                needs.append(job)
        return [need for need in needs if looks_like_job(need)]

    def _constraints(self) -> dict[str, object]:
        begin = self._text("begin")
        if begin is not None and begin.lower() != "now":
            self._refuse("begin", "it would start before that: submit it when it may start", "now")
        deadline = self._text("deadline")
        return {} if deadline is None else {"deadline": deadline}

    def _slurm(self) -> dict[str, object]:
        options = {name: text for name in ("partition", "account", "qos") if (text := self._text(name)) is not None}
        for name in options:
            self.findings.note(f"--{name} is read by Slurm sites only; other sites ignore it.")
        return {**options}

    def _signal(self, nodes: int) -> str | None:
        told = self._parsed("signal", slurm_amounts.parse_signal)
        if told is None:
            return None
        if told.name not in SIGNALS:
            self.findings.note(
                f"--signal={quoted(self.given['signal'].value)[1:-1]} is not honoured: a run can be told by"
                f" {', '.join(SIGNALS)}; it hears TERM before it is ended for other jobs."
            )
            return None
        if told.shell_only and nodes > 1:
            self.findings.note("--signal=B: with several nodes, every process of the run hears it.")
        return f"{'B:' if told.shell_only else ''}{told.name}@{quantities.spell_duration(told.before_s)}"

    def _folder(self) -> str | None:
        folder = self._text("chdir")
        if folder is None:
            return None
        if folder.startswith(("/", "~")) or ".." in folder.split("/"):
            self.findings.note(
                f"--chdir={quoted(folder)[1:-1]} is not honoured: the script starts in its own empty work folder."
            )
            return None
        return folder

    def _tell_array(self, array: ArrayIndexes | None) -> None:
        if array is not None and array.at_once is not None:
            self.findings.note(f"--array=…%{array.at_once} is not honoured: members start as soon as a site has room.")

    def _tell_commands(self) -> None:
        words = {line.split()[0] for line in self.script.split("\n") if line.split()[:1]}
        for word in ("srun", "module", "mpirun", "sbcast"):
            if word in words:
                self.findings.note(
                    f"run: the script calls {word}, which only sites that have it can do;"
                    " name them under constraints.sites if yours are few."
                )


def _parse_gpus(text: str) -> tuple[Gres, ...]:
    """`[type:]number`, one or several."""
    return slurm_amounts.parse_gres(",".join(f"gpu:{part}" for part in text.strip().split(",")))


def _devices_section(devices: Gres) -> dict[str, object]:
    if devices.type is None:
        return {"count": devices.count, "kind": devices.name}
    return {"count": devices.count, "model": [devices.type]}


_FORMS: Mapping[str, str] = {
    "array": slurm_amounts.ARRAY_FORMS,
    "gres": slurm_amounts.GRES_FORMS,
    "gpus": "a count, or type:count",
    "gpus-per-node": "a count, or type:count",
    "gpus-per-task": "a count, or type:count",
    "mem": slurm_amounts.SIZE_FORMS,
    "mem-per-cpu": slurm_amounts.SIZE_FORMS,
    "mem-per-gpu": slurm_amounts.SIZE_FORMS,
    "nodes": "a count, or least-most",
    "signal": slurm_amounts.SIGNAL_FORMS,
    "time": slurm_amounts.TIME_FORMS + ", up to 365 days",
}
