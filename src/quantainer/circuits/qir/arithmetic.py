"""Arithmetic on values: numbers are calculated, sums and shifts of open bits become formulas."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from quantainer.circuits.qir import values
from quantainer.circuits.qir.syntax import Instruction, SyntaxFaultError
from quantainer.circuits.qir.values import Bit, Formula, UnknownValueError

__all__ = ["compute", "known", "same"]


def compute(step: Instruction, operands: list[Any]) -> Any:
    """Return the result of an instruction that only calculates.

    Raises:
        SyntaxFaultError: For an unknown instruction, or one without a result, such as a division
            by 0.
        UnknownValueError: If a number must be known and is not.
    """
    rule = _OPEN_RULES.get(step.opcode)
    is_open = any(isinstance(operand, tuple | Bit | Formula) for operand in operands)
    if rule is not None and (is_open or step.opcode not in _INTEGER_RULES):
        return rule(step, operands)
    numbers = [known(operand) for operand in operands]
    return _arithmetic(step, numbers, step.operands[0].type.size)


def known(value: Any) -> Any:
    """Return a number that does not depend on any measurement."""
    if isinstance(value, bool | int | float):
        return value
    raise UnknownValueError(
        "a number depends on a measured result, or has no value, where it must be known"
    )


def same(left: Any, right: Any) -> bool:
    """Compare values; bits count as equal if both are what the classical bit holds."""
    if isinstance(left, Bit) and isinstance(right, Bit):
        return left.clbit == right.clbit
    if isinstance(left, Formula) and isinstance(right, Formula):
        return left.kind == right.kind and same(left.terms, right.terms)
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, int) and isinstance(right, int):
        return int(left) == int(right)
    return bool(type(left) is type(right) and left == right)


def _compared(step: Instruction, operands: list[Any]) -> Any:
    left, right = operands
    kind = step.operands[0].type
    if kind.kind == "ptr":
        return (left == right) == (step.flavour == "eq")
    return values.compare(step.flavour, left, right, kind.size)


def _combined(step: Instruction, operands: list[Any]) -> Any:
    left, right = operands
    return values.combine(step.opcode, left, right, step.operands[0].type.size)


def _selected(step: Instruction, operands: list[Any]) -> Any:
    (condition,) = values.bits_of(operands[0], 1)
    kind = step.operands[1].type
    size = kind.size if kind.kind == "int" else 0
    return values.choose(condition, operands[1], operands[2], size)


def _resized(step: Instruction, operands: list[Any]) -> Any:
    size = step.operands[0].type.size
    target = step.type.size if step.type is not None else size
    bits = values.bits_of(operands[0], size)
    if step.opcode == "trunc":
        return values.number_of(bits[:target])
    fill = bits[-1] if step.opcode == "sext" else False
    return values.number_of((*bits, *(fill,) * (target - size)))


def _summed(step: Instruction, operands: list[Any]) -> Any:
    left, right = operands
    size = step.operands[0].type.size
    if step.opcode == "add":
        return values.add(left, right, size)
    flipped = values.number_of(tuple(map(values.invert, values.bits_of(right, size))))
    return values.add(left, flipped, size, True)


def _arithmetic(step: Instruction, operands: list[Any], size: int) -> Any:
    """Calculate with numbers that are known."""
    opcode = step.opcode
    try:
        if opcode in _INTEGER_RULES:
            return int(_INTEGER_RULES[opcode](*operands, size)) % (1 << size)
        if opcode == "fcmp":
            # Numbers are finite, so ordered and unordered are the same.
            return values.COMPARISONS[step.flavour[1:]](*operands)
        if opcode == "sitofp":
            return float(_signed(operands[0], size))
        found = _FLOAT_RULES[opcode](*operands)
    except KeyError:
        raise SyntaxFaultError(f"instruction {opcode!r} is not supported", step.line) from None
    except (ZeroDivisionError, OverflowError, ValueError) as error:
        raise SyntaxFaultError(f"{opcode}: {error}", step.line) from None
    if opcode in ("fptosi", "fptoui"):
        return int(found) % (1 << (step.type.size if step.type else 64))
    if not math.isfinite(found):
        raise SyntaxFaultError(f"{opcode} gives {found}", step.line)
    return found


def _signed(value: int, size: int) -> int:
    return value - (1 << size) if value >> (size - 1) & 1 else value


def _quotient(left: int, right: int, size: int) -> int:
    a, b = _signed(left, size), _signed(right, size)
    whole = abs(a) // abs(b)
    return whole if (a < 0) == (b < 0) else -whole


def _checked_shift(distance: int, size: int) -> int:
    if distance >= size:
        raise ValueError("a shift by the whole width or more")
    return distance


_INTEGER_RULES: dict[str, Any] = {
    "add": lambda a, b, _: a + b,
    "sub": lambda a, b, _: a - b,
    "mul": lambda a, b, _: a * b,
    "udiv": lambda a, b, _: a // b,
    "urem": lambda a, b, _: a % b,
    "sdiv": _quotient,
    "srem": lambda a, b, n: _signed(a, n) - _quotient(a, b, n) * _signed(b, n),
    "shl": lambda a, b, n: a << _checked_shift(b, n),
    "lshr": lambda a, b, n: a >> _checked_shift(b, n),
    "ashr": lambda a, b, n: _signed(a, n) >> _checked_shift(b, n),
}
_FLOAT_RULES: dict[str, Any] = {
    "fadd": lambda a, b: a + b,
    "fsub": lambda a, b: a - b,
    "fmul": lambda a, b: a * b,
    "fdiv": lambda a, b: a / b,
    "frem": math.fmod,
    "fneg": lambda a: -a,
    "fpext": float,
    "fptrunc": float,
    "fptosi": math.trunc,
    "fptoui": math.trunc,
    "uitofp": float,
}
_OPEN_RULES: dict[str, Callable[[Instruction, list[Any]], Any]] = {
    "icmp": _compared,
    "select": _selected,
    **dict.fromkeys(("and", "or", "xor"), _combined),
    **dict.fromkeys(("zext", "sext", "trunc"), _resized),
    **dict.fromkeys(("add", "sub"), _summed),
    **dict.fromkeys(
        ("freeze", "bitcast", "addrspacecast", "inttoptr", "ptrtoint"),
        lambda _, operands: operands[0],
    ),
}
