"""PennyLane on a container's quantum device.

    device = qml.device("quantainer.qpu", wires=2, shots=1000, backend="qsim")

Shots and exact values; gradients by the parameter-shift rule; mid-circuit measurement.
"""

from quantainer_client.pennylane.device import QuantainerDevice

__all__ = ["QuantainerDevice"]
