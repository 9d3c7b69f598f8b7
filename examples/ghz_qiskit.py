"""GHZ with Qiskit: the backend, the sampler and the estimator."""

from qiskit import QuantumCircuit

from quantainer_client.qiskit import EstimatorV2, QuantainerProvider, SamplerV2

QUBITS = 20

ghz = QuantumCircuit(QUBITS, name="ghz")
ghz.h(0)
for qubit in range(QUBITS - 1):
    ghz.cx(qubit, qubit + 1)
measured = ghz.measure_all(inplace=False)

backend = QuantainerProvider().backend("qsim")

counts = backend.run(measured, shots=1000).result().get_counts()
print("backend.run ", counts)

sampled = SamplerV2(backend).run([measured], shots=1000).result()[0]
print("SamplerV2   ", sampled.data.meas.get_counts())

parity = EstimatorV2(backend).run([(ghz, ["Z" * QUBITS, "X" * QUBITS])]).result()[0]
print("EstimatorV2 ", parity.data.evs)
