"""Author: writes random programs that compute, as trees for the oracle."""

from __future__ import annotations

from typing import Any

from oracle import BIT, INT, Type
from phrases import Phrases


class Author(Phrases):
    """Writes one program, from :meth:`program`."""

    # Statements

    def declaration(self, const: bool = False) -> Any:
        type, name = self.type(), self.fresh("c" if const else "v")
        if const:
            with self.inside():
                self.known, arrays, self.arrays = dict(self.constants), self.arrays, {}
                functions, self.functions = self.functions, {}
                value = self.fitting(type, 1)
                self.arrays, self.functions = arrays, functions
            self.constants[name] = type
            self.fixed.add(name)
        else:
            value = self.fitting(type)
        self.known[name] = type
        return ("declare", type, name, value, const)

    def array(self) -> Any:
        type = self.type("int", "uint", "bool", "float")
        name = self.fresh("a")
        shape = tuple(self.random.randint(1, 4) for _ in range(self.pick(1, 1, 2)))
        rows: list[Any] = [
            [self.fitting(type, 2) for _ in range(shape[1])] if len(shape) == 2
            else self.fitting(type, 2) for _ in range(shape[0])
        ]  # fmt: skip
        self.arrays[name] = (type, shape, True)
        return ("array", type, name, rows)

    def alias(self) -> Any:
        names = [n for n, t in self.known.items() if t.word == "bits" and n[0] in "vp"]
        parts, total = [], 0
        for name in self.random.sample(names, min(len(names), self.random.randint(1, 3))):
            width = self.known[name].width or 1
            places = self.places(width, self.random.randint(1, width))
            parts.append((name, places))
            total += len(places)
        if not parts:
            return self.declaration()
        name = self.fresh("l")
        self.known[name] = Type("bits", total)
        return ("let", name, parts)

    def assignment(self) -> Any:
        names = [name for name in self.known if name not in self.fixed]
        changed = self.element(*("int", "uint", "bool", "float"))
        if changed and self.arrays[changed[1]][2] and self.chance(0.3):
            type = self.arrays[changed[1]][0]
            return ("assign", changed, *self.change(type))
        if not names:
            return self.declaration()
        name = self.pick(*names)
        type = self.known[name]
        if type.word in ("int", "uint", "bits") and self.chance(0.3):
            width = type.width or 64
            if self.chance(0.5):
                return ("assign", ("bit", ("name", name), self.place(width, 2)), "=", self.truth(1))
            places = self.places(width, self.random.randint(1, width))
            value = self.exactly(Type("bits", len(places)), 1)
            return ("assign", ("slice", ("name", name), places), "=", value)
        return ("assign", ("name", name), *self.change(type))

    def change(self, type: Type) -> tuple[str, Any]:
        """Return an assignment operator and the value on its right."""
        if type.word == "bool" and self.chance(0.3):
            return self.pick("+=", "-=", "*="), self.integer(1)
        if type.word in ("bool", "bit") or self.chance(0.5):
            return "=", self.fitting(type)
        return self.compound(type)

    def compound(self, type: Type) -> tuple[str, Any]:
        if type.word == "float":
            return self.pick("+=", "-=", "*="), self.number(1)
        if type.word == "bits" or self.chance(0.3):
            if self.chance(0.5):
                return self.pick("<<=", ">>="), ("literal", INT, self.random.randint(0, 5))
            return self.pick("&=", "|=", "^="), self.exactly(type, 1)
        if self.chance(0.2):
            return "**=", ("literal", INT, self.random.randint(0, 5))
        if self.chance(0.3):
            return self.pick("/=", "%="), ("literal", INT, self.pick(2, 3, 10))
        return self.pick("+=", "-=", "*="), self.integer(1)

    def copy(self) -> Any:
        flat = [n for n, (_, shape, free) in self.arrays.items() if len(shape) == 1 and free]
        pairs = [(a, b) for a in flat for b in flat if self.arrays[a][0] == self.arrays[b][0]]
        if not pairs:
            return self.assignment()
        one, other = self.pick(*pairs)
        sizes = self.arrays[one][1][0], self.arrays[other][1][0]
        count = self.random.randint(1, min(sizes))
        start, begin = (self.random.randint(0, size - count) for size in sizes)
        return ("copy", one, start, other, begin, count)

    def body(self, depth: int, size: int = 3) -> list[Any]:
        with self.inside():
            return [self.statement(depth + 1) for _ in range(self.random.randint(1, size))]

    def statement(self, depth: int = 0) -> Any:
        if self.loops and self.chance(0.1):
            return ("if", self.truth(1), [("jump", self.pick("break", "continue"))], None)
        if self.returns is not None and self.chance(0.15):
            return ("if", self.truth(1), [("return", self.fitting(self.returns, 1))], None)
        if depth > 2 or self.chance(0.5):
            return self.random.choice(
                [self.assignment, self.assignment, self.assignment, self.declaration, self.copy,
                 self.alias]
            )()  # fmt: skip
        made = {"if": self.branch, "for": self.loop, "while": self.counted,
                "switch": self.switch, "block": lambda d: ("block", self.body(d))}  # fmt: skip
        return made[self.pick(*made)](depth)

    def branch(self, depth: int) -> Any:
        false = self.body(depth) if self.chance(0.5) else None
        return ("if", self.pick(self.truth(0), self.integer(1)), self.body(depth), false)

    def loop(self, depth: int) -> Any:
        type, values = self.values()
        name = self.fresh("i")
        self.loops += 1
        with self.inside():
            self.known[name] = type
            body = self.body(depth)
        self.loops -= 1
        return ("for", type, name, values, body)

    def values(self) -> tuple[Type, Any]:
        flat = [n for n, (_, shape, _) in self.arrays.items() if len(shape) == 1]
        registers = [n for n, t in self.known.items() if t.word == "bits"]
        choice = self.pick("range", "range", "set", "elements", "bits")
        if choice == "elements" and flat:
            name = self.pick(*flat)
            return self.arrays[name][0], ("elements", name)
        if choice == "bits" and registers:
            return BIT, ("row", ("name", self.pick(*registers)))
        type = self.type("int", "uint")
        if choice == "set":
            return type, ("set", [self.integer(2) for _ in range(self.random.randint(1, 4))])
        start, step = self.random.randint(-4, 6), self.pick(1, 1, 2, -1, -3)
        stop = start + step * self.random.randint(-1, 3)
        return type, ("range", *(("literal", INT, each) for each in (start, step, stop)))

    def counted(self, depth: int) -> Any:
        """Return a ``while`` that ends: a counter of its own goes down at its start."""
        name = self.fresh("w")
        self.known[name] = Type("int", 8)
        self.fixed.add(name)
        self.loops += 1
        body = self.body(depth)
        self.loops -= 1
        del self.known[name]
        down = ("assign", ("name", name), "-=", ("literal", INT, 1))
        going = ("binary", ">", ("name", name), ("literal", INT, 0))
        condition = self.pick(going, ("binary", "&&", going, self.truth(1)))
        start = (
            "declare",
            Type("int", 8),
            name,
            ("literal", INT, self.random.randint(0, 4)),
            False,
        )
        return ("block", [start, ("while", condition, [down, *body])])

    def switch(self, depth: int) -> Any:
        labels = self.random.sample(range(-3, 9), 6)
        cases = [(labels[:2], self.body(depth)), (labels[2:3], self.body(depth))]
        value = self.exactly(Type(self.pick("int", "uint"), self.pick(None, 2, 3, 4)), 1)
        return ("switch", value, cases, self.body(depth) if self.chance(0.7) else [])

    def define(self) -> Any:
        """Return a subroutine: it sees its parameters and the constants."""
        before = self.known, self.fixed, self.arrays, self.functions
        self.known, self.fixed, self.arrays = dict(self.constants), set(self.constants), {}
        parameters: list[Any] = []
        for _ in range(self.random.randint(1, 3)):
            name = self.fresh("p")
            if before[2] and self.chance(0.4):
                type, shape, _ = before[2][self.pick(*before[2])]
                free = self.chance(0.5)
                self.arrays[name] = (type, shape, free)
                parameters.append((name, None, (type, shape, free)))
            else:
                self.known[name] = self.type("int", "uint", "bits", "bool", "float", "bit")
                parameters.append((name, self.known[name], None))
        self.returns = self.type("int", "uint", "bool", "bit")
        name, returns = self.fresh("f"), self.returns
        body = [self.statement(1) for _ in range(self.random.randint(1, 4))]
        body.append(("return", self.fitting(self.returns, 1)))
        self.returns = None
        self.known, self.fixed, self.arrays, self.functions = before
        self.functions[name] = (parameters, returns, body)
        return ("define", name, parameters, returns, body)

    def program(self) -> list[Any]:
        """Return a program; ``results`` are the names of its global variables."""
        made = [self.declaration(const=True) for _ in range(2)]
        made += [self.declaration() for _ in range(self.random.randint(2, 5))]
        made += [self.array() for _ in range(self.random.randint(0, 2))]
        made += [self.define() for _ in range(self.random.randint(0, 2))]
        made += [self.statement() for _ in range(self.random.randint(3, 8))]
        self.results = [n for n in self.known if n[0] in "vc"]
        return made
