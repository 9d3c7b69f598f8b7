"""Console: tables and colours for people, plain text for pipes."""

from __future__ import annotations

from rich import console

__all__ = ["Console"]


class Console(console.Console):
    """Standard output by rich."""

    def on_broken_pipe(self) -> None:
        """Leave to the command line what it means that nobody reads: rich would exit 1."""
        raise BrokenPipeError
