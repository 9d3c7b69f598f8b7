"""Stim: Clifford circuits of any width (Apache-2.0, https://github.com/quantumlib/Stim)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from quantainer.backends.simulators.affine import Affine
from quantainer.backends.simulators.branching import sample_branches
from quantainer.backends.simulators.gates import matrix_of
from quantainer.backends.simulators.program import (
    Branch,
    Gate,
    Measure,
    Operation,
    Program,
    Readout,
    Repeat,
    Reset,
)
from quantainer.backends.simulators.simulator import (
    Method,
    Precision,
    Prepared,
    Samples,
    Term,
    Values,
)
from quantainer.core.seed import derive

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Stim"]

_NAMES = {
    "x": "X",
    "y": "Y",
    "z": "Z",
    "h": "H",
    "s": "S",
    "sdg": "S_DAG",
    "sx": "SQRT_X",
    "sxdg": "SQRT_X_DAG",
    "cx": "CX",
    "cy": "CY",
    "cz": "CZ",
    "swap": "SWAP",
    "iswap": "ISWAP",
}
_TABLEAU_QUBITS = 1024
_TABLE_BITS = 1 << 18
"""Coins times classical bits: as many bits of tables, times 32, are kept."""
_PAULIS = {"x": "CX", "y": "CY", "z": "CZ"}


class Stim:
    """Adapter. Clifford gates written as other names or as matrices are recognised."""

    name = "stim"
    distribution = "stim"
    module = "stim"
    methods: frozenset[Method] = frozenset({"stabilizer"})
    precisions: frozenset[Precision] = frozenset({"double"})
    expects: frozenset[Method] = frozenset({"stabilizer"})

    def load(self) -> None:
        """Import Stim (4 ms)."""
        import_module("stim")

    def refuses(self, program: Program, method: Method) -> str | None:
        """Refuse gates outside the Clifford group and run-time variables."""
        del method
        if program.body is None:
            return "it uses control flow beyond classical bits"
        odd = _not_clifford(program.body)
        return None if odd is None else f"the gate {odd} is not in the Clifford group"

    def prepare(self, program: Program, method: Method, precision: Precision) -> Prepared:
        """Write the circuit as Stim's text: 500 times faster than appending gate by gate."""
        del method, precision
        stim = import_module("stim")
        assert program.body is not None
        writer = _Writer()
        if not writer.all(program.body):
            return _Branches(program)
        if program.readout is None:
            readout = Readout.of(program.clbits, writer.record_of)
            circuit = stim.Circuit("\n".join(writer.lines))
            return _Frames(circuit, readout, writer.records, program)
        gates = stim.Circuit("\n".join(writer.lines))
        writer.measure(program.readout.qubits)
        circuit = stim.Circuit("\n".join(writer.lines))
        outcomes = _outcomes(gates, circuit, program)
        if outcomes is not None:
            return _Outcomes(outcomes, program)
        return _Frames(circuit, program.readout, writer.records, program)


class _Writer:
    """Stim's text of a program, as far as it can be said in it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.records = 0
        self.record_of: dict[int, int] = {}

    def all(self, body: Iterable[Operation]) -> bool:
        """Write operations; ``False`` if one of them is beyond Stim's circuit language."""
        lines = self.lines
        for operation in body:
            if isinstance(operation, Gate):
                name = _NAMES.get(operation.name)
                if name is not None:
                    lines.append(f"{name} {' '.join(map(str, operation.qubits))}")
                else:
                    lines.extend(_placed(operation))
            elif isinstance(operation, Measure):
                self.measure((operation.qubit,))
                self.record_of[operation.clbit] = self.records - 1
            elif isinstance(operation, Reset):
                lines.append(f"R {operation.qubit}")
            elif not isinstance(operation, Branch) or not self._feedback(operation):
                return False
        return True

    def measure(self, qubits: tuple[int, ...]) -> None:
        """Measure in order."""
        if qubits:
            self.lines.append(f"M {' '.join(map(str, qubits))}")
            self.records += len(qubits)

    def _feedback(self, branch: Branch) -> bool:
        """Write Pauli gates that depend on one measured bit."""
        tests = branch.condition.tests
        if tests is None or len(tests) != 1 or tests[0][0] not in self.record_of:
            return False
        clbit, value = tests[0]
        back = self.record_of[clbit] - self.records
        for body, wanted in ((branch.then, value), (branch.otherwise, not value)):
            for gate in body:
                if not isinstance(gate, Gate) or gate.name not in _PAULIS:
                    return False
                if not wanted:  # on 0: always, and once more on 1
                    self.lines.append(f"{_NAMES[gate.name]} {gate.qubits[0]}")
                self.lines.append(f"{_PAULIS[gate.name]} rec[{back}] {gate.qubits[0]}")
        return True


class _Outcomes:
    """A circuit that measures at its end, as the affine subspace of its outcomes."""

    def __init__(self, outcomes: Affine, program: Program) -> None:
        self._outcomes = outcomes
        self._program = program
        self.bytes = outcomes.bytes

    def sample(self, shots: int, seed: int, threads: int) -> Samples:
        """Draw shots on one thread."""
        del threads
        return Samples(self._outcomes.sample(shots, derive(seed, "stim")))

    def expect(self, terms: Sequence[Term], threads: int) -> Values:
        """Read -1, 0 or 1 off the tableau."""
        del threads
        return Values(_peek(self._program, terms))


def _outcomes(gates: Any, circuit: Any, program: Program) -> Affine | None:
    """Return what measuring at the end can yield; None where frames are cheaper to keep.

    A coin for each qubit of the first state, which ``Z`` leaves as it is, flips the measurements
    that its image anticommutes with: the columns of ``X`` in the inverse tableau.
    """
    readout = program.readout
    assert readout is not None
    unitary = all(isinstance(operation, Gate) for operation in program.body or ())
    if not unitary or not readout.qubits or program.qubits > _TABLEAU_QUBITS:
        return None
    simulator = import_module("stim").TableauSimulator()
    simulator.set_num_qubits(program.qubits)
    simulator.do(gates)
    _, _, flips, *_ = simulator.current_inverse_tableau().to_numpy(bit_packed=True)
    measured = flips[list(readout.qubits)]
    flipped = np.unpackbits(measured, axis=1, count=program.qubits, bitorder="little").T
    vectors = flipped[flipped.any(axis=1)]
    if len(vectors) * program.clbits > _TABLE_BITS:
        return None
    origin = circuit.reference_sample().astype(np.uint8)
    return Affine.spanned(readout.pack(origin[None])[0], readout.pack(vectors))


class _Frames:
    """A circuit in Stim's own language, with its reference sample kept."""

    def __init__(self, circuit: Any, readout: Readout, records: int, program: Program) -> None:
        self._circuit = circuit
        self._readout = readout
        self._records = records
        self._program = program
        self._reference = circuit.reference_sample(bit_packed=True) if records else None
        self._direct = readout.plain and records == readout.clbits
        self.bytes = 200 + 40 * len(circuit) + records

    def sample(self, shots: int, seed: int, threads: int) -> Samples:
        """Draw shots on one thread."""
        del threads
        if not self._records:
            return Samples(self._readout.pack(np.zeros((shots, 0), dtype=np.uint8)))
        sampler = self._circuit.compile_sampler(
            seed=derive(seed, "stim"), reference_sample=self._reference
        )
        packed = sampler.sample(shots, bit_packed=True)
        if self._direct:
            return Samples(packed)
        bits = np.unpackbits(packed, axis=1, count=self._records, bitorder="little")
        if self._program.readout is None:
            bits = bits[:, np.array(self._readout.qubits, dtype=np.intp)]
        return Samples(self._readout.pack(bits))

    def expect(self, terms: Sequence[Term], threads: int) -> Values:
        """Read -1, 0 or 1 off the tableau."""
        del threads
        return Values(_peek(self._program, terms))


class _Branches:
    """A circuit with feed-forward that Stim's language cannot say: tableaux that branch."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.bytes = 400 + 100 * len(program.body or ())

    def sample(self, shots: int, seed: int, threads: int) -> Samples:
        """Draw shots on one thread."""
        del threads
        program = self._program
        start = _Tableau(program.qubits)
        seed = derive(seed, "stim")
        return Samples(sample_branches(program.steps, start, program.clbits, shots, seed))

    def expect(self, terms: Sequence[Term], threads: int) -> Values:
        """Never called: expectation values are asked of programs without feed-forward."""
        del threads
        return Values(_peek(self._program, terms))


class _Tableau:
    """A stabilizer state."""

    samples = False

    def __init__(self, qubits: int, simulator: Any = None) -> None:
        self._simulator = simulator or import_module("stim").TableauSimulator()
        self._simulator.set_num_qubits(qubits)
        self._qubits = qubits

    def copy(self) -> Self:
        """Return an independent copy; its random generator is never used."""
        return type(self)(self._qubits, self._simulator.copy())

    def apply(self, gates: tuple[Gate, ...]) -> None:
        """Apply Clifford gates."""
        writer = _Writer()
        writer.all(gates)
        self._simulator.do(import_module("stim").Circuit("\n".join(writer.lines)))

    def probability_of_one(self, qubit: int) -> float:
        """Return 0, ½ or 1."""
        return float(1 - self._simulator.peek_z(qubit)) / 2

    def sample(
        self, qubits: tuple[int, ...], count: int, random: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Never called: measurements at the end are taken one by one."""
        raise NotImplementedError

    def collapse(self, qubit: int, value: bool) -> None:
        """Project on an outcome."""
        self._simulator.postselect_z(qubit, desired_value=value)


def _peek(program: Program, terms: Sequence[Term]) -> NDArray[np.float64]:
    stim = import_module("stim")
    state = _Tableau(program.qubits)
    state.apply(program.gates)
    values = np.empty(len(terms))
    for index, term in enumerate(terms):
        letters = ["I"] * program.qubits
        for qubit, axis in term:
            letters[qubit] = axis
        pauli = stim.PauliString("".join(letters))
        values[index] = state._simulator.peek_observable_expectation(pauli)
    return values


_NEAR = 1e-6
"""Stim's matrices are in single precision."""


@lru_cache(maxsize=4096)
def _clifford_lines(name: str, params: tuple[float, ...]) -> tuple[str, ...] | None:
    return _lines_of(matrix_of(Gate(name, (), params)))


def _lines_of(matrix: NDArray[np.complex128]) -> tuple[str, ...] | None:
    stim = import_module("stim")
    try:
        tableau = stim.Tableau.from_unitary_matrix(matrix, endian="little")
    except ValueError:
        return None
    # Stim takes what is near a Clifford gate for one: a rotation by 3.0 for one by π.
    found = tableau.to_unitary_matrix(endian="little")
    phase = np.vdot(found, matrix) / len(matrix)
    if np.abs(matrix - phase * found).max() > _NEAR:
        return None
    return tuple(str(tableau.to_circuit()).splitlines())


def _gate_lines(gate: Gate) -> tuple[str, ...] | None:
    if gate.matrix is not None:
        return _lines_of(gate.matrix)
    return _clifford_lines(gate.name, tuple(float(value) for value in gate.params))


def _placed(gate: Gate) -> Iterable[str]:
    """Write a gate known by its matrix, on its own qubits."""
    for line in _gate_lines(gate) or ():
        name, *targets = line.split()
        yield f"{name} {' '.join(str(gate.qubits[int(target)]) for target in targets)}"


def _not_clifford(body: Iterable[Operation]) -> str | None:
    """Return the first gate that is not Clifford."""
    for operation in body:
        if isinstance(operation, Gate):
            if operation.name not in _NAMES and _gate_lines(operation) is None:
                return operation.name
        elif isinstance(operation, Branch):
            odd = _not_clifford(operation.then) or _not_clifford(operation.otherwise)
            if odd is not None:
                return odd
        elif isinstance(operation, Repeat):
            odd = _not_clifford(operation.body)
            if odd is not None:
                return odd
    return None
