"""Shots: turning what an engine returns into packed classical bits, reproducibly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from quantainer.core.seed import derive

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["from_counts", "generator", "indices_of_counts", "packed_memory"]


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Return numpy's counter-based generator for one purpose: the same bits everywhere."""
    return np.random.Generator(np.random.Philox(derive(seed, purpose)))


def packed_memory(memory: int, clbits: int) -> NDArray[np.uint8]:
    """Return a classical memory (bit ``i`` = classical bit ``i``) as bytes."""
    return np.frombuffer(memory.to_bytes((clbits + 7) // 8, "little"), dtype=np.uint8)


def from_counts(counts: Iterable[tuple[int, int]], clbits: int, seed: int) -> NDArray[np.uint8]:
    """Return packed shots from ``(memory, count)`` pairs.

    Shots of one circuit are exchangeable, so counts shuffled are shots. The pairs are sorted first:
    an engine's hash table may list them in a new order at each run.
    """
    pairs = sorted(counts)
    width = (clbits + 7) // 8
    rows = np.frombuffer(
        b"".join(memory.to_bytes(width, "little") for memory, _ in pairs), dtype=np.uint8
    ).reshape(len(pairs), width)
    return rows[_shuffled([count for _, count in pairs], seed)]


def indices_of_counts(pairs: list[tuple[int, int]], seed: int) -> NDArray[np.uint64]:
    """Return basis states in shot order from sorted ``(state, count)`` pairs of ≤ 64 bits."""
    states = np.array([state for state, _ in pairs], dtype=np.uint64)
    return states[_shuffled([count for _, count in pairs], seed)]


def _shuffled(counts: list[int], seed: int) -> NDArray[np.intp]:
    order = np.repeat(np.arange(len(counts)), counts)
    generator(seed, "order").shuffle(order)
    return order
