"""The one interface of every simulation engine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from quantainer.backends.simulators.program import Program

__all__ = ["Method", "Precision", "Prepared", "Samples", "Simulator", "Term", "Values"]

Method = Literal[
    "stabilizer", "near_clifford", "statevector", "mps", "density_matrix", "trajectories"
]
Precision = Literal["single", "double"]

Term = tuple[tuple[int, str], ...]
"""A Pauli product: ``(qubit of the program, "X" | "Y" | "Z")``, each qubit at most once."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Measured shots.

    Attributes:
        packed: ``uint8[shots, ceil(clbits / 8)]``; classical bit ``i`` of the circuit is bit ``i %
            8`` of byte ``i // 8``.
        loss: ``-ln(fidelity)`` of an approximate method by the weight it dropped, else ``None``.
    """

    packed: NDArray[np.uint8]
    loss: float | None = None

    @property
    def truncation_error(self) -> float | None:
        """Weight lost by an approximate method: ``1 - fidelity``."""
        return None if self.loss is None else -math.expm1(-self.loss)


@dataclass(frozen=True, slots=True)
class Values:
    """Expectation values.

    Attributes:
        numbers: ``float64[terms]``.
        loss: As of :class:`Samples`.
    """

    numbers: NDArray[np.float64]
    loss: float | None = None

    @property
    def truncation_error(self) -> float | None:
        """Weight lost by an approximate method: ``1 - fidelity``."""
        return None if self.loss is None else -math.expm1(-self.loss)


class Prepared(Protocol):
    """A program converted for one engine, kept in the worker's cache and run again and again."""

    @property
    def bytes(self) -> int:
        """Rough size in memory, for the cache's bound."""
        ...

    def sample(self, shots: int, seed: int, threads: int) -> Samples:
        """Draw shots. The same ``seed`` gives the same bits for every number of threads."""
        ...

    def expect(self, terms: Sequence[Term], threads: int) -> Values:
        """Return the exact expectation value of each Pauli product in the final state.

        Raises:
            QuantainerError: ``unsupported_circuit`` if the engine has no analytic values.
        """
        ...


class Simulator(Protocol):
    """One engine. Import of the engine's package happens in ``load``, never at module import.

    Attributes:
        name: As users write it in ``engine=``.
        distribution: The installed distribution whose version is reported.
        module: Import name by which it is found without importing it.
        expects: Methods with analytic expectation values.
    """

    name: str
    distribution: str
    module: str
    methods: frozenset[Method]
    precisions: frozenset[Precision]
    expects: frozenset[Method]

    def load(self) -> None:
        """Import the engine.

        Raises:
            ImportError: If the engine's package is not installed or does not run on this processor.
        """
        ...

    def refuses(self, program: Program, method: Method) -> str | None:
        """Return why the engine cannot run the program with the method, or ``None``."""
        ...

    def prepare(self, program: Program, method: Method, precision: Precision) -> Prepared:
        """Convert a program without free parameters."""
        ...
