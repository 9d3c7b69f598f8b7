"""Shots: turning what an engine returns into packed classical bits, reproducibly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from quantainer.core.seed import derive

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["bits_of_states", "bits_of_strings", "drawn", "from_counts", "generator"]


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Return numpy's counter-based generator for one purpose: the same bits everywhere."""
    return np.random.Generator(np.random.Philox(derive(seed, purpose)))


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


def bits_of_strings(counts: dict[str, int], seed: int) -> NDArray[np.uint8]:
    """Return ``uint8[shots, width]`` from counts by bitstring, bit 0 rightmost."""
    keys = sorted(counts)
    text = np.frombuffer("".join(keys).encode(), dtype=np.uint8).reshape(len(keys), -1)
    return (text[:, ::-1] - ord("0"))[_shuffled([counts[key] for key in keys], seed)]


def bits_of_states(states: NDArray[np.uint64], width: int) -> NDArray[np.uint8]:
    """Return the lowest ``width`` bits of each number, ``uint8[numbers, width]``, bit 0 first."""
    octets = states.astype("<u8").view(np.uint8).reshape(-1, 8)
    return np.unpackbits(octets, axis=1, bitorder="little", count=width)


def drawn(
    weights: NDArray[np.floating], shots: int, random: np.random.Generator
) -> NDArray[np.uint64]:
    """Draw indices by inverting the cumulated weights."""
    cumulated = np.cumsum(weights, dtype=np.float64)
    points = random.random(shots) * cumulated[-1]
    chosen: NDArray[np.uint64] = np.searchsorted(cumulated, points, "right").astype(np.uint64)
    return chosen


def _shuffled(counts: list[int], seed: int) -> NDArray[np.intp]:
    order = np.repeat(np.arange(len(counts)), counts)
    generator(seed, "order").shuffle(order)
    return order
