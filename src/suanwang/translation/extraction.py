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
from dataclasses import dataclass, field
from pathlib import Path

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
    "_Barred": ("note",),
}
"""Calls that carry texts besides errors, and which of their arguments do."""
OF_PYDANTIC = (
    "Arguments must be a tuple, list or a dictionary",
    "Decimal input should be an integer, float, string or Decimal object",
    "Decimal input should have no more than {number} decimal place{s}",
    "Decimal input should have no more than {number} digit{s} before the decimal point",
    "Decimal input should have no more than {number} digit{s} in total",
    "Dictionary should have at least {number} item{s} after validation, not {have}",
    "Dictionary should have at most {number} item{s} after validation, not {have}",
    "Extra inputs are not permitted",
    "Field required",
    "Input should be None",
    "Input should be a dictionary or an instance of {name}",
    "Input should be a finite number",
    "Input should be a multiple of {number}",
    "Input should be a valid array",
    "Input should be a valid boolean",
    "Input should be a valid boolean, unable to interpret input",
    "Input should be a valid date in the format YYYY-MM-DD, {error}",
    "Input should be a valid date or datetime, {error}",
    "Input should be a valid date",
    "Input should be a valid datetime or date, {error}",
    "Input should be a valid datetime",
    "Input should be a valid datetime, {error}",
    "Input should be a valid decimal",
    "Input should be a valid dictionary",
    "Input should be a valid dictionary or instance of {name}",
    "Input should be a valid dictionary or object to extract fields from",
    "Input should be a valid integer",
    "Input should be a valid integer, got a number with a fractional part",
    "Input should be a valid integer, unable to parse string as an integer",
    "Input should be a valid list",
    "Input should be a valid number",
    "Input should be a valid number, unable to parse string as a number",
    "Input should be a valid string",
    "Input should be a valid string, unable to parse raw data as a unicode string",
    "Input should be a valid tuple",
    "Input should be an object",
    "Input should be greater than or equal to {number}",
    "Input should be greater than {number}",
    "Input should be less than or equal to {number}",
    "Input should be less than {number}",
    "Input should be {expected}",
    "Input should have timezone info",
    "Input tag {tag} found using {field} does not match any of the expected tags: {expected}",
    "Invalid JSON: {error}",
    "Keys should be strings",
    "List should have at least {number} item{s} after validation, not {have}",
    "List should have at most {number} item{s} after validation, not {have}",
    "List should have at most {number} item{s} after validation, not more than {most}",
    "Missing required argument",
    "String should have at least {number} character{s}",
    "String should have at most {number} character{s}",
    "String should match pattern {pattern}",
    "Tuple should have at least {number} item{s} after validation, not {have}",
    "Tuple should have at most {number} item{s} after validation, not {have}",
    "Unable to extract tag using discriminator {field}",
    "Unable to parse input string as an integer, exceeded maximum size",
    "Unexpected keyword argument",
    "Value error, {error}",
)
"""What pydantic says of inputs such as ours."""
OF_SYSTEM = (
    "No such file or directory",
    "Permission denied",
    "File exists",
    "Is a directory",
    "Not a directory",
    "No space left on device",
    "Read-only file system",
    "Too many open files",
    "Address already in use",
    "Cannot assign requested address",
    "Connection refused",
    "Connection reset by peer",
    "Network is unreachable",
    "No route to host",
    "Name or service not known",
    "All connection attempts failed",
    "timed out",
    "[Errno {number}] {what}",
    "[Errno {number}] {what}: {where}",
)
"""What the operating system and the network say, as errors of ours quote it."""
OF_COMMANDS = (
    "No such option: {name}",
    "No such option: {name} (Possible options: {possible})",
    "No such option: {name} Did you mean {possible}?",
    "No such command {name}.",
    "No such command {name}. Did you mean {possible}?",
    "Missing command.",
    "Missing argument {name}.",
    "Missing option {name}.",
    "Missing parameter: {name}",
    "Invalid value for {name}: {error}",
    "Invalid value: {error}",
    "Got unexpected extra argument ({given})",
    "Got unexpected extra arguments ({given})",
    "Option {name} requires an argument.",
    "Option {name} requires {number} arguments.",
    "Option {name} does not take a value.",
    "{given} is not one of {choices}.",
    "{given} does not match the formats {formats}.",
    "{kind} {given} does not exist.",
)
"""What Typer says of options and arguments."""
OF_ERRORS = ("0", "message", "allowed", "filename")
OF_ANY = ("reason",)
"""An argument of this name is a text in whatever call."""
ANSWERS = ("_sentence", "purse")
"""Functions that answer with a text."""
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


Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True)
class _Module:
    path: Path
    name: str
    tree: ast.Module
    functions: dict[str, list[Function]] = field(default_factory=lambda: defaultdict(list))
    constants: dict[str, list[ast.expr]] = field(default_factory=lambda: defaultdict(list))
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)
    inside: dict[ast.AST, Function] = field(default_factory=dict)
    """Node → the function it stands in."""
    locals: dict[Function, dict[str, list[ast.expr]]] = field(default_factory=dict)


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

    def _read(self, path: Path) -> _Module:
        parts = path.relative_to(self._root.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        module = _Module(path, name, ast.parse(path.read_text(encoding="utf-8")))
        _index(module)
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
            more = {each.name for each in classes if any(_last(base) in kinds for base in each.bases)} - kinds
            if not more:
                break
            kinds |= more
        return kinds

    def _pass(self) -> bool:
        """One look at every call; whether it taught something new about whose parameters are texts."""
        known = sum(map(len, self._carried.values()))
        for module in self._modules.values():
            for node in ast.walk(module.tree):
                if isinstance(node, ast.Call):
                    for text, whole in self._texts(module, node):
                        self._say(module, text, whole)
                elif isinstance(node, ast.Yield) and isinstance(node.value, ast.Constant | ast.JoinedStr):
                    self._say(module, node.value, False)
                elif isinstance(node, Function):
                    carried = self._carried.get((module.name, node.name), {})
                    for parameter, value in _defaults(node):
                        if parameter in carried:
                            self._say(module, value, carried[parameter])
                elif isinstance(node, ast.Return) and node.value and module.inside[node].name in ANSWERS:
                    self._say(module, node.value, True)
        return sum(map(len, self._carried.values())) > known

    def _enumerate(self) -> None:
        """Words and sentences that no call carries."""
        for written in (*OF_PYDANTIC, *OF_SYSTEM, *OF_COMMANDS):
            template = Template.parsed(written)
            self._found.setdefault(template.shape, Found(template=template, place="others:0"))
        for module in self._modules.values():
            for node in ast.walk(module.tree):
                if (
                    isinstance(node, ast.ClassDef)
                    and node.name.endswith(STATES)
                    and "StrEnum" in map(_last, node.bases)
                ):
                    values = [each.value for each in node.body if isinstance(each, ast.Assign)]
                    for value in values:
                        if isinstance(value, ast.Constant) and isinstance(value.value, str):
                            self._keep(module, Template.of(value.value), node.lineno)

    def _keep(self, module: _Module, template: Template, line: int) -> None:
        place = f"{module.path.relative_to(self._root).as_posix()}:{line}"
        self._found.setdefault(template.shape, Found(template=template, place=place))

    def _texts(self, module: _Module, call: ast.Call) -> Iterator[tuple[ast.expr, bool]]:
        """The arguments of a call that are texts, and whether each is the whole of one."""
        name = _last(call.func)
        wanted = OF_ERRORS if name in self._kinds else TEXTS.get(name, ())
        if isinstance(call.func, ast.Attribute) and name == "append" and _last(call.func.value) in LISTS:
            wanted = ("0",)
        if name == "refuse" and len(call.args) < 4:
            wanted = ("1", "2", "allowed")
        given = {str(at): each for at, each in enumerate(call.args)}
        given |= {each.arg: each.value for each in call.keywords if each.arg}
        yield from ((given[key], True) for key in dict.fromkeys((*wanted, *OF_ANY)) if key in given)
        for owner, function in self._called(module, call.func):
            carried = self._carried.get((owner.name, function.name), {})
            for parameter, value in _bound(function, call):
                if parameter in carried:
                    yield value, carried[parameter]

    def _called(self, module: _Module, function: ast.expr) -> Iterator[tuple[_Module, Function]]:
        """The product's own functions that this may call."""
        name, owner = _last(function), None
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

    def _say(self, module: _Module, text: ast.expr, whole: bool) -> None:
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

    def _templates(self, module: _Module, text: ast.expr, depth: int) -> list[Template]:
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
                return [each for value in _entries(text) for each in self._templates(module, value, go)]
            case ast.Call():
                return self._returned(module, text, go)
            case ast.NamedExpr(value=value):
                return self._templates(module, value, go)
        return [_hole(text)]

    def _joined(self, module: _Module, values: Sequence[ast.expr], depth: int) -> list[Template]:
        parts: list[list[Template]] = []
        for value in values:
            if not isinstance(value, ast.FormattedValue):
                parts.append(self._templates(module, value, depth))
            elif value.conversion not in (-1, ord("s")):
                parts.append([_hole(value.value)])
            else:
                parts.append(self._inside(module, value.value, depth))
        return _together(parts) or [Template((Hole("text"),))]

    def _inside(self, module: _Module, inner: ast.expr, depth: int) -> list[Template]:
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

    def _parameter(self, module: _Module, text: ast.expr) -> tuple[str, str] | None:
        if isinstance(text, ast.Name):
            for function in _around(module, text):
                if text.id in _parameters(function):
                    return (module.name, function.name)
        return None

    def _named(self, module: _Module, text: ast.expr, depth: int) -> list[Template]:
        if isinstance(text, ast.Subscript):
            if not isinstance(text.value, ast.Name):
                return [_hole(text)]
            parameter = self._parameter(module, text.value)
            if parameter is not None:
                return [Template((Hole(text.value.id, parameter),))]
            values = [each for table in self._values(module, text.value) for each in _entries(table)]
            return [each for value in values for each in self._templates(module, value, depth)] or [_hole(text)]
        assert isinstance(text, ast.Name)
        parameter = self._parameter(module, text)
        found = [Template((Hole(text.id, parameter),))] if parameter else []
        for value in self._values(module, text):
            if value is not text:
                found += self._templates(module, value, depth)
        return found or [_hole(text)]

    def _values(self, module: _Module, name: ast.Name) -> list[ast.expr]:
        """What a name may stand for: in its function, else in its module, else where it comes from."""
        for function in _around(module, name):
            if name.id in module.locals[function]:
                return module.locals[function][name.id]
        if name.id in module.constants:
            return module.constants[name.id]
        owner, other = module.imported.get(name.id, ("", ""))
        return self._modules[owner].constants.get(other, []) if owner in self._modules else []

    def _returned(self, module: _Module, call: ast.Call, depth: int) -> list[Template]:
        match call.func:
            case ast.Attribute(value=ast.Name() as table, attr="get"):
                entries = [each for value in self._values(module, table) for each in _entries(value)]
                return [each for value in entries for each in self._templates(module, value, depth)] or [_hole(call)]
            case ast.Attribute(value=written, attr="format"):
                texts = [each.literals for each in self._templates(module, written, depth) if each.is_literal]
                return [Template.parsed(each) for each in texts] or [_hole(call)]
        if _last(call.func) in ("str", "quoted", "join"):
            return [_hole(call)]
        if _last(call.func) in ("MappingProxyType", "dict"):
            return [each for value in _entries(call) for each in self._templates(module, value, depth)] or [_hole(call)]
        found: list[Template] = []
        for owner, function in self._called(module, call.func):
            for node in ast.walk(function):
                if isinstance(node, ast.Return) and node.value is not None and owner.inside.get(node) is function:
                    found += [each.closed for each in self._templates(owner, node.value, depth)]
        return [each for each in found if each.says_something] or [_hole(call)]


def _around(module: _Module, node: ast.AST) -> Iterator[Function]:
    """The functions a node stands in, the nearest first."""
    function = module.inside.get(node)
    while function is not None:
        yield function
        function = module.inside.get(function)


def _index(module: _Module) -> None:
    """Fill a module's tables."""
    waiting: list[tuple[ast.AST, Function | None]] = [(module.tree, None)]
    while waiting:
        node, function = waiting.pop()
        if function is not None:
            module.inside[node] = function
        if isinstance(node, Function):
            module.functions[node.name].append(node)
            function = node
            module.locals[node] = defaultdict(list)
        names = module.constants if function is None else module.locals[function]
        for target, value in _assigned(node):
            names[target].append(value)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                module.imported[alias.asname or alias.name] = (node.module, alias.name)
        waiting += [(child, function) for child in reversed(list(ast.iter_child_nodes(node)))]


def _assigned(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    match node:
        case ast.Assign(targets=[target], value=value):
            yield from _unpacked(target, value)
        case (
            ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            | ast.NamedExpr(target=ast.Name(id=name), value=value)
            | ast.AugAssign(target=ast.Name(id=name), value=value)
        ):
            yield name, value
        case (
            ast.For(target=target, iter=ast.Tuple(elts=each) | ast.List(elts=each))
            | ast.comprehension(target=target, iter=ast.Tuple(elts=each) | ast.List(elts=each))
        ):
            for value in each:
                yield from _unpacked(target, value)


def _unpacked(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.IfExp):
        yield from _unpacked(target, value.body)
        yield from _unpacked(target, value.orelse)
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        for inner, part in zip(target.elts, value.elts, strict=True):
            yield from _unpacked(inner, part)


def _entries(table: ast.expr) -> list[ast.expr]:
    """The values of a dictionary as it is written, also within a call such as `MappingProxyType({…})`."""
    match table:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="dict"), attr="fromkeys"), args=[_, value]):
            return [value]
        case ast.Call(args=[inner, *_]):
            return _entries(inner)
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return [each for key, value in pairs for each in ([value] if key is not None else _entries(value))]
    return []


def _parameters(function: Function) -> list[str]:
    arguments = function.args
    return [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]


def _defaults(function: Function) -> Iterator[tuple[str, ast.expr]]:
    """Parameter → its default."""
    arguments = function.args
    placed = [*arguments.posonlyargs, *arguments.args]
    yield from ((each.arg, value) for each, value in zip(reversed(placed), reversed(arguments.defaults), strict=False))
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    yield from ((each.arg, value) for each, value in pairs if value is not None)


def _bound(function: Function, call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    """Parameter → argument of a call; nothing where the call does not fit the function."""
    placed = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
    if placed[:1] in (["self"], ["cls"]):
        placed = placed[1:]
    names = {*placed, *(each.arg for each in function.args.kwonlyargs)}
    given = {each.arg: each.value for each in call.keywords if each.arg}
    too_many = len(call.args) > len(placed) and not function.args.vararg
    if too_many or (not function.args.kwarg and not given.keys() <= names):
        return
    yield from zip(placed, call.args, strict=False)
    yield from ((name, value) for name, value in given.items() if name in names)


def _together(parts: list[list[Template]]) -> list[Template]:
    """Every combination of the parts; nothing where there are too many to tell apart."""
    number = 1
    for part in parts:
        number *= len(part)
    return [Template.joined(each) for each in itertools.product(*parts)] if 0 < number <= _MOST else []


def _last(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _hole(text: ast.expr) -> Template:
    """A hole, named after what fills it."""
    pieces: tuple[Piece, ...] = (Hole(_name_of(text)),)
    return Template(pieces)


def _name_of(text: ast.expr) -> str:
    match text:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return re.sub(r"[^a-z0-9_]", "", name.lower()).strip("_") or "value"
        case ast.Call(func=ast.Name(id="len"), args=[value]):
            return f"{_name_of(value)}_count"
        case ast.Call(func=ast.Attribute(attr="join"), args=[value]):
            return _name_of(value)
        case ast.Call(args=[value, *_]):
            return _name_of(value)
        case ast.Call(func=ast.Attribute(value=value)) | ast.Subscript(value=value) | ast.BinOp(left=value):
            return _name_of(value)
        case ast.IfExp(body=value) | ast.GeneratorExp(elt=value) | ast.ListComp(elt=value) | ast.Starred(value=value):
            return _name_of(value)
        case ast.BoolOp(values=[value, *_]):
            return _name_of(value)
    return "value"
