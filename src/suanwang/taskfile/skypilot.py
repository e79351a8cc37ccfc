"""A SkyPilot task read as a task of the network, with the meaning its users expect.

Owns which of SkyPilot's keys become what (its YAML reference of 2025) and what a user is told of those that become
nothing. Folders and mounts are in `skypilot_files`, accelerators in `skypilot_devices`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from types import MappingProxyType

from suanwang.taskfile.native import Draft, assemble, nearest
from suanwang.taskfile.problems import Findings, Path, dotted, quoted
from suanwang.taskfile.skypilot_devices import read_accelerators
from suanwang.taskfile.skypilot_files import Mounts, read_mounts
from suanwang.taskfile.skypilot_script import preamble
from suanwang.taskfile.submission import Submission, TaskFormat
from suanwang.taskfile.words import name_from
from suanwang.taskfile.yamltext import Document, checked_text, load_documents

DEFAULT_LIMIT = "24h"
CORES_PER_DEVICE = 4
MEMORY_PER_CORE_GB = 4.0

_AMOUNT = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(\+|x|[KMGTPkmgtp][Bb]?\+?)?", re.ASCII)
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))", re.ASCII)
_UNIT_BYTES = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50}

_READ = ("name", "workdir", "num_nodes", "resources", "envs", "secrets", "file_mounts", "setup", "run", "service")
_RESOURCES_READ = ("accelerators", "cpus", "memory", "use_spot", "any_of", "ordered")
_NOT_HONOURED: Mapping[str, str] = MappingProxyType(
    {
        "config": "it configures SkyPilot itself",
        "experimental": "it configures SkyPilot itself",
        "event_callback": "follow the job with `suanwang job`",
        "volumes": "sites mount no volumes of SkyPilot",
        "storage_mounts": "sites mount no object stores",
        "pool": "the network has no pools of SkyPilot",
        "api_server": "it configures SkyPilot itself",
        "execution": "tasks of a pipeline run one after the other",
    }
)
_RESOURCES_NOT_HONOURED: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("cloud", "region", "zone", "infra"), "the network chooses among its own sites"),
        "instance_type": "sites are asked for cores, memory and devices instead",
        **dict.fromkeys(("disk_size", "disk_tier", "local_disk"), "disks are the site's own matter"),
        "network_tier": "the network between nodes is the site's own",
        "ports": "no port of a run is opened to the outside",
        "image_id": "the run uses the software that the site has; install the rest in setup",
        "labels": "sites keep no labels",
        "autostop": "nothing is left running when a run ends",
        "accelerator_args": "a device is taken as the site offers it",
        "max_hourly_cost": "put a budget under constraints of a task file",
        "priority": "say priority: low, normal or high in a task file",
        "job_recovery": "a job is resumed at another site up to max_attempts times",
        "spot_recovery": "a job is resumed at another site up to max_attempts times",
    }
)


def read_skypilot(text: str | bytes, *, filename: str = "task.yaml") -> Submission:
    """The task, or the tasks of a pipeline, of a SkyPilot YAML file.

    Raises `InvalidTask` with every problem, `TooLarge` above 1 MiB. Values of `secrets` appear in no message.
    """
    documents = load_documents(checked_text(text, filename=filename), filename=filename)
    return read_documents(documents, Findings(filename))


def read_documents(documents: Sequence[Document], findings: Findings) -> Submission:
    """Tasks of parsed SkyPilot documents. Raises `InvalidTask`."""
    written = [document for document in documents if document.value is not None]
    title, bodies = _pipeline(written)
    if not bodies:
        findings.refuse("file", "there is no task in it", allowed="a mapping with at least run")
    drafts: list[Draft] = []
    secrets: list[str] = []
    names: list[str] = []
    for position, document in enumerate(bodies):
        prefix: Path = ("tasks", position) if len(bodies) > 1 else ()
        if not isinstance(document.value, dict):
            findings.refuse(dotted(prefix), "a task is a mapping of keys to values", line=document.line(()))
            continue
        fallback = title or PurePath(findings.filename).stem
        reader = _Reader(document, document.value, prefix, findings)
        draft = reader.draft(fallback if len(bodies) == 1 else f"{fallback}-{position + 1}")
        # SkyPilot runs the tasks of a pipeline one after the other.
        if names:
            draft["needs"] = [names[-1]]
        names.append(str(draft["name"]))
        secrets.extend(reader.secret_names)
        drafts.append(Draft(draft, reader.locate))
    submission = assemble(drafts, findings, written_as=TaskFormat.SKYPILOT)
    return replace(submission, secret_names=tuple(dict.fromkeys(secrets)))


def _pipeline(documents: Sequence[Document]) -> tuple[str | None, Sequence[Document]]:
    """A pipeline's name and its tasks; a first document with nothing but a name is its title."""
    if len(documents) > 1:
        first = documents[0].value
        if isinstance(first, dict) and set(first) <= {"name", "execution"}:
            name = first.get("name")
            return (name if isinstance(name, str) else None), documents[1:]
    return None, documents


class _Reader:
    """One SkyPilot task on its way to the native words."""

    def __init__(self, document: Document, value: Mapping[str, object], prefix: Path, findings: Findings) -> None:
        self.document = document
        self.value = value
        self.prefix = prefix
        self.findings = findings
        self.secret_names: list[str] = []

    def draft(self, fallback: str) -> dict[str, object]:
        self._tell_keys((), self.value, _READ, _NOT_HONOURED)
        if self.value.get("service") is not None:
            self._refuse(("service",), "a service that never ends is not a job: remove it to run the task once")
        envs, secrets = self._variables("envs"), self._variables("secrets")
        self.secret_names.extend(secrets)
        nodes = self._nodes()
        resources, spot, devices = self._resources()
        mounts = read_mounts(
            self._expanded("workdir", envs), self._expanded("file_mounts", envs), self._refuse, self.findings.note
        )
        head = preamble(nodes=nodes, devices=devices, home=mounts.needs_home)
        draft: dict[str, object] = {
            "name": self._name(fallback),
            "run": head + self._script("run"),
            "env": {**envs, **secrets},
            "nodes": nodes,
            "resources": resources,
            "inputs": [{"from": source, "to": to} for source, to in mounts.inputs],
            "flexibility": {"may_be_interrupted": spot},
        }
        if mounts.checkpoint is not None:
            draft["checkpoint"] = mounts.checkpoint
        if setup := self._setup(mounts):
            # SkyPilot runs setup in a shell of its own: what it changes to or exits with stays there.
            draft["setup"] = f"(\n{head}{setup}\n)\n"
        return draft

    def locate(self, path: Path) -> tuple[str, int | None]:
        """SkyPilot's own field behind a native one."""
        head, rest = dotted(path[:1]), path[1:]
        match head:
            case "env":
                section = "secrets" if rest and rest[0] in self.secret_names else "envs"
                own: Path = (section, *rest)
            case "nodes":
                own = ("num_nodes",)
            case "inputs":
                own = ("file_mounts",) if "file_mounts" in self.value else ("workdir",)
            case "checkpoint":
                own = ("file_mounts",)
            case "resources":
                native = {"cores": "cpus", "memory": "memory", "devices": "accelerators"}
                own = ("resources", native.get(str(rest[0]), str(rest[0]))) if rest else ("resources",)
            case _:
                own = path
        return dotted((*self.prefix, *own)), self.document.line(own)

    def _refuse(self, path: Path, message: str, allowed: str | None = None) -> None:
        field = dotted((*self.prefix, *path))
        self.findings.refuse(field, message, allowed=allowed, line=self.document.line(path))

    def _tell_keys(
        self, path: Path, value: Mapping[str, object], read: Sequence[str], not_honoured: Mapping[str, str]
    ) -> None:
        for key, inner in value.items():
            if key in read or inner is None:
                continue
            field = dotted((*self.prefix, *path, key))
            if key in not_honoured:
                self.findings.note(f"{field} is not honoured: {not_honoured[key]}.")
                continue
            allowed = sorted((*read, *not_honoured))
            guess = nearest(key, allowed)
            self._refuse(
                (*path, key), "unknown key" + (f": did you mean {guess}?" if guess else ""), ", ".join(allowed)
            )

    def _name(self, fallback: str) -> str:
        written = self.value.get("name")
        wanted = written if isinstance(written, str) and written else fallback
        name = name_from(wanted) or name_from(fallback) or "task"
        field = dotted((*self.prefix, "name"))
        if written is None:
            self.findings.note(f"{field} is not given: the task is called {name}.")
        elif name != written:
            self.findings.note(f"{field} {quoted(written)} becomes {name}, since names are a-z, 0-9 and -.")
        return name

    def _nodes(self) -> int:
        nodes = self.value.get("num_nodes", 1)
        if nodes is None:
            return 1
        if isinstance(nodes, bool) or not isinstance(nodes, int):
            self._refuse(("num_nodes",), f"{quoted(nodes)} is not a whole number", "1 or more")
            return 1
        return nodes

    def _variables(self, section: str) -> dict[str, str]:
        """Environment variables as text. SkyPilot asks for a value where the file has none, and so do we."""
        value = self.value.get(section)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._refuse((section,), "this must be a mapping of names to values")
            return {}
        found: dict[str, str] = {}
        for name, inner in value.items():
            if inner is None:
                self._refuse((section, name), "it has no value: write one, or take the variable out")
            elif isinstance(inner, dict | list):
                self._refuse((section, name), "its value must be text")
            elif isinstance(inner, bool):
                found[name] = str(inner)
            else:
                found[name] = inner if isinstance(inner, str) else self.document.texts.get((section, name), str(inner))
        return found

    def _expanded(self, key: str, envs: Mapping[str, str]) -> object:
        """The value with `${NAME}` of `envs` filled in, as SkyPilot does for paths."""

        def fill(match: re.Match[str]) -> str:
            # No path is longer, so what is cut here is refused later.
            return envs.get(match.group(1) or match.group(2), match.group(0))[:5_000]

        def expand(value: object) -> object:
            match value:
                case str():
                    return _VARIABLE.sub(fill, value)
                case dict():
                    return {_VARIABLE.sub(fill, inner): expand(value[inner]) for inner in value}
                case list():
                    return [expand(inner) for inner in value]
            return value

        return expand(self.value.get(key))

    def _script(self, key: str) -> str:
        script = self.value.get(key)
        if script is None or (isinstance(script, str) and not script.strip()):
            if key == "run":
                self.findings.note(f"{dotted((*self.prefix, key))} is not given: only setup is run.")
                if not self.value.get("setup"):
                    self._refuse((key,), "the task has neither setup nor run", "a shell script")
                return ":\n"
            return ""
        if not isinstance(script, str):
            self._refuse((key,), "this must be text", "a shell script")
            return ":\n"
        return script

    def _setup(self, mounts: Mounts) -> str:
        return mounts.setup + self._script("setup")

    def _resources(self) -> tuple[dict[str, object], bool, int]:
        """The native section, whether the run may be interrupted, and devices per node."""
        value = self.value.get("resources")
        if value is not None and not isinstance(value, dict):
            self._refuse(("resources",), "this must be a mapping of keys to values")
        asked: Mapping[str, object] = value if isinstance(value, dict) else {}
        self._tell_keys(("resources",), asked, _RESOURCES_READ, _RESOURCES_NOT_HONOURED)
        alternatives = [*self._alternatives("any_of", asked), *self._alternatives("ordered", asked)]
        accelerators = [entry.get("accelerators") for entry in alternatives] or [None]
        if asked.get("accelerators") is not None:
            accelerators = [asked["accelerators"]]
        devices = read_accelerators(
            [entry for entry in accelerators if entry is not None], self._refuse, self._note_resources
        )
        if devices is not None and alternatives and any(entry is None for entry in accelerators):
            self._note_resources("alternatives without accelerators are left out")
        count = devices.count if devices is not None else 0
        cores = self._cores(asked, count)
        section: dict[str, object] = {
            "cores": cores,
            "memory": self._memory(asked, cores),
            "time_limit": DEFAULT_LIMIT,
        }
        if devices is not None:
            section["devices"] = {"count": devices.count, "model": list(devices.models)}
        self.findings.note(f"SkyPilot tasks have no time limit: one of {DEFAULT_LIMIT} is assumed.")
        return section, self._spot(asked, alternatives), count

    def _note_resources(self, sentence: str) -> None:
        self.findings.note(f"{dotted((*self.prefix, 'resources', 'accelerators'))}: {sentence}.")

    def _alternatives(self, key: str, asked: Mapping[str, object]) -> list[Mapping[str, object]]:
        value = asked.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            self._refuse(("resources", key), "this must be a list of mappings")
            return []
        for position, entry in enumerate(value):
            self._tell_keys(("resources", key, position), entry, _RESOURCES_READ[:4], _RESOURCES_NOT_HONOURED)
            for inner in ("cpus", "memory"):
                if entry.get(inner) is not None and entry[inner] != asked.get(inner):
                    field = dotted((*self.prefix, "resources", key, position, inner))
                    self.findings.note(f"{field} is not honoured: cpus and memory are those of resources itself.")
        if key == "ordered":
            field = dotted((*self.prefix, "resources", key))
            self.findings.note(f"{field}: the order is not kept, the objective decides among them.")
        return value

    def _cores(self, asked: Mapping[str, object], devices: int) -> object:
        value = asked.get("cpus")
        if value is None:
            cores = max(1, CORES_PER_DEVICE * devices)
            field = dotted((*self.prefix, "resources", "cpus"))
            self.findings.note(f"{field} is not given: {cores} per node {'is' if cores == 1 else 'are'} assumed.")
            return cores
        amount = self._amount(("resources", "cpus"), value, "4 or 4+")
        if amount is None or amount[1] not in ("", "+"):
            if amount is not None:
                self._refuse(("resources", "cpus"), f"{quoted(value)} is not a number of cores", "4 or 4+")
            return 1
        return max(1, -int(-amount[0] // 1))

    def _memory(self, asked: Mapping[str, object], cores: object) -> object:
        value = asked.get("memory")
        each = cores if isinstance(cores, int) else 1
        if value is None:
            memory = MEMORY_PER_CORE_GB * each
            field = dotted((*self.prefix, "resources", "memory"))
            self.findings.note(f"{field} is not given: {memory:g} GB per node are assumed, 4 GB a core.")
            return memory
        amount = self._amount(("resources", "memory"), value, "32, 32+, 4x or 64GB")
        if amount is None:
            return MEMORY_PER_CORE_GB
        number, unit = amount
        if unit == "x":
            return number * each * _UNIT_BYTES["G"] / 10**9
        return number * _UNIT_BYTES[unit[0].upper() if unit not in ("", "+") else "G"] / 10**9

    def _amount(self, path: Path, value: object, allowed: str) -> tuple[float, str] | None:
        text = value if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""
        match = None if isinstance(value, bool) else _AMOUNT.fullmatch(text.strip()[:60])
        if match is None or float(match.group(1)) == 0:
            self._refuse(path, f"{quoted(value)} is not an amount", allowed)
            return None
        return float(match.group(1)), match.group(2) or ""

    def _spot(self, asked: Mapping[str, object], alternatives: Sequence[Mapping[str, object]]) -> bool:
        spots = [entry.get("use_spot") for entry in (asked, *alternatives)]
        for value in spots:
            if value is not None and not isinstance(value, bool):
                self._refuse(("resources", "use_spot"), f"{quoted(value)} is not true or false", "true or false")
        return any(value is True for value in spots)
