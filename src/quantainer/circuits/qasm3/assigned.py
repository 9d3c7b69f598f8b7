"""Assigned: which names a piece of a program may change, and how it may be left.

A branch that depends on a measurement has to know beforehand what its arms will change. The answer
may name too much (a local variable of the same name), never too little.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from quantainer.circuits.qasm3 import syntax
from quantainer.circuits.qasm3.syntax import Expression, Node, Statement

__all__ = ["Assigned", "Effects"]

Target = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class Effects:
    """What statements may do.

    Attributes:
        targets: Variables that they may assign, and the bit where they assign only one.
        calls: Functions that they may call; classical arrays in the arguments are in ``targets``.
        exits: ``break`` and ``continue`` of the loop around them, ``return``, ``end``.
    """

    targets: frozenset[Target]
    calls: frozenset[str]
    exits: frozenset[str]


_LOOP_EXITS = frozenset(("break", "continue"))
_EXITS: dict[type, str] = {
    syntax.Break: "break",
    syntax.Continue: "continue",
    syntax.Return: "return",
    syntax.End: "end",
}


class Assigned:
    """Answers for any part of a program; each part is looked at once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, Effects]] = {}

    def of(self, what: Node | list[Statement]) -> Effects:
        """Return what a statement, an expression or a list of statements may do."""
        known = self._known.get(id(what))
        if known is None:
            known = self._known[id(what)] = (what, self._find(what))
        return known[1]

    def _find(self, what: Any) -> Effects:
        if isinstance(what, Expression):
            return _of_expression(what)
        targets = set(_written(what))
        calls: set[str] = set()
        exits: set[str] = set()
        if type(what) in _EXITS:
            exits.add(_EXITS[type(what)])
        if isinstance(what, syntax.GateCall):
            calls.add(what.name)
        for child in _children(what):
            inner = self.of(child)
            targets |= inner.targets
            calls |= inner.calls
            exits |= inner.exits
        if isinstance(what, syntax.For | syntax.While):
            exits -= _LOOP_EXITS
        targets.discard(("", None))
        return Effects(frozenset(targets), frozenset(calls), frozenset(exits))


_PURE = Effects(frozenset(), frozenset(), frozenset())


def _of_expression(node: Expression) -> Effects:
    """Find the calls in an expression."""
    targets: set[Target] = set()
    calls: set[str] = set()
    stack: list[Any] = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, syntax.Call):
            calls.add(current.name)
            targets.update((_base_name(argument), None) for argument in current.arguments)
        stack += _children(current)
    if not calls:
        return _PURE
    targets.discard(("", None))
    return Effects(frozenset(targets), frozenset(calls), frozenset())


def _written(node: Any) -> Iterable[Target]:
    """Return the targets that a node itself may change."""
    if isinstance(node, syntax.Assign | syntax.MeasureStatement):
        return (_target(node.target),)
    if isinstance(node, syntax.ClassicalDeclaration):
        return ((node.name, None),)
    if isinstance(node, syntax.Alias):  # assigned to, it changes what it stands for
        return ((name, None) for name in _all_names(node.value))
    if isinstance(node, syntax.GateCall):
        return ((_base_name(each), None) for each in (*node.arguments, *node.operands))
    return ()


def _target(node: Expression | None) -> Target:
    """Return what an assignment changes: one bit if its place is written as a number."""
    if isinstance(node, syntax.Index) and isinstance(node.base, syntax.Name):
        item = node.items[0] if len(node.items) == 1 else None
        if isinstance(item, syntax.Literal) and isinstance(item.value, int):
            return node.base.name, item.value
    return _base_name(node), None


def _base_name(node: Expression | None) -> str:
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


_FIELDS: dict[type, tuple[str, ...]] = {syntax.Literal: (), syntax.Name: ()}


def _children(node: Any) -> Iterator[Any]:
    """Yield the nodes right below a node or a list of nodes."""
    if isinstance(node, list):
        yield from node
        return
    kind = type(node)
    names = _FIELDS.get(kind)
    if names is None:
        names = _FIELDS[kind] = tuple(field.name for field in fields(kind))
    for name in names:
        yield from _nodes(getattr(node, name))


def _nodes(value: Any) -> Iterator[Any]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _nodes(item)
