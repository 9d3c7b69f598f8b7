"""Reasons to refuse a statement; where it stands is looked for afterwards."""

from __future__ import annotations

__all__ = ["StatementError", "angles_missing", "not_finite"]


class StatementError(Exception):
    """A reason to refuse that the interpreter found; the line is looked for afterwards."""

    def __init__(self, reason: str, hint: str | None = None, code: str = "invalid_circuit") -> None:
        super().__init__(reason)
        self.reason, self.hint, self.code = reason, hint, code


def angles_missing(name: str, angles: int) -> StatementError:
    """Return the refusal of a call without parameters, which the parser lets pass."""
    return StatementError(f"gate '{name}' takes {angles} parameters, and is called without them")


def not_finite(angle: float) -> StatementError:
    """Return the refusal of an infinite angle, or of one that is no number."""
    return StatementError(f"an angle is {angle}", "Angles must be finite numbers.")
