"""Mode ``local`` answers as the other modes do, where an SDK's own simulator would not."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.broker import Broker
from isolation.box import Box, BoxError, lease
from quantainer_client import memory
from quantainer_client.memory import available, check_state

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes pid namespaces")

SETUP = """
import io
os.environ["QUANTAINER_SOCKET"] = DEVICE
sys.stderr = io.StringIO()
connection = Connection(DEVICE)
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import Clbit, Parameter, Qubit
from qiskit.quantum_info import SparseObservable
from quantainer_client.qiskit import EstimatorV2, QuantainerProvider, SamplerV2
theta = Parameter("theta")
turned = QuantumCircuit(2, 2)
turned.ry(theta, 0)
turned.cx(0, 1)
turned.measure([0, 1], [0, 1])
loose = QuantumCircuit([Qubit(), Qubit(), Qubit()], [Clbit()])
loose.add_register(ClassicalRegister(2, "r"))
loose.x([0, 2])
loose.measure([0, 1, 2], [0, 1, 2])
dynamic = QuantumCircuit(2, 1)
dynamic.h(0)
dynamic.measure(0, 0)
with dynamic.if_test((dynamic.clbits[0], 1)):
    dynamic.x(1)
"""


@pytest.fixture(scope="module", params=["local", "hybrid"])
def container(broker: Broker, request: pytest.FixtureRequest) -> Iterator[Box]:
    """A container in which circuits run, and one whose circuits the host runs."""
    made = Box(broker)
    mode = request.param
    try:
        lease(broker, f"in mode {mode}", pid=made.pid, anchor="pidns", backends=["qsim"], mode=mode)
        made(SETUP)
        yield made
    finally:
        made.stop()


def test_loose_bits_are_in_the_results_of_a_sampler(container: Box) -> None:
    container("data = SamplerV2().run([loose], shots=8).result()[0].data")
    assert container.eval("sorted(data)") == ["loose_bits", "r"]
    assert container.eval("[data.loose_bits.get_counts(), data.r.get_counts()]") == [
        {"1": 8},
        {"10": 8},
    ]


def test_expectation_values_are_those_before_final_measurements(container: Box) -> None:
    container("pub = (turned, [['ZZ', 'ZI'], ['XX', SparseObservable('0+')]], [0.3])")
    container("evs = EstimatorV2().run([pub]).result()[0].data.evs")
    cosine, sine = math.cos(0.3), math.sin(0.3)
    expected = [[1.0, cosine], [sine, (1 + cosine) / 4]]
    assert container.eval("evs.tolist()") == pytest.approx(np.array(expected))


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("SamplerV2().run([])", "bad_request"),
        ("EstimatorV2().run([])", "bad_request"),
        ("QuantainerProvider().backend().run([])", "bad_request"),
        ("SamplerV2().run([QuantumCircuit(2)]).result()", "no_measurement"),
        ("SamplerV2().run([QuantumCircuit(2, 2)]).result()", "no_measurement"),
        ("QuantainerProvider().backend().run(QuantumCircuit(2, 2)).result()", "no_measurement"),
        ("SamplerV2().run([(turned, [])])", None),
        ("EstimatorV2().run([(dynamic, 'ZZ')]).result()", None),
        ("EstimatorV2().run([(turned, [], [0.1])]).result()", "invalid_parameters"),
    ],
)
def test_both_refuse_the_same(container: Box, call: str, code: str | None) -> None:
    with pytest.raises(BoxError) as caught:
        container(call)
    assert code in (None, caught.value.code)


def test_a_state_that_does_not_fit_is_refused(container: Box) -> None:
    if container.eval("connection.mode") != "local":
        pytest.skip("the broker decides what fits on the host")
    with pytest.raises(BoxError, match=r"60 qubits takes \d+ bytes in this container") as caught:
        container("EstimatorV2().run([(QuantumCircuit(60), 'Z' * 60)])")
    assert caught.value.code == "too_large"
    container("import pennylane as qml")
    container("device = qml.device('quantainer.qpu', wires=60)")
    with pytest.raises(BoxError, match="60 qubits"):
        container("qml.QNode(lambda: qml.expval(qml.Z(0)), device)()")


def test_memory_is_what_the_kernel_says() -> None:
    free = available()
    assert free is not None
    assert 1 << 20 < free < 1 << 50
    check_state(4)


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize(("limit", "free"), [("1000", 700), ("500", 200), ("max", None), ("0", 0)])
def test_memory_of_a_control_group_is_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int, limit: str, free: int | None
) -> None:
    """What was read from files is in use, but given back for the asking."""
    *_, key = memory._GROUPS[version]
    texts = {"limit": limit, "used": "400", "stat": f"anon 300\n{key} 100\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(f"{text}\n")
    group = (*(str(tmp_path / name) for name in texts), key)
    monkeypatch.setattr(memory, "_GROUPS", (group,))
    whole = available()
    assert whole is not None
    assert whole == free if free is not None else whole > 1 << 20
