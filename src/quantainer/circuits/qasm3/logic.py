"""Logic: Boolean functions of classical bits, and integer arithmetic made of them.

Whatever depends on a measurement is computed at run time. Simulators agree on one classical
machine only: Boolean logic on classical bits, with stores and branches. So a value that depends on
measurements is a row of Boolean functions, lowest bit first, and arithmetic on it is the adder,
comparator and multiplier of a
textbook: exact at any width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, Union

__all__ = [
    "Atom", "Bit", "Function", "Hold", "Row", "add", "all_of", "any_of", "atoms", "both",
    "constant", "divide", "either", "equal", "flip", "invert", "less", "multiply", "mux",
    "negate", "number", "popcount", "resize", "shift", "span", "weight",
]  # fmt: skip


class Atom(Protocol):
    """A classical bit whose content is not known."""

    weight: int


class Function:
    """``left op right``: op is ``and``, ``or``, ``xor``, or ``not`` with no right side.

    Attributes:
        weight: Number of operators and bits in it.
    """

    __slots__ = ("left", "op", "right", "weight")

    def __init__(self, op: str, left: Bit, right: Bit | None = None) -> None:
        self.op = op
        self.left = left
        self.right = right
        self.weight: int = 1 + weight(left) + (0 if right is None else weight(right))


Bit = Union[bool, Atom, Function]  # noqa: UP007 (a Protocol in a union at run time)
Row = tuple[Bit, ...]
Hold = Callable[[Bit], Bit]
"""Replaces a large function by a bit that holds it, lest shared parts are written out twice."""


def weight(bit: Bit) -> int:
    """Return the size of a function."""
    return 0 if isinstance(bit, bool) else bit.weight


def atoms(bit: Bit) -> dict[Atom, None]:
    """Return the bits that a function looks at, in order."""
    found: dict[Atom, None] = {}
    stack = [bit]
    while stack:
        node = stack.pop()
        if isinstance(node, Function):
            if node.right is not None:
                stack.append(node.right)
            stack.append(node.left)
        elif not isinstance(node, bool):
            found[node] = None
    return found


# One bit


def invert(a: Bit) -> Bit:
    """Return NOT."""
    if isinstance(a, bool):
        return not a
    if isinstance(a, Function) and a.op == "not":
        return a.left
    return Function("not", a)


def _opposite(a: Bit, b: Bit) -> bool:
    return (isinstance(a, Function) and a.op == "not" and a.left is b) or (
        isinstance(b, Function) and b.op == "not" and b.left is a
    )


def both(a: Bit, b: Bit) -> Bit:
    """Return AND."""
    if isinstance(a, bool):
        return b if a else False
    if isinstance(b, bool):
        return a if b else False
    if a is b:
        return a
    return False if _opposite(a, b) else Function("and", a, b)


def either(a: Bit, b: Bit) -> Bit:
    """Return OR."""
    if isinstance(a, bool):
        return True if a else b
    if isinstance(b, bool):
        return True if b else a
    if a is b:
        return a
    return True if _opposite(a, b) else Function("or", a, b)


def flip(a: Bit, b: Bit) -> Bit:
    """Return XOR."""
    if isinstance(a, bool):
        return invert(b) if a else b
    if isinstance(b, bool):
        return invert(a) if b else a
    if a is b:
        return False
    return True if _opposite(a, b) else Function("xor", a, b)


def _balanced(join: Callable[[Bit, Bit], Bit], bits: Sequence[Bit], empty: bool) -> Bit:
    terms = list(bits)
    while len(terms) > 1:
        pairs = [join(left, right) for left, right in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[len(pairs) * 2 :]
    return terms[0] if terms else empty


def all_of(bits: Sequence[Bit]) -> Bit:
    """Return the AND of all, as a balanced tree."""
    return _balanced(both, bits, True)


def any_of(bits: Sequence[Bit]) -> Bit:
    """Return the OR of all, as a balanced tree."""
    return _balanced(either, bits, False)


def mux(choose: Bit, true: Row, false: Row, hold: Hold) -> Row:
    """Return ``true`` if ``choose`` holds, else ``false``."""
    if isinstance(choose, bool):
        return true if choose else false
    choose = hold(choose)
    return tuple(
        a if a is b else either(both(choose, a), both(invert(choose), b))
        for a, b in zip(true, false, strict=True)
    )


# Rows


def number(row: Row) -> int | None:
    """Return the row as an unsigned integer; ``None`` if a bit of it is not known."""
    value = 0
    for place, bit in enumerate(row):
        if not isinstance(bit, bool):
            return None
        if bit:
            value |= 1 << place
    return value


def constant(value: int, width: int) -> Row:
    """Return an integer, in two's complement, as a row."""
    return tuple(bool(value >> place & 1) for place in range(width))


def span(row: Row, signed: bool) -> int:
    """Return the width that suffices for a row: the bits above are its sign, or zeros."""
    top = row[-1] if signed else False
    width = len(row)
    while width > 1 and row[width - 1] is top:
        width -= 1
    return min(len(row), width + 1)


def resize(row: Row, width: int, signed: bool) -> Row:
    """Return a row cut, or extended by its sign or by zeros."""
    fill = row[-1] if signed else False
    return tuple([*row, *[fill] * (width - len(row))][:width])


def add(a: Row, b: Row, hold: Hold, carry: Bit = False) -> Row:
    """Return ``a + b + carry``, wrapped to the width."""
    total = []
    for left, right in zip(a, b, strict=True):
        half = flip(left, right)
        total.append(flip(half, carry))
        carry = hold(either(both(left, right), both(half, carry)))
    return tuple(total)


def negate(a: Row, hold: Hold) -> Row:
    """Return ``-a``."""
    return add(constant(0, len(a)), tuple(map(invert, a)), hold, True)


def multiply(a: Row, b: Row, hold: Hold) -> Row:
    """Return ``a * b``, wrapped to the width."""
    if sum(isinstance(bit, bool) for bit in a) > sum(isinstance(bit, bool) for bit in b):
        a, b = b, a
    total = constant(0, len(a))
    for place, bit in enumerate(b):
        if bit is False:
            continue
        moved = (False,) * place + a[: len(a) - place]
        part = tuple(both(bit, each) for each in moved)
        total = tuple(map(hold, add(total, part, hold)))
    return total


def equal(a: Row, b: Row) -> Bit:
    """Return ``a == b``."""
    return all_of([invert(flip(left, right)) for left, right in zip(a, b, strict=True)])


def less(a: Row, b: Row, signed: bool, hold: Hold) -> Bit:
    """Return ``a < b``."""
    if signed:
        a, b = (*a[:-1], invert(a[-1])), (*b[:-1], invert(b[-1]))
    result: Bit = False
    for left, right in zip(a, b, strict=True):
        same = invert(flip(left, right))
        result = hold(either(both(invert(left), right), both(same, result)))
    return result


def divide(a: Row, b: Row, hold: Hold) -> tuple[Row, Row]:
    """Return quotient and remainder of unsigned rows; by 0, all ones and ``a``."""
    width = len(a)
    wide = (*b, False)
    rest: Row = constant(0, width + 1)
    quotient: list[Bit] = [False] * width
    for place in reversed(range(width)):
        rest = (a[place], *rest[:-1])
        fits = hold(invert(less(rest, wide, False, hold)))
        quotient[place] = fits
        reduced = add(rest, tuple(map(invert, wide)), hold, True)
        rest = tuple(map(hold, mux(fits, reduced, rest, hold)))
    return tuple(quotient), rest[:width]


def popcount(a: Row, width: int, hold: Hold) -> Row:
    """Return the number of ones."""
    rows: list[Row] = [(bit,) for bit in a]
    while len(rows) > 1:
        size = len(rows[0]) + 1
        rows = [(*row, *[False] * (size - len(row))) for row in rows]
        pairs = [
            tuple(map(hold, add(left, right, hold)))
            for left, right in zip(rows[::2], rows[1::2], strict=False)
        ]
        rows = pairs + rows[len(pairs) * 2 :]
    count = rows[0] if rows else ()
    return tuple([*count, *[False] * width][:width])


def shift(a: Row, by: Row, left: bool, fill: Bit, turn: bool, hold: Hold) -> Row:
    """Return ``a`` shifted, or with ``turn`` rotated, by an unsigned number of places."""
    width = len(a)
    for place, bit in enumerate(by):
        if bit is False:
            continue
        distance = 1 << place if not turn else pow(2, place, width)
        a = tuple(map(hold, mux(bit, _moved(a, distance, left, fill, turn), a, hold)))
    return a


def _moved(a: Row, distance: int, left: bool, fill: Bit, turn: bool) -> Row:
    width = len(a)
    if turn:
        distance = (-distance if left else distance) % width
        return a[distance:] + a[:distance]
    distance = min(distance, width)
    filling = (fill,) * distance
    return filling + a[: width - distance] if left else a[distance:] + filling
