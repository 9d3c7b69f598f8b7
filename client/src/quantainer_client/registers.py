"""Bit-packed classical registers: to counts and bit strings, at any width.

A register is ``uint8[shots, bytes]``: bit ``i`` of a shot is bit ``i % 8`` of its byte ``i // 8``.
Strings are in Qiskit's order: bit 0 rightmost; several registers separated by a space, the one
declared last first. Registers without bits take no part in strings.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from struct import iter_unpack, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Sequence, Tuple

    Column = Tuple[int, Any]

__all__ = ["bitstring", "bitstrings", "count", "integers", "width"]


_BLOCK = 256


def width(bits: int) -> int:
    """Return the bytes that a register of so many bits takes in each shot."""
    return (bits + 7) // 8


def bitstring(shot: bytes, bits: int) -> str:
    """Return one shot of one register as a string, bit 0 rightmost."""
    value = int.from_bytes(shot, "little") & ((1 << bits) - 1)
    return f"{value:0{bits}b}"


def integers(data: Any, bits: int) -> List[int]:
    """Return each shot of one register as an integer of any size, bit 0 lowest."""
    mask = (1 << bits) - 1
    return [int.from_bytes(shot, "little") & mask for shot in _shots(data, bits)]


def bitstrings(columns: Sequence[Column], shots: int) -> List[str]:
    """Return each shot as a string over all registers, given as ``(bits, data)`` as declared."""
    columns = [column for column in columns if column[0]]
    if not columns:
        return [""] * shots
    texts = [[bitstring(shot, bits) for shot in _shots(data, bits)] for bits, data in columns]
    return [" ".join(parts) for parts in zip(*reversed(texts))]


def count(columns: Sequence[Column], shots: int) -> Dict[str, int]:
    """Return how often each outcome occurred over all registers, given as ``(bits, data)``.

    Distinct outcomes are found on the packed bytes and only those are written as strings.
    """
    columns = [column for column in columns if column[0]]
    if not columns:
        return {"": shots} if shots else {}
    rows = [_shots(data, bits) for bits, data in columns]
    widths = [bits for bits, _ in columns]
    counts: Dict[str, int] = {}
    if len(rows) == 1:
        for shot, times in Counter(rows[0]).items():
            key = bitstring(shot, widths[0])
            counts[key] = counts.get(key, 0) + times
        return counts
    for outcome, times in Counter(zip(*rows)).items():
        parts = [bitstring(shot, bits) for shot, bits in zip(outcome, widths)]
        key = " ".join(reversed(parts))
        counts[key] = counts.get(key, 0) + times
    return counts


def _shots(data: Any, bits: int) -> Iterator[bytes]:
    """Go through the shots; unpacking them in blocks is half again as fast as one by one."""
    size = width(bits)
    view = memoryview(data).cast("B")
    rest = len(view) // size % _BLOCK
    whole = len(view) - rest * size
    blocks = iter_unpack(f"{size}s" * _BLOCK, view[:whole])
    return chain(chain.from_iterable(blocks), unpack(f"{size}s" * rest, view[whole:]))
