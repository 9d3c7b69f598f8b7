"""Oracle: what classical programs compute, by the rules of the specification and of C99.

It shares nothing with the reader. Programs are nested tuples, as :mod:`author` writes them; types
are a word and a width. Where the specification leaves a choice, `docs/openqasm3.md` has the one
that is taken here: 64 bits for what has no width, wrap-around for what does not fit.
"""

from __future__ import annotations

import math
import operator
import struct
from typing import Any, NamedTuple

MACHINE = 64


class Type(NamedTuple):
    """``word[width]``; ``bits`` is a register, ``bit`` one bit."""

    word: str
    width: int | None = None

    def __str__(self) -> str:
        word = "bit" if self.word == "bits" else self.word
        return word if self.width is None else f"{word}[{self.width}]"


BOOL, BIT, INT, UINT, FLOAT = map(Type, ("bool", "bit", "int", "uint", "float"))


class Cell:
    """A variable."""

    def __init__(self, type: Type, data: Any) -> None:
        self.type = type
        self.data = data


class Alias(NamedTuple):
    """Bits of registers, under one name."""

    bits: list[tuple[Cell, int]]


class Undefined(Exception):  # noqa: N818 (the program is at fault)
    """The program computes what has no value."""


class Left(Exception):  # noqa: N818 (a jump)
    """``break``, ``continue`` or ``return`` with its value."""

    def __init__(self, word: str, value: Any = None) -> None:
        self.word = word
        self.value = value


def fit(type: Type, number: int) -> int:
    """Wrap an integer to a type."""
    width = type.width or MACHINE
    number %= 1 << width
    return number - (1 << width) if type.word == "int" and number >> (width - 1) else number


def promoted(type: Type) -> Type:
    """Return C99's promotion: what is narrower than ``int`` becomes ``int``."""
    if type.word == "float":
        return FLOAT
    if type.word not in ("int", "uint") or (type.width or MACHINE) < MACHINE:
        return INT
    return Type(type.word, type.width or MACHINE)


def common(one: Type, other: Type) -> Type:
    """Return C99's usual arithmetic conversion."""
    one, other = promoted(one), promoted(other)
    if FLOAT in (one, other):
        return FLOAT
    width = max(each.width or MACHINE for each in (one, other))
    wide = [each.word for each in (one, other) if (each.width or MACHINE) == width]
    return Type("uint" if "uint" in wide else "int", width)


def cast(type: Type, value: Cell) -> Cell:
    """Return ``type(value)``."""
    data = value.data
    if type.word in ("bool", "bit"):
        return Cell(type, int(data != 0))
    if type.word == "float":
        number = float(data)
        if type.width == 32:
            try:
                number = struct.unpack("f", struct.pack("f", number))[0]
            except OverflowError:
                number = math.copysign(math.inf, number)
        return Cell(type, number)
    if value.type.word == "float":
        if not math.isfinite(data):
            raise Undefined("cannot be cast")
        data = int(data)
    return Cell(type, fit(type, data))


def arithmetic(op: str, one: Cell, other: Cell) -> Cell:
    """Return ``one op other``."""
    type = common(one.type, other.type)
    a, b = cast(type, one).data, cast(type, other).data
    if op in ("/", "%") and not b:
        raise Undefined("division by zero")
    if type == FLOAT:
        try:
            made = {
                "+": lambda: a + b,
                "-": lambda: a - b,
                "*": lambda: a * b,
                "/": lambda: a / b,
                "%": lambda: math.fmod(a, b),
                "**": lambda: a**b,
            }[op]()
        except (OverflowError, ValueError, ZeroDivisionError):
            raise Undefined("cannot be computed|division by zero") from None
        if isinstance(made, complex):
            raise Undefined("complex")
        return Cell(FLOAT, made)
    if op == "**":
        if b < 0:
            raise Undefined("is not an integer")
        return Cell(type, fit(type, pow(a, b, 1 << (type.width or MACHINE))))
    if op in ("/", "%"):
        sign = -1 if (a < 0) != (b < 0) else 1
        quotient = sign * (abs(a) // abs(b))
        return Cell(type, fit(type, quotient if op == "/" else a - quotient * b))
    return Cell(type, fit(type, {"+": a + b, "-": a - b, "*": a * b}[op]))


_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
            "==": operator.eq, "!=": operator.ne}  # fmt: skip
_BITWISE = {"&": operator.and_, "|": operator.or_, "^": operator.xor}


class Oracle:
    """Executes a program.

    Attributes:
        names: Of the global scope, after the run.
    """

    def __init__(self, program: list[Any]) -> None:
        self.functions: dict[str, Any] = {}
        self.scopes: list[dict[str, Any]] = [{}]
        self.names = self.scopes[0]
        self.run(program)

    # Names

    def find(self, name: str) -> Any:
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        raise AssertionError(name)

    # Expressions

    def value(self, node: Any) -> Cell:
        return getattr(self, f"_{node[0]}")(*node[1:])

    def _literal(self, type: Type, data: Any) -> Cell:
        return Cell(type, data)

    def _name(self, name: str) -> Cell:
        found = self.find(name)
        if isinstance(found, Alias):
            row = sum((cell.data >> place & 1) << at for at, (cell, place) in enumerate(found.bits))
            return Cell(Type("bits", len(found.bits)), row)
        return Cell(found.type, found.data)

    def _element(self, name: str, places: list[Any]) -> Cell:
        found = self.cell(name, places)
        return Cell(found.type, found.data)

    def cell(self, name: str, places: list[Any]) -> Cell:
        found = self.find(name)
        for place in places:
            found = found[self.value(place).data]
        return found

    def _unary(self, op: str, operand: Any) -> Cell:
        value = self.value(operand)
        if op == "!":
            return Cell(BOOL, int(not value.data))
        if op == "~":
            return Cell(value.type, fit(value.type, ~value.data))
        type = promoted(value.type)
        made = -value.data
        return Cell(type, made if type == FLOAT else fit(type, made))

    def _binary(self, op: str, left: Any, right: Any) -> Cell:
        one = self.value(left)
        if op in ("&&", "||") and bool(one.data) == (op == "||"):
            return Cell(BOOL, int(op == "||"))
        other = self.value(right)
        if op in ("&&", "||"):
            return Cell(BOOL, int(bool(other.data)))
        if op in _BITWISE:
            return Cell(one.type, fit(one.type, _BITWISE[op](one.data, other.data)))
        if op in ("<<", ">>"):
            distance = min(other.data, one.type.width or MACHINE)
            moved = one.data << distance if op == "<<" else one.data >> distance
            return Cell(one.type, fit(one.type, moved))
        if op not in _COMPARE:
            return arithmetic(op, one, other)
        if "bits" not in (one.type.word, other.type.word):
            type = common(one.type, other.type)
            one, other = cast(type, one), cast(type, other)
        return Cell(BOOL, int(_COMPARE[op](one.data, other.data)))

    def _cast(self, type: Type, operand: Any) -> Cell:
        return cast(type, self.value(operand))

    def _bit(self, base: Any, place: Any) -> Cell:
        value, at = self.value(base), self.value(place).data
        return Cell(BIT, value.data >> at % (value.type.width or MACHINE) & 1)

    def _slice(self, base: Any, places: range) -> Cell:
        data = self.value(base).data
        row = sum((data >> place & 1) << at for at, place in enumerate(places))
        return Cell(Type("bits", len(places)), row)

    def _call(self, name: str, arguments: list[Any]) -> Cell:
        values = [self.value(each) for each in arguments]
        if name == "mod":
            return arithmetic("%", *values)
        value = values[0]
        width = value.type.width or MACHINE
        pattern = value.data % (1 << width)
        if name == "popcount":
            return Cell(UINT, bin(pattern).count("1"))
        distance = values[1].data % width
        if name == "rotr":
            distance = -distance % width
        moved = pattern << distance | pattern >> (width - distance)
        return Cell(value.type, fit(value.type, moved))

    def _define_call(self, name: str, arguments: list[Any]) -> Cell:
        parameters, returns, body = self.functions[name]
        scope: dict[str, Any] = {}
        for (parameter, type, _), argument in zip(parameters, arguments, strict=True):
            if type is None:
                scope[parameter] = self.find(argument[1])
            else:
                scope[parameter] = cast(type, self.value(argument))
        before, self.scopes = self.scopes, [self.names, scope]
        try:
            self.run(body)
        except Left as left:
            return cast(returns, left.value)
        finally:
            self.scopes = before
        raise AssertionError("no return")

    # Statements

    def run(self, body: list[Any]) -> None:
        for node in body:
            getattr(self, f"_do_{node[0]}")(*node[1:])

    def block(self, body: list[Any], names: dict[str, Any] | None = None) -> None:
        self.scopes.append({} if names is None else names)
        try:
            self.run(body)
        finally:
            self.scopes.pop()

    def _do_define(self, name: str, parameters: Any, returns: Type, body: Any) -> None:
        self.functions[name] = (parameters, returns, body)

    def _do_declare(self, type: Type, name: str, value: Any, const: bool) -> None:
        self.scopes[-1][name] = cast(type, self.value(value))

    def _do_array(self, type: Type, name: str, rows: list[Any]) -> None:
        self.scopes[-1][name] = [
            [cast(type, self.value(item)) for item in row] if isinstance(row, list)
            else cast(type, self.value(row))
            for row in rows
        ]  # fmt: skip

    def _do_let(self, name: str, parts: list[tuple[str, range]]) -> None:
        bits = [(self.find(part), place) for part, places in parts for place in places]
        self.scopes[-1][name] = Alias(bits)

    def _do_assign(self, target: Any, op: str, value: Any) -> None:
        made = self.value(value)
        if op != "=":
            old = self.value(target)
            made = self._binary(op[:-1], *(("literal", v.type, v.data) for v in (old, made)))
        if target[0] in ("name", "element"):
            found = self.find(target[1]) if target[0] == "name" else self.cell(*target[1:])
            if isinstance(found, Alias):
                for at in range(len(found.bits)):
                    _set(found, at, made.data >> at & 1)
                return
            found.data = cast(found.type, made).data
            return
        found = self.find(target[1][1])
        if target[0] == "bit":
            width = self.value(target[1]).type.width or MACHINE
            _set(found, self.value(target[2]).data % width, int(made.data != 0))
            return
        for at, place in enumerate(target[2]):
            _set(found, place, made.data >> at & 1)

    def _do_copy(self, target: str, start: int, source: str, other: int, count: int) -> None:
        data = [cell.data for cell in self.find(source)[other : other + count]]
        for cell, each in zip(self.find(target)[start : start + count], data, strict=True):
            cell.data = each

    def _do_if(self, condition: Any, true: Any, false: Any) -> None:
        if self.value(condition).data:
            self.block(true)
        elif false is not None:
            self.block(false)

    def _do_for(self, type: Type, name: str, values: Any, body: Any) -> None:
        for each in self._values(values):
            try:
                self.block(body, {name: cast(type, each)})
            except Left as left:
                if left.word == "break":
                    return
                if left.word != "continue":
                    raise

    def _values(self, values: Any) -> list[Cell]:
        if values[0] == "range":
            start, step, stop = (self.value(each).data for each in values[1:])
            return [Cell(INT, at) for at in range(start, stop + (1 if step > 0 else -1), step)]
        if values[0] == "set":
            return [self.value(each) for each in values[1]]
        if values[0] == "elements":
            return [Cell(each.type, each.data) for each in self.find(values[1])]
        row = self.value(values[1])
        return [Cell(BIT, row.data >> at & 1) for at in range(row.type.width or MACHINE)]

    def _do_while(self, condition: Any, body: Any) -> None:
        while self.value(condition).data:
            try:
                self.block(body)
            except Left as left:
                if left.word == "break":
                    return
                if left.word != "continue":
                    raise

    def _do_switch(self, target: Any, cases: Any, default: Any) -> None:
        value = self.value(target)
        type = common(value.type, INT)
        for labels, body in cases:
            if cast(type, value).data in [fit(type, label) for label in labels]:
                self.block(body)
                return
        self.block(default)

    def _do_block(self, body: Any) -> None:
        self.block(body)

    def _do_jump(self, word: str) -> None:
        raise Left(word)

    def _do_return(self, value: Any) -> None:
        raise Left("return", self.value(value))


def _set(cell: Cell | Alias, place: int, bit: int) -> None:
    if isinstance(cell, Alias):
        cell, place = cell.bits[place]
    cell.data = fit(cell.type, cell.data & ~(1 << place) | bit << place)
