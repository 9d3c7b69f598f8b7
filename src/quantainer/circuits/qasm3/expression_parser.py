"""Expression parser: precedence climbing over tokens."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from quantainer.circuits.qasm3 import syntax
from quantainer.circuits.qasm3.lexer import TYPE_WORDS, Token
from quantainer.circuits.qasm3.source import Source
from quantainer.circuits.qasm3.syntax import Expression, Statement, TypeSpec
from quantainer_client.errors import QuantainerError

__all__ = ["ExpressionParser"]

_Item = TypeVar("_Item")

_PRECEDENCE = {
    "||": 1, "&&": 2, "|": 3, "^": 4, "&": 5, "==": 6, "!=": 6, "<": 7, "<=": 7, ">": 7, ">=": 7,
    "<<": 8, ">>": 8, "+": 9, "-": 9, "*": 10, "/": 10, "%": 10, "**": 12,
}  # fmt: skip
_UNARY = 11
_SIZED = frozenset(("bit", "int", "uint", "float", "angle"))
_BITS = re.compile(r'"[01](?:_?[01])*"')
_TIMING = re.compile(r"([\d._eE+-]*\d\.?)[ \t]*([a-zµμ]+)")


class ExpressionParser:
    """Reads expressions and types; the statements are read by its subclass.

    Args:
        source: Where the tokens come from.
        tokens: Closed by ``end of file``.
        max_nesting: Limit of everything that recurses.
    """

    def __init__(self, source: Source, tokens: list[Token], max_nesting: int) -> None:
        self.source = source
        self.tokens = tokens
        self.index = 0
        self._depth = 0
        self._limit = max_nesting

    # Tokens

    @property
    def token(self) -> Token:
        """The next token."""
        return self.tokens[self.index]

    @property
    def kind(self) -> str:
        """The next token's kind."""
        return self.tokens[self.index].kind

    def ahead(self, distance: int = 1) -> str:
        """Return the kind of a later token."""
        return self.tokens[min(self.index + distance, len(self.tokens) - 1)].kind

    def take(self) -> Token:
        """Return the next token and go past it."""
        token = self.tokens[self.index]
        if token.kind != "end of file":
            self.index += 1
        return token

    def accept(self, kind: str) -> Token | None:
        """Take the next token if it is of this kind."""
        return self.take() if self.kind == kind else None

    def expect(self, kind: str, where: str) -> Token:
        """Take a token of this kind or refuse."""
        if self.kind == kind:
            return self.take()
        wanted = "a name" if kind == "name" else f"`{kind}`"
        raise self.refuse(f"expected {wanted} {where}")

    def refuse(self, reason: str, hint: str | None = None) -> QuantainerError:
        """Return a refusal at the next token."""
        token = self.token
        found = "the end of the file" if token.kind == "end of file" else f"`{token.text}`"
        return self.source.invalid(token.at, f"{reason}, found {found}", hint)

    @contextmanager
    def nested(self) -> Iterator[None]:
        """Count one level of recursion."""
        self._depth += 1
        if self._depth > self._limit:
            raise self.source.too_large(
                self.token.at, "nested expressions or statements", "max_nesting", self._limit
            )
        yield
        self._depth -= 1

    def listed(self, close: str, item: Callable[[], _Item], where: str) -> list[_Item]:
        """Read a comma-separated list, a trailing comma allowed, and its closing bracket."""
        items = []
        while self.kind != close:
            items.append(item())
            if not self.accept(","):
                break
        self.expect(close, where)
        return items

    # Expressions

    def value(self) -> Expression:
        """Read an expression or a concatenation ``a ++ b``."""
        first = self.expression()
        if self.kind != "++":
            return first
        parts = [first]
        while self.accept("++"):
            parts.append(self.expression())
        return syntax.Concatenation(first.at, parts)

    def expression(self, minimum: int = 1, left: Expression | None = None) -> Expression:
        """Read an expression whose operators bind at least as tightly as ``minimum``.

        ``left`` is its first operand where that is read already.
        """
        if left is None:
            left = self._operand()
        while True:
            token = self.token
            precedence = _PRECEDENCE.get(token.kind, 0)
            if precedence < minimum:
                return left
            self.take()
            if token.kind == "**":  # binds to the right
                with self.nested():
                    right = self.expression(precedence)
            else:
                right = self.expression(precedence + 1)
            left = syntax.Binary(token.at, token.kind, left, right)

    def _operand(self) -> Expression:
        token = self.token
        if token.kind in ("-", "~", "!"):
            self.take()
            with self.nested():
                return syntax.Unary(token.at, token.kind, self.expression(_UNARY))
        return self.postfix(self._primary())

    def postfix(self, base: Expression) -> Expression:
        """Read the index operators that follow."""
        count = 0
        while self.kind == "[":
            count += 1
            if count > self._limit:
                raise self.source.too_large(
                    self.token.at, "index operators in a row", "max_nesting", self._limit
                )
            base = syntax.Index(self.take().at, base, self._index())
        return base

    def _primary(self) -> Expression:
        kind = self.kind
        if kind in _LITERALS:
            return _LITERALS[kind](self, self.take())
        if kind in TYPE_WORDS:
            return self._cast()
        read = _PRIMARIES.get(kind)
        if read is None:
            raise self.refuse("expected an expression")
        return read(self)

    def _name(self) -> Expression:
        token = self.take()
        if token.kind == "name" and self.accept("("):
            arguments = self.listed(")", self.value, "after the arguments")
            return syntax.Call(token.at, token.text, arguments)
        return syntax.Name(token.at, token.text)

    def _parenthesis(self) -> Expression:
        self.take()
        with self.nested():
            inner = self.expression()
        self.expect(")", "after the expression")
        return inner

    def _misplaced_measure(self) -> Expression:
        hint = "Measure into a bit first: `bit b = measure q;`."
        raise self.refuse("a measurement is not part of an expression", hint)

    def _cast(self) -> Expression:
        at = self.token.at
        spec = self.type()
        self.expect("(", f"after the type `{spec.kind}` of a cast")
        operand = self.expression()
        self.expect(")", "after the operand of the cast")
        return syntax.Cast(at, spec, operand)

    def _durationof(self) -> Expression:
        at = self.take().at
        self.expect("(", "after `durationof`")
        body = self.braces("of durationof")
        self.expect(")", "after the block of durationof")
        return syntax.DurationOf(at, body)

    def braces(self, where: str) -> list[Statement]:
        """Read ``{ statements }``; the subclass knows statements."""
        raise NotImplementedError

    def measure(self) -> syntax.Measure:
        """Read ``measure q``."""
        at = self.take().at
        return syntax.Measure(at, self.operand())

    def operand(self) -> Expression:
        """Read a qubit operand: a name or a physical qubit with indices."""
        token = self.token
        if token.kind not in ("name", "physical"):
            raise self.refuse("expected a qubit")
        self.take()
        return self.postfix(syntax.Name(token.at, token.text))

    def _index(self) -> list[Expression]:
        if self.kind == "{":
            items: list[Expression] = [self.set()]
            self.expect("]", "after the index")
            return items
        items = self.listed("]", self._index_item, "after the index")
        if not items:
            raise self.source.invalid(self.tokens[self.index - 1].at, "an index without a value")
        return items

    def _index_item(self) -> Expression:
        if self.kind == ":":
            return self.range(None, self.token.at)
        first = self.expression()
        return self.range(first, first.at) if self.kind == ":" else first

    def range(self, start: Expression | None, at: int) -> syntax.Range:
        """Read what follows the start of a range."""
        self.expect(":", "in the range")
        parts: list[Expression | None] = [None]
        if self.kind not in (":", "]", ","):
            parts[0] = self.expression()
        if self.accept(":"):
            parts.append(self.expression())
            return syntax.Range(at, start, parts[0], parts[1])
        return syntax.Range(at, start, None, parts[0])

    def set(self) -> syntax.SetLiteral:
        """Read ``{a, b, c}``."""
        at = self.take().at
        items = self.listed("}", self.expression, "after the set")
        if not items:
            raise self.source.invalid(at, "a set without values")
        return syntax.SetLiteral(at, items)

    def array_literal(self) -> syntax.ArrayLiteral:
        """Read ``{…}`` as the value of an array."""
        at = self.take().at
        with self.nested():
            items = self.listed("}", self._array_item, "after the values of the array")
        return syntax.ArrayLiteral(at, items)

    def _array_item(self) -> Expression:
        return self.array_literal() if self.kind == "{" else self.expression()

    # Types

    def type(self) -> TypeSpec:
        """Read a scalar or array type."""
        token = self.take()
        if token.kind == "array":
            return self._array(token.at, None)
        if token.kind == "complex":
            return self._complex(token.at)
        spec = TypeSpec(token.at, token.kind)
        if token.kind in _SIZED and self.kind == "[":
            spec.size = self.designator()
        return spec

    def _complex(self, at: int) -> TypeSpec:
        spec = TypeSpec(at, "complex")
        if self.accept("["):
            if self.kind not in TYPE_WORDS:
                raise self.refuse("expected the type of the components, e.g. `complex[float[64]]`")
            spec.base = self.type()
            self.expect("]", "after the component type")
        return spec

    def _array(self, at: int, access: str | None) -> TypeSpec:
        spec = TypeSpec(at, "array", access=access)
        self.expect("[", "after `array`")
        if self.kind not in TYPE_WORDS:
            raise self.refuse("expected the type of the elements, e.g. `array[int[8], 4]`")
        spec.base = self.type()
        self.expect(",", "between the element type and the dimensions")
        if access and self.accept("#dim"):
            self.expect("=", "after `#dim`")
            spec.rank = self.expression()
            self.expect("]", "after the number of dimensions")
            return spec
        spec.dimensions = self.listed("]", self.expression, "after the dimensions")
        if not spec.dimensions:
            raise self.source.invalid(at, "an array without dimensions")
        return spec

    def reference_type(self) -> TypeSpec:
        """Read ``readonly array[…]`` or ``mutable array[…]``."""
        access = self.take()
        token = self.expect("array", f"after `{access.text}`")
        return self._array(token.at, access.text)

    def designator(self) -> Expression:
        """Read ``[expression]``."""
        self.expect("[", "before the size")
        size = self.expression()
        self.expect("]", "after the size")
        return size


def _int(_: ExpressionParser, token: Token) -> Expression:
    digits = token.text.replace("_", "").lower()
    base = {"0b": 2, "0o": 8, "0x": 16}.get(digits[:2], 10)
    if base == 10 and len(digits) > 4000:  # Python's own limit on decimal digits, and quadratic
        raise _.source.invalid(token.at, "an integer of more than 4000 digits")
    return syntax.Literal(token.at, "int", int(digits[2:] if base != 10 else digits, base))


def _float(_: ExpressionParser, token: Token) -> Expression:
    return syntax.Literal(token.at, "float", float(token.text.replace("_", "")))


def _imaginary(_: ExpressionParser, token: Token) -> Expression:
    digits = token.text[:-2].strip().replace("_", "")
    return syntax.Literal(token.at, "imaginary", complex(0.0, float(digits)))


def _timing(parser: ExpressionParser, token: Token) -> Expression:
    match = _TIMING.fullmatch(token.text)
    if match is None:
        raise parser.source.invalid(token.at, f"`{token.text}` is not a duration")
    unit = match[2].replace("µ", "u").replace("μ", "u")
    return syntax.Literal(token.at, "timing", (float(match[1].replace("_", "")), unit))


def _bool(_: ExpressionParser, token: Token) -> Expression:
    return syntax.Literal(token.at, "bool", token.kind == "true")


def _bits(parser: ExpressionParser, token: Token) -> Expression:
    if not _BITS.fullmatch(token.text):
        reason = f"{token.text} is not a string of bits"
        raise parser.source.invalid(token.at, reason, 'Bits are written as `"0101"`.')
    digits = token.text[1:-1].replace("_", "")
    return syntax.Literal(token.at, "bits", (int(digits, 2), len(digits)))


_LITERALS: dict[str, Callable[[ExpressionParser, Token], Expression]] = {
    "integer": _int,
    "real": _float,
    "imaginary": _imaginary,
    "timing": _timing,
    "true": _bool,
    "false": _bool,
    "string": _bits,
}

_PRIMARIES: dict[str, Callable[[ExpressionParser], Expression]] = {
    "name": ExpressionParser._name,
    "physical": ExpressionParser._name,
    "(": ExpressionParser._parenthesis,
    "durationof": ExpressionParser._durationof,
    "measure": ExpressionParser._misplaced_measure,
}
