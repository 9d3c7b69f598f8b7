"""Random programs compute what an independent oracle says, by the rules of the specification."""

from __future__ import annotations

import math

import pytest
from author import Author
from execution import HEADER, basis_run
from oracle import Cell, Oracle, Undefined
from wording import text

from quantainer.circuits.options import ReadOptions
from quantainer.circuits.qasm3 import read
from quantainer_client.errors import QuantainerError

SEEDS = 120
OPTIONS = ReadOptions(max_iterations=100_000)


def shown(name: str, cell: Cell) -> str:
    """Return statements that bring a variable's value out of the program."""
    word, width = cell.type.word, cell.type.width or 64
    if word == "float":
        return f"qubit q_{name}; rx({name}) q_{name};\n"
    if word in ("bool", "bit"):
        return f"qubit q_{name}; if ({name}) x q_{name}; bit m_{name} = measure q_{name};\n"
    flips = f"for uint k in [0:{width - 1}] {{ if ({name}[k]) x q_{name}[k]; }}"
    return f"qubit[{width}] q_{name}; {flips} bit[{width}] m_{name}; m_{name} = measure q_{name};\n"


def check(seed: int) -> str:
    """Compare one program; return how it ended."""
    author = Author(seed)
    program = author.program()
    source = HEADER + text(program)
    try:
        names = Oracle(program).names
    except Undefined as undefined:
        with pytest.raises(QuantainerError, match=rf"^t:\d+:\d+: .*({undefined})"):
            read(source.encode(), "t", OPTIONS)
        return "refused"
    cells = {name: names[name] for name in author.results}
    for name, cell in cells.items():
        if cell.type.word != "float" or math.isfinite(cell.data):
            source += shown(name, cell)
    circuit = read(source.encode(), "t", OPTIONS).program
    angles = {
        circuit.find_bit(each.qubits[0]).registers[0][0].name: each.params[0]
        for each in circuit.data
        if each.name == "rx"
    }
    found = basis_run(circuit)
    for name, cell in cells.items():
        if cell.type.word == "float":
            if math.isfinite(cell.data) and abs(cell.data) < 1e4:
                angle = angles.get(f"q_{name}")
                assert angle == cell.data, f"{name} of seed {seed}:\n{source}"
            continue
        expected = cell.data % (1 << (cell.type.width or 64)) if cell.type.word in (
            "int", "uint", "bits") else cell.data  # fmt: skip
        assert found[f"m_{name}"] == expected, f"{name} of seed {seed}: {cell.data}\n{source}"
    return "computed"


@pytest.mark.parametrize("start", range(0, SEEDS, 10))
def test_programs_compute_what_the_oracle_says(start: int) -> None:
    ends = [check(seed) for seed in range(start, start + 10)]
    assert "computed" in ends


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("uint[4] u = 5; output int[8] r; r = -u;", 256 - 5),
        ("int[4] i = -8; output bit r; r = -i == 8;", 1),
        ("int[1] i = true; output bit r; r = i == -1;", 1),
        ("output bit r; int[8] i = 2; r = i;", 1),
        ("output bit r; r = 1; r += 1;", 1),
        ("output bit[4] r; int[4] i = -1; r = i;", 15),
        ("uint u; u -= 1; output bit r; switch (u) { case -1 { r = 1; } }", 1),
        ("uint[1200] n = 1; n <<= 1100; output bit r; r = n > 1e308 && float(n) > 1e308;", 1),
    ],
)
def test_choices_that_are_documented(text: str, expected: int) -> None:
    assert basis_run(read((HEADER + text).encode(), "t").program) == {"r": expected}


@pytest.mark.parametrize("measured", ["uint[4]", "int[4]", "uint"])
def test_a_measured_value_is_negated_as_a_known_one(measured: str) -> None:
    text = f"qubit[4] q; x q[0]; x q[2]; bit[4] c = measure q; {measured} u = {measured}(c);"
    text += "output int[8] r; r = -u; output bit b; b = -u == 0 - u;"
    assert basis_run(read((HEADER + text).encode(), "t").program) | {"c": 5} == {
        "c": 5, "r": 256 - 5, "b": 1,
    }  # fmt: skip


def test_a_function_of_a_complex_number_that_overflows_is_refused() -> None:
    with pytest.raises(QuantainerError, match=r"^t:3:13: `exp` is not defined at"):
        read(f"{HEADER}complex c = exp(1e4im * 1e4im * -1);".encode(), "t")


def test_bits_that_are_known_though_others_of_a_value_are_not() -> None:
    text = "qubit q; x q; bit c = measure q; uint[4] u = c; u <<= 1; float f = int[1](u);"
    text += "output bit r; r = f == 0 && u == 2;"
    assert basis_run(read((HEADER + text).encode(), "t").program)["r"] == 1


def test_a_variable_that_a_loop_of_the_run_assigns_to_itself() -> None:
    text = "qubit q; bool v; bit c = measure q; while (c) { v = v; c = measure q; }"
    text += "output bit r; r = !v;"
    assert basis_run(read((HEADER + text).encode(), "t").program)["r"] == 1
