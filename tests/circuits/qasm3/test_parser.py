"""The parser accepts and refuses what the reference parser does, says where, and survives depth."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from execution import basis_run
from features import KEPT, REFUSED, RUNS, UNITARIES
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import reference_accepts

from quantainer.circuits.options import ReadOptions
from quantainer.circuits.qasm3 import read, syntax
from quantainer.circuits.qasm3.parser import parse
from quantainer.circuits.qasm3.source import Source
from quantainer_client.errors import QuantainerError

PROGRAMS = [
    *(text for text, *_ in RUNS.values()),
    *(text for text, *_ in KEPT.values()),
    *(text for pair in UNITARIES.values() for text in pair),
]
BEYOND = ("nop", "= f q[0], q[1]", "++")
"""What the reference parser 1.0.1 or its tree lacks: newer statements, and ``++`` in values."""


def accepts(text: str) -> bool:
    try:
        parse(Source("t", text), 256)
    except QuantainerError:
        return False
    return True


@pytest.mark.parametrize("text", [each for each in PROGRAMS if not any(b in each for b in BEYOND)])
def test_the_reference_parser_agrees_on_every_feature(text: str) -> None:
    assert accepts(text)
    assert reference_accepts(text)


TOKENS = (
    *("qubit", "bit", "int", "float", "if", "else", "for", "in", "while", "def", "gate", "const"),
    *("let", "x", "q", "c", "i", "3", "2.5", "0b1", '"01"', "$0", "pi", "true", "[", "]", "{", "}"),
    *("(", ")", ";", ";", ";", ",", ":", "=", "==", "+", "-", "*", "**", "!", "&&", "->", "@"),
    *("measure", "reset", "barrier", "return", "ctrl", "inv"),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=12))
def test_the_reference_parser_agrees_on_token_soup(tokens: list[str]) -> None:
    text = " ".join(tokens)
    if accepts(text):  # the reference also refuses by rules of meaning: not in the other direction
        assert reference_accepts(text) or _meaningless(text)


def _meaningless(text: str) -> bool:
    """Tell whether the reference's refusal is no matter of syntax: ours comes when executed."""
    words = ("return", "def", "gate", "qubit", "let", "const", "measure", "reset", "barrier")
    return any(word in text.split() for word in words)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("qubit q;\n  h q", "2:6", "expected `;` after the operands"),
        ("if true x $0;", "1:4", "expected `(` after `if`: the condition stands in parentheses"),
        ("for int i { }", "1:11", "expected `in` after the loop variable"),
        ("int x, y;", "1:6", "one variable per declaration"),
        ("gate g(1) q { }", "1:8", "expected a name for the parameter"),
        ("gate for q { }", "1:6", "a keyword cannot name the gate"),
        ("def f(a) { }", "1:7", "a parameter needs a type"),
        ("int a = measure;", "1:16", "expected a qubit"),
        ("x = 3 + ;", "1:9", "expected an expression"),
        ("a = 1 + measure q;", "1:9", "a measurement is not part of an expression"),
        ("pow @ x q;", "1:5", "`pow` needs an exponent"),
        ("ctrl @x q;", "1:6", "expected `@` and a space after the modifier"),
        ("int a = 3__4;", "1:9", "`3__4` is not a number"),
        ('bit[2] b = "012";', "1:12", 'is not a string of bits'),
        ("$x;", "1:1", "unexpected character '$'"),
        ("switch (1) { }", "1:1", "a switch without cases"),
        ("switch (1) { default { } case 1 { } }", "1:31", "a `case` after `default`"),
        ("@note\n", "2:1", "an annotation needs a statement after it"),
        ("pragma\n", "1:1", "a pragma without content"),
        ("cal x;", "1:6", "a calibration needs a block"),
        ("qubit q; }", "1:10", "`}` closes nothing"),
        ("x (q];", "1:5", "`]` closes nothing"),
        ('include "a', "1:9", "a string that is never closed"),
        ("int[] a;", "1:5", "expected an expression"),
        ("array[int] a;", "1:10", "expected `,`"),
        ("complex[int[8]] c;", None, "complex numbers of int[8]"),
    ],
)  # fmt: skip
def test_messages(text: str, place: str | None, message: str) -> None:
    with pytest.raises(QuantainerError) as caught:
        read(text.encode(), "t")
    assert message in caught.value.message
    assert place is None or caught.value.message.startswith(f"t:{place}: ")


def test_bytes_that_are_no_text_are_named() -> None:
    with pytest.raises(QuantainerError, match="t:2:4: byte 0xff is not UTF-8 text"):
        read(b"// \xc3\xa4\n// \xff", "t")
    assert read(b"\xef\xbb\xbfqubit q;", "t").program.num_qubits == 1


DEEP = 200_000


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        f"float a = {'(' * DEEP}1{')' * DEEP};",
        f"{'{' * DEEP}{'}' * DEEP}",
        f"float a = {'-' * DEEP}1;",
        f"float a = {'1 ** ' * DEEP}1;",
        f"qubit q; x q{'[0]' * DEEP};",
        f"array[int, 2] a = {'{' * DEEP};",
        "if (true) " * DEEP + ";",
        "if (true) {" * DEEP,
        "if (true) ; else " * DEEP,
        f"int a = {'sin(' * DEEP}",
        f"int a = {'int(' * DEEP}",
        f"complex{'[complex' * DEEP} a;",
        f"{'inv @ ' * DEEP}x $0",
        "while (true) " * DEEP,
        "for int i in [0:1] " * DEEP,
        "/*" * DEEP,
        '"' * DEEP,
    ],
    ids=lambda text: text[:24],
)
def test_depth_is_refused_in_time(text: str) -> None:
    with pytest.raises(QuantainerError) as caught:
        read(text.encode(), "t")
    assert caught.value.code in ("too_large", "invalid_circuit")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        f"int a = 0{' + 1' * DEEP};",
        f"bool a = true{' && true' * DEEP};",
        f"float a = 1{' * 1' * DEEP};",
        "{" + "int a = 1;" + "{ a += 1; }" * 50_000 + "}",
        "; ".join(["int a"] + ["a = 1"] * 100_000) + ";",
        "/* { */ " * 100_000 + "// ((((\n" * 1000,
        f'bit[{DEEP}] a = "{"01" * (DEEP // 2)}";',
    ],
    ids=lambda text: text[:24],
)
def test_length_is_no_depth(text: str) -> None:
    assert read(text.encode(), "t", ReadOptions(max_gates=10**7))


@pytest.mark.parametrize("depth", [10, 60])
def test_nesting_within_the_limit_works(depth: int) -> None:
    options = ReadOptions(max_nesting=4 * depth)
    before = sys.getrecursionlimit()
    text = "int a;" + "if (true) {" * depth + "a += 1;" + "}" * depth
    text += f"a = {'(' * depth}1{')' * depth};"
    assert read(text.encode(), "t", options)
    text = "qubit[2] q; bit c = measure q[0];" + "if (c) { c = measure q[0]; " * depth + "}" * depth
    assert read(text.encode(), "t", options).program.count_ops()["if_else"] == 1
    assert sys.getrecursionlimit() == before


def test_run_time_blocks_are_nested_to_a_limit_that_everyone_can_follow() -> None:
    def text(depth: int) -> bytes:
        start = "qubit[2] q; bit c = measure q[0];"
        return (start + "if (c) { c = measure q[0]; " * depth + "}" * depth).encode()

    assert read(text(64), "t")
    with pytest.raises(QuantainerError, match="more than 64 nested run-time blocks"):
        read(text(65), "t")


def test_long_chains_of_cases_are_not_deep() -> None:
    start = "qubit[8] q; bit[8] c; output uint[8] r; x q[7]; x q[0]; c = measure q; "
    cases = "".join(f"case {value} {{ r = {value} + 1; }} " for value in range(200))
    program = read(f"{start}switch (uint[8](c)) {{ {cases} }}".encode(), "t").program
    assert basis_run(program) == {"r": 130}
    chain = " else ".join(f"if (c == {value}) r = {value} + 2;" for value in range(200))
    for text, expected in ((chain, 131), (chain.replace("== 129", "== 128"), 0)):
        program = read(f"{start}{text}".encode(), "t").program
        assert basis_run(program) == {"r": expected}


def test_every_node_knows_its_place() -> None:
    text = "int[8] a = 1 + 2;\nif (a == 3) { a = -a; }"
    source = Source("t", text)
    program = parse(source, 100)
    declaration, branch = program.body
    assert isinstance(declaration, syntax.ClassicalDeclaration)
    assert isinstance(branch, syntax.If)
    assert source.place(declaration.at) == (1, 1)
    assert source.place(branch.condition.at) == (2, 7)


@pytest.mark.parametrize("name", ["branch", "loop", "tokens"])
def test_every_line_of_the_specifications_invalid_files_is_refused(corpus: Path, name: str) -> None:
    path = corpus / f"openqasm+openqasm/source/grammar/tests/invalid/statements/{name}.qasm"
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("//")]
    for line in lines:
        with pytest.raises(QuantainerError, match=r"t:1:\d+: ") as caught:
            read(line.encode(), "t")
        assert caught.value.code == "invalid_circuit", line


def test_refusals_are_never_of_the_wrong_kind() -> None:
    for text, code, *_ in REFUSED.values():
        if code == "unsupported_circuit":
            assert accepts(text)
