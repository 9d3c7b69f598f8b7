"""Refusals: how a reader says no, with file, line, column, reason and way out."""

from __future__ import annotations

from typing import Any

from quantainer_client.errors import QuantainerError

__all__ = ["invalid", "over_limit", "position"]


def position(text: str, offset: int) -> tuple[int, int]:
    """Return line and column, both from 1, of a character offset."""
    line = text.count("\n", 0, offset) + 1
    return line, offset - (text.rfind("\n", 0, offset) + 1) + 1


def invalid(
    name: str,
    reason: str,
    *,
    line: int | None = None,
    column: int | None = None,
    hint: str | None = None,
    code: str = "invalid_circuit",
) -> QuantainerError:
    """Return the error ``file:line:column: reason``; line and column count from 1."""
    place = [name or "<circuit>"]
    if line is not None:
        place.append(str(line))
        if column is not None:
            place.append(str(column))
    end = "" if reason.endswith((".", "!", "?")) else "."
    return QuantainerError(code, f"{':'.join(place)}: {reason}{end}", hint=hint)


def over_limit(
    name: str,
    thing: str,
    option: str,
    *,
    limit: Any,
    needed: Any,
    line: int | None = None,
    column: int | None = None,
) -> QuantainerError:
    """Return the error for a limit of :class:`~quantainer.circuits.options.ReadOptions`."""
    error = invalid(
        name,
        f"too many {thing}: the limit is {limit}, this circuit needs {needed}.",
        line=line,
        column=column,
        hint=f"Raise `{option}` if you trust the file.",
        code="too_large",
    )
    error.limit, error.needed = limit, needed
    return error
