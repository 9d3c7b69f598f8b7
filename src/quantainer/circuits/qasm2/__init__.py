"""OpenQASM 2, by Qiskit's compiled parser and an interpreter that knows its limits."""

from quantainer.circuits.qasm2.reader import read

__all__ = ["read"]
