"""Random programs of the whole grammar: what the reference parser accepts is read or refused."""

from __future__ import annotations

import random
import re

import pytest
from reference import reference_accepts

from quantainer.circuits.options import ReadOptions
from quantainer.circuits.qasm3 import read
from quantainer.circuits.qasm3.parser import parse
from quantainer.circuits.qasm3.source import Source
from quantainer_client.errors import QuantainerError

OPTIONS = ReadOptions(max_gates=2000, max_iterations=2000, max_nesting=100)

# A rule is its alternatives; a word in capitals is a rule. The first one ends a rule soonest.
RULES = {
    "NAME": ("i", "b", "q", "c", "a", "f"),
    "NUMBER": ("3", "0x1F", "1_000", "0b1_0", "0o17", "2.5", ".5e-3", "1.", "true", "2im",
               '"0110"'),
    "VALUE": ("NAME", "NUMBER", "NUMBER", "NAME[INDEX]", "-VALUE", "!VALUE", "~VALUE", "(VALUE)",
              "VALUE BINARY VALUE", "VALUE BINARY VALUE", "TYPE(VALUE)", "sin(VALUE)", "pi",
              "popcount(VALUE)", "rotl(VALUE, VALUE)", "f(VALUE)", "sizeof(a, 0)", "10ns"),
    "BINARY": ("+", "-", "*", "/", "%", "**", "<<", ">>", "<", "<=", ">", ">=", "==", "!=", "&",
               "|", "^", "&&", "||"),
    "INDEX": ("0", "VALUE", "VALUE:VALUE", "VALUE:VALUE:VALUE", ":", "1:", ":2", "{0, VALUE}",
              "0, VALUE", "-1"),
    "TYPE": ("int", "int[8]", "uint[VALUE]", "bit", "bit[4]", "bool", "float[64]", "angle[8]",
             "complex", "complex[float[32]]", "duration"),
    "ARRAY": ("array[int[8], 3]", "array[float, 2, VALUE]"),
    "QUBIT": ("q", "q[0]", "q[INDEX]", "$0", "$12", "w"),
    "ASSIGN": ("=", "+=", "-=", "*=", "/=", "&=", "|=", "^=", "<<=", ">>=", "%=", "**="),
    "MODIFIER": ("inv @", "ctrl @", "negctrl(2) @", "pow(VALUE) @", "ctrl(VALUE) @"),
    "GATE": ("x QUBIT;", "rx(VALUE) QUBIT;", "cx QUBIT, QUBIT;", "MODIFIER GATE", "gphase(VALUE);",
             "U(VALUE, VALUE, VALUE) QUBIT;", "g QUBIT, QUBIT;", "MODIFIER MODIFIER GATE"),
    "BODY": ("{ }", "{ STATEMENT }", "{ STATEMENT STATEMENT }", "STATEMENT"),
    "BLOCK": ("{ }", "{ STATEMENT }", "{ STATEMENT STATEMENT }"),
    "RANGE": ("[0:3]", "[VALUE:VALUE]", "[3:-1:0]", "{1, VALUE}", "a", "b"),
    "STATEMENT": ("GATE", "GATE", "NAME ASSIGN VALUE;", "NAME[INDEX] ASSIGN VALUE;", "VALUE;",
                  "TYPE NAME;", "TYPE NAME = VALUE;", "const TYPE NAME = VALUE;", "reset QUBIT;",
                  "b = measure QUBIT;", "measure QUBIT -> c[0];", "barrier QUBIT, QUBIT;",
                  "delay[VALUE] QUBIT;", "box BLOCK", "if (VALUE) BODY",
                  "if (VALUE) BODY else BODY",
                  "for TYPE NAME in RANGE BODY", "while (VALUE) BODY", "break;", "continue;",
                  "end;",
                  "switch (VALUE) { case 1, VALUE BLOCK default BLOCK }", "let w = q[INDEX];",
                  "let w = q ++ r[INDEX];", "return VALUE;", "bit NAME = measure QUBIT;"),
    "GLOBAL": ("STATEMENT", "STATEMENT", "qubit[VALUE] NAME;", "qreg r[3];", "creg d[2];",
               "ARRAY NAME = {1, {VALUE, 2}};", "ARRAY NAME;", "input TYPE NAME;",
               "output TYPE NAME;", "gate g u, v { GATE GATE }", "gate g(t) u { rx(t) u; }",
               "def f(TYPE i, qubit[2] q) -> TYPE BLOCK",
               "def f(mutable array[int, #dim = 1] a) BLOCK",
               "def f(readonly array[int, 2] a) -> TYPE BLOCK", "extern f(TYPE, TYPE) -> TYPE;",
               "pragma some words\n", "@note more words\nSTATEMENT", "cal { any text }",
               "defcal x $0 { any text }", 'defcalgrammar "openpulse";', "stretch s;"),
}  # fmt: skip
START = """OPENQASM 3.0;
include "stdgates.inc";
qubit[4] q; qubit[3] r; int[8] i = 3; bit b; bit[4] c; array[int[8], 3] a; float f = 0.5;
"""
WORD = re.compile(r"[A-Z]{4,}")


def written(rule: str, choice: random.Random, depth: int) -> str:
    """Return a random text of a rule; it gets simple below some depth."""
    options = RULES[rule]
    text = choice.choice(options if depth > 0 else options[:2])
    return WORD.sub(
        lambda match: written(match[0], choice, depth - 1) if match[0] in RULES else match[0], text
    )


def refusal(text: str) -> str | None:
    """Return why our parser refuses a text."""
    try:
        parse(Source("t", text), OPTIONS.max_nesting)
    except QuantainerError as error:
        return error.message
    return None


def spoilt(text: str, choice: random.Random) -> str:
    """Return a text that lacks a token, or has one twice."""
    tokens = re.findall(r"\w+|\s+|.", text)
    tokens[choice.randrange(len(tokens))] *= choice.choice((0, 2))
    return "".join(tokens)


def check(seed: int) -> None:
    choice = random.Random(seed)
    text = "\n".join(written("GLOBAL", choice, 5) for _ in range(choice.randint(1, 3)))
    if seed % 5 == 0:
        text = spoilt(text, choice)
    text = START + text
    refused = refusal(text)
    if refused is not None:
        assert re.match(r"t:\d+:\d+: ", refused)
        assert not reference_accepts(text), f"{refused}\n{text}"
    try:
        read(text.encode(), "t", OPTIONS)
    except QuantainerError as error:
        assert re.match(r"t:\d+:\d+: ", error.message), f"{error.message}\n{text}"  # noqa: PT017


@pytest.mark.parametrize("start", range(0, 500, 100))
def test_what_the_reference_accepts_is_read_or_refused_with_its_line(start: int) -> None:
    for seed in range(start, start + 100):
        check(seed)
