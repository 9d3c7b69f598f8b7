"""Memory: one formula for what is advertised, planned and refused; and it is true."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from exact import memories, pub_of, run
from qiskit import QuantumCircuit

from quantainer.backends.backend import Limits, Options
from quantainer.backends.memory import Footprint, peak_bytes
from quantainer.backends.qsim import ADVERTISED_SHOTS, Qsim
from quantainer_client.errors import QuantainerError

MIB = 1 << 20


def entangled(qubits: int) -> QuantumCircuit:
    """Return rotations everywhere, entangled over every cut as much as can be."""
    circuit = QuantumCircuit(qubits, qubits)
    for layer in range(2 * qubits):
        for qubit in range(qubits):
            circuit.ry(0.3 + 0.1 * layer + 0.2 * qubit, qubit)
        for qubit in range(layer % 2, qubits - 1, 2):
            circuit.cx(qubit, qubit + 1)
    circuit.measure(range(qubits), range(qubits))
    return circuit


@pytest.mark.report(3)
@pytest.mark.parametrize("mebibytes", [24, 40, 100])
def test_the_advertised_width_really_runs(mebibytes: int, qsim: Qsim) -> None:
    """Qiskit/qiskit-aer#1114: as many qubits as the device says, and one more is refused."""
    limits = Limits(mebibytes * MIB, 2)
    width = qsim.target(limits).qubits
    assert 15 <= width <= 23
    result = run(qsim, entangled(width), limits, shots=1000)
    assert result.metadata["method"] == "statevector"
    options = Options(method="statevector")
    pub = pub_of(entangled(width), shots=ADVERTISED_SHOTS)
    assert qsim.plan(pub, options, limits).memory_bytes <= limits.memory_bytes
    with pytest.raises(QuantainerError) as refused:
        qsim.plan(pub_of(entangled(width + 1), shots=ADVERTISED_SHOTS), options, limits)
    assert refused.value.code == "out_of_memory"
    assert refused.value.limit == limits.memory_bytes
    assert refused.value.needed > limits.memory_bytes
    assert refused.value.hint


def test_more_memory_never_advertises_less(qsim: Qsim) -> None:
    widths = [qsim.target(Limits(1 << log2, 2)).qubits for log2 in range(20, 44)]
    assert widths == sorted(widths)
    assert widths[-1] > widths[4] > 0


@pytest.mark.report(4)
def test_two_active_qubits_of_fifty(qsim: Qsim) -> None:
    """Qiskit/qiskit-aer#204, #218: idle qubits cost nothing."""
    circuit = QuantumCircuit(50, 50)
    circuit.h(45)
    for _ in range(100):
        circuit.t(45)
    circuit.cx(45, 3)
    circuit.measure(45, 0)
    pub = pub_of(circuit, shots=100)
    assert (pub.facts.qubits, pub.facts.active_qubits) == (50, 2)
    small = Limits(8 * MIB, 1)
    assert qsim.plan(pub, Options(), small).memory_bytes < small.memory_bytes
    assert set(memories(run(qsim, circuit, small, shots=100), 50)) == {0, 1}


def test_a_million_shots_are_counted(qsim: Qsim) -> None:
    with pytest.raises(QuantainerError) as refused:
        qsim.plan(pub_of(entangled(10), shots=10**7), Options(), Limits(64 * MIB, 2))
    assert refused.value.code == "out_of_memory"


def test_the_model_never_overflows() -> None:
    for method in ("statevector", "density_matrix", "mps", "stabilizer", "near_clifford"):
        wide = Footprint(qubits=5000, bond_log2=2500, t_count=5000, shots=10**9, clbits=5000)
        assert 0 < peak_bytes(method, "aer", "double", wide) <= 2**62  # type: ignore[arg-type]


CHILD = """
import json, sys
sys.path[:0] = {paths!r}
from exact import pub_of
from quantainer.backends.backend import Limits, Options
from quantainer.backends.qsim import Qsim
from test_memory import entangled
limits, options = Limits(8 << 30, 2), Options(engine={engine!r}, method={method!r})
qsim = Qsim()
for qubits, shots in ((6, 100), ({qubits}, {shots})):
    pub = pub_of(entangled(qubits), shots=shots)
    plan = qsim.plan(pub, options, limits)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    before = int(status["VmRSS"].split()[0]) * 1024
    qsim.run(pub, plan, options, 1, 2)
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    peak = int(status["VmHWM"].split()[0]) * 1024
print(json.dumps([plan.memory_bytes, peak - before]))
"""


@pytest.mark.parametrize(
    ("engine", "method", "qubits"),
    [
        ("aer", "statevector", 20),
        ("aer", "density_matrix", 10),
        ("qsimcirq", "statevector", 21),
        ("lightning", "statevector", 20),
        ("panta", "statevector", 20),
        ("prism", "statevector", 20),
        ("qevedo", "statevector", 20),
        ("aer", "mps", 16),
        ("panta", "mps", 16),
        ("qevedo", "mps", 16),
    ],
)
def test_the_model_bounds_what_an_engine_takes(
    engine: str, method: str, qubits: int, qsim: Qsim
) -> None:
    if engine not in qsim.engines:
        pytest.skip(f"{engine} is not installed")
    code = CHILD.format(
        paths=[str(Path(__file__).parent)],
        engine=engine,
        method=method,
        qubits=qubits,
        shots=500 if method == "mps" else 100_000,
    )
    child = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"},
        capture_output=True,
        text=True,
        check=True,
    )
    planned, taken = json.loads(child.stdout.splitlines()[-1])
    # The allocator's own pages come on top.
    assert taken <= planned * 1.05 + 6 * MIB, f"{taken / MIB:.0f} of {planned / MIB:.0f} MiB"
