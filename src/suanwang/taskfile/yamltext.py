"""YAML made safe: plain values with their lines, and nothing a hostile file could grow by.

Owns the subset of YAML that task files use: the core scalars of YAML 1.2 (so `on`, `12:30` and dates stay text), no
aliases, no tags, no duplicate keys, bounded size, depth and count. Knows nothing of tasks.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from suanwang.domain.errors import TooLarge
from suanwang.taskfile.problems import InvalidTask, Path, Problem, dotted, quoted

MOST_BYTES = 1 << 20
MOST_DEPTH = 20
MOST_NODES = 100_000
MOST_DOCUMENTS = 1_000
MOST_DIGITS = 40

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_A_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_CORE_TAGS = {"tag:yaml.org,2002:" + kind for kind in ("str", "int", "float", "bool", "null", "map", "seq")} | {"!"}


@dataclass(slots=True)
class Document:
    """One document: plain values, the line of each path, and each non-text scalar as it was written."""

    value: object = None
    lines: dict[Path, int] = field(default_factory=dict)
    texts: dict[Path, str] = field(default_factory=dict)

    def line(self, path: Path) -> int | None:
        """The line of the value at `path`, or of the nearest thing around it that was written."""
        for length in range(len(path), -1, -1):
            found = self.lines.get(path[:length])
            if found is not None:
                return found
        return None


def checked_text(text: str | bytes, *, filename: str) -> str:
    """`text` decoded and within bounds. Raises `TooLarge` above 1 MiB and `InvalidTask` for what is not UTF-8."""
    if isinstance(text, bytes):
        _check_size(len(text), filename)
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            _refuse(filename, "file", f"byte {error.start} is not UTF-8: save the file as UTF-8", allowed="UTF-8 text")
    elif len(text) > MOST_BYTES:
        _check_size(len(text), filename)
    try:
        _check_size(len(text.encode()), filename)
    except UnicodeEncodeError as error:
        _refuse(filename, "file", f"character {error.start} is half a surrogate pair", allowed="UTF-8 text")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        _refuse(filename, "file", "there is a NUL character", allowed="text", line=line)
    return text.removeprefix("\ufeff")


def load_documents(text: str, *, filename: str) -> list[Document]:
    """Every document of a YAML or JSON text. Raises `InvalidTask` with the line for anything outside the subset."""
    if text.lstrip()[:1] == "{":
        document = _load_json(text, filename)
        if document is not None:
            return [document]
    builder = _Builder(filename)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = " ".join(part for part in (error.context, error.problem) if part)
        _refuse(filename, "file", f"this is not YAML: {words}", line=None if mark is None else mark.line + 1)
    except yaml.YAMLError as error:
        _refuse(filename, "file", f"this is not YAML: {quoted(str(error), longest=200)}")
    except (ValueError, UnicodeError) as error:
        # PyYAML lets such errors of a hostile escape through.
        _refuse(filename, "file", f"this is not YAML: {quoted(str(error), longest=200)}")
    return builder.documents


def plain_scalar(text: str) -> object:
    """What an unquoted scalar means in YAML 1.2's core schema: null, true or false, a number, else the text."""
    match text:
        case "" | "~" | "null" | "Null" | "NULL":
            return None
        case "true" | "True" | "TRUE":
            return True
        case "false" | "False" | "FALSE":
            return False
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) or _NOT_A_NUMBER.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


@dataclass(slots=True)
class _Open:
    """A mapping or list still being read, and the key that waits for its value."""

    value: dict[str, object] | list[object]
    path: Path
    key: str | None = None


class _Builder:
    """Builds plain values from parser events, so that nothing is expanded before its bounds are checked."""

    def __init__(self, filename: str) -> None:
        self.filename = filename
        self.documents: list[Document] = []
        self._stack: list[_Open] = []
        self._nodes = 0

    def take(self, event: yaml.Event) -> None:
        mark = event.start_mark
        line = mark.line + 1 if mark is not None else 0
        match event:
            case yaml.DocumentStartEvent():
                if len(self.documents) >= MOST_DOCUMENTS:
                    self._stop("file", f"more than {MOST_DOCUMENTS} documents", line)
                self.documents.append(Document())
            case yaml.AliasEvent():
                self._stop(self._field(), "aliases (*name) are not accepted: write the value out", line)
            case yaml.ScalarEvent():
                self._check_tag(event.tag, line)
                self._scalar(event, line)
            case yaml.MappingStartEvent():
                self._check_tag(event.tag, line)
                self._start({}, line)
            case yaml.SequenceStartEvent():
                self._check_tag(event.tag, line)
                self._start([], line)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._stack.pop()

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        text = event.value
        self._count(line)
        if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
            self._stop(self._field(), "there is a character that no text may hold", line)
        if self._wants_key():
            self._open_key(text, line)
            return
        plain = event.style is None or event.style == ""
        if event.tag == "tag:yaml.org,2002:str" or not plain:
            value: object = text
        elif len(text) > MOST_DIGITS and (_NUMBER.fullmatch(text)):
            self._stop(self._field(), f"a number of more than {MOST_DIGITS} digits", line)
        else:
            value = plain_scalar(text)
        path = self._place(value, line)
        if not isinstance(value, str):
            self.documents[-1].texts[path] = text

    def _start(self, value: dict[str, object] | list[object], line: int) -> None:
        self._count(line)
        if self._wants_key():
            self._stop(self._field(), "a key must be plain text", line)
        if len(self._stack) >= MOST_DEPTH:
            self._stop(self._field(), f"nested more than {MOST_DEPTH} deep", line)
        path = self._place(value, line)
        self._stack.append(_Open(value, path))

    def _wants_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None

    def _open_key(self, key: str, line: int) -> None:
        top = self._stack[-1]
        if key in top.value:
            first = self.documents[-1].lines.get((*top.path, key))
            self._stop(dotted((*top.path, key)), f"this key was already given in line {first}: keep one of them", line)
        top.key = key
        self.documents[-1].lines[(*top.path, key)] = line

    def _place(self, value: object, line: int) -> Path:
        """Put a value where it belongs and return its path."""
        document = self.documents[-1]
        if not self._stack:
            document.value = value
            document.lines.setdefault((), line)
            return ()
        top = self._stack[-1]
        if isinstance(top.value, list):
            path: Path = (*top.path, len(top.value))
            top.value.append(value)
        else:
            key = top.key
            assert key is not None
            path = (*top.path, key)
            top.value[key] = value
            top.key = None
        document.lines.setdefault(path, line)
        return path

    def _count(self, line: int) -> None:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            self._stop("file", f"more than {MOST_NODES} values", line)

    def _check_tag(self, tag: str | None, line: int) -> None:
        if tag is not None and tag not in _CORE_TAGS:
            self._stop(self._field(), f"the tag {quoted(tag)} is not accepted: write the plain value", line)

    def _field(self) -> str:
        if not self._stack:
            return "file"
        top = self._stack[-1]
        if isinstance(top.value, list):
            return dotted((*top.path, len(top.value)))
        return dotted(top.path if top.key is None else (*top.path, top.key))

    def _stop(self, field: str, message: str, line: int) -> NoReturn:
        _refuse(self.filename, field, message, line=line)


def _load_json(text: str, filename: str) -> Document | None:
    """A JSON object, whose escapes YAML parsers do not all read; None where the text is not JSON after all."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_integer)
    except (_DuplicateKey, _BadConstant) as error:
        _refuse(filename, "file", str(error))
    except RecursionError:
        _refuse(filename, "file", f"nested more than {MOST_DEPTH} deep")
    except ValueError:
        return None
    document = Document(value=value)
    _check_json(value, (), document, filename)
    return document


def _check_json(value: object, path: Path, document: Document, filename: str) -> None:
    if len(path) > MOST_DEPTH:
        _refuse(filename, dotted(path[:3]), f"nested more than {MOST_DEPTH} deep")
    match value:
        case dict():
            for key, inner in value.items():
                _check_json(key, path, document, filename)
                _check_json(inner, (*path, key), document, filename)
        case list():
            for position, inner in enumerate(value):
                _check_json(inner, (*path, position), document, filename)
        case str():
            if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
                _refuse(filename, dotted(path), "there is a character that no text may hold")
        case _:
            document.texts[path] = json.dumps(value)


class _DuplicateKey(Exception):
    """The same key twice in one JSON object."""


class _BadConstant(Exception):
    """A JSON number that is none."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKey(f"the key {quoted(key)} is given twice: keep one of them")
            seen.add(key)
    return found


def _no_constant(text: str) -> NoReturn:
    raise _BadConstant(f"{text} is not a number a task can use")


def _integer(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise _BadConstant(f"a number of more than {MOST_DIGITS} digits")
    return int(text)


def _check_size(size: int, filename: str) -> None:
    if size > MOST_BYTES:
        raise TooLarge(
            f"{filename} is larger than 1 MiB: keep data out of the task file and name it in `inputs`",
            field="file",
            allowed="at most 1 MiB",
        )


def _refuse(
    filename: str, field: str, message: str, *, allowed: str | None = None, line: int | None = None
) -> NoReturn:
    raise InvalidTask([Problem(field=field, message=message, allowed=allowed, line=line)], filename=filename)
