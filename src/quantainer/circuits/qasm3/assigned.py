"""Assigned: which names a piece of a program may change, and how it may be left.

A branch that depends on a measurement has to know beforehand what its arms will change. The answer
may name too much (a local variable of the same name), never too little.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from quantainer.circuits.qasm3 import syntax
from quantainer.circuits.qasm3.syntax import Expression, Node

__all__ = ["Effects", "effects_of"]


@dataclass(slots=True)
class Effects:
    """What statements may do.

    Attributes:
        names: Variables that they may assign.
        calls: Functions that they may call; classical arrays in the arguments are in ``names``.
        exits: ``break`` and ``continue`` of the loop around them, ``return``, ``end``.
    """

    names: frozenset[str]
    calls: frozenset[str]
    exits: frozenset[str]


def effects_of(statements: Iterable[Node]) -> Effects:
    """Return what statements and expressions may do, blocks within them included."""
    names: set[str] = set()
    calls: set[str] = set()
    exits: set[str] = set()
    stack: list[tuple[Any, bool]] = [(node, False) for node in statements]
    while stack:
        node, in_loop = stack.pop()
        names.update(_written(node))
        if isinstance(node, syntax.Call | syntax.GateCall):
            calls.add(node.name)
        leaves = _EXITS.get(type(node))
        if leaves is not None and not (in_loop and leaves in ("break", "continue")):
            exits.add(leaves)
        in_loop = in_loop or isinstance(node, syntax.For | syntax.While)
        stack += [(child, in_loop) for child in _children(node)]
    names.discard("")
    return Effects(frozenset(names), frozenset(calls), frozenset(exits))


_EXITS: dict[type, str] = {
    syntax.Break: "break",
    syntax.Continue: "continue",
    syntax.Return: "return",
    syntax.End: "end",
}


def _written(node: Any) -> Iterable[str]:
    """Return the names that a node itself may change."""
    if isinstance(node, syntax.Assign | syntax.MeasureStatement):
        return (base_name(node.target),)
    if isinstance(node, syntax.ClassicalDeclaration):
        return (node.name,)
    if isinstance(node, syntax.Alias):  # assigned to, it changes what it stands for
        return _all_names(node.value)
    if isinstance(node, syntax.Call):
        return map(base_name, node.arguments)
    if isinstance(node, syntax.GateCall):
        return map(base_name, (*node.arguments, *node.operands))
    return ()


def base_name(node: Expression | None) -> str:
    """Return the name that is indexed; empty if there is none."""
    while isinstance(node, syntax.Index):
        node = node.base
    return node.name if isinstance(node, syntax.Name) else ""


def _all_names(node: Expression) -> Iterator[str]:
    stack: list[Any] = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, syntax.Name):
            yield current.name
        stack += _children(current)


def _children(node: Any) -> Iterator[Node]:
    for field in fields(node):
        yield from _nodes(getattr(node, field.name))


def _nodes(value: Any) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _nodes(item)
