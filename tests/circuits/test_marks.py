"""Free angles that pass through the compiler as marks come out right, and runs are shortened."""

from __future__ import annotations

import math

import numpy as np
import pytest
from drawn_circuits import LINE4, device, same_up_to_phase, unitary_of
from hypothesis import given
from hypothesis import strategies as st
from qiskit.quantum_info import Operator

from quantainer.circuits import measure, read
from quantainer.circuits.cache import CompileCache
from quantainer.circuits.runs import tidied, written
from quantainer_client.circuit import Circuit as Flat
from quantainer_client.columns import GATES

TURNS = st.sampled_from([k * math.pi / 4 for k in range(-8, 9)]) | st.floats(-7, 7)
SX = np.array([[1, -1j], [-1j, 1]]) / math.sqrt(2)
X = np.array([[0, 1], [1, 0]])


@given(st.lists(TURNS, min_size=1, max_size=9))
def test_a_tidied_run_is_equal_and_has_two_sx_at_most(turns: list[float]) -> None:
    def product(gates):
        matrix = np.eye(2)
        for gate in gates:
            step = {"sx": SX, "x": X}.get(gate) if isinstance(gate, str) else None
            matrix = (np.diag([1, np.exp(1j * gate[0])]) if step is None else step) @ matrix
        return matrix

    run = [(angle, ()) for angle in turns]
    gates = written(tidied(run), tidy=True)
    assert same_up_to_phase(product(gates), product(written(run, tidy=False)))
    assert sum(isinstance(gate, str) for gate in gates) <= 2


def test_free_angles_stay_where_they_are() -> None:
    free = (0.0, ((3, 1.0),))
    run = [(0.1, ()), free, (math.pi, ()), (0.2, ())]
    assert tidied(run) == [(0.1, ()), (pytest.approx(math.pi + 0.2), ((3, 1.0),))]


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("twos", ["cx", "cz", "ecr"])
@pytest.mark.parametrize("name", [name for name, (_, params) in GATES.items() if params])
def test_every_gate_with_angles(name: str, twos: str, level: int) -> None:
    """Its neighbours are fixed, so that marks must be joined with what lies beside them."""
    qubits, params = GATES[name]
    target = device(4, LINE4, basis_gates=("rz", "sx", "x", twos))
    cache = CompileCache(steady=True)
    for turn in range(3):
        angles = [0.3 + 0.7 * index + turn for index in range(params)]
        circuit = Flat(3).h(0).sx(1).cx(0, 1)
        circuit.gate(name, list(range(qubits)), angles).sdg(0).h(1).cx(1, 2).h(0)
        source = read(circuit.encode())
        compiled = cache.compile(source, measure(source), target, level)
        assert compiled.cache == ("hit" if turn else "miss")
        assert set(compiled.program.count_ops()) <= {"rz", "sx", "x", twos}
        assert same_up_to_phase(unitary_of(compiled, 3), Operator(source.program).data)
