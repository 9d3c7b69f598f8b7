"""Quantainer gives containers qubits."""

__version__ = "0.1.0"
