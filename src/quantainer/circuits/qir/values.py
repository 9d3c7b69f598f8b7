"""Values while a program is followed: numbers that are known, and bits that a run will decide.

An integer is a Python number as long as all of its bits are known. Otherwise it is a tuple of bits,
lowest first, each a bool or a formula over measured results. The simplifications keep formulas
small; what grows all the same is refused.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = [
    "COMPARISONS",
    "Bit",
    "Cell",
    "Formula",
    "Handle",
    "Unknown",
    "UnknownValueError",
    "add",
    "all_of",
    "any_of",
    "bits_in",
    "bits_of",
    "choose",
    "combine",
    "compare",
    "invert",
    "number_of",
    "replaced",
]

_MAX_NODES = 2000
_BITWISE = {"and": operator.and_, "or": operator.or_, "xor": operator.xor}
COMPARISONS = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}


class UnknownValueError(Exception):
    """A value that would have to be known before the circuit runs, or that is too complex."""


@dataclass(frozen=True, slots=True)
class Bit:
    """The result of a measurement.

    Attributes:
        clbit: The classical bit.
        version: Which of the measurements into it.
        loop: The loop in whose body it was read, 0 outside of all; later loops have higher numbers.
    """

    clbit: int
    version: int
    loop: int = 0


@dataclass(frozen=True, slots=True)
class Formula:
    """``not``, ``and`` or ``or`` of bits and formulas."""

    kind: str
    terms: tuple[Any, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that two ways left different and that cannot be told by a formula."""

    reason: str


@dataclass(frozen=True, slots=True)
class Handle:
    """A qubit, result or classical register that the program was given: what and which."""

    kind: str
    index: int


@dataclass(frozen=True, slots=True)
class Cell:
    """A place in memory: an element of a region that ``alloca`` or a global made."""

    region: Any
    index: int


def invert(bit: Any) -> Any:
    """Return the opposite of a bit."""
    if isinstance(bit, bool):
        return not bit
    if isinstance(bit, Formula) and bit.kind == "not":
        return bit.terms[0]
    return _formula("not", (bit,))


def all_of(*bits: Any) -> Any:
    """Return whether all bits are 1."""
    terms = tuple(dict.fromkeys(bit for bit in bits if bit is not True))
    if False in terms or any(invert(term) in terms for term in terms if _is_simple(term)):
        return False
    if not terms:
        return True
    return terms[0] if len(terms) == 1 else _formula("and", terms)


def any_of(*bits: Any) -> Any:
    """Return whether at least one bit is 1."""
    return invert(all_of(*(invert(bit) for bit in bits)))


def _is_simple(term: Any) -> bool:
    return isinstance(term, Bit) or (isinstance(term, Formula) and term.kind == "not")


def _differ(left: Any, right: Any) -> Any:
    if left is True or left is False:
        return invert(right) if left else right
    if right is True or right is False:
        return invert(left) if right else left
    if left == right:
        return False
    return any_of(all_of(left, invert(right)), all_of(invert(left), right))


def _formula(kind: str, terms: tuple[Any, ...]) -> Formula:
    size = 1 + sum(term.size if isinstance(term, Formula) else 1 for term in terms)
    if size > _MAX_NODES:
        raise UnknownValueError("a value depends on measured results in too complex a way")
    return Formula(kind, terms, size)


def bits_in(value: Any) -> Iterator[Bit]:
    """Go through the measured bits that a value depends on."""
    ahead = [value]
    while ahead:
        found = ahead.pop()
        if isinstance(found, Bit):
            yield found
        elif isinstance(found, Formula):
            ahead += found.terms
        elif isinstance(found, tuple):
            ahead += found


def replaced(value: Any, replace: Callable[[Bit], Bit]) -> Any:
    """Return a value with other bits in place of those that it depends on."""
    if isinstance(value, Bit):
        return replace(value)
    if isinstance(value, Formula):
        terms = tuple(replaced(term, replace) for term in value.terms)
        return value if terms == value.terms else Formula(value.kind, terms, value.size)
    if isinstance(value, tuple):
        return tuple(replaced(term, replace) for term in value)
    return value


# --- Integers
# --------------------------------------------------------------------------------------


def bits_of(value: Any, size: int) -> tuple[Any, ...]:
    """Return the bits of an integer, lowest first."""
    if isinstance(value, tuple):
        # A value that two ways left is as wide as what it may be: its higher bits are 0.
        return (*value, *(False,) * (size - len(value)))
    if isinstance(value, bool | int):
        return tuple(bool(value >> index & 1) for index in range(size))
    if isinstance(value, Bit | Formula):
        return (value, *(False,) * (size - 1))
    if isinstance(value, Unknown):
        raise UnknownValueError(value.reason)
    raise UnknownValueError("an integer is used that has no value")


def number_of(bits: tuple[Any, ...]) -> Any:
    """Return a number if all bits are known, a single bit as itself, else the bits."""
    if all(isinstance(bit, bool) for bit in bits):
        return sum(1 << index for index, bit in enumerate(bits) if bit)
    return bits[0] if len(bits) == 1 else bits


def combine(kind: str, left: Any, right: Any, size: int) -> Any:
    """Return ``and``, ``or`` or ``xor`` bit by bit."""
    if isinstance(left, int) and isinstance(right, int):
        return int(_BITWISE[kind](left, right))
    join = {"and": all_of, "or": any_of, "xor": _differ}[kind]
    pairs = zip(bits_of(left, size), bits_of(right, size), strict=True)
    return number_of(tuple(join(a, b) for a, b in pairs))


def choose(condition: Any, yes: Any, no: Any, size: int) -> Any:
    """Return one of two values; an undefined one may be taken for the other.

    ``size`` is the width of integers, 0 for other types.
    """
    if condition is True or yes == no or no is None:
        return yes
    if condition is False or yes is None:
        return no
    numbers = (bool, int, tuple, Bit, Formula)
    if not isinstance(yes, numbers) or not isinstance(no, numbers) or not size:
        raise UnknownValueError("a qubit, pointer or angle depends on a measured result")
    pairs = zip(bits_of(yes, size), bits_of(no, size), strict=True)
    return number_of(
        tuple(
            a if a == b else any_of(all_of(condition, a), all_of(invert(condition), b))
            for a, b in pairs
        )
    )


def add(left: Any, right: Any, size: int, carry: Any = False) -> Any:
    """Return the sum, modulo 2^size."""
    total = []
    for a, b in zip(bits_of(left, size), bits_of(right, size), strict=True):
        half = _differ(a, b)
        total.append(_differ(half, carry))
        carry = any_of(all_of(a, b), all_of(half, carry))
    return number_of(tuple(total))


def compare(predicate: str, left: Any, right: Any, size: int) -> Any:
    """Return the truth of ``icmp``."""
    if isinstance(left, int) and isinstance(right, int):
        flip = 1 << (size - 1) if predicate[0] == "s" else 0  # moves the lowest number to 0
        rule: Callable[[int, int], bool] = COMPARISONS[predicate[-2:]]
        return rule(left ^ flip, right ^ flip)
    a, b = bits_of(left, size), bits_of(right, size)
    if predicate in ("eq", "ne"):
        equal = all_of(*(invert(_differ(x, y)) for x, y in zip(a, b, strict=True)))
        return equal if predicate == "eq" else invert(equal)
    if predicate[0] == "s":  # signed: the highest bit counts the other way round
        a, b = (*a[:-1], invert(a[-1])), (*b[:-1], invert(b[-1]))
    if predicate[1:] in ("gt", "le"):
        a, b = b, a
    less: Any = False
    for x, y in zip(a, b, strict=True):
        less = any_of(all_of(invert(x), y), all_of(invert(_differ(x, y)), less))
    return less if predicate[1:] in ("lt", "gt") else invert(less)
