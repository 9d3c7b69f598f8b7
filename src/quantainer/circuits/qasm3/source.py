"""Source: one file's text, and refusals that point into it."""

from __future__ import annotations

from bisect import bisect_right
from difflib import get_close_matches
from functools import cached_property

from quantainer.circuits.refusal import invalid
from quantainer_client.errors import QuantainerError

__all__ = ["Source", "nearest"]


class Source:
    """A text with a name.

    Attributes:
        name: What messages call it: a file name, or ``<circuit>``.
        text: The decoded text.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text

    @classmethod
    def decode(cls, name: str, data: bytes) -> Source:
        """Decode UTF-8, with or without a byte order mark.

        Raises:
            QuantainerError: ``invalid_circuit`` at the first byte that is not UTF-8.
        """
        try:
            return cls(name, data.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            before = data[: error.start]
            raise invalid(
                name,
                f"byte 0x{data[error.start]:02x} is not UTF-8 text",
                line=before.count(b"\n") + 1,
                column=error.start - (before.rfind(b"\n") + 1) + 1,
                hint="Save the file as UTF-8.",
            ) from None

    @cached_property
    def _newlines(self) -> list[int]:
        found, at = [], self.text.find("\n")
        while at >= 0:
            found.append(at)
            at = self.text.find("\n", at + 1)
        return found

    def place(self, offset: int) -> tuple[int, int]:
        """Return line and column, both from 1."""
        line = bisect_right(self._newlines, offset - 1)
        start = self._newlines[line - 1] + 1 if line else 0
        return line + 1, offset - start + 1

    def line(self, offset: int) -> int:
        """Return the line, from 1."""
        return self.place(offset)[0]

    def invalid(self, offset: int, reason: str, hint: str | None = None) -> QuantainerError:
        """Return the error for text that is not valid OpenQASM 3."""
        return self._error("invalid_circuit", offset, reason, hint)

    def unsupported(self, offset: int, reason: str, hint: str | None = None) -> QuantainerError:
        """Return the error for a valid construct that cannot be run."""
        return self._error("unsupported_circuit", offset, reason, hint)

    def too_large(
        self, offset: int, thing: str, option: str, limit: int, needed: int | None = None
    ) -> QuantainerError:
        """Return the error for a limit of ``ReadOptions``."""
        hint = f"Raise `{option}` if you trust the file."
        error = self._error("too_large", offset, f"more than {limit} {thing}", hint)
        error.limit, error.needed = limit, needed
        return error

    def _error(self, code: str, offset: int, reason: str, hint: str | None) -> QuantainerError:
        line, column = self.place(offset)
        if hint is not None:
            reason += "."
        return invalid(self.name, reason, line=line, column=column, hint=hint, code=code)


def nearest(name: str, known: object) -> str | None:
    """Return the hint ``Did you mean …?`` if a known name is close."""
    names = [other for other in known if isinstance(other, str)]  # type: ignore[attr-defined]
    lower = {other.lower(): other for other in names}
    if name.lower() in lower:
        return f"Did you mean `{lower[name.lower()]}`?"
    found = get_close_matches(name, names, n=1, cutoff=0.6)
    return f"Did you mean `{found[0]}`?" if found else None
