"""Refusals as a person reads them, on standard error."""

from __future__ import annotations

from typing import Any

import typer

from quantainer.cli.size import size
from quantainer_client.errors import QuantainerError

__all__ = ["MisuseError", "print_refusal", "said_of"]

_LISTED_MAX = 12


class MisuseError(QuantainerError):
    """A command that can never be right as it was given, whatever is on this node."""

    exit_code = 2


def print_refusal(error: QuantainerError) -> None:
    """Print what was refused, the limit, and the way out."""
    typer.echo(f"quantainer: {error.message}", err=True)
    figures = {"limit": error.limit, "needed": error.needed}
    in_bytes = error.code == "out_of_memory" or " bytes" in error.message
    said = [
        f"{name}: {_shown(value, in_bytes=in_bytes)}"
        for name, value in figures.items()
        if value is not None
    ]
    if said:
        typer.echo(f"  {'; '.join(said)}", err=True)
    if error.hint:
        typer.echo(f"  {error.hint}", err=True)


def said_of(error: OSError) -> str:
    """Return what this machine refused, as a sentence: a closed folder, a full disk."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}."


def _shown(value: Any, *, in_bytes: bool) -> str:
    """Return a limit for people; of a long list its beginning."""
    if in_bytes and type(value) is int:
        return f"{value} bytes ({size(value)})" if value >= 1024 else f"{value} bytes"
    if not isinstance(value, list):
        return str(value)
    more = f" and {len(value) - _LISTED_MAX} more" if len(value) > _LISTED_MAX else ""
    return ", ".join(map(str, value[:_LISTED_MAX])) + more
