"""Lexer: text to tokens in one linear pass.

The token rules are those of the OpenQASM 3 grammar. Comments vanish here; pragmas, annotations and
calibration blocks, whose insides are not OpenQASM, become one token each.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from quantainer.circuits.qasm3.source import Source

__all__ = ["KEYWORDS", "TYPE_WORDS", "Token", "tokenize"]

TYPE_WORDS = frozenset(
    ("bool", "bit", "int", "uint", "float", "angle", "complex", "duration", "stretch", "array")
) | {"qubit"}
KEYWORDS = TYPE_WORDS | frozenset(
    (
        *("OPENQASM", "include", "defcalgrammar", "def", "cal", "defcal", "gate", "extern", "box"),
        *("let", "break", "continue", "if", "else", "end", "return", "for", "while", "in"),
        *("switch", "case", "default", "nop", "pragma", "input", "output", "const", "readonly"),
        *("mutable", "qreg", "creg", "void", "gphase", "inv", "pow", "ctrl", "negctrl"),
        *("durationof", "delay", "reset", "measure", "barrier", "true", "false"),
    )
)

_IDENTIFIER = r"[^\W\d]\w*"
_DIGITS = r"[0-9](?:_?[0-9])*"
_TOKEN = re.compile(
    rf"""
    (?P<space>\s+|//[^\r\n]*)
  | (?P<comment>/\*)
  | (?P<pragma>\#?pragma\b[^\r\n]*)
  | (?P<name>{_IDENTIFIER})
  | (?P<timing>(?:{_DIGITS}\.(?:{_DIGITS})?|\.{_DIGITS}|{_DIGITS})(?:[eE][+-]?{_DIGITS})?[ \t]*
      (?:dt|ns|us|µs|μs|ms|s)(?!\w))
  | (?P<imaginary>(?:{_DIGITS}\.(?:{_DIGITS})?|\.{_DIGITS}|{_DIGITS})(?:[eE][+-]?{_DIGITS})?[ \t]*
      im(?!\w))
  | (?P<real>(?:(?:{_DIGITS}\.(?:{_DIGITS})?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?
      |{_DIGITS}[eE][+-]?{_DIGITS})(?!\w))
  | (?P<integer>(?:0[bB][01](?:_?[01])*|0[oO][0-7](?:_?[0-7])*|0[xX][0-9a-fA-F](?:_?[0-9a-fA-F])*
      |{_DIGITS})(?!\w))
  | (?P<physical>\$[0-9]+(?!\w))
  | (?P<string>"[^"\r\n]*"|'[^'\r\n]*')
  | (?P<dim>\#dim\b)
  | (?P<annotation>@{_IDENTIFIER}(?:\.{_IDENTIFIER})*[^\r\n]*)
  | (?P<symbol><<=|>>=|\*\*=|->|\+\+|\*\*|==|!=|<=|>=|<<|>>|&&|\|\||[-+*/%&|^]=
      |[\[\]{{}}();:,.=+\-*/%&|^~!<>@])
  | (?P<number>[0-9.]\w*)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """One token.

    Attributes:
        kind: Its class; keywords and symbols are a kind of their own, named by their text.
        text: Its text.
        at: Its offset in the source.
    """

    kind: str
    text: str
    at: int


_PLAIN = frozenset(("timing", "imaginary", "real", "integer", "physical", "string", "annotation"))


def tokenize(source: Source, max_nesting: int) -> list[Token]:
    """Return the tokens, closed by one of kind ``end of file``.

    Raises:
        QuantainerError: ``invalid_circuit`` at what is no token or no matching bracket;
            ``too_large`` where brackets are nested deeper than ``max_nesting``.
    """
    return _Lexer(source, max_nesting).run()


class _Lexer:
    def __init__(self, source: Source, max_nesting: int) -> None:
        self._source = source
        self._tokens: list[Token] = []
        self._brackets = _Brackets(source, max_nesting)

    def run(self) -> list[Token]:
        at: int | None = 0
        while at is not None:
            at = self._from(at)
        self._brackets.finish()
        self._tokens.append(Token("end of file", "", len(self._source.text)))
        return self._tokens

    def _from(self, at: int) -> int | None:
        """Take tokens up to what only a search finds the end of; return where to go on."""
        add = self._tokens.append
        for match in _TOKEN.finditer(self._source.text, at):
            kind, word, start = match.lastgroup, match.group(), match.start()
            if kind == "space":
                continue
            if kind == "name":
                keyword = word in KEYWORDS
                add(Token(word if keyword else "name", word, start))
                if keyword and word in ("cal", "defcal"):
                    return _calibration(self._source, match.end(), self._tokens)
            elif kind == "symbol":
                self._brackets.see(word, start)
                add(Token(word, word, start))
            elif kind in _PLAIN:
                add(Token(kind, word, start))
            elif kind == "comment":
                return self._comment(start)
            else:
                add(self._special(kind, word, start))
        return None

    def _comment(self, start: int) -> int:
        end = self._source.text.find("*/", start + 2)
        if end < 0:
            raise self._source.invalid(start, "a comment that is never closed", "Add `*/`.")
        return end + 2

    def _special(self, kind: str | None, word: str, start: int) -> Token:
        if kind == "pragma":
            return Token("pragma", _pragma(self._source, word, start), start)
        if kind == "dim":
            return Token("#dim", word, start)
        raise _no_token(self._source, kind, word, start)


_CLOSES = {")": "(", "]": "[", "}": "{"}


class _Brackets:
    """Checks that brackets match, and counts their depth before anything recurses."""

    def __init__(self, source: Source, limit: int) -> None:
        self._source = source
        self._limit = limit
        self._stack: list[tuple[str, int]] = []

    def see(self, symbol: str, at: int) -> None:
        """Take note of a symbol, which may be a bracket."""
        if symbol in ("(", "[", "{"):
            self._open(symbol, at)
        elif symbol in _CLOSES:
            self._close(symbol, at)

    def _open(self, symbol: str, at: int) -> None:
        self._stack.append((symbol, at))
        if len(self._stack) > self._limit:
            raise self._source.too_large(at, "nested brackets", "max_nesting", self._limit)

    def _close(self, symbol: str, at: int) -> None:
        if not self._stack or self._stack[-1][0] != _CLOSES[symbol]:
            raise self._source.invalid(at, f"`{symbol}` closes nothing")
        self._stack.pop()

    def finish(self) -> None:
        if self._stack:
            symbol, at = self._stack[-1]
            raise self._source.invalid(at, f"`{symbol}` is never closed")


def _pragma(source: Source, word: str, start: int) -> str:
    text = word.removeprefix("#").removeprefix("pragma").strip()
    if not text:
        raise source.invalid(start, "a pragma without content")
    return text


def _calibration(source: Source, at: int, tokens: list[Token]) -> int:
    """Take everything from after ``cal`` or ``defcal`` to the closing brace; return the end."""
    text = source.text
    depth, place = 0, at
    for match in re.compile(r"//[^\r\n]*|/\*.*?\*/|[{};]", re.DOTALL).finditer(text, at):
        symbol = match.group()
        if symbol == "{":
            depth += 1
        elif symbol == "}" and depth:
            depth -= 1
            if not depth:
                tokens.append(Token("calibration", text[at : match.end()].strip(), at))
                return match.end()
        elif symbol in ";}" and not depth:
            place = match.start()
            break
    raise source.invalid(place, "a calibration needs a block in matching braces, `{ … }`")


def _no_token(source: Source, kind: str | None, word: str, start: int) -> Exception:
    if kind == "number":
        return source.invalid(start, f"`{word}` is not a number")
    if word in "\"'":
        return source.invalid(start, "a string that is never closed on its line")
    if word == "#":
        return source.invalid(start, "`#` starts nothing but `#pragma` and `#dim`")
    return source.invalid(start, f"unexpected character {word!r}")
