"""VQE with PennyLane: the ground state of hydrogen, gradients by the parameter-shift rule.

The Hamiltonian is H2 at 0.74 Å in the STO-3G basis, tapered to two qubits.
"""

import pennylane as qml
from pennylane import numpy as np

HAMILTONIAN = qml.Hamiltonian(
    [
        -1.052373245772859,
        0.397937424843187,
        -0.397937424843187,
        -0.011280104256235,
        0.180931199784231,
    ],
    [
        qml.Identity(0),
        qml.PauliZ(1),
        qml.PauliZ(0),
        qml.PauliZ(0) @ qml.PauliZ(1),
        qml.PauliX(0) @ qml.PauliX(1),
    ],
)

device = qml.device("quantainer.qpu", wires=2, backend="qsim")


@qml.qnode(device, diff_method="parameter-shift")
def energy(angles):
    qml.RY(angles[0], wires=0)
    qml.RY(angles[1], wires=1)
    qml.CNOT(wires=[0, 1])
    qml.RY(angles[2], wires=0)
    qml.RY(angles[3], wires=1)
    return qml.expval(HAMILTONIAN)


optimizer = qml.GradientDescentOptimizer(stepsize=0.5)
angles = np.array([0.1, 0.2, -0.1, 0.3], requires_grad=True)
for step in range(60):
    angles, value = optimizer.step_and_cost(energy, angles)
    if step % 10 == 0:
        print(f"step {step:2d}: {value:.6f} Ha")
exact = np.linalg.eigvalsh(qml.matrix(HAMILTONIAN, wire_order=[0, 1]))[0]
print(f"found {energy(angles):.6f} Ha, exact {exact:.6f} Ha")
