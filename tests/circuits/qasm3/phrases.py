"""Phrases: random expressions, as trees for the oracle."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from oracle import BIT, BOOL, FLOAT, INT, UINT, Type

WIDTHS = (1, 2, 3, 4, 5, 7, 8, 13, 16, 31, 32, 33, 63, 64, 65, 100)
COMPARE = ("<", "<=", ">", ">=", "==", "!=")


class Phrases:
    """Writes expressions.

    Attributes:
        known: Types of the variables that can be read here, by name.
        fixed: Names that cannot be assigned to.
        arrays: Element type, shape and whether it can be changed, by name.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.known: dict[str, Type] = {}
        self.constants: dict[str, Type] = {}
        self.fixed: set[str] = set()
        self.arrays: dict[str, tuple[Type, tuple[int, ...], bool]] = {}
        self.functions: dict[str, Any] = {}
        self.results: list[str] = []
        self.made = 0
        self.loops = 0
        self.returns: Type | None = None

    # Choices

    def pick(self, *options: Any) -> Any:
        return self.random.choice(options)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def fresh(self, stem: str) -> str:
        self.made += 1
        return f"{stem}{self.made}"

    def type(self, *words: str) -> Type:
        word = self.pick(*(words or ("int", "uint", "int", "uint", "bits", "bool", "bit", "float")))
        if word == "bits":
            return Type(word, self.pick(*WIDTHS))
        if word == "float":
            return Type(word, self.pick(None, 32, 64))
        if word in ("int", "uint"):
            return Type(word, self.pick(None, *WIDTHS))
        return Type(word)

    @contextmanager
    def inside(self) -> Iterator[None]:
        known, fixed = dict(self.known), set(self.fixed)
        yield
        self.known, self.fixed = known, fixed

    # Expressions of a type

    def exactly(self, type: Type, depth: int) -> Any:
        """Return an expression of this very type."""
        names = [name for name, found in self.known.items() if found == type]
        if names and self.chance(0.4):
            return ("name", self.pick(*names))
        if type.word in ("bool", "bit"):
            return ("cast", type, self.truth(depth + 1))
        if type.word == "float":
            return ("cast", type, self.number(depth + 1))
        if type.word == "bits":
            return self.bits(type, depth)
        return self.pattern(type, depth)

    def bits(self, type: Type, depth: int) -> Any:
        width = type.width
        assert width is not None
        if depth < 3 and self.chance(0.5):
            return self.pattern(type, depth)
        wide = [n for n, t in self.known.items() if t.word in ("bits", "int", "uint")
                and (t.width or 64) >= width]  # fmt: skip
        if wide and self.chance(0.5):
            name = self.pick(*wide)
            return ("slice", ("name", name), self.places(self.known[name].width or 64, width))
        if self.chance(0.3):
            word = self.pick("int", "uint")
            return ("cast", type, self.exactly(Type(word, width), depth + 1))
        return ("literal", type, self.random.getrandbits(width))

    def places(self, width: int, count: int) -> range:
        """Return a range of so many places below a width."""
        step = self.random.randint(1, (width - 1) // (count - 1)) if count > 1 else 1
        span = step * (count - 1)
        first = self.random.randint(0, width - 1 - span)
        up = range(first, first + span + 1, step)
        return up if self.chance(0.7) or count == 1 else up[::-1]

    def pattern(self, type: Type, depth: int) -> Any:
        """Return a bit pattern of a type by an operator that keeps the type."""
        inner = depth + 1
        choice = self.random.random()
        if depth > 2 or choice < 0.3:
            if type.word == "bits":
                return ("literal", type, self.random.getrandbits(type.width or 1))
            return ("cast", type, self.number(inner))
        if choice < 0.5:
            one, other = self.exactly(type, inner), self.exactly(type, inner)
            return ("binary", self.pick("&", "|", "^"), one, other)
        if choice < 0.65:
            distance = self.pick(("literal", INT, self.random.randint(0, 9)),
                                 self.exactly(Type("uint", self.pick(1, 2, 7)), inner))  # fmt: skip
            return ("binary", self.pick("<<", ">>"), self.exactly(type, inner), distance)
        if choice < 0.8:
            return ("unary", "~", self.exactly(type, inner))
        distance = ("literal", INT, self.random.randint(-9, 70))
        return ("call", self.pick("rotl", "rotr"), [self.exactly(type, inner), distance])

    # Numbers and truth values of any type

    def integer(self, depth: int) -> Any:
        inner = depth + 1
        if depth > 2 or self.chance(0.3):
            names = [n for n, t in self.known.items() if t.word in ("int", "uint", "bool", "bit")]
            if names and self.chance(0.7):
                return ("name", self.pick(*names))
            found = self.element("int", "uint", "bool")
            if found and self.chance(0.6):
                return found
            return ("literal", INT, self.pick(0, 1, 2, 3, 5, 7, 8, 100, 255, 2**31, 2**63 - 1))
        return self.random.choice(
            [
                lambda: ("binary", self.pick("+", "-", "*"), self.integer(inner),
                         self.integer(inner)),
                lambda: ("binary", self.pick("+", "-", "*"), self.integer(inner),
                         self.integer(inner)),
                lambda: ("binary", self.pick("/", "%"), self.integer(inner), self.divisor(inner)),
                lambda: ("binary", "**", self.integer(inner),
                         self.exactly(Type("uint", self.pick(1, 3, 8)), inner)),
                lambda: ("unary", "-", self.integer(inner)),
                lambda: ("call", "popcount", [self.exactly(self.type("bits", "uint"), inner)]),
                lambda: ("call", "mod", [self.integer(inner), self.divisor(inner)]),
                lambda: ("cast", self.type("int", "uint"), self.number(inner)),
                lambda: self.exactly(self.type("int", "uint"), inner),
                lambda: self.called() or self.truth(inner),
            ]
        )()  # fmt: skip

    def called(self) -> Any:
        names = [name for name, (_, returns, _) in self.functions.items() if returns != FLOAT]
        if not names or self.loops:
            return None
        name = self.pick(*names)
        arguments = []
        for _, type, wanted in self.functions[name][0]:
            if type is None:
                fitting = [n for n, found in self.arrays.items() if _passes(found, wanted)]
                if not fitting:
                    return None
                arguments.append(("name", self.pick(*fitting)))
            else:
                arguments.append(self.fitting(type, 2))
        return ("define_call", name, arguments)

    def element(self, *words: str) -> Any:
        names = [name for name, (type, *_) in self.arrays.items() if type.word in words]
        if not names:
            return None
        name = self.pick(*names)
        return ("element", name, [
            ("literal", INT, self.random.randint(-size, size - 1)) for size in self.arrays[name][1]
        ])  # fmt: skip

    def number(self, depth: int) -> Any:
        if self.chance(0.7):
            return self.integer(depth)
        inner = depth + 1
        if depth > 2 or self.chance(0.4):
            names = [name for name, type in self.known.items() if type.word == "float"]
            if names and self.chance(0.7):
                return ("name", self.pick(*names))
            return ("literal", FLOAT, self.pick(0.0, 0.5, 1.0, 2.5, 3.7, 1e3, 0.1))
        if self.chance(0.3):
            return ("binary", self.pick("/", "%"), self.number(inner), self.divisor(inner))
        if self.chance(0.1):
            return ("binary", "**", self.number(inner), ("literal", INT, self.pick(2, 3)))
        return ("binary", self.pick("+", "-", "*"), self.number(inner), self.number(inner))

    def divisor(self, depth: int) -> Any:
        if self.chance(0.03):
            return self.integer(depth)
        if self.chance(0.5):
            return ("literal", INT, self.pick(2, 3, 7, 10))
        above = ("cast", Type("uint", self.pick(1, 3, 7)), self.integer(depth))
        return self.pick(("unary", "-", ("binary", "+", above, ("literal", INT, 1))),
                         ("binary", "+", above, ("literal", INT, 1)))  # fmt: skip

    def truth(self, depth: int) -> Any:
        inner = depth + 1
        if depth > 2 or self.chance(0.2):
            names = [name for name, type in self.known.items() if type in (BOOL, BIT)]
            if names:
                return ("name", self.pick(*names))
            return ("literal", BOOL, self.random.randint(0, 1))
        return self.random.choice(
            [
                lambda: ("binary", self.pick(*COMPARE), self.number(inner), self.number(inner)),
                lambda: self.same_patterns(inner),
                lambda: ("binary", self.pick("&&", "||"), self.truth(inner), self.truth(inner)),
                lambda: ("binary", self.pick("&&", "||"), self.integer(inner), self.truth(inner)),
                lambda: ("unary", "!", self.pick(self.truth(inner), self.integer(inner))),
                lambda: ("cast", BOOL, self.pick(self.number(inner),
                                                 self.exactly(self.type("bits"), inner))),
                lambda: self.one_bit(inner),
            ]
        )()  # fmt: skip

    def same_patterns(self, depth: int) -> Any:
        type = self.type("bits")
        return ("binary", self.pick(*COMPARE), self.exactly(type, depth), self.exactly(type, depth))

    def one_bit(self, depth: int) -> Any:
        names = [n for n, t in self.known.items() if t.word in ("bits", "int", "uint")]
        if not names:
            return ("literal", BOOL, 1)
        name = self.pick(*names)
        width = self.known[name].width or 64
        return ("bit", ("name", name), self.place(width, depth))

    def place(self, width: int, depth: int) -> Any:
        if self.chance(0.3):
            inside = ("binary", "%", self.exactly(UINT, depth), ("literal", INT, width))
            return ("cast", UINT, inside)
        return ("literal", INT, self.random.randint(-width, width - 1))

    def fitting(self, type: Type, depth: int = 0) -> Any:
        """Return an expression that converts to a type implicitly."""
        if type.word in ("int", "uint"):
            return self.integer(depth)
        if type.word == "bool":
            return self.pick(self.truth(depth), self.integer(depth))
        if type.word == "bit":
            return self.truth(depth)
        if type.word == "float":
            return self.number(depth)
        return self.exactly(type, depth)


def _passes(found: tuple[Type, tuple[int, ...], bool], wanted: Any) -> bool:
    type, shape, free = wanted
    return found[:2] == (type, shape) and (found[2] or not free)
