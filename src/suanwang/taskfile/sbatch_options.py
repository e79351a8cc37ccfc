"""The options an sbatch script may carry: how sbatch finds them, and what becomes of each.

Owns sbatch's own rules for `#SBATCH` lines (where they end, quoting, short forms, abbreviations; Slurm 22.05 to 24.11,
`man sbatch` and `src/sbatch/opt.c`) and the table of options. What an option means for a task is in `sbatch`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType

from suanwang.taskfile.native import nearest
from suanwang.taskfile.problems import Findings, quoted

MAGIC = "#SBATCH"

_HETEROGENEOUS = "jobs of several shapes are written as several tasks with needs"


class Takes(Enum):
    """Whether an option is followed by a value."""

    NOTHING = auto()
    VALUE = auto()
    MAYBE = auto()
    """Only when written with `=`."""


class Fate(Enum):
    """What becomes of an option."""

    READ = auto()
    QUIET = auto()
    """It changes nothing about the run, so nothing is said."""
    NOTED = auto()
    REFUSED = auto()


@dataclass(frozen=True, slots=True)
class Known:
    """One option of sbatch."""

    takes: Takes
    fate: Fate
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Given:
    """An option as a script gives it."""

    name: str
    value: str
    line: int


def _table() -> dict[str, Known]:
    table: dict[str, Known] = {}

    def enter(takes: Takes, fate: Fate, names: str, reason: str = "") -> None:
        table.update({name: Known(takes, fate, reason) for name in names.split()})

    value, nothing, maybe = Takes.VALUE, Takes.NOTHING, Takes.MAYBE
    enter(
        value,
        Fate.READ,
        "account array begin chdir cpus-per-gpu cpus-per-task deadline dependency export gpus gpus-per-node"
        " gpus-per-task gres job-name mem mem-per-cpu mem-per-gpu mincpus nodes ntasks ntasks-per-gpu ntasks-per-node"
        " partition qos signal time",
    )
    enter(nothing, Fate.READ, "no-requeue requeue")
    enter(nothing, Fate.QUIET, "help ignore-pbs parsable quiet usage verbose version")
    enter(maybe, Fate.QUIET, "nice")
    enter(value, Fate.QUIET, "comment")
    where = "which nodes run it is the site's own choice"
    enter(value, Fate.NOTED, "nodelist exclude constraint prefer cluster-constraint nodefile switches", where)
    enter(value, Fate.NOTED, "clusters", "name sites under constraints.sites of a task file")
    enter(value, Fate.NOTED, "reservation licenses bb bbf", "what a site reserves is not known to the network")
    kept = "output is kept by the network: read it with `suanwang logs`"
    enter(value, Fate.NOTED, "output error open-mode", kept)
    enter(value, Fate.NOTED, "mail-type mail-user", "the network sends no mail: follow it with `suanwang job`")
    enter(maybe, Fate.NOTED, "exclusive", "other work may share the node; the cores and memory asked for are yours")
    enter(nothing, Fate.NOTED, "oversubscribe overcommit contiguous spread-job use-min-nodes reboot", where)
    bound = "how a node's parts are bound is left to the site"
    enter(
        value,
        Fate.NOTED,
        "hint distribution mem-bind threads-per-core sockets-per-node cores-per-socket extra-node-info core-spec"
        " thread-spec ntasks-per-core ntasks-per-socket gpu-bind gpu-freq cpu-freq gres-flags tres-bind network",
        bound,
    )
    local = "it is a setting of one cluster"
    enter(
        value,
        Fate.NOTED,
        "acctg-freq profile priority propagate wait-all-nodes wckey mcs-label delay-boot power tmp time-min"
        " export-file input kill-on-invalid-dep container container-id extra segment stepmgr",
        local,
    )
    enter(maybe, Fate.NOTED, "get-user-env", local)
    enter(maybe, Fate.NOTED, "no-kill", "the run ends when one of its nodes is lost, and may start again elsewhere")
    enter(nothing, Fate.NOTED, "wait", "`suanwang submit --watch` waits")
    enter(nothing, Fate.REFUSED, "hold", "a job of the network starts as soon as it can: submit it when it may start")
    enter(nothing, Fate.REFUSED, "test-only", "it would run for real: use `suanwang submit --preview`")
    enter(value, Fate.REFUSED, "uid gid", "a job runs as the account the site gives you")
    enter(value, Fate.REFUSED, "wrap", "put the command in the script")
    enter(value, Fate.REFUSED, "gpus-per-socket sockets-per-gpu tres-per-task", "say gpus-per-node instead")
    enter(value, Fate.REFUSED, "het-group pack-group", _HETEROGENEOUS)
    return table


OPTIONS = MappingProxyType(_table())

_SHORT = MappingProxyType(
    {
        "A": "account",
        "a": "array",
        "b": "begin",
        "B": "extra-node-info",
        "c": "cpus-per-task",
        "C": "constraint",
        "d": "dependency",
        "D": "chdir",
        "e": "error",
        "F": "nodefile",
        "G": "gpus",
        "h": "help",
        "H": "hold",
        "i": "input",
        "J": "job-name",
        "k": "no-kill",
        "L": "licenses",
        "m": "distribution",
        "M": "clusters",
        "n": "ntasks",
        "N": "nodes",
        "o": "output",
        "O": "overcommit",
        "p": "partition",
        "q": "qos",
        "Q": "quiet",
        "s": "oversubscribe",
        "S": "core-spec",
        "t": "time",
        "v": "verbose",
        "V": "version",
        "w": "nodelist",
        "W": "wait",
        "x": "exclude",
    }
)


def options_of(script: str, findings: Findings) -> list[Given]:
    """Every option of the script's `#SBATCH` lines in order, by its long name; unknown ones are refused."""
    given: list[Given] = []
    for number, rest in _directives(script):
        words = _words(rest, number, findings)
        given.extend(_parse(words, number, findings))
    return given


def _directives(script: str) -> Iterator[tuple[int, str]]:
    """What follows `#SBATCH` on each line before the first command; `##SBATCH` and `# SBATCH` are comments."""
    for number, line in enumerate(script.split("\n"), start=1):
        if line.startswith(MAGIC):
            yield number, line[len(MAGIC) :]
        elif line.strip() and not line.lstrip().startswith("#"):
            return


def _words(text: str, line: int, findings: Findings) -> list[str]:
    """Words as sbatch 22.05 was seen to split them.

    There are two kinds of quotes, `#` outside them opens a comment, and a backslash takes any letter but a space
    as it is.
    """
    words: list[str] = []
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        if text[position] == "#":
            break
        word, position, closed = _word(text, position)
        if not closed:
            findings.refuse(MAGIC, "a quotation mark is never closed", line=line)
            break
        words.append(word)
    return words


def _word(text: str, position: int) -> tuple[str, int, bool]:
    """The word at `position`, where it ends, and whether its quotes were closed."""
    letters: list[str] = []
    quote = ""
    escaped = False
    while position < len(text) and (quote or not (text[position].isspace() or (text[position] == "#" and not escaped))):
        letter = text[position]
        if escaped:
            letters.append(letter)
            escaped = False
        elif letter == "\\":
            escaped = True
        elif letter == quote:
            quote = ""
        elif not quote and letter in "\"'":
            quote = letter
        else:
            letters.append(letter)
        position += 1
    return "".join(letters), position, not quote


def _parse(words: list[str], line: int, findings: Findings) -> Iterator[Given]:
    waiting = list(reversed(words))
    while waiting:
        word = waiting.pop()
        if word.startswith("--") and len(word) > 2:
            yield from _long(word[2:], waiting, line, findings)
        elif word.startswith("-") and len(word) > 1:
            yield from _bundle(word[1:], waiting, line, findings)
        elif word in ("hetjob", "packjob", ":"):
            findings.refuse(MAGIC, _HETEROGENEOUS, line=line)
        else:
            findings.refuse(MAGIC, f"{quoted(word)} is not an option", allowed="--name=value or -x value", line=line)


def _long(text: str, waiting: list[str], line: int, findings: Findings) -> Iterator[Given]:
    written, equals, value = text.partition("=")
    name = _full_name(written)
    if name is None:
        guess = nearest(written, sorted(OPTIONS))
        hint = f": did you mean --{guess}?" if guess else ""
        findings.refuse(f"--{written[:60]}", f"sbatch has no such option{hint}", line=line)
        return
    takes = OPTIONS[name].takes
    if takes is Takes.VALUE and not equals:
        if not waiting:
            findings.refuse(f"--{name}", "its value is missing", allowed=f"--{name}=…", line=line)
            return
        value = waiting.pop()
    elif takes is Takes.NOTHING and equals:
        findings.refuse(f"--{name}", "it takes no value", allowed=f"--{name}", line=line)
        return
    yield Given(name, value, line)


def _bundle(letters: str, waiting: list[str], line: int, findings: Findings) -> Iterator[Given]:
    """Short options, which may share one dash: `-QN2` is `-Q -N 2`."""
    while letters:
        letter, letters = letters[0], letters[1:]
        name = _SHORT.get(letter)
        if name is None:
            findings.refuse(f"-{letter}", "sbatch has no such option", line=line)
            return
        if OPTIONS[name].takes is not Takes.VALUE:
            yield Given(name, "", line)
            continue
        if not letters and not waiting:
            findings.refuse(f"-{letter}", "its value is missing", allowed=f"-{letter} …", line=line)
            return
        yield Given(name, letters or waiting.pop(), line)
        return


def _full_name(written: str) -> str | None:
    """The option meant, which may be abbreviated as long as only one fits."""
    if written in OPTIONS:
        return written
    fitting = [name for name in OPTIONS if name.startswith(written)] if written else []
    return fitting[0] if len(fitting) == 1 else None
