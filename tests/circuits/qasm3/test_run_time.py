"""A program means the same whether its data are known while reading or measured in the run.

Both ways share the syntax tree and little else: known data go through Python's integers, measured
ones through Boolean functions, branches, flags and loops. So each is the oracle of the other.
"""

from __future__ import annotations

import random

from execution import HEADER, basis_run
from hypothesis import given, settings
from hypothesis import strategies as st

from quantainer.circuits.options import ReadOptions
from quantainer.circuits.qasm3 import export, read

TYPES = {"u": "uint[4]", "v": "uint[6]", "i": "int[5]", "j": "int[8]"}
DECLARATIONS = """
def f(uint[6] x, bit y) -> uint[4] {
  for uint t in [0:2] {
    if (x[t] == 1) { return uint[4](x) + t; }
    x += 1;
    if (y) { continue; }
    x *= 3;
  }
  return 9;
}
qubit[3] q;
qubit[12] source;
output uint[4] u; output uint[6] v; output int[5] i; output int[8] j; output bool b;
output bit[3] c;
bit[12] m;
"""
START = """
u = uint[4](m[0:3]); v = uint[6](m[2:7]); i = int[5](m[5:9]); j = int[8](m[4:11]);
b = m[0]; c = m[3:5];
"""


class Author:
    """Writes random programs."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.names = 0
        self.loops = 0

    def pick(self, *options: str) -> str:
        return self.random.choice(options)

    def number(self, depth: int = 0) -> str:
        if depth > 2 or self.random.random() < 0.3:
            return self.pick("u", "v", "i", "j", str(self.random.randint(0, 9)))
        inner = depth + 1
        return self.random.choice(
            [
                lambda: f"({self.number(inner)} {self.pick('+', '-', '*')} {self.number(inner)})",
                lambda: f"({self.number(inner)} {self.pick('+', '-', '*')} {self.number(inner)})",
                lambda: f"({self.number(inner)} / {self.pick('2', '3', '(v + 70)')})",
                lambda: f"({self.number(inner)} % {self.pick('2', '3', '5')})",
                lambda: f"(u {self.pick('&', '|', '^')} {self.pick('u', '3', '5')})",
                lambda: f"(v {self.pick('<<', '>>')} {self.pick('1', '2', 'u[0:1]', 'u')})",
                lambda: f"-{self.number(inner)}",
                lambda: self.pick("popcount(v)", "uint[3](c)", "(i >> 1)"),
                lambda: f"rotl(v, {self.random.randint(-3, 9)})",
                lambda: f"int({self.truth(inner)})",
            ]
        )()

    def truth(self, depth: int = 0) -> str:
        if depth > 2 or self.random.random() < 0.2:
            return self.pick("b", "c[0]", "c[2]", "u[1]", "j[7]", "bool(i)")
        inner = depth + 1
        return self.random.choice(
            [
                lambda: (
                    f"({self.number(inner)} {self.pick('<', '<=', '>', '>=', '==', '!=')} "
                    f"{self.number(inner)})"
                ),
                lambda: (
                    f"({self.truth(inner)} {self.pick('&&', '||', '==', '!=')} {self.truth(inner)})"
                ),
                lambda: f"!{self.truth(inner)}",
                lambda: f"(c == {self.random.randint(0, 7)})",
            ]
        )()

    def body(self, depth: int) -> str:
        return "".join(self.statement(depth) for _ in range(self.random.randint(1, 3)))

    def statement(self, depth: int = 0) -> str:
        if depth > 2 or self.random.random() < 0.35:
            name = self.pick(*TYPES)
            return f"{name} {self.pick('=', '+=', '-=', '*=')} {TYPES[name]}({self.number(1)});\n"
        return self.random.choice(
            [self.simple, self.simple, self.branch, self.branch, self.repeat, self.loop, self.jump,
             self.switch]
        )(depth)  # fmt: skip

    def simple(self, _depth: int) -> str:
        return self.pick(
            f"b = {self.truth(1)};\n",
            f"c[{self.random.randint(0, 2)}] = {self.truth(1)};\n",
            f"c {self.pick('<<=', '>>=', '^=', '|=', '&=')} {self.pick('1', '2')};\n",
            "u[0:1] = v[2:3];\n",
            "c = measure q;\n",
            f"x q[{self.pick('0', '1', 'u % 3')}];\n",
            "u = f(v, c[0]);\n",
        )

    def branch(self, depth: int) -> str:
        text = f"if ({self.truth()}) {{\n{self.body(depth + 1)}}}"
        if self.random.random() < 0.5:
            text += f" else {{\n{self.body(depth + 1)}}}"
        return text + "\n"

    def repeat(self, depth: int) -> str:
        self.loops += 1
        self.names += 1
        head = f"for uint w{self.names} in [0:{self.random.randint(0, 3)}]"
        text = f"{head} {{\n{self.body(depth + 1)}}}\n"
        self.loops -= 1
        return text

    def loop(self, depth: int) -> str:
        self.loops += 1
        self.names += 1
        name = f"k{self.names}"
        head = f"while ({name} < {self.random.randint(1, 4)} && {self.truth(1)})"
        text = f"uint[3] {name} = 0;\n{head} {{\n{name} += 1;\n{self.body(depth + 1)}}}\n"
        self.loops -= 1
        return text

    def jump(self, _depth: int) -> str:
        words = ["end"] if not self.loops else ["break", "continue", "break", "end"]
        return f"if ({self.truth(1)}) {{ {self.pick(*words)}; }}\n"

    def switch(self, depth: int) -> str:
        bodies = [self.body(depth + 1) for _ in range(3)]
        return (
            f"switch (int(u)) {{ case 0, 3 {{\n{bodies[0]}}} case 7 {{\n{bodies[1]}}} "
            f"default {{\n{bodies[2]}}} }}\n"
        )


def programs(seed: int) -> tuple[str, str]:
    author = Author(seed)
    data = author.random.randint(0, 4095)
    body = START + "".join(author.statement() for _ in range(author.random.randint(2, 7)))
    flips = "".join(f"x source[{place}];\n" for place in range(12) if data >> place & 1)
    known = f'{HEADER}{DECLARATIONS}m = "{data:012b}";\n{body}'
    measured = f"{HEADER}{DECLARATIONS}{flips}m = measure source;\n{body}"
    return known, measured


OPTIONS = ReadOptions(max_gates=200_000)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_known_and_measured_data_give_the_same_result(seed: int) -> None:
    known, measured = programs(seed)
    expected = basis_run(read(known.encode(), "known", OPTIONS).program)
    program = read(measured.encode(), "measured", OPTIONS).program
    assert basis_run(program) == expected
    text = export(program)
    if len(text) < 100_000:
        assert basis_run(read(text.encode(), "again", OPTIONS).program) == expected
