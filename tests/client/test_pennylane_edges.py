"""PennyLane at the edges: nothing measured, nothing left, and observables that are none."""

from __future__ import annotations

import math

import pennylane as qml
import pytest

from quantainer_client import Connection, QuantainerError
from quantainer_client.pennylane import QuantainerDevice


def device(
    connection: Connection, shots: int | None = None, wires: int | None = 2
) -> QuantainerDevice:
    return QuantainerDevice(wires=wires, shots=shots, connection=connection)


@pytest.mark.parametrize("wires", [2, None])
def test_an_identity_has_a_value_with_shots(connection: Connection, wires: int | None) -> None:
    def circuit() -> object:
        qml.X(0)
        return qml.expval(3 * qml.Identity(1)), qml.sample(qml.Identity(0))

    value, samples = qml.QNode(circuit, device(connection, 4, wires))()
    assert (float(value), list(samples)) == (3.0, [1.0] * 4)


@pytest.mark.parametrize("shots", [None, 10])
def test_what_is_not_hermitian_is_refused(connection: Connection, shots: int | None) -> None:
    """X·Y is i·Z: the real part of its value would be 0."""

    def circuit() -> object:
        return qml.expval(qml.prod(qml.X(0), qml.Y(0)))

    with pytest.raises(QuantainerError, match="it is not Hermitian"):
        qml.QNode(circuit, device(connection, shots))()
    hermitian = qml.QNode(
        lambda: qml.expval(-1j * qml.prod(qml.X(0), qml.Y(0))), device(connection, shots)
    )
    assert float(hermitian()) == 1.0


def test_postselection_that_leaves_no_shots_leaves_no_values(connection: Connection) -> None:
    def circuit() -> object:
        qml.measure(0, postselect=1)
        return qml.expval(qml.Z(0)), qml.counts(wires=0), qml.probs(wires=0), qml.sample(wires=0)

    found = qml.QNode(circuit, device(connection, 5))()
    assert all(math.isnan(value) for value in found)
