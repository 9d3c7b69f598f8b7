"""The one interface of every simulation engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qiskit.quantum_info import SparsePauliOp

    from quantainer.circuits.circuit import Circuit
    from quantainer.core.facts import Facts

__all__ = ["Method", "Precision", "Prepared", "Samples", "Simulator"]

Method = Literal[
    "stabilizer", "near_clifford", "statevector", "mps", "density_matrix", "trajectories"
]
Precision = Literal["single", "double"]


@dataclass(frozen=True, slots=True)
class Samples:
    """Measured shots.

    Attributes:
        packed: ``uint8[shots, ceil(clbits / 8)]``; classical bit ``i`` of the circuit is bit ``i % 8``
            of byte ``i // 8``.
        truncation_error: Accumulated truncation error of an approximate method, else ``None``.
    """

    packed: NDArray[np.uint8]
    truncation_error: float | None = None


class Prepared(Protocol):
    """A circuit converted for one engine, kept in the worker's cache and run again and again."""

    def sample(self, shots: int, seed: int, threads: int) -> Samples:
        """Draw shots. The same ``seed`` gives the same bits for every number of threads."""
        ...

    def expect(self, observables: list[SparsePauliOp], threads: int) -> NDArray[np.float64]:
        """Return exact expectation values of the state before measurement.

        Raises:
            QuantainerError: ``unsupported_circuit`` if the engine has no analytic values.
        """
        ...


class Simulator(Protocol):
    """One engine. Import of the engine's package happens in ``load``, never at module import."""

    name: str
    methods: frozenset[Method]
    precisions: frozenset[Precision]

    def load(self) -> str:
        """Import the engine and return its version.

        Raises:
            ImportError: If the engine's package is not installed.
        """
        ...

    def refuses(self, circuit: Circuit, facts: Facts, method: Method) -> str | None:
        """Return why the engine cannot run the circuit with the method, or ``None``."""
        ...

    def prepare(self, circuit: Circuit, method: Method, precision: Precision) -> Prepared:
        """Convert a bound circuit (no free parameters) for the engine."""
        ...
