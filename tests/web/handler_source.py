"""What a handler reads of a request, taken from its source: bodies it decodes and query parameters it asks for by name."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

_KINDS: dict[str, type] = {"query": str, "moment": str, "number": int, "flag": bool}


class Reads(msgspec.Struct):
    """`bodies` by type, `query` by name."""

    bodies: list[object]
    query: dict[str, type]


def reads(handler: Callable[..., Any]) -> Reads:
    """What it and the functions that it hands its `call` to read."""
    found = Reads([], {})
    _follow(_inner(handler), found, set())
    return found


def _inner(handler: Callable[..., Any]) -> Any:  # a bound method, or what stands behind a wrapper
    return inspect.unwrap(handler)


def _follow(function: Any, found: Reads, seen: set[object]) -> None:  # Any: as above
    plain = getattr(function, "__func__", function)
    if plain in seen or not inspect.isfunction(plain) or not plain.__module__.startswith("clawgate.web.surfaces"):
        return
    seen.add(plain)
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(plain)))):
        if isinstance(node, ast.Call):
            _note(node, plain, found)
            for callee in _callees(node, function, plain):
                _follow(callee, found, seen)


def _note(node: ast.Call, plain: Any, found: Reads) -> None:  # Any: a function
    target = node.func
    if not (isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "call" and node.args):
        return
    first = node.args[0]
    if target.attr in ("json", "decode"):
        body = eval(compile(ast.Expression(first), "handler", "eval"), plain.__globals__)
        if body not in found.bodies:
            found.bodies.append(body)
    elif target.attr in _KINDS and isinstance(first, ast.Constant):
        found.query[str(first.value)] = _KINDS[target.attr]


def _callees(node: ast.Call, function: Any, plain: Any) -> Iterator[object]:  # Any: functions
    if not any(isinstance(argument, ast.Name) and argument.id == "call" for argument in node.args):
        return
    if isinstance(node.func, ast.Name):
        yield plain.__globals__.get(node.func.id)
    elif isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) and node.func.value.id == "self":
        yield getattr(getattr(function, "__self__", None), node.func.attr, None)
