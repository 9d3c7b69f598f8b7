"""Cirq: circuits as ``cirq.to_json`` writes them, read without Cirq itself.

Qubits are numbered in Cirq's own order. Each measurement key becomes a classical register of that
name whose bit ``i`` is the i-th qubit measured; a key that is measured again gets another register.
"""

from quantainer.circuits.cirq_json.reader import read

__all__ = ["read"]
