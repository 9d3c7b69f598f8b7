"""Constants: reads types and values of LLVM IR's text form."""

from __future__ import annotations

import math
import re
import struct
from typing import Any

from quantainer.circuits.qir.lexer import Token, tokens
from quantainer.circuits.qir.syntax import Element, Name, Operand, SyntaxFaultError, Type

__all__ = ["CASTS", "ValueParser"]

_VOID, _POINTER = Type("void"), Type("ptr")
_SIMPLE = {
    "void": _VOID,
    "ptr": _POINTER,
    "half": Type("float", 16),
    "float": Type("float", 32),
    "double": Type("float", 64),
    "label": Type("label"),
    "metadata": Type("metadata"),
    "opaque": Type("opaque"),
}
_CONSTANTS = {
    "true": 1,
    "false": 0,
    "null": 0,
    "zeroinitializer": 0,
    "undef": None,
    "poison": None,
    "none": None,
}
CASTS = {
    *("trunc", "zext", "sext", "fptoui", "fptosi", "uitofp", "sitofp", "fptrunc", "fpext"),
    *("ptrtoint", "inttoptr", "bitcast", "addrspacecast"),
}
_FLAGS = {
    *("nuw", "nsw", "exact", "inbounds", "fast", "nnan", "ninf", "nsz", "arcp", "contract"),
    *("afn", "reassoc", "disjoint", "nneg", "volatile", "inalloca", "samesign", "nusw"),
}
_BRACKETS = {"[": "]", "<": ">", "{": "}"}
_MAX_DEPTH = 64
_INTEGER = re.compile(r"i[1-9][0-9]{0,8}", re.ASCII)
_MAX_BITS = 4096


class ValueParser:
    """Takes tokens one by one, with a look at the one after, and reads types and values."""

    def __init__(self, text: str) -> None:
        self._tokens = tokens(text)
        self._now = next(self._tokens)
        self._after = next(self._tokens, self._now)

    # --- Tokens ----------------------------------------------------------------------------------

    def _next(self) -> Token:
        token = self._now
        self._now, self._after = self._after, next(self._tokens, self._after)
        return token

    def _take(self, text: str) -> bool:
        if self._now.text != text or self._now.kind == "text":
            return False
        self._next()
        return True

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._fault(f"expected {text!r}")

    def _fault(self, expected: str) -> SyntaxFaultError:
        return SyntaxFaultError(f"{expected}, found {self._now.text!r}", self._now.line)

    def _flags(self) -> None:
        while self._now.text in _FLAGS:
            self._next()

    def _skip_parameter_attributes(self) -> None:
        while self._now.kind == "word" and self._now.text not in (
            *_CONSTANTS,
            *CASTS,
            "getelementptr",
        ):
            self._next()
            if self._take("("):
                while not self._take(")"):
                    if self._next().kind == "end":
                        raise self._fault("expected ')'")

    # --- Types and values ------------------------------------------------------------------------

    def _type(self, depth: int = 0) -> Type:
        if depth > _MAX_DEPTH:
            raise self._fault("types are nested too deeply")
        token = self._next()
        kind: Type | None = None
        if token.kind == "word":
            kind = _SIMPLE.get(token.text)
            if _INTEGER.fullmatch(token.text):
                kind = self._integer_type(token)
        elif token.kind == "local":
            kind = Type("named")
        elif token.text in ("[", "<"):
            size = self._integer()
            self._expect("x")
            kind = Type("array", size, self._type(depth + 1))
            self._expect("]" if token.text == "[" else ">")
        elif token.text == "{":
            while not self._take("}"):
                self._type(depth + 1)
                if not self._take(",") and self._now.text != "}":
                    raise self._fault("expected ',' or '}'")
            kind = Type("struct")
        if kind is None:
            raise SyntaxFaultError(f"expected a type, found {token.text!r}", token.line)
        while self._take("*"):
            kind = _POINTER
        return kind

    def _integer_type(self, token: Token) -> Type:
        size = int(token.text[1:])
        if size > _MAX_BITS:
            reason = f"integers of {size} bits are too wide: the limit is {_MAX_BITS}"
            raise SyntaxFaultError(reason, token.line)
        return Type("int", size)

    def _integer(self) -> int:
        token = self._next()
        if token.kind != "number" or not token.text.isdigit() or len(token.text) > 18:
            raise SyntaxFaultError(f"expected a length, found {token.text!r}", token.line)
        return int(token.text)

    def _operand(self, kind: Type) -> Operand:
        self._skip_parameter_attributes()
        return Operand(kind, self._value(kind, 0))

    def _value(self, kind: Type, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise self._fault("constants are nested too deeply")
        token = self._next()
        if token.kind in ("local", "global"):
            return Name(token.text[1:].strip('"'), token.kind == "global")
        if token.kind == "number":
            return self._number(token, kind)
        return token.text if token.kind == "text" else self._constant(token, kind, depth)

    def _constant(self, token: Token, kind: Type, depth: int) -> Any:
        """Read a constant that a word or a bracket begins."""
        if token.text in _CONSTANTS:
            is_zero = kind.kind == "array" and token.text == "zeroinitializer"
            return (0,) * min(kind.size, 1 << 20) if is_zero else _CONSTANTS[token.text]
        if token.text in _BRACKETS:
            return self._elements(_BRACKETS[token.text], depth)
        if token.text == "getelementptr":
            return self._element(depth)
        if token.text not in CASTS:
            raise SyntaxFaultError(f"expected a value, found {token.text!r}", token.line)
        self._expect("(")
        value = self._value(self._type(), depth + 1)
        self._expect("to")
        self._type()
        self._expect(")")
        return value

    def _number(self, token: Token, kind: Type) -> int | float:
        text = token.text
        try:
            if kind.kind != "float":
                return int(text, 0)
            if text.startswith("0x"):
                (value,) = struct.unpack(">d", bytes.fromhex(text[2:].zfill(16)))
            else:
                value = float(text)
        except (ValueError, struct.error):
            raise SyntaxFaultError(f"{text!r} is no number of this type", token.line) from None
        if not math.isfinite(value):
            raise SyntaxFaultError(f"{text} is not a finite number", token.line)
        return float(value)

    def _elements(self, end: str, depth: int) -> tuple[Any, ...]:
        values = []
        while not self._take(end):
            values.append(self._value(self._type(), depth + 1))
            if not self._take(",") and self._now.text != end:
                raise self._fault(f"expected ',' or {end!r}")
        return tuple(values)

    def _element(self, depth: int) -> Element:
        self._flags()
        self._expect("(")
        self._type()
        self._expect(",")
        base = self._value(self._type(), depth + 1)
        indices = []
        while self._take(","):
            indices.append(self._value(self._type(), depth + 1))
        self._expect(")")
        return Element(base, tuple(indices))
