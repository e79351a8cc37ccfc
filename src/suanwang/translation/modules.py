"""A module's source as the extraction asks it: its functions, constants and imports, and what stands for a name in a call.

Owns the reading of Python's syntax. Knows nothing of texts.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True)
class Module:
    path: Path
    name: str
    tree: ast.Module
    functions: dict[str, list[Function]] = field(default_factory=lambda: defaultdict(list))
    constants: dict[str, list[ast.expr]] = field(default_factory=lambda: defaultdict(list))
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)
    inside: dict[ast.AST, Function] = field(default_factory=dict)
    """Node → the function it stands in."""
    locals: dict[Function, dict[str, list[ast.expr]]] = field(default_factory=dict)


def around(module: Module, node: ast.AST) -> Iterator[Function]:
    """The functions a node stands in, the nearest first."""
    function = module.inside.get(node)
    while function is not None:
        yield function
        function = module.inside.get(function)


def index(module: Module) -> None:
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


def entries(table: ast.expr) -> list[ast.expr]:
    """The values of a dictionary as it is written, also within a call such as `MappingProxyType({…})`."""
    match table:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="dict"), attr="fromkeys"), args=[_, value]):
            return [value]
        case ast.Call(args=[inner, *_]):
            return entries(inner)
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return [each for key, value in pairs for each in ([value] if key is not None else entries(value))]
    return []


def parameters(function: Function) -> list[str]:
    arguments = function.args
    return [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]


def defaults(function: Function) -> Iterator[tuple[str, ast.expr]]:
    """Parameter → its default."""
    arguments = function.args
    placed = [*arguments.posonlyargs, *arguments.args]
    yield from ((each.arg, value) for each, value in zip(reversed(placed), reversed(arguments.defaults), strict=False))
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    yield from ((each.arg, value) for each, value in pairs if value is not None)


def fields(kind: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    """Field of a class → its default."""
    for node in kind.body:
        if isinstance(node, ast.AnnAssign):
            yield from _assigned(node)


def bound(function: Function, call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
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


def last(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def name_of(text: ast.expr) -> str:
    match text:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return re.sub(r"[^a-z0-9_]", "", name.lower()).strip("_") or "value"
        case ast.Call(func=ast.Name(id="len"), args=[value]):
            return f"{name_of(value)}_count"
        case ast.Call(func=ast.Attribute(attr="join"), args=[value]):
            return name_of(value)
        case ast.Call(args=[value, *_]):
            return name_of(value)
        case ast.Call(func=ast.Attribute(value=value)) | ast.Subscript(value=value) | ast.BinOp(left=value):
            return name_of(value)
        case ast.IfExp(body=value) | ast.GeneratorExp(elt=value) | ast.ListComp(elt=value) | ast.Starred(value=value):
            return name_of(value)
        case ast.BoolOp(values=[value, *_]):
            return name_of(value)
    return "value"
