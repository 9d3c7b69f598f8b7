"""Text: what every reader of text checks before a parser sees it."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from quantainer.circuits.refusal import invalid, over_limit, position

__all__ = ["check_nesting", "check_operators", "decode", "without_comments"]

_COMMENT = re.compile(r'"[^"\n]*"|//[^\n]*')

_OPEN, _CLOSE = b"([{", b")]}"
_OPERATORS = b"+-*/^~!(<>=&|"
_ENDS = b";{}"
_MAX_OPERATORS = 2000
"""Operators in one statement. Recursive parsers go a level deeper at each, and overflow the
stack."""


def decode(data: bytes, name: str) -> str:
    """Return the text without byte order mark.

    Raises:
        QuantainerError: ``invalid_circuit`` with line and column of bytes that are not UTF-8.
    """
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", errors="replace")
        line, column = position(before, len(before))
        reason = f"byte 0x{data[error.start]:02x} is not UTF-8 text"
        raise invalid(name, reason, line=line, column=column) from None


def check_nesting(text: str, name: str, max_nesting: int) -> None:
    """Refuse text that would overflow the stack of a recursive parser, by one linear scan.

    Brackets in comments count too, unless they were blanked (:func:`without_comments`).

    Raises:
        QuantainerError: ``too_large`` with the line where the limit is passed.
    """
    codes = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
    steps = _count(codes, _OPEN).astype(np.int8) - _count(codes, _CLOSE).astype(np.int8)
    depth = np.cumsum(steps, dtype=np.int32)
    deepest = int(depth.max(initial=0))
    if deepest > max_nesting:
        line = _line(codes, int(np.argmax(depth > max_nesting)))
        raise over_limit(
            name, "nested brackets", "max_nesting", limit=max_nesting, needed=deepest, line=line
        )


def check_operators(text: str, name: str) -> None:
    """Refuse statements that would overflow the stack of a recursive parser, by one linear scan.

    Raises:
        QuantainerError: ``too_large`` with the line where the limit is passed.
    """
    codes = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
    # Operators since the last end of a statement.
    total = np.cumsum(_count(codes, _OPERATORS), dtype=np.int64)
    base = np.maximum.accumulate(np.where(_count(codes, _ENDS), total, 0))
    since = total - base
    most = int(since.max(initial=0))
    if most > _MAX_OPERATORS:
        raise invalid(
            name,
            f"a statement has {most} operators; the limit is {_MAX_OPERATORS}",
            line=_line(codes, int(np.argmax(since > _MAX_OPERATORS))),
            hint="Write intermediate results to constants or simplify the expression.",
            code="too_large",
        )


def without_comments(text: str) -> str:
    """Return the text with blanks for what follows ``//``; every position stays what it was."""
    if "//" not in text:
        return text
    return _COMMENT.sub(_blanked, text)


def _blanked(found: re.Match[str]) -> str:
    return found[0] if found[0][0] == '"' else " " * len(found[0])


def _count(codes: NDArray[np.uint8], characters: bytes) -> NDArray[np.bool_]:
    table = np.zeros(256, dtype=bool)
    table[list(characters)] = True
    return table[codes]


def _line(codes: NDArray[np.uint8], offset: int) -> int:
    return int(np.count_nonzero(codes[:offset] == ord("\n"))) + 1
