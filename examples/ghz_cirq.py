"""GHZ with Cirq: a sampler, and a sweep over a parameter."""

import cirq
import sympy

from quantainer_client.cirq import QuantainerSampler

QUBITS = 20

qubits = cirq.LineQubit.range(QUBITS)
ghz = cirq.Circuit(
    cirq.H(qubits[0]),
    [cirq.CNOT(qubits[index], qubits[index + 1]) for index in range(QUBITS - 1)],
    cirq.measure(*qubits, key="m"),
)

sampler = QuantainerSampler(backend="qsim")
result = sampler.run(ghz, repetitions=1000)
print(result.histogram(key="m", fold_func=lambda bits: "".join(map(str, bits))))

angle = sympy.Symbol("angle")
turn = cirq.Circuit(cirq.rx(angle)(qubits[0]), cirq.measure(qubits[0], key="m"))
for point in sampler.run_sweep(turn, cirq.Linspace("angle", 0, 3.14159, 5), repetitions=1000):
    print(f"angle {point.params.value_of('angle'):.2f}: {point.histogram(key='m')}")
