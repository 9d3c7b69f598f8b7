"""What a short program could make a reader do for hours is counted, and refused where it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from execution import HEADER
from qiskit.quantum_info import Operator

from quantainer.circuits import ReadOptions, read
from quantainer_client.errors import QuantainerError

OPTIONS = ReadOptions(max_iterations=20_000)

LONG = {
    "calls that double": """
        def f(int n) -> int { if (n == 0) { return 1; } return f(n - 1) + f(n - 1); }
        int m = f(40);""",
    "copies of an array": """
        array[int[32], 100, 100] a; array[int[32], 100, 100] b;
        for uint i in [0:1000] { a = b; }""",
    "slices of an array": """
        array[int[32], 1000] a;
        for uint i in [0:1000] { a[0:998] = a[1:999]; }""",
    "many arrays": "".join(f"array[int[32], 100, 100] a{i};\n" for i in range(10)),
    "sums in a loop": f"int a; for uint i in [0:10000] {{ a = {' + '.join('a' * 100)}; }}",
    "long bodies of loops": f"int a; for uint i in [0:10000] {{ {'a += 1; ' * 100} }}",
    "a float of many measured bits": """
        qubit[16] q; qubit r; bit[16] c; c = measure q; rx(float(uint[16](c))) r;""",
    "powers of wide integers": "uint[100000] n = 3; for uint i in [0:10] { n = n ** n; }",
    "products of wide integers": """
        uint[100000] n = 3;
        for uint i in [0:10000] { n = n * n + 1; }""",
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG.keys())
def test_what_takes_long_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(QuantainerError, match=r"^t.qasm:\d+:\d+: .*iterations") as caught:
        read((HEADER + text).encode(), "t.qasm", options=OPTIONS)
    assert caught.value.code == "too_large"
    assert caught.value.limit == 20_000


def test_a_power_of_many_gates_is_their_matrix() -> None:
    """Ten thousand gates are written out at most; of more, the matrix is taken to the power."""
    gate = "gate g a { t a; h a; } qubit q;"
    nested = read(f"{HEADER}{gate} pow(1000) @ pow(1000) @ pow(1000) @ g q;".encode(), "t")
    assert len(nested.program.data) <= 10_000
    by_squares = Operator.from_label("I")
    square = Operator(read(f"{HEADER}{gate} g q;".encode(), "t").program)
    for place in range(30):
        if 10**9 >> place & 1:
            by_squares = square @ by_squares
        square = square @ square
    assert Operator(nested.program).equiv(by_squares, atol=1e-6)


@pytest.mark.parametrize("angle", ["1e400", "-1e400", "pi*1e400"])
def test_an_angle_that_is_not_finite_is_refused_with_its_line(angle: str) -> None:
    with pytest.raises(QuantainerError, match=r"^t.qasm:4:\d: the angle is -?inf"):
        read(f"{HEADER}qubit q;\nrx({angle}) q;".encode(), "t.qasm")


def test_a_version_of_many_digits_is_an_unsupported_one() -> None:
    with pytest.raises(QuantainerError, match=r"^t.qasm:1:10: unsupported OpenQASM version 9{40}…"):
        read(b"OPENQASM " + b"9" * 5000 + b".0; qubit q;", "t.qasm")


def test_controls_side_by_side_are_one_gate_under_all_of_them() -> None:
    wires = ", ".join(f"q[{index}]" for index in range(13))
    chained = read(f"{HEADER}qubit[13] q; {'ctrl @ ' * 12}x {wires};".encode(), "t")
    at_once = read(f"{HEADER}qubit[13] q; ctrl(12) @ x {wires};".encode(), "t")
    assert chained.program.data == at_once.program.data


def test_controls_of_both_signs_side_by_side_are_one_gate_too() -> None:
    wires = ", ".join(f"q[{index}]" for index in range(13))
    mixed = read(f"{HEADER}qubit[13] q; {'ctrl @ negctrl @ ' * 6}x {wires};".encode(), "t")
    at_once = read(f"{HEADER}qubit[13] q; ctrl(12) @ x {wires};".encode(), "t")
    flips = [each for each in mixed.program.data if each.name == "x"]
    assert len(flips) == 12
    assert len(mixed.program.data) == len(at_once.program.data) + 12


POWER = "gate g a, b { h a; cx a, b; t b; rx(0.7) a; }\n"


def matrix_of(text: str) -> np.ndarray[Any, Any]:
    return np.asarray(Operator(read((HEADER + POWER + text).encode(), "t").program).data)


@pytest.mark.parametrize("controls", [1, 3, 5])
@pytest.mark.parametrize("nested", [False, True])
def test_a_power_under_controls_is_exact_and_so_are_controls_around_it(
    controls: int, nested: bool
) -> None:
    power = matrix_of("qubit[2] q; pow(0.3) @ g q[0], q[1];")
    gate = "gate w c, a, b { ctrl @ pow(0.3) @ g c, a, b; }" if nested else ""
    call = f"ctrl({controls - 1}) @ w" if controls > 1 else "w"
    call = call if nested else f"ctrl({controls}) @ pow(0.3) @ g"
    wires = ", ".join(f"q[{index}]" for index in range(controls + 2))
    found = matrix_of(f"{gate} qubit[{controls + 2}] q; {call} {wires};")
    expected = np.eye(4 << controls, dtype=complex)
    places = [(1 << controls) - 1 + (place << controls) for place in range(4)]
    expected[np.ix_(places, places)] = power
    assert np.allclose(found, expected, atol=1e-9)


def test_a_power_under_fifty_controls_takes_no_matrix_of_them() -> None:
    wires = ", ".join(f"q[{index}]" for index in range(52))
    text = f"{HEADER}{POWER}qubit[52] q; ctrl(50) @ pow(0.3) @ g {wires};"
    assert read(text.encode(), "t").program.num_qubits == 52
