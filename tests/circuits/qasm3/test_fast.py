"""The fast path means what the general path means, and is fast."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qasm3

from quantainer.circuits.options import ReadOptions
from quantainer.circuits.qasm3.build import build
from quantainer.circuits.qasm3.fast import read_plain
from quantainer.circuits.qasm3.library import BUILTIN, STDGATES
from quantainer.circuits.qasm3.program import run
from quantainer.circuits.qasm3.source import Source
from quantainer_client.errors import QuantainerError

OPTIONS = ReadOptions()


def slow(text: str) -> QuantumCircuit:
    """Read by the general path."""
    return build(run(Source("t", text), OPTIONS), "t")


def random_program(gates: int, qubits: int = 20, seed: int = 0) -> str:
    source = random.Random(seed)
    lines = ["OPENQASM 3.0;", 'include "stdgates.inc";', f"qubit[{qubits}] q;", f"bit[{qubits}] c;"]
    for _ in range(gates):
        a, b = source.sample(range(qubits), 2)
        name = source.choice(("rx", "ry", "rz", "cx", "cx", "cx"))
        operands = f"q[{a}], q[{b}]" if name == "cx" else f"q[{a}]"
        angle = "" if name == "cx" else f"({source.uniform(-3, 3)})"
        lines.append(f"{name}{angle} {operands};")
    return "\n".join([*lines, "c = measure q;", ""])


ANGLES = st.one_of(
    st.floats(-10, 10).map(repr),
    st.sampled_from(
        ["pi", "-pi", "pi/2", "-pi/4", "3*pi/4", "-2*pi/3", "0.5*pi", "π / 8", "2 * π", "pi*3/7",
         "1", "-3", "1e-3", ".5", "2.", "+1"]
    ),
)  # fmt: skip
SPACES = st.sampled_from([" ", "  ", "\n", " /* ; */ ", " // x;\n", "\t"])


MEASUREMENTS = [
    *("c~= measure q;", "measure q -> c;", "c[1] = measure r[2];", "d = measure k;"),
    *("measure~q[0]->c[2];", "measure k -> d;", "d = measure q;", "c = measure k;"),
]


@st.composite
def plain_programs(draw: Any) -> str:
    """Programs of the fast path's grammar, and now and then something wrong."""
    gates = {**STDGATES, **BUILTIN}
    operands = ["q[0]", "q[1]", "q[2]", "r[0]", "r[1]", "r[2]", "k", "q", "r"]
    lines = [
        draw(st.sampled_from(["OPENQASM 3.0;", "OPENQASM 3;", "OPENQASM 3.1;", ""])),
        'include "stdgates.inc";',
        draw(st.sampled_from(["qubit[3] q;", "qreg q[3];", "qubit [ 3 ] q;"])),
        "qubit[3] r;qubit k;",
        draw(st.sampled_from(["bit[3] c;", "creg c[3];"])),
        "bit d;",
    ]
    for _ in range(draw(st.integers(0, 12))):
        kind = draw(st.integers(0, 9))
        space = draw(SPACES)
        if kind < 6:
            name = draw(st.sampled_from(sorted(gates)))
            gate = gates[name]
            angles = [draw(ANGLES) for _ in range(gate.parameters)]
            arguments = (
                f"({', '.join(angles)})" if angles else draw(st.sampled_from(["", "", "()"]))
            )
            wires = [draw(st.sampled_from(operands)) for _ in range(gate.qubits)]
            lines.append(f"{name}{arguments}{space}{', '.join(wires)};")
        elif kind == 6:
            lines.append(draw(st.sampled_from(MEASUREMENTS)).replace("~", space))
        elif kind == 7:
            lines.append(f"reset{space}{draw(st.sampled_from(operands))};")
        else:
            lines.append(draw(st.sampled_from(
                ["barrier;", "barrier q;", f"barrier q[0],{space}r;", "barrier k, q, r[0];"]
            )))  # fmt: skip
    return draw(st.sampled_from(["\n", "", "  "])).join(lines)


@settings(max_examples=300, deadline=None)
@given(plain_programs())
def test_both_paths_give_the_same_circuit(text: str) -> None:
    fast = read_plain(text, "t", OPTIONS)
    try:
        general = slow(text)
    except QuantainerError:
        assert fast is None, "the fast path reads what is wrong"
        return
    if fast is not None:
        assert fast == general
        assert fast.global_phase == pytest.approx(general.global_phase, abs=1e-12)
    else:
        assert "+1" in text or "()" in text


def test_most_plain_programs_take_the_fast_path() -> None:
    assert read_plain(random_program(100), "t", OPTIONS) is not None
    assert read_plain(random_program(100) + "if (c[0]) x q[0];", "t", OPTIONS) is None


@pytest.mark.parametrize(
    "wrong",
    [
        "h q[20];", "cx q[0], q[0];", "h q q;", "rx q[0];", "rx(nan) q[0];", "rx(1_) q[0];", "h c;",
        "foo q;", "measure q;;", "qubit h;", "qubit q;", "bit pi;", "c[0] = measure q;", "h q[0]",
        "rx(1/0) q[0];", "qubit[0] z0;", "x q[01];", "h q[-1];", "#", "h(q) q;", "h q[0] q[1];",
    ],
)  # fmt: skip
def test_anything_odd_is_left_to_the_general_path(wrong: str) -> None:
    assert read_plain(random_program(3) + wrong, "t", OPTIONS) is None


def test_limits_hold_on_the_fast_path() -> None:
    with pytest.raises(QuantainerError) as caught:
        read_plain(random_program(1000), "t", ReadOptions(max_gates=500))
    assert caught.value.code == "too_large"
    with pytest.raises(QuantainerError):
        read_plain(random_program(1, qubits=50), "t", ReadOptions(max_qubits=49))


def test_a_thousand_gates_are_read_twenty_times_faster_than_by_the_reference() -> None:
    text = random_program(1000)
    reference = min(_time(lambda: qasm3.loads(text)) for _ in range(2))
    ours = min(_time(lambda: read_plain(text, "t", OPTIONS)) for _ in range(10))
    assert reference / ours >= 20, f"{reference / ours:.0f} times"


def _time(action: Any) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


@pytest.mark.slow
def test_time_and_memory_are_linear_up_to_240_000_lines() -> None:
    texts = {gates: random_program(gates, qubits=100) for gates in (24_000, 240_000)}
    times = {
        gates: min(_time(lambda text=text: read_plain(text, "t", OPTIONS)) for _ in range(2))
        for gates, text in texts.items()
    }
    assert times[240_000] < 25 * times[24_000]
    assert _peak_kilobytes(texts[240_000]) < 2_000_000


def _peak_kilobytes(text: str) -> int:
    import subprocess
    import sys

    script = (
        "import resource, sys; from quantainer.circuits.qasm3 import read; "
        "read(sys.stdin.buffer.read(), 't'); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    run = [sys.executable, "-c", script]
    done = subprocess.run(run, input=text.encode(), capture_output=True, check=True)
    return int(done.stdout)
