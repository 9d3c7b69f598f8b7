"""Angle: constant expressions of numbers and π, without a syntax tree."""

from __future__ import annotations

import math
import re

__all__ = ["angle"]

_NUMBER = re.compile(r"\s*(-?)\s*((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*")
_TERM = re.compile(
    r"\s*(-?)\s*(?:(\d+(?:\.\d*)?|\.\d+)\s*\*\s*)?(?:pi|π)\s*"
    r"(?:\*\s*(\d+(?:\.\d*)?|\.\d+)\s*)?(?:/\s*(\d+(?:\.\d*)?|\.\d+)\s*)?"
)


def angle(text: str) -> float | None:
    """Return the value of ``-1.5``, ``pi/2``, ``3*pi/4``, …; ``None`` for anything else.

    Also for what is not finite: it is refused where its place is known.

    The order of operations is that of the language, so that the value has the same bits.
    """
    value = _value(text)
    return value if value is not None and math.isfinite(value) else None


def _value(text: str) -> float | None:
    number = _NUMBER.fullmatch(text)
    if number is not None:
        value = float(number[2])
        return -value if number[1] else value
    term = _TERM.fullmatch(text)
    if term is None:
        return None
    sign, factor, times, divisor = term.groups()
    value = math.pi
    if factor is not None:
        value = (-float(factor) if sign else float(factor)) * value
    elif sign:
        value = -value
    if times is not None:
        value *= float(times)
    if divisor is not None:
        if not float(divisor):
            return None
        value /= float(divisor)
    return value
