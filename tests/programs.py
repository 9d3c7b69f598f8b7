"""Programs with known right answers, as OpenQASM 2."""

from __future__ import annotations

import random

HEADER = 'OPENQASM 2.0;\ninclude "qelib1.inc";\n'

BELL = HEADER + "qreg q[2];\ncreg c[2];\nh q[0];\ncx q[0],q[1];\nmeasure q -> c;\n"

# Qubit 0 is 1 and qubit 1 is 0: in Qiskit's order "01".
FLIPPED = HEADER + "qreg q[2];\ncreg c[2];\nx q[0];\nmeasure q -> c;\n"

# The state of q[0] arrives at q[2]: r is always 1.
TELEPORT = (
    HEADER
    + """qreg q[3];
creg a[1];
creg b[1];
creg r[1];
x q[0];
h q[1];
cx q[1],q[2];
cx q[0],q[1];
h q[0];
measure q[0] -> a[0];
measure q[1] -> b[0];
if (b==1) x q[2];
if (a==1) z q[2];
measure q[2] -> r[0];
"""
)


def ghz(qubits: int) -> str:
    """Return a chain: all zeros or all ones."""
    chain = "".join(f"cx q[{i}],q[{i + 1}];\n" for i in range(qubits - 1))
    registers = f"qreg q[{qubits}];\ncreg c[{qubits}];\n"
    return f"{HEADER}{registers}h q[0];\n{chain}measure q -> c;\n"


def dense(qubits: int, layers: int, seed: int = 7) -> str:
    """Return a random circuit that only a state vector can run."""
    draw = random.Random(seed)
    lines = [f"qreg q[{qubits}];", f"creg c[{qubits}];"]
    for layer in range(layers):
        for qubit in range(qubits):
            angles = ",".join(f"{draw.uniform(0, 3):.6f}" for _ in range(3))
            lines.append(f"u3({angles}) q[{qubit}];")
        for qubit in range(layer % 2, qubits - 1, 2):
            lines.append(f"cz q[{qubit}],q[{qubit + 1}];")
    return HEADER + "\n".join([*lines, "measure q -> c;", ""])
