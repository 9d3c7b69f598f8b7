"""qevedo (qvd): MPS, near-Clifford circuits with any rotation, float32 state vectors (MIT).

A young engine: pinned, self-tested, its ``auto`` backend never used.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from quantainer.backends.simulators import entanglement
from quantainer.backends.simulators.entanglement import loss_of
from quantainer.backends.simulators.gates import matrix_of, within
from quantainer.backends.simulators.program import Program
from quantainer.backends.simulators.shots import bits_of_strings
from quantainer.backends.simulators.simulator import (
    Method,
    Precision,
    Prepared,
    Samples,
    Term,
    Values,
)
from quantainer.core.seed import derive
from quantainer_client.errors import QuantainerError

if TYPE_CHECKING:
    pass

__all__ = ["Qevedo"]

_NAMES = frozenset(
    {"x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx", "sxdg", "p", "u", "rx", "ry", "rz"}
    | {"cx", "cy", "cz", "ch", "swap", "rxx", "rzz", "cp", "crx", "cry", "crz", "ccx", "cswap"}
)
_MATRIX_QUBITS: dict[Method, int] = {"statevector": 3, "mps": 1, "near_clifford": 0}


class Qevedo:
    """Adapter."""

    name = "qevedo"
    distribution = "qevedo-simulator"
    module = "qevedo.simulator"
    methods: frozenset[Method] = frozenset({"statevector", "mps", "near_clifford"})
    precisions: frozenset[Precision] = frozenset({"single", "double"})
    expects: frozenset[Method] = frozenset()

    def load(self) -> None:
        """Import qevedo (18 ms); it refuses processors without AVX2."""
        import_module("qevedo.simulator")

    def refuses(self, program: Program, method: Method) -> str | None:
        """Refuse measurements on the way: it has no feed-forward."""
        del method
        return None if program.terminal else "it takes circuits that measure at the end only"

    def prepare(
        self, program: Program, method: Method, precision: Precision, bond: int | None = None
    ) -> Prepared:
        """Build qevedo's circuit, the measured qubits in order."""
        return _Prepared(program, method, precision, bond or entanglement.BOND)


class _Prepared:
    def __init__(self, program: Program, method: Method, precision: Precision, bond: int) -> None:
        assert program.readout is not None
        self._readout = program.readout
        self._method = method
        self._precision = precision
        self._bond = bond
        self._circuit = _circuit(program, _MATRIX_QUBITS[method])
        self.bytes = 100 * (len(program.gates) + 1)

    def sample(self, shots: int, seed: int, threads: int) -> Samples:
        """Draw shots."""
        try:
            result = import_module("qevedo.simulator").run(
                self._circuit,
                shots,
                backend=self._method,
                seed=derive(seed, "qevedo"),
                precision=self._precision,
                max_bond_dimension=self._bond,
                threads=threads,
            )
        except RuntimeError as error:
            if "Cannot allocate memory" in str(error):
                raise MemoryError(str(error)) from error
            raise
        packed = self._readout.pack(bits_of_strings(result.counts, seed))
        if self._method != "mps":
            return Samples(packed)
        fidelity = 1.0 if result.fidelity is None else float(result.fidelity)
        return Samples(packed, loss_of(fidelity))

    def expect(self, terms: Sequence[Term], threads: int) -> Values:
        """Refuse: it only samples."""
        del terms, threads
        raise QuantainerError("unsupported_circuit", "qevedo has no analytic values.")


def _circuit(program: Program, matrix_qubits: int) -> Any:
    assert program.readout is not None
    measured = program.readout.qubits
    circuit = import_module("qevedo.simulator").Circuit(program.qubits, len(measured))
    for gate in within(program.gates, _NAMES, matrix_qubits):
        if gate.matrix is None and gate.name in _NAMES:
            getattr(circuit, gate.name)(*map(float, gate.params), *gate.qubits)
        else:
            circuit.unitary(matrix_of(gate), list(gate.qubits))
    for place, qubit in enumerate(measured):
        circuit.measure(qubit, place)
    return circuit
