"""Size: a number of bytes as a person reads it."""

from __future__ import annotations

__all__ = ["size"]


def size(count: int) -> str:
    """Return a number of bytes for people, in the largest unit that it reaches."""
    if count < 1024:
        return f"{count} B"
    amount = float(count)
    for unit in ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB"):
        amount /= 1024
        if amount < 1024:
            return f"{amount:.1f} {unit}"
    return "over 1024 EiB"
