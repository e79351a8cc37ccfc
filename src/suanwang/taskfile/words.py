"""Names and paths that a task file may hold, and how a wrong one is put right.

Owns the grammars. Each checker returns the canonical spelling or raises `ValueError` saying what is wrong.
"""

from __future__ import annotations

import re
import unicodedata

from suanwang.domain.task import SIGNALS, Signal
from suanwang.taskfile.problems import quoted
from suanwang.taskfile.quantities import parse_duration_s, spell_duration

NAME_FORMS = "1 to 63 of a-z, 0-9 and -, starting with a letter or digit"
PATH_FORMS = "a path inside the work folder: relative, with / and without .."
ARTEFACT_FORMS = "letters, digits, '.', '_' and '-', at most 128"
SOURCE_FORMS = "NAME, TASK/NAME, dataset:NAME, listing:ID@VERSION, or a local path that starts with ./, ~/ or /"
ENV_NAME_FORMS = "letters, digits and _, not starting with a digit, and not SUANWANG_…"
SLURM_WORD_FORMS = "letters, digits and . _ - , @ + :"
SIGNAL_FORMS = f"a signal such as USR1, USR1@5m or B:USR1@5m; {', '.join(SIGNALS)}"
LABEL_FORMS = "a name of 1 to 100 printable characters"

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_ARTEFACT = re.compile(r"[^\W_][\w.-]{0,127}")
_LISTING = re.compile(r"[a-z0-9][a-z0-9-]{6,62}[a-z0-9](@[a-z0-9][a-z0-9._-]{0,39})?")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_SLURM_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,@+:-]{0,127}")
_JOB_ID = re.compile(r"j-[A-Za-z0-9][A-Za-z0-9-]{0,61}")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


def check_name(name: str) -> str:
    """A task's own name."""
    if _NAME.fullmatch(name):
        return name
    suggestion = name_from(name)
    hint = f"; {suggestion!r} would do" if suggestion else ""
    raise ValueError(f"{quoted(name)} is not a task name{hint}")


def name_from(text: str) -> str:
    """The nearest valid task name, empty where nothing of `text` can be kept."""
    plain = unicodedata.normalize("NFKD", text[:200]).lower()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:63].rstrip("-")


def looks_like_job(text: str) -> bool:
    """Whether `text` can be the identifier of a job that was submitted before."""
    return _JOB_ID.fullmatch(text) is not None


def check_need(text: str) -> str:
    """A task's name or a job's identifier."""
    if _NAME.fullmatch(text) or looks_like_job(text):
        return text
    raise ValueError(f"{quoted(text)} is neither a task's name nor a job's identifier")


def check_path(text: str) -> str:
    """A path inside the work folder, without a leading `./` or trailing `/`; `.` is the folder itself."""
    if not text.strip():
        raise ValueError("the path is empty")
    if "\\" in text:
        raise ValueError(f"{quoted(text)} has a backslash: separate folders with /")
    if text.startswith(("/", "~")):
        raise ValueError(f"{quoted(text)} is not relative to the work folder")
    if not text.isprintable():
        raise ValueError(f"{quoted(text)} has control characters")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError(f"{quoted(text)} leaves the work folder")
    if len(text.encode()) > 1024 or any(len(part.encode()) > 255 for part in parts):
        raise ValueError(f"{quoted(text)} is too long for a file system")
    return "/".join(parts) or "."


def check_inner_path(text: str) -> str:
    """Like `check_path`, but not the work folder as a whole."""
    path = check_path(text)
    if path == ".":
        raise ValueError("name a file or folder inside the work folder, not all of it")
    return path


def check_artefact(text: str) -> str:
    """The name under which a project keeps a file."""
    if _ARTEFACT.fullmatch(text):
        return text
    raise ValueError(f"{quoted(text)} cannot name a kept file")


def artefact_from(text: str) -> str:
    """The nearest valid artefact name; never empty."""
    plain = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", text)).lstrip("._-")
    return plain[:100] or "data"


def is_local(source: str) -> bool:
    """Whether an input's source is a path on the submitting machine."""
    return source.startswith(("./", "../", "/", "~/")) or source in (".", "..", "~")


def check_source(text: str) -> str:
    """Where an input comes from."""
    if is_local(text):
        if not text.isprintable() or len(text.encode()) > 4096:
            raise ValueError(f"{quoted(text)} is not a path of a file")
        return text
    if "\\" in text or _DRIVE.match(text):
        raise ValueError(f"{quoted(text)} looks like a local path: start it with ./ and separate folders with /")
    if "://" in text:
        raise ValueError(f"{quoted(text)} is an address: the network fetches nothing from outside; upload it first")
    scheme, colon, rest = text.partition(":")
    if colon:
        if scheme == "dataset" and _ARTEFACT.fullmatch(rest):
            return text
        if scheme == "listing" and _LISTING.fullmatch(rest):
            return text
        raise ValueError(f"{quoted(text)} is neither dataset:NAME nor listing:ID or listing:ID@VERSION")
    task, slash, name = text.partition("/")
    if slash:
        if _ARTEFACT.fullmatch(name) and (_NAME.fullmatch(task) or looks_like_job(task)):
            return text
        raise ValueError(f"{quoted(text)} is not TASK/NAME; a local path starts with ./")
    return check_artefact(text)


def check_env_name(text: str) -> str:
    """The name of an environment variable that a user may set."""
    if not _ENV_NAME.fullmatch(text):
        raise ValueError(f"{quoted(text)} is not the name of an environment variable")
    if text.startswith("SUANWANG_"):
        raise ValueError(f"{quoted(text)} is set by the network itself: choose another name")
    return text


def check_slurm_word(text: str) -> str:
    """A partition, account or QoS as Slurm spells them."""
    if _SLURM_WORD.fullmatch(text):
        return text
    raise ValueError(f"{quoted(text)} is not a word Slurm knows")


def check_label(text: str) -> str:
    """A region, provider, site or place as people write it."""
    label = text.strip()
    if not label or len(label) > 100 or not label.isprintable():
        raise ValueError(f"{quoted(text)} is not a name")
    return label


def parse_signal(text: str) -> Signal:
    """`[B:]NAME[@DURATION]`: what a run hears when its end is near, and how long before its time limit too."""
    shell, colon, rest = text.strip().rpartition(":")
    written, at, before = rest.partition("@")
    name = written.strip().upper().removeprefix("SIG")
    if (colon and shell != "B") or name not in SIGNALS:
        raise ValueError(f"{quoted(text)} is not a signal that a run can be told by")
    before_s = parse_duration_s(before) if at else None
    if before_s == 0:
        raise ValueError(f"{quoted(text)} would be told at the very end")
    return Signal(name=name, before_s=before_s, shell_only=bool(colon))


def spell_signal(signal: Signal) -> str:
    """The canonical spelling."""
    before = "" if signal.before_s is None else f"@{spell_duration(signal.before_s)}"
    return f"{'B:' if signal.shell_only else ''}{signal.name}{before}"
