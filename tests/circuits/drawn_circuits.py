"""Small targets and circuits that several tests compile."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit.library import PermutationGate
from qiskit.quantum_info import Operator

from quantainer.circuits.compile import Compiled
from quantainer.core.target import QubitFacts, TargetFacts
from quantainer_client.circuit import Circuit as Flat
from quantainer_client.columns import GATES

LINE4 = tuple(edge for i in range(3) for edge in ((i, i + 1), (i + 1, i)))


def device(
    qubits: int, coupling: Any = None, dead: tuple[int, ...] = (), **fields: Any
) -> TargetFacts:
    facts = tuple(
        QubitFacts(t1_us=100.0, t2_us=80.0, readout_error=0.01, usable=index not in dead)
        for index in range(qubits)
    )
    fields = {"basis_gates": ("rz", "sx", "x", "cx"), "kind": "qpu", "name": "device", **fields}
    return TargetFacts(qubits=qubits, coupling_map=coupling, qubit_facts=facts, **fields)


_NAMES = sorted(name for name in GATES if name not in ("c3sx", "rcccx"))


@st.composite
def flat_circuits(
    draw: Any, qubits: int = 3, size: int = 12, angles: Any = None
) -> tuple[list[tuple[str, list[int], list[float]]], int]:
    """Draw ``(operations, qubits)``; operations are ``(gate, qubits, angles)``."""
    width = draw(st.integers(1, qubits))
    fitting = [name for name in _NAMES if GATES[name][0] <= width]
    angle = angles or st.floats(-7, 7) | st.sampled_from([0.0, np.pi / 2, np.pi, -np.pi / 4])
    operations = []
    for _ in range(draw(st.integers(0, size))):
        name = draw(st.sampled_from(fitting))
        count, params = GATES[name]
        at = draw(st.permutations(range(width)))[:count]
        operations.append((name, list(at), [draw(angle) for _ in range(params)]))
    return operations, width


def flat(operations: Any, qubits: int) -> Flat:
    circuit = Flat(qubits)
    for name, at, angles in operations:
        circuit.gate(name, at, angles)
    return circuit


def unitary_of(compiled: Compiled, qubits: int) -> np.ndarray:
    """Return what a compiled circuit does to the qubits of its source, in their order."""
    program = compiled.program.remove_final_measurements(inplace=False)
    width = program.num_qubits
    places = [place for place in compiled.initial_layout if place is not None]
    finals = [place for place in compiled.final_layout if place is not None]
    rest = [place for place in range(width) if place not in places]
    left = [place for place in range(width) if place not in finals]
    wide = QuantumCircuit(width)
    # Source qubits first on the way in, and first again on the way out.
    wide.append(PermutationGate(np.argsort([*places, *rest]).tolist()), range(width))
    wide.compose(program, range(width), inplace=True)
    wide.append(PermutationGate([*finals, *left]), range(width))
    block = Operator(wide).data[: 2**qubits, : 2**qubits]
    return np.asarray(block)


def same_up_to_phase(left: np.ndarray, right: np.ndarray) -> bool:
    return bool(abs(abs(np.vdot(left, right)) / len(left) - 1) < 1e-9)
