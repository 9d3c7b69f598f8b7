"""Cirq on a container's quantum device.

from quantainer_client.cirq import QuantainerSampler

result = QuantainerSampler(backend="qsim").run(circuit, repetitions=1000)
"""

from quantainer_client.cirq.sampler import QuantainerSampler

__all__ = ["QuantainerSampler"]
