"""Qiskit, Cirq, PennyLane and a plain OpenQASM file, each in a container without network."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from engine.broker import Broker
from engine.docker import Docker
from engines.conftest import DEVICE

pytestmark = pytest.mark.engine

# x on qubit 0 of two: bit 0 is rightmost in Qiskit's order, whatever SDK the circuit came from.
QISKIT = """
from qiskit import QuantumCircuit
from qiskit.primitives import BackendSamplerV2
from quantainer_client.qiskit import QuantainerProvider, SamplerV2
backend = QuantainerProvider().backend("qsim")
ghz = QuantumCircuit(50)
ghz.h(0)
for qubit in range(49):
    ghz.cx(qubit, qubit + 1)
ghz.measure_all()
x = QuantumCircuit(2)
x.x(0)
x.measure_all()
single = backend.run(x, shots=100).result().get_counts()
batch = [r.data.meas.get_counts() for r in SamplerV2(backend).run([ghz, x], shots=1000).result()]
print({"single": single, "ghz": sorted(batch[0]), "batch": batch[1]})
"""
CIRQ = """
import cirq
from quantainer_client.cirq import QuantainerSampler
a, b = cirq.LineQubit.range(2)
circuit = cirq.Circuit(cirq.X(a), cirq.measure(a, b, key="m"))
result = QuantainerSampler().run(circuit, repetitions=100)
print({"m": result.measurements["m"].tolist() == [[1, 0]] * 100})
"""
PENNYLANE = """
import pennylane as qml
device = qml.device("quantainer.qpu", wires=2)

@qml.qnode(device)
def energy(angle):
    qml.RX(angle, wires=0)
    qml.CNOT(wires=[0, 1])
    return qml.expval(qml.PauliZ(1))

print({"exact": float(energy(0.5))})
"""


def run(docker: Docker, sdk: tuple[str, ...], base: str, code: str) -> dict[str, object]:
    options = ("--rm", "--network", "none", *DEVICE, *sdk)
    done = docker("run", *options, base, "python3", "-W", "ignore", "-c", code, timeout=200)
    found: dict[str, object] = ast.literal_eval(done.stdout.strip().splitlines()[-1])
    return found


def test_qiskit(docker: Docker, base: str, broker: Broker, sdk: tuple[str, ...]) -> None:
    found = run(docker, sdk, base, QISKIT)
    assert found == {"single": {"01": 100}, "ghz": ["0" * 50, "1" * 50], "batch": {"01": 1000}}


def test_cirq(docker: Docker, base: str, broker: Broker, sdk: tuple[str, ...]) -> None:
    assert run(docker, sdk, base, CIRQ) == {"m": True}


def test_pennylane(docker: Docker, base: str, broker: Broker, sdk: tuple[str, ...]) -> None:
    assert run(docker, sdk, base, PENNYLANE) == {"exact": pytest.approx(0.8775825618903728)}


def test_qasm_file_without_any_sdk(
    docker: Docker, base: str, broker: Broker, tmp_path: Path
) -> None:
    text = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[2]; x q[0]; measure q -> c;'
    (tmp_path / "x.qasm").write_text(text)
    command = ("python3", "-m", "quantainer_client", "run", "/w/x.qasm", "--shots", "100")
    options = ("--rm", "--network", "none", *DEVICE, "-v", f"{tmp_path}:/w:ro")
    done = docker("run", *options, base, *command)
    assert "01" in done.stdout
    assert "100" in done.stdout


def test_what_names_no_backend_runs_on_the_device_of_the_container(
    docker: Docker, base: str, broker: Broker, sdk: tuple[str, ...]
) -> None:
    options = ("--rm", "--network", "none", "--device", "quantainer.dev/qpu=fake_lima", *sdk)
    code = (
        "from quantainer_client import Circuit, run\n"
        "from quantainer_client.qiskit import QuantainerProvider\n"
        "named = QuantainerProvider().backend().name\n"
        "print([named, run(Circuit(1).h(0).measure_all(), shots=9).metadata['backend']])"
    )
    done = docker("run", *options, base, "python3", "-W", "ignore", "-c", code, timeout=200)
    assert ast.literal_eval(done.stdout) == ["fake_lima", "fake_lima"]


def test_in_mode_local_the_sdk_of_the_image_simulates(
    docker: Docker, base: str, broker: Broker, sdk: tuple[str, ...]
) -> None:
    mode = ("--annotation", "quantum.mode=local")
    options = ("--rm", "--network", "none", *DEVICE, *mode, *sdk)
    code = CIRQ + "from quantainer_client import connect\nprint(connect().jobs())\n"
    done = docker("run", *options, base, "python3", "-W", "ignore", "-c", code, timeout=200)
    assert done.stdout == "{'m': True}\n[]\n"
    assert "mode local: circuits run in this container, on cirq.Simulator" in done.stderr
