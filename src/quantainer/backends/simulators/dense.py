"""numpy: feed-forward of every kind on a plain state vector, without any engine.

Slow and simple: it runs what the installed engines refuse, such as run-time variables and
conditions that are whole expressions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from quantainer.backends.simulators.branching import sample_branches
from quantainer.backends.simulators.gates import matrix_of, within
from quantainer.backends.simulators.program import Gate, Program
from quantainer.backends.simulators.shots import bits_of_states, drawn
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
    from numpy.typing import NDArray

__all__ = ["Numpy"]

_MATRIX_QUBITS = 5
_QUBITS_MAX = 26


class Numpy:
    """The built-in engine, on one thread."""

    name = "numpy"
    distribution = "numpy"
    module = "numpy"
    methods: frozenset[Method] = frozenset({"trajectories"})
    precisions: frozenset[Precision] = frozenset({"double"})
    expects: frozenset[Method] = frozenset()

    def load(self) -> None:
        """Nothing is left to import."""

    def refuses(self, program: Program, method: Method) -> str | None:
        """Refuse what no program holds, and widths that would take for ever."""
        del method
        if program.body is None:
            return "it uses control flow beyond classical bits and variables"
        if program.qubits > _QUBITS_MAX:
            return f"it holds {_QUBITS_MAX} qubits at most"
        return None

    def prepare(self, program: Program, method: Method, precision: Precision) -> Prepared:
        """Keep the program."""
        del method, precision
        return _Prepared(program)


class _Prepared:
    def __init__(self, program: Program) -> None:
        self._program = program
        self.bytes = 500 * (len(program.body or ()) + 1)

    def sample(self, shots: int, seed: int, threads: int) -> Samples:
        """Draw shots, one state for each history of outcomes at a time."""
        del threads
        program = self._program
        start = _State(program.qubits)
        seed = derive(seed, "numpy")
        return Samples(sample_branches(program.steps, start, program.clbits, shots, seed))

    def expect(self, terms: Sequence[Term], threads: int) -> Values:
        """Refuse: other engines do it."""
        del terms, threads
        raise QuantainerError("unsupported_circuit", "The engine numpy only samples.")


class _State:
    """A state vector; axis ``n - 1 - q`` is qubit ``q``."""

    samples = True

    def __init__(self, qubits: int, amplitudes: NDArray[np.complex128] | None = None) -> None:
        self._qubits = qubits
        if amplitudes is None:
            amplitudes = np.zeros((2,) * qubits, dtype=np.complex128)
            amplitudes[(0,) * qubits] = 1.0
        self._amplitudes = amplitudes

    def copy(self) -> Self:
        """Return an independent copy."""
        return type(self)(self._qubits, self._amplitudes.copy())

    def apply(self, gates: tuple[Gate, ...]) -> None:
        """Apply gates in order."""
        top = self._qubits - 1
        for gate in within(gates, (), _MATRIX_QUBITS):
            k = len(gate.qubits)
            tensor = matrix_of(gate).reshape((2,) * (2 * k))
            axes = [top - qubit for qubit in reversed(gate.qubits)]
            turned = np.tensordot(tensor, self._amplitudes, axes=(range(k, 2 * k), axes))
            self._amplitudes = np.moveaxis(turned, range(k), axes)

    def probability_of_one(self, qubit: int) -> float:
        """Return the probability of 1, 0 and 1 where rounding says almost so."""
        halves = np.moveaxis(self._amplitudes, self._qubits - 1 - qubit, 0)
        zero, one = (float(np.vdot(half, half).real) for half in halves)
        probability = one / (zero + one)
        return 0.0 if probability < 1e-13 else 1.0 if probability > 1 - 1e-13 else probability

    def collapse(self, qubit: int, value: bool) -> None:
        """Project on an outcome."""
        halves = np.moveaxis(self._amplitudes, self._qubits - 1 - qubit, 0)
        halves[int(not value)] = 0.0
        self._amplitudes /= np.linalg.norm(self._amplitudes.ravel())

    def sample(
        self, qubits: tuple[int, ...], count: int, random: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Measure without collapse."""
        weights = np.abs(np.ascontiguousarray(self._amplitudes).reshape(-1)) ** 2
        return bits_of_states(drawn(weights, count, random), self._qubits)[:, qubits]
