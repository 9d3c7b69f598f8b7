"""Size: a number of bytes as a person reads it."""

from __future__ import annotations

__all__ = ["size"]

_COUNTED_MAX = 1 << 62
"""Where what a simulation needs is no longer counted (``backends/memory.py``)."""


def size(count: int) -> str:
    """Return a number of bytes for people, in the largest unit that it reaches."""
    if count < 1024:
        return f"{count} B"
    amount = float(count)
    for unit in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        amount /= 1024
        if amount < 1024:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1024:.1f} EiB" if count < _COUNTED_MAX else "4 EiB or more"
