"""What the network can say: the texts of errors, reasons and notes, read from the sources themselves.

Owns which calls carry a text for a person, and how an expression of one becomes templates: `f"there is no site {name!r}"` is
`there is no site {name}`. Follows texts through local names, constants, conditions, and parameters of the product's own
functions. Runs nothing of what it reads, and is needed only where the catalogue is brought up to date.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from suanwang.translation.modules import (
    Function,
    Module,
    around,
    bound,
    defaults,
    entries,
    fields,
    index,
    last,
    name_of,
    parameters,
)
from suanwang.translation.others import OF_COMMANDS, OF_PYDANTIC, OF_SYSTEM
from suanwang.translation.template import Hole, Piece, Template

ROOTS = ("Exception", "ValueError", "TypeError")
"""Whatever derives from these carries texts."""
TEXTS: dict[str, tuple[str, ...]] = {
    "Problem": ("message", "allowed"),
    "Exclusion": ("need", "have"),
    "ConstructorError": ("2",),
    "note": ("0",),
    "said": ("0",),
    "NameIndex": ("0",),
    "unread": ("0",),
    "BadParameter": ("0",),
    "_refusal": ("0", "1"),
    "Rule": ("1",),
    "Failure": ("message",),
    "problems_of": ("1",),
    "Known": ("2",),
    "Why": ("note",),
    "Part": ("note",),
    "Barred": ("note",),
}
"""Calls that carry texts besides errors, and which of their arguments do."""
OF_ERRORS = ("0", "message", "allowed", "filename")
OF_ANY = ("reason",)
"""An argument of this name is a text in whatever call."""
ANSWERS = ("_sentence", "purse", "never_fits")
"""Functions that answer with a text, or with several values and texts among them."""
STATES = ("State", "Role", "Verdict", "Move", "Scope", "PaperKind")
"""Enumerations whose names end so are words of sentences."""
LISTS = ("warnings", "notes", "assumptions", "reasons", "unsure")
"""What is appended to a list of such a name is a text."""
_CODE = re.compile(r"[^a-z]*|.*[_A-Z0-9].*|[^ ]*[./:,][^ ]*")
"""Names of things and markup, not words of a language."""
_FEW = 4
"""Modules that may have a function of one name, so that a call of it is taken for a call of each."""
_MOST = 16
"""Alternatives of one expression that are told apart; what has more is a hole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One template and the first place that says it, as `room/file.py:line`."""

    template: Template
    place: str


class Sources:
    """Every text that the sources under `root`, the package's own folder, can say."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._modules = {module.name: module for module in map(self._read, sorted(root.rglob("*.py")))}
        self._owners = self._functions_by_name()
        self._kinds = self._error_kinds()
        self._carried: dict[tuple[str, str], dict[str, bool]] = defaultdict(dict)
        """(module, function) → its parameters that are texts: True where they are the whole of one."""
        self._found: dict[tuple[str, ...], Found] = {}
        while self._pass():
            pass
        self._enumerate()

    @property
    def found(self) -> list[Found]:
        """Each template once, in the order of the sources."""
        return list(self._found.values())

    def _read(self, path: Path) -> Module:
        parts = path.relative_to(self._root.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        module = Module(path, name, ast.parse(path.read_text(encoding="utf-8")))
        index(module)
        return module

    def _functions_by_name(self) -> dict[str, set[str]]:
        owners: dict[str, set[str]] = defaultdict(set)
        for module in self._modules.values():
            for name in module.functions:
                owners[name].add(module.name)
        return owners

    def _error_kinds(self) -> set[str]:
        kinds, classes = (
            set(ROOTS),
            [
                node
                for module in self._modules.values()
                for node in ast.walk(module.tree)
                if isinstance(node, ast.ClassDef)
            ],
        )
        for _ in classes:
            more = {each.name for each in classes if any(last(base) in kinds for base in each.bases)} - kinds
            if not more:
                break
            kinds |= more
        return kinds

    def _pass(self) -> bool:
        """One look at everything; whether it taught something new about whose parameters are texts."""
        known = sum(map(len, self._carried.values()))
        for module in self._modules.values():
            for node in ast.walk(module.tree):
                for text, whole in self._carries(module, node):
                    self._say(module, text, whole)
        return sum(map(len, self._carried.values())) > known

    def _carries(self, module: Module, node: ast.AST) -> Iterator[tuple[ast.expr, bool]]:
        """What of a node is a text, and whether it is the whole of one."""
        match node:
            case ast.Call():
                yield from self._texts(module, node)
            case ast.ClassDef(name=name) if name in TEXTS:
                yield from ((value, True) for field, value in fields(node) if field in TEXTS[name])
            case ast.Yield(value=ast.Constant() | ast.JoinedStr() as value):
                yield value, False
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                carried = self._carried.get((module.name, name), {})
                yield from ((value, carried[each]) for each, value in defaults(node) if each in carried)
            case ast.Return(value=ast.expr() as value) if module.inside[node].name in ANSWERS:
                parts = value.elts if isinstance(value, ast.Tuple) else [value]
                yield from ((part, len(parts) == 1) for part in parts)

    def _enumerate(self) -> None:
        """Words and sentences that no call carries."""
        for written in (*OF_PYDANTIC, *OF_SYSTEM, *OF_COMMANDS):
            template = Template.parsed(written)
            self._found.setdefault(template.shape, Found(template=template, place="others:0"))
        for module in self._modules.values():
            for node in ast.walk(module.tree):
                if isinstance(node, ast.ClassDef) and node.name.endswith(STATES) and "StrEnum" in map(last, node.bases):
                    values = [each.value for each in node.body if isinstance(each, ast.Assign)]
                    for value in values:
                        if isinstance(value, ast.Constant) and isinstance(value.value, str):
                            self._keep(module, Template.of(value.value), node.lineno)

    def _keep(self, module: Module, template: Template, line: int) -> None:
        place = f"{module.path.relative_to(self._root).as_posix()}:{line}"
        self._found.setdefault(template.shape, Found(template=template, place=place))

    def _texts(self, module: Module, call: ast.Call) -> Iterator[tuple[ast.expr, bool]]:
        """The arguments of a call that are texts, and whether each is the whole of one."""
        name = last(call.func)
        wanted = OF_ERRORS if name in self._kinds else TEXTS.get(name, ())
        if isinstance(call.func, ast.Attribute) and name == "append" and last(call.func.value) in LISTS:
            wanted = ("0",)
        if name == "refuse" and len(call.args) < 4:
            wanted = ("1", "2", "allowed")
        given = {str(at): each for at, each in enumerate(call.args)}
        given |= {each.arg: each.value for each in call.keywords if each.arg}
        yield from ((given[key], True) for key in dict.fromkeys((*wanted, *OF_ANY)) if key in given)
        for owner, function in self._called(module, call.func):
            carried = self._carried.get((owner.name, function.name), {})
            for parameter, value in bound(function, call):
                if parameter in carried:
                    yield value, carried[parameter]

    def _called(self, module: Module, function: ast.expr) -> Iterator[tuple[Module, Function]]:
        """The product's own functions that this may call."""
        name, owner = last(function), None
        if isinstance(function, ast.Name):
            owner, name = module.imported.get(name, (module.name, name))
        elif isinstance(function, ast.Attribute):
            there = function.value
            if isinstance(there, ast.Name) and there.id in module.imported:
                owner = ".".join(module.imported[there.id])
            elif isinstance(there, ast.Name) and there.id in ("self", "cls") and name in module.functions:
                owner = module.name
            elif 0 < len(self._owners.get(name, ())) <= _FEW:
                for each in sorted(self._owners[name]):
                    yield from ((self._modules[each], one) for one in self._modules[each].functions[name])
                return
        for _ in range(3):
            # A package hands on what its modules own.
            if (
                owner in self._modules
                and name in self._modules[owner].imported
                and not self._modules[owner].functions.get(name)
            ):
                owner, name = self._modules[owner].imported[name]
        if owner in self._modules:
            yield from ((self._modules[owner], each) for each in self._modules[owner].functions.get(name, ()))

    def _say(self, module: Module, text: ast.expr, whole: bool) -> None:
        """Keep the templates of `text`; a part of a text is kept where it is more than one word."""
        for template in self._templates(module, text, 0):
            text_of_one = whole and template.says_something and not _CODE.fullmatch(template.literals)
            if text_of_one or (template.is_sentence and not template.literals.startswith("<")):
                self._keep(module, template, text.lineno)
            for piece in template.pieces:
                if isinstance(piece, Hole) and piece.parameter_of is not None:
                    carried = self._carried[piece.parameter_of]
                    alone = whole and len(template.pieces) == 1
                    carried[piece.name] = carried.get(piece.name, False) or alone

    def _templates(self, module: Module, text: ast.expr, depth: int) -> list[Template]:
        """What an expression can say. What is not known is a hole."""
        if depth > 6:
            return [_hole(text)]
        go = depth + 1
        match text:
            case ast.Constant(value=str() as value):
                return [Template.of(value)]
            case ast.JoinedStr(values=values):
                return self._joined(module, values, go)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return _together([self._templates(module, left, go), self._templates(module, right, go)]) or [
                    _hole(text)
                ]
            case ast.IfExp(body=body, orelse=orelse):
                return [*self._templates(module, body, go), *self._templates(module, orelse, go)]
            case ast.BoolOp(values=values):
                return [each for value in values for each in self._templates(module, value, go)]
            case ast.Name() | ast.Subscript():
                return self._named(module, text, go)
            case ast.Attribute(value=ast.Name(id=name), attr=constant) if name in module.imported:
                owner = self._modules.get(".".join(module.imported[name]))
                values = owner.constants.get(constant, []) if owner is not None else []
                return [each for value in values for each in self._templates(module, value, go)] or [_hole(text)]
            case ast.Dict():
                return [each for value in entries(text) for each in self._templates(module, value, go)]
            case ast.Call():
                return self._returned(module, text, go)
            case ast.NamedExpr(value=value):
                return self._templates(module, value, go)
        return [_hole(text)]

    def _joined(self, module: Module, values: Sequence[ast.expr], depth: int) -> list[Template]:
        parts: list[list[Template]] = []
        for value in values:
            if not isinstance(value, ast.FormattedValue):
                parts.append(self._templates(module, value, depth))
            elif value.conversion not in (-1, ord("s")):
                parts.append([_hole(value.value)])
            else:
                parts.append(self._inside(module, value.value, depth))
        return _together(parts) or [Template((Hole("text"),))]

    def _inside(self, module: Module, inner: ast.expr, depth: int) -> list[Template]:
        """What stands within a text: its words where they are written there or may be missing, else a hole."""
        table = inner.value if isinstance(inner, ast.Subscript) else inner
        parameter = self._parameter(module, table)
        if parameter is not None and isinstance(table, ast.Name):
            return [Template((Hole(table.id, parameter),))]
        if isinstance(inner, ast.IfExp | ast.JoinedStr):
            return self._templates(module, inner, depth)
        if isinstance(inner, ast.Name):
            known = self._templates(module, inner, depth)
            if any(not each.pieces for each in known):
                return known
        self._say(module, inner, False)
        return [_hole(inner)]

    def _parameter(self, module: Module, text: ast.expr) -> tuple[str, str] | None:
        if isinstance(text, ast.Name):
            for function in around(module, text):
                if text.id in parameters(function):
                    return (module.name, function.name)
        return None

    def _named(self, module: Module, text: ast.expr, depth: int) -> list[Template]:
        if isinstance(text, ast.Subscript):
            if not isinstance(text.value, ast.Name):
                return [_hole(text)]
            parameter = self._parameter(module, text.value)
            if parameter is not None:
                return [Template((Hole(text.value.id, parameter),))]
            values = [each for table in self._values(module, text.value) for each in entries(table)]
            return [each for value in values for each in self._templates(module, value, depth)] or [_hole(text)]
        assert isinstance(text, ast.Name)
        parameter = self._parameter(module, text)
        found = [Template((Hole(text.id, parameter),))] if parameter else []
        for value in self._values(module, text):
            if value is not text:
                found += self._templates(module, value, depth)
        return found or [_hole(text)]

    def _values(self, module: Module, name: ast.Name) -> list[ast.expr]:
        """What a name may stand for: in its function, else in its module, else where it comes from."""
        for function in around(module, name):
            if name.id in module.locals[function]:
                return module.locals[function][name.id]
        if name.id in module.constants:
            return module.constants[name.id]
        owner, other = module.imported.get(name.id, ("", ""))
        return self._modules[owner].constants.get(other, []) if owner in self._modules else []

    def _returned(self, module: Module, call: ast.Call, depth: int) -> list[Template]:
        match call.func:
            case ast.Attribute(value=ast.Name() as table, attr="get"):
                listed = [each for value in self._values(module, table) for each in entries(value)]
                return [each for value in listed for each in self._templates(module, value, depth)] or [_hole(call)]
            case ast.Attribute(value=written, attr="format"):
                texts = [each.literals for each in self._templates(module, written, depth) if each.is_literal]
                return [Template.parsed(each) for each in texts] or [_hole(call)]
        if last(call.func) in ("str", "quoted", "join"):
            return [_hole(call)]
        if last(call.func) in ("MappingProxyType", "dict"):
            return [each for value in entries(call) for each in self._templates(module, value, depth)] or [_hole(call)]
        found: list[Template] = []
        for owner, function in self._called(module, call.func):
            for node in ast.walk(function):
                if isinstance(node, ast.Return) and node.value is not None and owner.inside.get(node) is function:
                    found += [each.closed for each in self._templates(owner, node.value, depth)]
        return [each for each in found if each.says_something] or [_hole(call)]


def _together(parts: list[list[Template]]) -> list[Template]:
    """Every combination of the parts; nothing where there are too many to tell apart."""
    number = 1
    for part in parts:
        number *= len(part)
    return [Template.joined(each) for each in itertools.product(*parts)] if 0 < number <= _MOST else []


def _hole(text: ast.expr) -> Template:
    """A hole, named after what fills it."""
    pieces: tuple[Piece, ...] = (Hole(name_of(text)),)
    return Template(pieces)
