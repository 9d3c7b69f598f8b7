"""Condition: a question about classical bits, exact for registers of any width.

The classical memory is one Python integer (bit ``i`` = classical bit ``i``), so a comparison of a
301-bit register is as exact as one of two bits (Qiskit/qiskit-aer#1077).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass

__all__ = ["Condition", "Evaluate", "NotFlatError", "condition_of", "place_of", "value_of"]

Evaluate = Callable[[int], int]
Bits = Mapping[Any, "int | tuple[int, ...]"]
"""Classical bit to its index in the memory, and run-time variable (by its UUID) to its bits."""


class NotFlatError(Exception):
    """The expression uses something beyond bits and unsigned integers: a duration, a float, …"""


@dataclass(frozen=True, slots=True)
class Condition:
    """A test of the classical memory.

    Attributes:
        evaluate: Memory to truth.
        reads: The classical bits it looks at.
        tests: The same as a conjunction of ``(clbit, value)``, where it is one; else ``None``.
    """

    evaluate: Callable[[int], bool]
    reads: frozenset[int]
    tests: tuple[tuple[int, bool], ...] | None = None

    def given(self, written: set[int]) -> Condition | bool:
        """Return what is left when every bit outside ``written`` is known to be 0."""
        if self.tests is not None:
            if any(value for bit, value in self.tests if bit not in written):
                return False
            rest = tuple(test for test in self.tests if test[0] in written)
            return _conjunction(rest) if rest else True
        if not self.reads & written:
            return bool(self.evaluate(0))
        return self


def condition_of(condition: Any, bits: Bits) -> Condition:
    """Return a Qiskit condition: ``(bit, value)``, ``(register, value)`` or an expression.

    Raises:
        NotFlatError: If it reads anything but classical bits.
    """
    if isinstance(condition, tuple):
        target, value = condition
        return _conjunction(_equality(_indices(target, bits), int(value)))
    tests = _tests_of(condition, bits)
    if tests is not None:
        return _conjunction(tests)
    evaluate, reads = value_of(condition, bits)
    return Condition(lambda memory: bool(evaluate(memory)), reads)


def value_of(target: Any, bits: Bits) -> tuple[Evaluate, frozenset[int]]:
    """Return the value of a bit, register or expression as a function of the memory, and its bits.

    Raises:
        NotFlatError: If it reads anything but classical bits.
    """
    from qiskit.circuit.classical import expr

    if not isinstance(target, expr.Expr):
        indices = _indices(target, bits)
        return _gather(indices), frozenset(indices)
    return _expression(target, bits)


def place_of(node: Any, bits: Bits) -> tuple[int, ...]:
    """Return the bits of a variable, register or bit, lowest first.

    Raises:
        NotFlatError: If it has no place in the memory.
    """
    if not node.standalone:
        return _indices(node.var, bits)
    found = bits.get(node.var)
    if not isinstance(found, tuple):
        raise NotFlatError(f"the run-time variable {node.name}")
    return found


def _indices(target: Any, bits: Bits) -> tuple[int, ...]:
    members = list(target) if hasattr(target, "size") else [target]
    found = tuple(bits.get(bit) for bit in members)
    if not all(isinstance(index, int) for index in found):
        raise NotFlatError("a bit outside the circuit")
    return found  # type: ignore[return-value]


def _gather(indices: tuple[int, ...]) -> Evaluate:
    first, width = indices[0], len(indices)
    if indices == tuple(range(first, first + width)):
        mask = (1 << width) - 1
        return lambda memory: (memory >> first) & mask
    return lambda memory: sum(((memory >> bit) & 1) << place for place, bit in enumerate(indices))


def _equality(indices: tuple[int, ...], value: int) -> tuple[tuple[int, bool], ...] | None:
    if value < 0 or value >> len(indices):
        return None
    return tuple((bit, bool((value >> place) & 1)) for place, bit in enumerate(indices))


def _conjunction(tests: tuple[tuple[int, bool], ...] | None) -> Condition:
    if tests is None:  # the value does not fit the register
        return Condition(lambda _memory: False, frozenset())
    wanted: dict[int, bool] = {}
    for bit, value in tests:
        if wanted.setdefault(bit, value) != value:
            return Condition(lambda _memory: False, frozenset())
    mask = sum(1 << bit for bit in wanted)
    match = sum(1 << bit for bit, value in wanted.items() if value)
    return Condition(
        lambda memory: memory & mask == match, frozenset(wanted), tuple(sorted(wanted.items()))
    )


def _tests_of(node: Any, bits: Bits) -> tuple[tuple[int, bool], ...] | None:
    """Return the expression as a conjunction of bit tests, or ``None`` if it is not one."""
    from qiskit.circuit.classical import expr

    if isinstance(node, expr.Var) and not node.standalone and node.type.kind.__name__ == "Bool":
        return ((_indices(node.var, bits)[0], True),)
    if isinstance(node, expr.Unary) and node.op is expr.Unary.Op.LOGIC_NOT:
        inner = _tests_of(node.operand, bits)
        if inner is None or len(inner) != 1:
            return None
        return ((inner[0][0], not inner[0][1]),)
    if isinstance(node, expr.Binary) and node.op is expr.Binary.Op.LOGIC_AND:
        left, right = _tests_of(node.left, bits), _tests_of(node.right, bits)
        return None if left is None or right is None else left + right
    if isinstance(node, expr.Binary) and node.op is expr.Binary.Op.EQUAL:
        for register, value in ((node.left, node.right), (node.right, node.left)):
            plain = isinstance(register, expr.Var) and not register.standalone
            if plain and isinstance(value, expr.Value):
                return _equality(_indices(register.var, bits), int(value.value))
    return None


def _binary_rules(op: Any) -> dict[Any, Callable[[int, int], int]]:
    return {
        op.BIT_AND: lambda a, b: a & b,
        op.BIT_OR: lambda a, b: a | b,
        op.BIT_XOR: lambda a, b: a ^ b,
        op.LOGIC_AND: lambda a, b: int(bool(a) and bool(b)),
        op.LOGIC_OR: lambda a, b: int(bool(a) or bool(b)),
        op.EQUAL: lambda a, b: int(a == b),
        op.NOT_EQUAL: lambda a, b: int(a != b),
        op.LESS: lambda a, b: int(a < b),
        op.LESS_EQUAL: lambda a, b: int(a <= b),
        op.GREATER: lambda a, b: int(a > b),
        op.GREATER_EQUAL: lambda a, b: int(a >= b),
        op.SHIFT_LEFT: lambda a, b: a << b,
        op.SHIFT_RIGHT: lambda a, b: a >> b,
        op.ADD: lambda a, b: a + b,
        op.SUB: lambda a, b: a - b,
        op.MUL: lambda a, b: a * b,
    }


def _expression(node: Any, bits: Bits) -> tuple[Evaluate, frozenset[int]]:
    from qiskit.circuit.classical import expr

    if isinstance(node, expr.Var):
        indices = place_of(node, bits)
        return _gather(indices), frozenset(indices)
    if isinstance(node, expr.Value):
        return _constant(node.value)
    if isinstance(node, expr.Cast):
        inner, reads = _expression(node.operand, bits)
        return _cut(inner, node.type), reads
    if isinstance(node, expr.Index):
        array, left = _expression(node.target, bits)
        place, right = _expression(node.index, bits)
        return (lambda memory: (array(memory) >> place(memory)) & 1), left | right
    if isinstance(node, expr.Unary):
        return _unary(node, bits)
    if isinstance(node, expr.Binary):
        return _binary(node, bits)
    raise NotFlatError(f"the expression {node!r}")


def _unary(node: Any, bits: Bits) -> tuple[Evaluate, frozenset[int]]:
    inner, reads = _expression(node.operand, bits)
    if node.op is type(node.op).LOGIC_NOT:
        return (lambda memory: int(not inner(memory))), reads
    if node.op is type(node.op).BIT_NOT:
        return _cut(lambda memory: ~inner(memory), node.type), reads
    raise NotFlatError(f"the operator {node.op}")


def _binary(node: Any, bits: Bits) -> tuple[Evaluate, frozenset[int]]:
    rule = _binary_rules(type(node.op)).get(node.op)
    if rule is None:
        raise NotFlatError(f"the operator {node.op}")
    left, left_reads = _expression(node.left, bits)
    right, right_reads = _expression(node.right, bits)
    made = _cut(lambda memory: rule(left(memory), right(memory)), node.type)
    return made, left_reads | right_reads


def _constant(value: Any) -> tuple[Evaluate, frozenset[int]]:
    if not isinstance(value, bool | int):
        raise NotFlatError(f"the constant {value!r}")
    number = int(value)
    return (lambda _memory: number), frozenset()


def _cut(inner: Evaluate, kind: Any) -> Evaluate:
    """Keep a value within its type: unsigned integers wrap, everything else is a truth value."""
    width = getattr(kind, "width", None)
    if width is not None:
        mask = (1 << width) - 1
        return lambda memory: inner(memory) & mask
    if kind.kind.__name__ != "Bool":
        raise NotFlatError(f"a value of type {kind!r}")
    return lambda memory: int(bool(inner(memory)))
