"""Affine: what measuring a stabilizer state yields, without simulating any shot.

The outcomes of a stabilizer state in the computational basis are uniform over an affine subspace of
bit strings (Dehaene, De Moor, Phys. Rev. A 68, 042318, 2003). One outcome and a basis of the
directions are all there is to know; a shot is that outcome, plus each direction or not by a fair
coin.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import shake_128
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Affine", "eliminated"]

_GROUP = 8
"""Directions that one byte of coins decides on, by a table of their 256 sums."""
_BLOCK = 4096
"""Shots that are drawn at a time, so that they stay in the processor's cache."""


class Affine:
    """An affine subspace of bit strings.

    Args:
        origin: ``uint8[bytes]``: one outcome, bit-packed, lowest bit first.
        directions: ``uint8[k, bytes]``: linearly independent differences of outcomes.
    """

    def __init__(self, origin: NDArray[np.uint8], directions: NDArray[np.uint8]) -> None:
        self._width = len(origin)
        self._origin = _words(origin[None])[0]
        self._tables = [
            _sums(_words(directions[first : first + _GROUP]))
            for first in range(0, len(directions), _GROUP)
        ]
        self.bytes = 200 + sum(table.nbytes for table in self._tables)

    @classmethod
    def spanned(cls, origin: NDArray[np.uint8], vectors: NDArray[np.uint8]) -> Self:
        """Build it from vectors ``uint8[n, bytes]`` that may depend on each other."""
        return cls(origin, _independent(vectors))

    def sample(self, shots: int, seed: int) -> NDArray[np.uint8]:
        """Return ``uint8[shots, bytes]``; the coins are SHAKE128 of the seed and the block."""
        outcomes = np.empty((shots, len(self._origin)), dtype=np.uint64)
        outcomes[:] = self._origin
        for number, first in enumerate(range(0, shots, _BLOCK)):
            self._toss(outcomes[first : first + _BLOCK], seed, number)
        return np.ascontiguousarray(outcomes.view(np.uint8)[:, : self._width])

    def _toss(self, block: NDArray[np.uint64], seed: int, number: int) -> None:
        """Add directions to each shot of a block."""
        groups, shots = len(self._tables), len(block)
        source = seed.to_bytes(8, "little") + number.to_bytes(8, "little")
        coins = np.frombuffer(shake_128(source).digest(groups * shots), dtype=np.uint8)
        for table, drawn in zip(self._tables, coins.reshape(groups, shots), strict=True):
            block ^= table.take(drawn, axis=0)


def _words(rows: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return packed rows as words, so that sums take few operations."""
    padded = np.zeros((len(rows), -(-rows.shape[1] // 8) * 8), dtype=np.uint8)
    padded[:, : rows.shape[1]] = rows
    return padded.view(np.uint64)


def _sums(directions: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the sum of each subset: row ``i`` adds the directions that are the 1 bits of ``i``.

    With fewer directions than a byte has bits the table repeats, and every byte has its row.
    """
    table = np.zeros((1, directions.shape[1]), dtype=np.uint64)
    for direction in directions:
        table = np.concatenate([table, table ^ direction])
    return np.tile(table, (1 << (_GROUP - len(directions)), 1))


def _independent(vectors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a basis of what packed vectors span, by elimination on integers."""
    width = vectors.shape[1]
    basis = eliminated(int.from_bytes(row.tobytes(), "little") for row in vectors if row.any())
    packed = b"".join(row.to_bytes(width, "little") for row in basis)
    return np.frombuffer(packed, dtype=np.uint8).reshape(len(basis), width)


def eliminated(rows: Iterable[int]) -> list[int]:
    """Return independent rows that span the same space over the field of two elements."""
    by_highest: dict[int, int] = {}
    for row in rows:
        rest = row
        while rest:
            pivot = by_highest.setdefault(rest.bit_length(), rest)
            if pivot is rest:
                break
            rest ^= pivot
    return list(by_highest.values())
