"""Tokens of LLVM IR's text form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from quantainer.circuits.qir.syntax import SyntaxFaultError

__all__ = ["Token", "tokens"]

_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\r]+|;[^\n]*)
    | (?P<newline>\n)
    | (?P<text>c?"[^"\n]*")
    | (?P<label>(?:[-a-zA-Z$._0-9]+|"[^"\n]*"):(?!:))
    | (?P<local>%(?:[-a-zA-Z$._0-9]+|"[^"\n]*"))
    | (?P<global>@(?:[-a-zA-Z$._0-9]+|"[^"\n]*"))
    | (?P<number>0x[KLMHR]?[0-9A-Fa-f]+|[-+]?[0-9]+(?:\.[0-9]*(?:[eE][-+]?[0-9]+)?)?)
    | (?P<group>\#[0-9]+)
    | (?P<metadata>![-a-zA-Z$._0-9]*)
    | (?P<word>[a-zA-Z_.$][-a-zA-Z$._0-9]*)
    | (?P<mark>\.\.\.|[][(){}<>,=*|:])
    """,
    re.VERBOSE,
)


class Token(NamedTuple):
    """One token and the line it stands on."""

    kind: str
    text: str
    line: int


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens, then one of the kind ``end``.

    Raises:
        SyntaxFaultError: At a character that begins no token.
    """
    line, at, size = 1, 0, len(text)
    match = _TOKEN.match
    while at < size:
        found = match(text, at)
        if found is None:
            raise SyntaxFaultError(f"{text[at]!r} begins nothing in LLVM IR", line)
        kind = str(found.lastgroup)
        if kind == "newline":
            line += 1
        elif kind != "space":
            yield Token(kind, found[0], line)
        at = found.end()
    yield Token("end", "the end of the file", line)
