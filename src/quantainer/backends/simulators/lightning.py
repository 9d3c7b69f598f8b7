"""lightning.qubit: state vectors in float32 or float64 (Apache-2.0,
PennyLaneAI/pennylane-lightning).

Only the native module is loaded, by file (20 ms): its Python part would import PennyLane (2.7 s).
It counts wires from the highest bit, so wire ``n - 1 - q`` is qubit ``q``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from quantainer.backends.simulators.branching import sample_branches
from quantainer.backends.simulators.gates import matrix_of, within
from quantainer.backends.simulators.program import Gate, Program
from quantainer.backends.simulators.shots import bits_of_states, drawn, generator
from quantainer.backends.simulators.simulator import (
    Method,
    Precision,
    Prepared,
    Samples,
    Term,
    Values,
)
from quantainer.circuits.angle import without_turns
from quantainer.core.seed import derive

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Lightning"]

_NAMES = {
    "x": "PauliX",
    "y": "PauliY",
    "z": "PauliZ",
    "h": "Hadamard",
    "s": "S",
    "t": "T",
    "cx": "CNOT",
    "cy": "CY",
    "cz": "CZ",
    "swap": "SWAP",
    "cswap": "CSWAP",
    "ccx": "Toffoli",
    "u": "Rot",
    "u3": "Rot",
    "rx": "RX",
    "ry": "RY",
    "rz": "RZ",
    "p": "PhaseShift",
    "u1": "PhaseShift",
    "cp": "ControlledPhaseShift",
    "crx": "CRX",
    "cry": "CRY",
    "crz": "CRZ",
    "rxx": "IsingXX",
    "ryy": "IsingYY",
    "rzz": "IsingZZ",
}
_PAULIS = {"X": "PauliX", "Y": "PauliY", "Z": "PauliZ"}
_MATRIX_QUBITS = 3


class Lightning:
    """Adapter. One thread; feed-forward by branching on measured outcomes."""

    name = "lightning"
    distribution = "pennylane-lightning"
    module = "pennylane_lightning"
    methods: frozenset[Method] = frozenset({"statevector", "trajectories"})
    precisions: frozenset[Precision] = frozenset({"single", "double"})
    expects: frozenset[Method] = frozenset({"statevector"})

    def load(self) -> None:
        """Load the native module."""
        _native()

    def refuses(self, program: Program, method: Method) -> str | None:
        """Refuse run-time variables."""
        del method
        return "it uses control flow beyond classical bits" if program.body is None else None

    def prepare(self, program: Program, method: Method, precision: Precision) -> Prepared:
        """Keep the gates; the state is made at each run."""
        if method == "trajectories":
            return _Branches(program, precision)
        return _Prepared(program, precision)


class _Prepared:
    def __init__(self, program: Program, precision: Precision) -> None:
        self._program = program
        self._kind = "C64" if precision == "single" else "C128"
        self._gates = _words(program.gates)
        self.bytes = 500 * (len(program.gates) + 1)

    def _state(self) -> Any:
        state = getattr(_native(), f"StateVector{self._kind}")(self._program.qubits)
        _apply(state, self._gates, self._program.qubits, self._kind)
        return state

    def sample(self, shots: int, seed: int, threads: int) -> Samples:
        """Draw shots from the measured qubits' probabilities, with numpy's generator."""
        del threads
        readout = self._program.readout
        assert readout is not None
        weights = _weights(self._state(), readout.qubits, self._program.qubits, self._kind)
        chosen = drawn(weights, shots, generator(seed, "lightning"))
        return Samples(readout.pack(bits_of_states(chosen, len(readout.qubits))))

    def expect(self, terms: Sequence[Term], threads: int) -> Values:
        """Return the state's own values."""
        del threads
        native = _native()
        state = self._state()  # the measurement refers to it
        measure = getattr(native, f"Measurements{self._kind}")(state)
        named = getattr(native.observables, f"NamedObs{self._kind}")
        product = getattr(native.observables, f"TensorProdObs{self._kind}")
        top = self._program.qubits - 1
        values = np.empty(len(terms))
        for index, term in enumerate(terms):
            parts = [named(_PAULIS[axis], [top - qubit]) for qubit, axis in term]
            values[index] = measure.expval(parts[0] if len(parts) == 1 else product(parts))
        return Values(values)


class _Branches:
    def __init__(self, program: Program, precision: Precision) -> None:
        self._program = program
        self._kind = "C64" if precision == "single" else "C128"
        self.bytes = 500 * (len(program.body or ()) + 1)

    def sample(self, shots: int, seed: int, threads: int) -> Samples:
        """Draw shots, one state for each history of outcomes at a time."""
        del threads
        program = self._program
        start = _State(program.qubits, self._kind)
        seed = derive(seed, "lightning")
        return Samples(sample_branches(program.steps, start, program.clbits, shots, seed))

    def expect(self, terms: Sequence[Term], threads: int) -> Values:
        """Never called: analytic values are asked of terminal programs only."""
        raise NotImplementedError


class _State:
    """A state vector that can be measured and copied."""

    samples = True

    def __init__(self, qubits: int, kind: str) -> None:
        self._qubits = qubits
        self._kind = kind
        self._state = getattr(_native(), f"StateVector{kind}")(qubits)

    def copy(self) -> Self:
        """Return an independent copy."""
        made = type(self)(self._qubits, self._kind)
        amplitudes = np.empty(
            2**self._qubits, dtype=np.complex64 if self._kind == "C64" else np.complex128
        )
        self._state.getState(amplitudes)
        made._state.updateData(amplitudes)
        return made

    def apply(self, gates: tuple[Gate, ...]) -> None:
        """Apply gates in order."""
        _apply(self._state, _words(gates), self._qubits, self._kind)

    def probability_of_one(self, qubit: int) -> float:
        """Return the probability of 1, 0 and 1 where rounding says almost so."""
        measure = getattr(_native(), f"Measurements{self._kind}")(self._state)
        zero, one = np.asarray(measure.probs([self._qubits - 1 - qubit]), dtype=np.float64)
        probability = float(one / (zero + one))
        tiny = 1e-6 if self._kind == "C64" else 1e-13
        return 0.0 if probability < tiny else 1.0 if probability > 1 - tiny else probability

    def sample(
        self, qubits: tuple[int, ...], count: int, random: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Measure without collapse."""
        distinct = sorted(set(qubits))
        weights = _weights(self._state, distinct, self._qubits, self._kind)
        bits = bits_of_states(drawn(weights, count, random), len(distinct))
        return bits[:, [distinct.index(qubit) for qubit in qubits]]

    def collapse(self, qubit: int, value: bool) -> None:
        """Project on an outcome."""
        self._state.collapse(self._qubits - 1 - qubit, value)


def _words(gates: tuple[Gate, ...]) -> tuple[tuple[str | NDArray[np.complex128], Any, Any], ...]:
    """Return the gates as ``(method or matrix, qubits, parameters)``."""
    words = tuple(within(gates, _NAMES, _MATRIX_QUBITS))
    made: list[tuple[Any, Any, Any]] = []
    for gate in words:
        name = None if gate.matrix is not None else _NAMES.get(gate.name)
        if name is None:
            made.append((matrix_of(gate), gate.qubits[::-1], None))
            continue
        # Single precision has seven digits, those of whole turns included.
        params = [without_turns(float(value)) for value in gate.params]
        if name == "Rot":  # u(θ, φ, λ) = RZ(φ) RY(θ) RZ(λ), up to a phase
            theta, phi, lam = params
            params = [lam, theta, phi]
        made.append((name, gate.qubits, params))
    return tuple(made)


def _apply(state: Any, words: tuple[tuple[Any, Any, Any], ...], qubits: int, kind: str) -> None:
    dtype = np.complex64 if kind == "C64" else np.complex128
    top = qubits - 1
    for what, places, params in words:
        wires = [top - qubit for qubit in places]
        if params is not None:
            getattr(state, what)(wires, False, params)
        else:
            state.applyMatrix(np.ascontiguousarray(what, dtype=dtype), wires, False)


def _weights(state: Any, qubits: Sequence[int], width: int, kind: str) -> NDArray[np.floating]:
    """Return the probabilities of some qubits, the first of them the lowest bit of the index."""
    measure = getattr(_native(), f"Measurements{kind}")(state)
    # lightning takes the first wire for the highest bit.
    return np.asarray(measure.probs([width - 1 - qubit for qubit in reversed(qubits)]))


def _native() -> Any:
    loaded = sys.modules.get("quantainer_native.lightning")
    if loaded is not None:
        return loaded
    package = find_spec("pennylane_lightning")
    if package is None or not package.submodule_search_locations:
        raise ImportError("pennylane-lightning is not installed")
    for folder in package.submodule_search_locations:
        for suffix in EXTENSION_SUFFIXES:
            file = Path(folder) / f"lightning_qubit_ops{suffix}"
            if file.exists():
                spec = spec_from_file_location("lightning_qubit_ops", file)
                assert spec is not None
                assert spec.loader is not None
                module = module_from_spec(spec)
                spec.loader.exec_module(module)
                sys.modules["quantainer_native.lightning"] = module
                return module
    raise ImportError("pennylane-lightning holds no native module lightning_qubit_ops")
