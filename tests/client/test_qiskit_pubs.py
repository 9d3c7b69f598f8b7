"""What Qiskit's primitives are asked at the edges: registers, empty lists, observables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Clbit, Qubit

from quantainer_client import Connection, QuantainerError
from quantainer_client.qiskit import EstimatorV2, SamplerV2


def flipped(*registers: ClassicalRegister, loose: int = 0) -> QuantumCircuit:
    """Return X on the first of two qubits, both measured into the first two bits."""
    circuit = QuantumCircuit([Qubit(), Qubit()], [Clbit() for _ in range(loose)])
    circuit.add_register(*registers)
    circuit.x(0)
    circuit.measure([0, 1], [0, 1])
    return circuit


def test_a_register_of_no_bits_has_no_bits_in_each_shot(connection: Connection) -> None:
    circuit = flipped(ClassicalRegister(2, "c"), ClassicalRegister(0, "none"))
    data = SamplerV2(connection=connection).run([circuit], shots=7).result()[0].data
    assert data.c.get_counts() == {"01": 7}
    assert data.none.array.shape == (7, 0)


def test_loose_bits_have_a_name_that_no_register_has(connection: Connection) -> None:
    circuit = flipped(ClassicalRegister(1, "loose_bits"), loose=2)
    data = SamplerV2(connection=connection).run([circuit], shots=5).result()[0].data
    assert data.loose_bits.num_bits == 1
    assert data.loose_bits_1.get_counts() == {"01": 5}


def test_a_name_that_results_have_for_themselves_is_refused_before_it_runs(
    connection: Connection,
) -> None:
    sampler = SamplerV2(connection=connection)
    with pytest.raises(QuantainerError, match="a classical register 'shape'") as caught:
        sampler.run([flipped(ClassicalRegister(2, "shape"))])
    assert caught.value.code == "unsupported_circuit"


@pytest.mark.parametrize("primitive", [SamplerV2, EstimatorV2])
def test_no_pubs_are_refused(primitive: Any, connection: Connection) -> None:
    with pytest.raises(QuantainerError, match="no circuit to run") as caught:
        primitive(connection=connection).run([])
    assert caught.value.code == "bad_request"


def test_a_pub_without_observables_or_rows_says_so(connection: Connection) -> None:
    estimator = EstimatorV2(connection=connection)
    with pytest.raises(QuantainerError, match=r"no observable: their shape is \(0,\)"):
        estimator.run([(QuantumCircuit(2), [])])
    with pytest.raises(QuantainerError, match="no row of parameter values"):
        estimator.run([(QuantumCircuit(2), "ZZ", np.zeros((0, 0)))])


def test_registers_that_share_bits_each_have_theirs(connection: Connection) -> None:
    bits = [Clbit() for _ in range(3)]
    circuit = QuantumCircuit(QuantumRegister(3), bits)
    circuit.add_register(ClassicalRegister(bits=bits[:2], name="low"))
    circuit.add_register(ClassicalRegister(bits=bits[1:], name="high"))
    circuit.x(1)
    circuit.measure(range(3), range(3))
    data = SamplerV2(connection=connection).run([circuit], shots=5).result()[0].data
    assert (data.low.get_counts(), data.high.get_counts()) == ({"10": 5}, {"01": 5})
