"""Spelling: what a name that does not exist was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["guess", "listed"]

_LISTED_MAX = 20


def guess(name: str, known: Iterable[str]) -> str:
    """Return ``Did you mean 'fake_lima'? `` with a space behind it, or nothing if none is near."""
    nearest = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {nearest[0]!r}? " if nearest else ""


def listed(names: Iterable[str]) -> str:
    """Return names for people: the first twenty, and how many more there are.

    In the order of the alphabet, but emulated devices, of which there are many, come last.
    """
    every = sorted(names, key=lambda name: (name.startswith("fake_"), name))
    more = f" and {len(every) - _LISTED_MAX} more" if len(every) > _LISTED_MAX else ""
    return (", ".join(every[:_LISTED_MAX]) or "none") + more
