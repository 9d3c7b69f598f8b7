"""Qiskit on a container's quantum device.

from quantainer_client.qiskit import QuantainerProvider, SamplerV2

backend = QuantainerProvider().backend("qsim")
counts = backend.run(circuit, shots=1000).result().get_counts()

sampler = SamplerV2(backend)
counts = sampler.run([circuit]).result()[0].data.meas.get_counts()
"""

from quantainer_client.qiskit.backend import QuantainerBackend, QuantainerJob, QuantainerProvider
from quantainer_client.qiskit.estimator import EstimatorV2
from quantainer_client.qiskit.sampler import SamplerV2

__all__ = ["EstimatorV2", "QuantainerBackend", "QuantainerJob", "QuantainerProvider", "SamplerV2"]
