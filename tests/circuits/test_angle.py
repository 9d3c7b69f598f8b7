"""Large angles lose their whole turns as they are read: nothing later would leave anything of them.

The right value is that of the number as it is given: sine and cosine of 1e300 are well-defined.
"""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from drawn_circuits import LINE4, device, same_up_to_phase, unitary_of
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Parameter
from qiskit.quantum_info import Operator

from quantainer.circuits import measure, read
from quantainer.circuits.angle import all_reduced, reduced
from quantainer.circuits.cache import CompileCache
from quantainer_client.columns import GATES
from quantainer_client.qiskit.encode import encode

LARGE = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([1e15, -1e300])
_OLD = ("cu1", "u1")  # Qiskit's circuits have no such methods
TURNING = sorted(n for n, (_, params) in GATES.items() if params == 1 and n not in _OLD)
BASES = (("rz", "sx", "x", "cx"), ("rz", "sx", "x", "ecr"), ("u", "cz"))


def _qpy(circuit: QuantumCircuit) -> bytes:
    file = io.BytesIO()
    qpy.dump(circuit, file)
    return file.getvalue()


def _text(circuit: QuantumCircuit, head: str) -> bytes:
    lines = [
        f"{step.name}({step.params[0]!r}) "
        + ",".join(f"q[{circuit.find_bit(bit).index}]" for bit in step.qubits)
        + ";"
        for step in circuit.data
    ]
    return "\n".join([head, *lines]).encode()


FORMS = {
    "columnar": lambda circuit: encode(circuit)[0],
    "qpy": _qpy,
    "qasm2": lambda circuit: _text(circuit, 'OPENQASM 2.0; include "qelib1.inc"; qreg q[2];'),
    "qasm3": lambda circuit: _text(circuit, 'OPENQASM 3; include "stdgates.inc"; qubit[2] q;'),
    "qasm3 in general": lambda circuit: _text(
        circuit, 'OPENQASM 3; include "stdgates.inc"; qubit[2] q; const int a = 1;'
    ),
}


@given(angle=LARGE)
def test_only_turns_are_lost(angle: float) -> None:
    (found,) = reduced((angle,))
    assert all_reduced(np.array([angle])).tolist() == [found]
    assert math.isclose(math.sin(found / 2), math.sin(angle / 2), abs_tol=1e-12)
    assert math.isclose(math.cos(found / 2), math.cos(angle / 2), abs_tol=1e-12)
    assert abs(found) <= 1e4
    if abs(angle) <= 1e4:
        assert found == angle


def test_what_is_no_number_stays() -> None:
    free = Parameter("a")
    assert reduced((free, 0.5)) == (free, 0.5)
    assert reduced((free, 1e15))[0] is free


@pytest.mark.parametrize("form", FORMS)
@given(angles=st.lists(LARGE, min_size=3, max_size=3))
@settings(max_examples=10, deadline=None)
def test_every_form_is_read_to_the_same(form: str, angles: list[float]) -> None:
    circuit = QuantumCircuit(2)
    circuit.rx(angles[0], 0)
    circuit.crz(angles[1], 0, 1)
    circuit.ry(angles[2], 1)
    program = read(FORMS[form](circuit)).program
    assert all(abs(step.params[0]) <= 1e4 for step in program.data if step.params)
    assert np.allclose(Operator(program).data, Operator(circuit).data, atol=1e-9)


@pytest.mark.parametrize("steady", [True, False])
@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("basis", BASES)
@given(data=st.data())
@settings(max_examples=5, deadline=None)
def test_compiled_circuits_have_them_right(basis, level, steady, data) -> None:
    gates = data.draw(st.lists(st.sampled_from(TURNING), min_size=1, max_size=5))
    cache = CompileCache(steady=steady)
    for _ in range(3):
        circuit = QuantumCircuit(2)
        for name in gates:
            getattr(circuit, name)(data.draw(LARGE), *range(GATES[name][0]))
            circuit.h(0)
        found = read(encode(circuit)[0])
        target = device(4, LINE4, basis_gates=basis)
        compiled = cache.compile(found, measure(found), target, level)
        assert same_up_to_phase(unitary_of(compiled, 2), Operator(circuit).data)


def test_a_large_angle_is_no_clifford_gate() -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(1e300, 0)
    assert not measure(read(encode(circuit)[0])).clifford
